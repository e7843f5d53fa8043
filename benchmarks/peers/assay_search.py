"""Assay's search of the same space, with everything on: study, tracking, pictures. Run by search_speed.py."""

import argparse
import json
import statistics
import time
from pathlib import Path
from typing import Any

from assay.params import Params
from assay.search import begin, run_search
from assay.terminal import stage

TRAIN, VALIDATION = 3500, 750
SPACE = {
    "activation": {"choices": ["relu", "tanh", "sigmoid"]},
    "optimizer.lr": {"low": 1e-4, "high": 1e-1, "log": True},
    "regularization.l2": {"low": 1e-6, "high": 1e-2, "log": True},
    "dropout": {"low": 0.0, "high": 0.5},
    "batch_size": {"choices": [32, 64, 128]},
    "optimizer.name": {"choices": ["adam", "sgd"]},
}
BASE = {
    "activation": "relu",
    "dropout": 0.1,
    "optimizer": {"name": "adam", "lr": 1e-3},
    "regularization": {"l2": 1e-5},
    "schedule": {"name": "constant"},
}


def main() -> None:
    began = time.perf_counter()
    options = argparse.ArgumentParser()
    options.add_argument("--digits", type=Path)
    options.add_argument("--trials", type=int)
    options.add_argument("--epochs", type=int)
    options.add_argument("--seed", type=int)
    options.add_argument("--precision", default="auto")
    chosen = options.parse_args()
    root = chosen.digits.parent / f"assay-{chosen.seed}-{time.time_ns()}"
    root.mkdir()
    recipe = BASE | {"epochs": chosen.epochs, "precision": chosen.precision, "seed": chosen.seed}
    search = {"trials": chosen.trials, "seed": chosen.seed, "space": SPACE}
    params = Params.model_validate({"recipe": recipe, "search": search})
    with begin(params) as machine:
        from assay.tracking import open_tracker

        data = digits(chosen.digits)
        opened = time.perf_counter()
        with open_tracker(params.tracking, root, {"data_version": data.about.version}) as tracker:
            run_search(params, data, root, root / "results/search", tracker, machine)
            searched = time.perf_counter()
        closed = time.perf_counter()
    report = json.loads((root / "results/search/report.json").read_text())
    parts = {"open": opened - began, "search": searched - opened, "tracking": closed - searched}
    told = {"best": report["winner"]["value"], "epochs": report["epochs"], "trials": report["trials"], "parts": parts}
    print(json.dumps(told | beside_training(root)))


def beside_training(root: Path) -> dict[str, float]:
    """Of the time from a worker's first trial to its last one's end: the share that it did not train, all workers
    together; and the training seconds of a trial, the median."""
    from assay.search.stays import stays_of
    from assay.studies.shelf import Shelf

    shelf = Shelf(root, None)
    [name] = shelf.names()
    tried = shelf.read(name).tried
    workers: dict[str, list[Any]] = {}
    for _, stay in stays_of(tried):
        workers.setdefault(stay.worker, []).append(stay)
    held = sum(max(stay.end for stay in stays) - min(stay.begin for stay in stays) for stays in workers.values())
    seconds = [each.seconds for each in tried]
    return {"beside": 1 - sum(seconds) / held, "trial": statistics.median(seconds)}


def digits(path: Path):
    import numpy as np
    from in_memory import dataset_of

    kept = np.load(path)
    return dataset_of(kept["images"][:, None], kept["labels"], TRAIN, TRAIN + VALIDATION, "benchmark")


if __name__ == "__main__":
    stage(main)
