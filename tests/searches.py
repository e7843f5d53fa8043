"""Small searches for tests: settings, a study that is driven by hand, and a whole search, also as a program to be
killed: `python searches.py ROOT WORKERS [SETTINGS OF THE SEARCH, AND `tracking` AS AN ADDRESS, AS JSON]`.
"""

import csv
import json
import sys
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from assay.params import Params, Recipe

if TYPE_CHECKING:
    from assay.search.machine import Machine
    from assay.search.study import Study

SPACE: dict[str, Any] = {
    "activation": {"choices": ["relu", "tanh"]},
    "optimizer.lr": {"low": 1e-4, "high": 1e-1, "log": True},
    "dropout": {"low": 0.0, "high": 0.5},
}
TRIALS = 6  # of the program
WORKER = "ray::ResourceTrainable"  # the name of a process in which trials run: our Worker with its resources, to Tune


def params_of(
    trials: int,
    *,
    space: dict[str, Any] | None = None,
    recipe: dict[str, Any] | None = None,
    tracking: str | None = None,
    **search: Any,
) -> Params:
    base = {"epochs": 3, "precision": "fp32", "schedule": {"name": "constant"}} | (recipe or {})
    told = {"trials": trials, "space": SPACE if space is None else space} | search
    return Params.model_validate({"recipe": base, "search": told, "tracking": {"uri": tracking}})


def opened(folder: Path, trials: int = 6, version: str = "v", **search: Any) -> "Study":
    from assay.search.study import Study

    params = params_of(trials, **search)
    return Study(folder, params.search, params.recipe, "accuracy", "max", version)


def drive(study: "Study", most: int | None = None) -> None:
    """Run trials one after another; a trial's value follows from its parameters."""
    while most != 0 and (asked := study.ask()) is not None:
        most = None if most is None else most - 1
        for epoch in range(1, 4):
            value = value_of(asked.recipe.optimizer.lr, epoch)
            if study.report(asked.number, epoch, value, 0.5 * epoch, finished=epoch == 3):
                break


def value_of(lr: float, epoch: int) -> float:
    return 1 - abs(lr - 0.01) - 0.1 / epoch


def run(root: Path, params: Params, machine: "Machine | None" = None) -> Recipe:
    """A whole search on a few digits, with MLflow; its finals, if any, split the digits anew."""
    from assay.folds import Kin
    from assay.search import run_search
    from assay.tracking import open_tracker
    from samples import digits

    kin = Kin(np.arange(192), np.empty(0, np.int64))
    with open_tracker(params.tracking, root, {}) as tracker:
        return run_search(params, digits(train=128, validation=64), root, root / "out", tracker, machine, kin)


def journal(root: Path) -> str:
    """What the studies of a project have on disk; empty where there is none yet."""
    return "".join(path.read_text() for path in (root / ".assay/studies").glob("*.journal"))


def results(root: Path) -> tuple[str, list[dict[str, str]]]:
    """What a search found, but for the seconds that it took."""
    with (root / "out/trials.csv").open(newline="") as file:
        rows = [row | {"seconds": ""} for row in csv.DictReader(file)]
    return (root / "out/report.json").read_text(), rows


def statuses(root: Path, store: str | None = None) -> Counter[tuple[str, str]]:
    """The runs of a search in MLflow: how often each (name without its recipe, status) is there; `store`: None is the
    one below `root`."""
    from mlflow.tracking import MlflowClient

    client = MlflowClient(store or f"sqlite:///{root / 'mlruns/mlflow.db'}")
    found = client.search_runs([each.experiment_id for each in client.search_experiments()])
    return Counter((" ".join(run.info.run_name.split(" ")[:2]), run.info.status) for run in found)


def main() -> None:
    root, workers = Path(sys.argv[1]), int(sys.argv[2])
    from assay.search import begin

    told = json.loads(sys.argv[3]) if len(sys.argv) > 3 else {}
    params = params_of(TRIALS, recipe={"epochs": 40, "backbone": "mlp"}, workers=workers, **told)
    with begin(params) as machine:
        run(root, params, machine)


if __name__ == "__main__":
    from assay.terminal import stage

    stage(main)
