"""How soon a search that stops trials early finds what random search finds in a thousand whole trainings.

    python benchmarks/search_curves.py            # a quarter of an hour on two cores
    python benchmarks/search_curves.py --write    # keeps the table in benchmarks/results/

It runs Assay's own study, its policy and its stopping, over curves that were trained once (curve_table.py): an epoch
takes the time that it took there, and a trial is one of the three seeds. Every search has an allowance of epochs; those
that a trial trains while its verdict is open count. Printed is the normalised regret of the recipe that is returned
(0: the best mean over seeds, 1: the median), against the allowance in whole trainings of 27 epochs, with one worker.
`finals`: 22 of the whole trainings are those of `search.finals: small`. Beside it random search without stopping,
which sees 60 and 1,000 whole trainings.

64 workers are held against one at the same number of trials, about what 60 whole trainings pay for, each search to its
end: at the same allowance they could not be, since 60 whole trainings are not one for each of them. They spend more,
since verdicts wait for the slow among them.

To reach: the regret of random search's thousand within 60; with 64 workers at least 90% of one worker's score, that
is 1 less the regret.
"""

import argparse
import heapq
import math
import os
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cache
from importlib.metadata import version
from multiprocessing import Pool
from pathlib import Path
from typing import Any

import numpy as np

from assay.params import Params, with_values
from assay.search.study import Study
from assay.search.trial import COMPLETE
from curve_table import BASE, DATA, EPOCHS, RESULTS, SCALE, SPACE, TABLE, counting, recipes
from search_quality import FINALS_RUNS, won

ALLOWANCES, MANY, WORKERS = (10, 20, 40, 60), 1000, (1, 64)
TRIALS, ENDLESS = 200, 600  # about what 60 whole trainings pay for, and more than that
FIRST = {name: each["choices"][0] for name, each in SPACE.items()}  # what the base recipe has


@dataclass(frozen=True)
class Curves:
    """A data set of the table: recipes × seeds × epochs, and of each recipe the seconds of an epoch."""

    accuracy: np.ndarray
    seconds: np.ndarray

    @property
    def regrets(self) -> np.ndarray:
        """Of each recipe: its best epoch, on the mean of the seeds."""
        means = self.accuracy.max(2).mean(1)
        found: np.ndarray = (means.max() - means) / (means.max() - np.median(means))
        return found


@cache
def curves(name: str) -> Curves:
    with np.load(TABLE) as kept:
        at = DATA.index(name)
        fastest = kept["seconds"][at].min(1)  # of the seeds: what others took longer was other programs'
        return Curves(kept["accuracy"][at] / SCALE, fastest.astype(float))


@cache
def places() -> dict[tuple[tuple[str, Any], ...], int]:
    return {key_of(values): number for number, values in enumerate(recipes())}


def key_of(values: dict[str, Any]) -> tuple[tuple[str, Any], ...]:
    return tuple(sorted(values.items()))


@dataclass
class Simulated:
    """A search over the table, event by event; what happens at one moment happens in the order of workers."""

    one: Curves
    luck: np.random.Generator
    workers: int
    spent: int = 0
    free: list[int] = field(default_factory=list)
    events: list[tuple[float, int, int, int]] = field(default_factory=list)  # when, worker, trial, epoch
    rows: dict[int, tuple[int, int]] = field(default_factory=dict)  # trial → recipe, seed

    def run(self, study: Study) -> Iterator[int]:
        """After every report the epochs that were trained so far, up to the end of the last trial."""
        study.runs_on(self.workers)
        self.free, live, now = list(range(self.workers)), set(), 0.0
        while True:
            while self.free and study.ready and (asked := study.ask()) is not None:
                recipe = key_of(counting(FIRST | asked.values))
                self.rows[asked.number] = places()[recipe], int(self.luck.integers(self.one.accuracy.shape[1]))
                live.add(asked.number)
                self._train(now, self.free.pop(0), asked.number, 1)
            if not self.events:
                return
            now, worker, number, epoch = heapq.heappop(self.events)
            self.spent += 1
            if number in live:  # else it was stopped while it trained this epoch
                value, seconds = float(self.one.accuracy[(*self.rows[number], epoch - 1)]), self._seconds(number)
                settled = study.report(number, epoch, value, epoch * seconds, finished=epoch == EPOCHS)
                live -= {each.number for each in settled}
            if number in live and epoch < EPOCHS:
                self._train(now, worker, number, epoch + 1)
            else:
                self.free.append(worker)
            yield self.spent

    def regret(self, number: int) -> float:
        return float(self.one.regrets[self.rows[number][0]])

    def _train(self, now: float, worker: int, number: int, epoch: int) -> None:
        heapq.heappush(self.events, (now + self._seconds(number), worker, number, epoch))

    def _seconds(self, number: int) -> float:
        return float(self.one.seconds[self.rows[number][0]])


Job = tuple[str, int, int]  # the data, workers, a seed


@contextmanager
def searching(job: Job, trials: int) -> Iterator[tuple[Study, Simulated]]:
    import optuna

    optuna.logging.set_verbosity(optuna.logging.ERROR)
    name, workers, seed = job
    search = {"trials": trials, "epochs": EPOCHS, "seed": seed, "space": SPACE}
    params = Params.model_validate({"recipe": BASE, "search": search})
    base = with_values(params.recipe, counting(FIRST))
    luck = np.random.default_rng([seed, DATA.index(name)])
    with (
        tempfile.TemporaryDirectory() as folder,
        Study(Path(folder), params.search, base, "accuracy", "max", name) as study,
    ):
        yield study, Simulated(curves(name), luck, workers)


def with_allowance(job: Job) -> list[tuple[float, float]]:
    """The regret after each allowance, and where its last trainings are those of finals."""
    alone: dict[int, float] = {}
    before: dict[int, float] = {}
    with searching(job, ENDLESS) as (study, simulated):
        for spent in simulated.run(study):
            trainings, rest = divmod(spent, EPOCHS)
            if rest == 0 and trainings in ALLOWANCES:
                alone[trainings] = regret_of(study, simulated)
            if rest == 0 and trainings + FINALS_RUNS in ALLOWANCES:
                before[trainings + FINALS_RUNS] = with_finals(study, simulated)
            if len(alone) == len(ALLOWANCES):
                break
    return [(alone[each], before.get(each, math.nan)) for each in ALLOWANCES]


def regret_of(study: Study, simulated: Simulated) -> float:
    """Of the best trial; before any came to its end 1."""
    best = study.best()
    return 1.0 if best is None else simulated.regret(best.number)


def with_finals(study: Study, simulated: Simulated) -> float:
    """The regret of who wins them."""
    scores = {each.number: each.score for each in study.tried() if each.state == COMPLETE}
    if not scores:
        return 1.0
    rows = {number: recipe for number, (recipe, _) in simulated.rows.items()}
    luck = np.random.default_rng([study.seed, 2])
    return simulated.regret(won(scores, rows, simulated.one.accuracy.max(2), luck))


def to_the_end(job: Job) -> tuple[float, float]:
    """The regret, and the whole trainings that it took."""
    with searching(job, TRIALS) as (study, simulated):
        for _ in simulated.run(study):
            pass
        return regret_of(study, simulated), simulated.spent / EPOCHS


def at_random(name: str, seed: int, trainings: int) -> float:
    """The regret of random search without stopping."""
    one, luck = curves(name), np.random.default_rng([seed, 1, DATA.index(name)])
    rows, seeds = luck.integers(len(one.seconds), size=trainings), luck.integers(one.accuracy.shape[1], size=trainings)
    return float(one.regrets[rows[np.argmax(one.accuracy.max(2)[rows, seeds])]])


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--seeds", type=int, default=40)
    options.add_argument("--write", action="store_true", help="keep the table in benchmarks/results/")
    chosen = options.parse_args()
    if (versions := made_by()) is None:
        sys.exit(f"{TABLE}: is not whole; python benchmarks/curve_table.py makes it, in about an hour.")
    began, singles = time.monotonic(), [(name, 1, seed) for seed in range(chosen.seeds) for name in DATA]
    with Pool(os.cpu_count()) as pool:
        found = np.array(pool.map(with_allowance, singles, chunksize=1))
        ends = [
            np.array(pool.map(to_the_end, [(name, many, seed) for name, _, seed in singles], chunksize=1))
            for many in WORKERS
        ]
    random = {count: np.array([at_random(n, s, count) for s in range(200) for n in DATA]) for count in (60, MANY)}
    text = table(found, ends, random, chosen.seeds, versions, time.monotonic() - began)
    print(text)
    if chosen.write:
        (RESULTS / "search_curves.md").write_text(text + "\n")


def made_by() -> str | None:
    """The versions that trained the curves; None where some are not trained yet."""
    if not TABLE.exists():
        return None
    with np.load(TABLE) as kept:
        return str(kept["made_by"]) if (kept["seconds"] > 0).all() else None


def table(
    found: np.ndarray, ends: list[np.ndarray], random: dict[int, np.ndarray], seeds: int, versions: str, seconds: float
) -> str:
    lines = [
        f"Normalised regret, {len(DATA)} data sets × {seeds} seeds, {seconds / 60:.0f} min",
        f"optuna {version('optuna')}; the curves: {versions}",
        "",
        "| whole trainings | " + " | ".join(map(str, ALLOWANCES)) + " |",
        "|---|" + "---|" * len(ALLOWANCES),
        "| assay auto | " + " | ".join(map(_cell, found[:, :, 0].T)) + " |",
        "| assay auto, finals | " + " | ".join(map(_cell, found[:, :, 1].T)) + " |",
        "",
        f"Random search without stopping: {_cell(random[60])} after 60, {_cell(random[MANY])} after {MANY}.",
        "",
    ]
    for workers, each in zip(WORKERS, ends, strict=True):
        many = "1 worker" if workers == 1 else f"{workers} workers"
        lines.append(f"{TRIALS} trials with {many}: {_cell(each[:, 0])}, {each[:, 1].mean():.0f} whole trainings.")
    alone, beside = (1 - each[:, 0].mean() for each in ends)
    lines.append(f"{WORKERS[1]} workers keep {beside / alone:.0%} of one worker's score.")
    return "\n".join(lines)


def _cell(regrets: np.ndarray) -> str:
    """The mean over data sets and its standard error over seeds; nothing where the allowance is too small."""
    by_seed = regrets.reshape(-1, len(DATA)).mean(1)
    mean, error = by_seed.mean(), by_seed.std() / len(by_seed) ** 0.5
    return "" if np.isnan(mean) else f"{mean:.3f} ± {error:.3f}"


if __name__ == "__main__":
    main()
