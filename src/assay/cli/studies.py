"""`assay study …`: the verbs of studies. Owns their words; the work is done in studies/."""

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from typer import Argument, Option

from assay.errors import InputError
from assay.places import AUGMENTED, PREPARED
from assay.terminal import say

if TYPE_CHECKING:
    from assay.studies.shelf import Shelf


study_app = typer.Typer(help="Studies: what searches tried, and what came of it.", rich_markup_mode=None)

Name = Annotated[str, Argument(help="The study's name, as `assay study ls` lists it.", show_default=False)]


@study_app.command("ls")
def list_studies() -> None:
    """List the studies: trials, best value, last written, and which is that of params.yaml.

    Example: assay study ls
    """
    from assay.studies.words import list_studies as run

    run(*_shelf())


@study_app.command("show")
def show_study(name: Name) -> None:
    """Show a study: its best recipe beside the base, its rungs, its trials.

    Example: assay study show 46c47a932354
    """
    from assay.studies.words import show_study as run

    shelf, current = _shelf()
    run(shelf, name, current)


@study_app.command("export")
def export_study(
    name: Name, file: Annotated[Path, Argument(help="A new file, JSON lines.", show_default=False)]
) -> None:
    """Write all that a study holds into one file.

    Example: assay study export 46c47a932354 digits.jsonl
    """
    from assay.studies.carrying import export_study as run

    say(f"{run(_shelf()[0], name, file)} trials of study {name} are in {file}")


@study_app.command("import")
def import_study(
    file: Annotated[Path, Argument(help="What `assay study export` wrote.", show_default=False)],
) -> None:
    """Put an exported study beside those that are here, under its own name.

    Example: assay study import digits.jsonl
    """
    from assay.studies.carrying import import_study as run

    shelf = _shelf()[0]
    say(f"study {run(shelf, file)} is in {shelf.place}")


@study_app.command("rm")
def remove_study(name: Name, yes: Annotated[bool, Option("--yes", help="Do not ask.")] = False) -> None:
    """Remove a study for good; its runs in MLflow stay.

    Example: assay study rm 46c47a932354
    """
    shelf = _shelf()[0]
    shelf.known(name)
    if not yes and not sys.stdin.isatty():
        raise InputError(f"study: whether {name} is to be removed is asked at a terminal; elsewhere say --yes.")
    if yes or typer.confirm(f"Remove study {name} for good?"):
        shelf.remove(name)
        say(f"study {name} is removed; its runs in MLflow stay.")
    else:
        say(f"study {name} stays.")


@study_app.command("ui")
def study_ui(
    port: Annotated[int | None, Option(min=1, max=65535, help="Port on this machine; by default a free one.")] = None,
) -> None:
    """Serve optuna-dashboard over the studies on this machine.

    Example: assay study ui --port 8080
    """
    from assay.studies.dashboard import serve_dashboard

    serve_dashboard(_shelf()[0], port)


def _shelf() -> tuple["Shelf", str | None]:
    """The studies of the project in the working directory, and which of them is that of params.yaml."""
    from assay.settings import load
    from assay.studies.shelf import Shelf, current

    params = load()
    return Shelf(Path(), params.search.storage), current(params, PREPARED, AUGMENTED)
