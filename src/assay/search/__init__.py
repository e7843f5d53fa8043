"""From a base recipe and a space to the recipe that wins. Owns the way of a search; its parts own the rest.

space.py what may vary, cube.py the same as numbers · study.py the truth · trial.py its words · policy.py what next, by
samplers.py and surrogate.py · halving.py when to stop · machine.py and tune.py Ray executes · worker.py a trial in its
worker · course.py a trial's way through study, MLflow and terminal · select.py the winner · pictures.py and page/ what
it looks like
"""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from assay.terminal import Progress

if TYPE_CHECKING:
    from assay.data.dataset import Dataset
    from assay.modality import Weights
    from assay.params import Params, Recipe
    from assay.search.machine import Machine
    from assay.search.study import Study
    from assay.search.tune import WeightsOf
    from assay.tracking import Run, Tracker

STUDIES = Path(".assay/studies")


def searches(params: "Params") -> bool:
    """Whether there is anything to try besides the base recipe."""
    return params.search.trials > 0 and bool(params.search.space)


@contextmanager
def begin(params: "Params") -> "Iterator[Machine | None]":
    """Let Ray come up, in the background, around a block that opens the rest and calls `run_search`; None where nothing
    is to be tried."""
    if not searches(params):
        yield None
        return
    from assay.search.machine import Machine

    with Machine(params.search) as machine:
        yield machine


def run_search(
    params: "Params", data: "Dataset", root: Path, out: Path, tracker: "Tracker", machine: "Machine | None" = None
) -> "Recipe":
    """Search, or go on with a search that was stopped, and write `out`: recipe.yaml, trials.csv, report.json, pictures
    and a page.

    Args:
        params: checked settings.
        data: train and validation.
        root: the project; the study lies in its `.assay/studies/`, pretrained weights in its `weights/`.
        machine: a Ray that the caller began early. None: one of its own, where trials are left to run.

    Returns:
        The recipe that won, as in recipe.yaml; the base recipe where there is nothing to try.

    Raises:
        InputError: the same search runs already, Ray does not start, or more than half of the trials fail.
    """
    from assay.settings import write_recipe

    out.mkdir(parents=True, exist_ok=True)
    if not searches(params):
        recipe = params.recipe
        _write_unsearched(out)
    else:
        recipe = _searched(params, data, root, out, tracker, machine)
    write_recipe(recipe, out / "recipe.yaml")
    return recipe


def _searched(
    params: "Params", data: "Dataset", root: Path, out: Path, tracker: "Tracker", machine: "Machine | None"
) -> "Recipe":
    from assay.metric import better, resolve_metric
    from assay.search.machine import Machine
    from assay.search.study import Study
    from assay.tracking import ending

    metric = resolve_metric(params.search.metric, data.about.task)
    folder = root.resolve() / STUDIES
    with Study(folder, params.search, params.recipe, metric, better(metric), data.about.version) as study:
        parent = _parent(study, tracker, data.about.version)
        with ending(parent):
            if study.left or study.waiting:
                with machine or Machine(params.search) as running:
                    _run_trials(params, data, root, study, tracker, parent, running)
                    running.retire()
                    return _write(study, params.recipe, out, parent)
            return _write(study, params.recipe, out, parent)


def _run_trials(
    params: "Params",
    data: "Dataset",
    root: Path,
    study: "Study",
    tracker: "Tracker",
    parent: "Run",
    machine: "Machine",
) -> None:
    """Run what is left of the budget; whatever interrupts it leaves the study as a kill would, and no run RUNNING."""
    from assay.search.course import Course
    from assay.search.tune import run_trials  # imports most of Ray, while Ray starts

    search = params.search
    machine.wait()
    workers = max(1, min(machine.workers(), study.left))
    study.runs_on(workers)
    with Progress("search", search.trials) as progress:
        course = Course(study, tracker, parent, progress, workers)
        try:
            if study.left:
                run_trials(course, machine, data, _weights_of(root), search, workers)
        finally:
            course.interrupt()


def _weights_of(root: Path) -> "WeightsOf":
    def found(recipe: "Recipe") -> "Weights | None":
        from assay.weights import weights_of

        return weights_of(recipe, root)

    return found


def _parent(study: "Study", tracker: "Tracker", version: str) -> "Run":
    """The search's run: the one that was begun before, where the study was, or a new one."""
    tags = {"study": study.name, "data_version": version}
    found = tracker.find(kind="search", study=study.name) if study.resumed else None
    return found or tracker.start("search", kind="search", params=study.told, tags=tags)


def _write(study: "Study", base: "Recipe", out: Path, parent: "Run") -> "Recipe":
    from assay.search import page, pictures
    from assay.search.select import chosen_recipe, winner, write_report, write_trials

    won = winner(study)
    write_trials(study, out / "trials.csv")
    write_report(study, won, out / "report.json")
    for picture in pictures.draw(study, won, out):
        parent.picture(picture)
    parent.picture(page.write_page(study, won, out))
    parent.file(out / "trials.csv")
    parent.file(out / "report.json")
    if won.value is not None:
        parent.log({f"best/{study.metric}": won.value}, step=0)
    return chosen_recipe(study, won, base)


def _write_unsearched(out: Path) -> None:
    from assay.search import page, pictures
    from assay.search.select import write_unsearched

    write_unsearched(out / "report.json")
    pictures.draw_nothing(out)
    page.write_nothing(out)
