"""From a base recipe and a space to the recipe that wins. Owns the way of a search; its parts own the rest.

space.py what may vary, cube.py the same as numbers · study.py the truth, about.py what it is of, tally.py its sums,
clock.py its time, earlier.py those before it, store.py and lease.py where it lies and who may write, steady.py for
where it is away for a moment · trial.py its words · policy.py what next, by samplers.py, evolution.py, surrogate.py and
feasible.py · halving.py when to stop · front.py who is good where costs count too · machine.py and tune.py Ray
executes, job.py what travels to a cluster · worker.py a trial in its worker · course.py a trial's way through study,
MLflow and terminal, finale.py that of the best ones, run again on fresh seeds · select.py the winner · importance.py
what moved the trials · stays.py which worker ran what and when · pictures.py and page/ what it looks like
"""

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from assay.terminal import Progress, say

if TYPE_CHECKING:
    from assay.data.dataset import Dataset
    from assay.finals import Finals
    from assay.folds import Kin
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
    from assay.search.job import refuse_fleeting
    from assay.search.machine import Machine

    refuse_fleeting(params)
    with Machine(params.search) as machine:
        yield machine


def run_search(
    params: "Params",
    data: "Dataset",
    root: Path,
    out: Path,
    tracker: "Tracker",
    machine: "Machine | None" = None,
    kin: "Kin | None" = None,
) -> "Recipe":
    """Search, or go on with a search that was stopped, and write `out`: recipe.yaml, trials.csv, report.json, pictures
    and a page.

    Args:
        params: checked settings.
        data: train and validation.
        root: the project; the study lies in its `.assay/studies/`, pretrained weights in its `weights/`.
        machine: a Ray that the caller began early. None: one of its own, where trials are left to run.
        kin: whose it is to stay together where the finals split small data anew. None: they do not.

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
        recipe = _searched(params, data, root, out, tracker, machine, kin)
    write_recipe(recipe, out / "recipe.yaml")
    return recipe


def _searched(
    params: "Params",
    data: "Dataset",
    root: Path,
    out: Path,
    tracker: "Tracker",
    machine: "Machine | None",
    kin: "Kin | None",
) -> "Recipe":
    from assay.metric import better, resolve_metric
    from assay.search.finale import finals_of
    from assay.search.machine import Machine
    from assay.search.store import answering
    from assay.search.study import Study
    from assay.tracking import ending

    search, metric = params.search, resolve_metric(params.search.watched, data.about.task)
    folder = root.resolve() / STUDIES
    with Study(folder, search, params.recipe, metric, better(metric), data.about.version) as study:
        if search.earlier and not study.resumed:
            _say_first(study)
        parent = _parent(study, tracker, data.about.version)
        with ending(parent), answering(search.storage):
            runs = _Runs(params, data, root, study, tracker, parent, kin)
            trials = study.left or study.waiting
            finals = None if trials else finals_of(study, search.finals)
            if not trials and (finals is None or finals.done):
                return _write(study, finals, params, out, parent)
            with machine or Machine(search) as running:
                if trials:
                    runs.trials(running)
                    finals = finals_of(study, search.finals)
                if finals is not None and not finals.done:
                    runs.finals(running, finals)
                running.retire()
                return _write(study, finals, params, out, parent)


@dataclass(frozen=True)
class _Runs:
    """What Ray has to do. Whatever interrupts it leaves the study as a kill would, and no run RUNNING."""

    params: "Params"
    data: "Dataset"
    root: Path
    study: "Study"
    tracker: "Tracker"
    parent: "Run"
    kin: "Kin | None"

    def trials(self, machine: "Machine") -> None:
        """Run what is left of the budget."""
        from assay.search.course import Course
        from assay.search.tune import run_trials  # imports most of Ray, while Ray starts

        search = self.params.search
        machine.wait()
        workers = max(1, min(machine.workers(), self.study.left))
        self.study.runs_on(workers)
        if self.study.trials < search.trials:
            count = f"search: the recipes to try are {self.study.trials}, with the base recipe"
            say(f"{count}; the search ends with the last of them, before search.trials, {search.trials}.")
        with Progress("search", self.study.trials) as progress:
            course = Course(self.study, self.tracker, self.parent, progress, workers)
            try:
                course.check_owned()
                if self.study.left:
                    run_trials(course, machine, self.data, _weights_of(self.root), search, workers)
            finally:
                course.interrupt()

    def finals(self, machine: "Machine", finals: "Finals") -> None:
        """Run the finalists on fresh seeds."""
        from assay.search.finale import Finale
        from assay.search.tune import run_trials

        machine.wait()
        workers = max(1, min(machine.workers(), finals.left))
        folded, search = self.kin is not None, self.params.search
        with Progress("finals", finals.left) as progress:
            finale = Finale(self.study, finals, self.tracker, self.parent, progress, folded=folded)
            try:
                run_trials(finale, machine, self.data, _weights_of(self.root), search, workers, self.kin)
            finally:
                finale.interrupt()


def _say_first(study: "Study") -> None:
    counts = Counter(each.study for each in study.first)
    listed = ", ".join(f"{count} of {name}" for name, count in counts.items())
    found = f"{counts.total()} ({listed})" if counts else "none fits the space"
    say(f"search: recipes of earlier studies that are tried first: {found}.")


def _weights_of(root: Path) -> "WeightsOf":
    def found(recipe: "Recipe") -> "Weights | None":
        from assay.weights import weights_of

        return weights_of(recipe, root)

    return found


def _parent(study: "Study", tracker: "Tracker", version: str) -> "Run":
    """The search's run, the one that was begun before where the study was."""
    tags = {"study": study.name, "data_version": version}
    return tracker.start("search", kind="search", params=study.told, tags=tags, key=study.id, again=study.resumed)


def _write(study: "Study", finals: "Finals | None", params: "Params", out: Path, parent: "Run") -> "Recipe":
    from assay.search import page, pictures
    from assay.search.select import chosen_recipe, select, write_report, write_trials

    choice = select(study, finals, prefer_base=params.search.prefer_base)
    won = choice.won
    write_trials(study, out / "trials.csv")
    write_report(study, choice, out / "report.json")
    for picture in pictures.draw(study, won, out):
        parent.picture(picture)
    parent.picture(page.write_page(study, choice, out))
    parent.file(out / "trials.csv")
    parent.file(out / "report.json")
    parent.log({f"best/{study.metric}": won.score} | choice.figures(study.metric), step=0)
    for sentence in choice.said:
        say(f"search: {sentence}")
    return chosen_recipe(study, won, params.recipe)


def _write_unsearched(out: Path) -> None:
    from assay.search import page, pictures
    from assay.search.select import write_unsearched

    write_unsearched(out / "report.json")
    pictures.draw_nothing(out)
    page.write_nothing(out)
