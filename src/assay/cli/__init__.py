"""`assay …`: every verb that is done by hand. Owns its words and options; the work is done in rooms, imported late."""

import os
import sys
from enum import StrEnum
from pathlib import Path
from typing import Annotated, NoReturn

import typer
from typer import Argument, Option
from typer.exceptions import TyperException

from assay.cli import champion, drift, retrain, schedule, serve
from assay.cli.studies import study_app
from assay.errors import InputError
from assay.places import MODEL, PREPARED
from assay.terminal import AGAIN, STOPPED, say, stage

FOLDER = Path("pipeline")

app = typer.Typer(
    name="assay",
    help="From a data set to a judged model. Run it in the folder that holds params.yaml.",
    add_completion=False,
    rich_markup_mode=None,  # plain help: rich alone would cost a third of the time that --help may take
    pretty_exceptions_enable=False,
)
weights_app = typer.Typer(help="Pretrained weights of networks.", rich_markup_mode=None)
app.add_typer(weights_app, name="weights")
app.add_typer(study_app, name="study")
champion.add_to(app)
drift.add_to(app)
retrain.add_to(app)
schedule.add_to(app)
serve.add_to(app)


class Rows(StrEnum):
    """How predictions are written."""

    csv = "csv"
    jsonl = "jsonl"


class Exported(StrEnum):
    """What a model can be exported to."""

    onnx = "onnx"
    torchscript = "torchscript"


@app.command()
def params(
    check: Annotated[
        bool, Option("--check", help="Check params.yaml, the data, stores and weights, before anything runs.")
    ] = False,
    explain: Annotated[bool, Option("--explain", help="List every setting: type, range, default, meaning.")] = False,
    path: Annotated[Path | None, Option(help="The file to read; by default params.yaml.")] = None,
) -> None:
    """Show, check or explain the settings.

    Example: assay params --check
    """
    from assay import settings
    from assay.params import PARAMS_PATH, flat

    path = path or Path(PARAMS_PATH)
    if explain:
        say(settings.explain())
    elif check:
        from assay.check import checked

        checked(path, thorough=True)
        say(f"{path}: all settings are sound.")
    else:
        for name, value in flat(settings.load(path)).items():
            say(f"{name}: {settings.yaml_word(value)}")


@app.command()
def prepare() -> None:
    """Read, check, split and store the samples.

    Example: assay prepare
    """
    _run_stage("prepare")


@app.command()
def augment() -> None:
    """Write augmented copies of the training samples.

    Example: assay augment
    """
    _run_stage("augment")


@app.command()
def search() -> None:
    """Search for the best recipe, or go on with it.

    Example: assay search
    """
    _run_stage("search")


@app.command()
def train() -> None:
    """Train what search chose, or go on with it.

    Example: assay train
    """
    _run_stage("train")


@app.command()
def evaluate() -> None:
    """Judge the trained model on the test samples.

    Example: assay evaluate
    """
    _run_stage("evaluate")


@app.command()
def predict(
    paths: Annotated[list[Path], Argument(help="Files, folders or tables.", show_default=False)],
    model: Annotated[Path, Option(help="Folder of the trained model.")] = MODEL,
    out_format: Annotated[Rows, Option("--format", help="One line a sample.")] = Rows.csv,
) -> None:
    """Predict files, folders or tables; rows go to standard output.

    Example: assay predict photos/ --format jsonl > answers.jsonl
    """
    from assay.predict import predict as run

    run(model, paths, out_format.value, sys.stdout)


@app.command()
def export(
    to: Annotated[Exported, Option("--format", help="Kind of file.", show_default=False)],
    model: Annotated[Path, Option(help="Folder of the trained model.")] = MODEL,
    out: Annotated[Path | None, Option(help="File to write; by default beside the folder of the model.")] = None,
    samples: Annotated[Path, Option(help="Pictures, or prepared data, that the file is checked on.")] = PREPARED,
) -> None:
    """Write the model as ONNX or TorchScript.

    The file is checked against the original on real samples.

    Example: assay export --format onnx --out digits.onnx
    """
    from assay.export import export as run

    suffix = {"onnx": ".onnx", "torchscript": ".pt"}[to.value]
    say(run(model, to.value, out or model.with_name(f"model{suffix}"), samples))


@weights_app.command("fetch")
def fetch(name: Annotated[str, Argument(help="A network of timm, e.g. resnet18.", show_default=False)]) -> None:
    """Fetch the weights of a network into weights/.

    Needs a connection; notes their hash in weights/weights.lock.

    Example: assay weights fetch resnet18
    """
    from assay.weights import fetch as run

    say(f"{run(name, Path())} is here.")


@weights_app.command("list")
def list_weights() -> None:
    """List the weights that are here.

    Example: assay weights list
    """
    from assay.weights import FOLDER, PACKAGED, read_lock

    locked = {file.removesuffix(".safetensors"): digest for file, digest in read_lock(Path()).items()}
    for name in dict.fromkeys([*PACKAGED, *locked]):
        place = f"in the package {PACKAGED[name]}" if name in PACKAGED else "not here; `assay weights fetch` brings it"
        if (Path(FOLDER) / f"{name}.safetensors").exists():
            place = "here"
        digest = f"; SHA-256 {locked[name][:12]}…" if name in locked else ""
        say(f"{name}: {place}{digest}")


@app.command()
def ui(
    port: Annotated[int | None, Option(min=1, max=65535, help="Port on this machine; by default a free one.")] = None,
) -> None:
    """Serve MLflow's pages of this project on this machine.

    Example: assay ui --port 5000
    """
    from assay.settings import load
    from assay.tracking import serve_ui

    serve_ui(load().tracking, Path.cwd(), port)


@app.command()
def doctor() -> None:
    """Look at what Assay stands on, one line each; exit code 2 where one is WRONG.

    Example: assay doctor
    """
    from assay.doctor import examine

    if not examine(Path.cwd()):
        raise SystemExit(2)


@app.command()
def results() -> None:
    """Say what won, how sure that is, and where to look.

    Example: assay results
    """
    from assay.closing import closing_table

    closing_table(Path("results"))


def main() -> None:
    """The command `assay`: exit code 2 and one sentence for wrong words and wrong input."""
    stage(_main, _placed, AGAIN)


def _placed(error: InputError) -> InputError:
    from assay.check import placed

    return placed(error)


def _main() -> None:
    try:
        code = app(standalone_mode=False)
    except typer.Abort as error:  # the end of what a person types, where they are asked
        raise KeyboardInterrupt from error
    except TyperException as error:
        raise InputError(_sentence(error)) from error
    if code == STOPPED:  # what Typer makes of Ctrl-C
        raise KeyboardInterrupt
    raise SystemExit(code or 0)


def _sentence(error: TyperException) -> str:
    """What was wrong with the words of a command, and the help that says what would be right."""
    context = getattr(error, "ctx", None)
    verb = context.command_path if context is not None else "assay"
    what = " ".join(error.format_message().replace("Value error, ", "").split()).rstrip(".?")
    return f"{what[:1].lower()}{what[1:]}; see `{verb} --help`."


def _run_stage(name: str) -> NoReturn:
    script = FOLDER / f"{name}.py"
    if not script.is_file():
        raise InputError(f"{script}: there is no such file; run assay in the folder that holds params.yaml.")
    sys.stdout.flush()
    os.execv(sys.executable, [sys.executable, str(script)])  # one process: Ctrl-C and exit codes are the stage's own
