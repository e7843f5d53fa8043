"""How soon a search that stops trials early finds what random search finds in a thousand whole trainings.

    python benchmarks/search_curves.py            # ten minutes on two cores
    python benchmarks/search_curves.py --write    # keeps the table in benchmarks/results/

It runs Assay's own study, its policy and its stopping, over curves that were trained once (curve_table.py): an epoch
takes the time that it took there, and a trial is one of the three seeds. Every search has an allowance of epochs; those
that a trial trains while its verdict is open count. Printed is the normalised regret of the recipe that is returned
(0: the best mean over seeds, 1: the median), against the allowance in whole trainings of 27 epochs, with one worker and
with 64. Beside it random search without stopping, which sees 60 and 1,000 whole trainings.

To reach: the regret of random search's thousand within 60; with 64 workers at least 90% of one worker's score, that
is 1 less the regret.
"""

import argparse
import heapq
import os
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cache
from importlib.metadata import version
from multiprocessing import Pool
from pathlib import Path
from typing import Any

import numpy as np

from curve_table import BASE, DATA, EPOCHS, RESULTS, SCALE, SPACE, TABLE, counting, recipes

ALLOWANCES, MANY, WORKERS = (10, 20, 40, 60), 1000, (1, 64)
TRIALS = 600  # more than any allowance pays for
FIRST = {name: each["choices"][0] for name, each in SPACE.items()}  # what the base recipe has


@dataclass(frozen=True)
class Curves:
    """A data set of the table: recipes × seeds × epochs, and the seconds of an epoch."""

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
        return Curves(kept["accuracy"][at] / SCALE, kept["seconds"][at].astype(float))


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

    def run(self, study: Any) -> Iterator[tuple[int, int | None]]:
        """After every report the epochs that were trained so far, and the recipe that is best so far."""
        study.runs_on(self.workers)
        self.free, live, now = list(range(self.workers)), set(), 0.0
        while True:
            while self.free and study.ready and (asked := study.ask()) is not None:
                recipe = key_of(counting(FIRST | asked.values))
                self.rows[asked.number] = places()[recipe], int(self.luck.integers(self.one.seconds.shape[1]))
                live.add(asked.number)
                self._train(now, self.free.pop(0), asked.number, 1)
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
            best = study.best()
            yield self.spent, None if best is None else self.rows[best.number][0]

    def _train(self, now: float, worker: int, number: int, epoch: int) -> None:
        heapq.heappush(self.events, (now + self._seconds(number), worker, number, epoch))

    def _seconds(self, number: int) -> float:
        return float(self.one.seconds[self.rows[number]])


def searched(job: tuple[str, int, int]) -> list[float]:
    """The regret after each allowance."""
    import optuna

    from assay.params import Params, with_values
    from assay.search.study import Study

    optuna.logging.set_verbosity(optuna.logging.ERROR)
    name, workers, seed = job
    one, luck = curves(name), np.random.default_rng([seed, DATA.index(name)])
    search = {"trials": TRIALS, "epochs": EPOCHS, "min_epochs": 1, "seed": seed, "space": SPACE}
    params = Params.model_validate({"recipe": BASE, "search": search})
    base = with_values(params.recipe, counting(FIRST))
    found: list[float] = []
    with (
        tempfile.TemporaryDirectory() as folder,
        Study(Path(folder), params.search, base, "accuracy", "max", name) as study,
    ):
        for spent, row in Simulated(one, luck, workers).run(study):
            while len(found) < len(ALLOWANCES) and spent >= ALLOWANCES[len(found)] * EPOCHS:
                found.append(1.0 if row is None else float(one.regrets[row]))
            if len(found) == len(ALLOWANCES):
                break
    return found


def at_random(name: str, seed: int, trainings: int) -> float:
    """The regret of random search without stopping."""
    one, luck = curves(name), np.random.default_rng([seed, 1, DATA.index(name)])
    rows, seeds = luck.integers(len(one.seconds), size=trainings), luck.integers(one.seconds.shape[1], size=trainings)
    return float(one.regrets[rows[np.argmax(one.accuracy.max(2)[rows, seeds])]])


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--seeds", type=int, default=20)
    options.add_argument("--write", action="store_true", help="keep the table in benchmarks/results/")
    chosen = options.parse_args()
    if (versions := made_by()) is None:
        sys.exit(f"{TABLE}: is not whole; python benchmarks/curve_table.py makes it, in about an hour.")
    began, listed = time.monotonic(), [(name, w, s) for w in WORKERS for s in range(chosen.seeds) for name in DATA]
    with Pool(os.cpu_count()) as pool:
        found = np.array(pool.map(searched, listed, chunksize=1)).reshape(len(WORKERS), -1, len(ALLOWANCES))
    random = {count: np.mean([at_random(n, s, count) for s in range(200) for n in DATA]) for count in (60, MANY)}
    text = table(found, random, chosen.seeds, versions, time.monotonic() - began)
    print(text)
    if chosen.write:
        (RESULTS / "search_curves.md").write_text(text + "\n")


def made_by() -> str | None:
    """The versions that trained the curves; None where some are not trained yet."""
    if not TABLE.exists():
        return None
    with np.load(TABLE) as kept:
        return str(kept["made_by"]) if (kept["seconds"] > 0).all() else None


def table(found: np.ndarray, random: dict[int, Any], seeds: int, versions: str, seconds: float) -> str:
    lines = [
        f"Normalised regret, {len(DATA)} data sets × {seeds} seeds, {seconds / 60:.0f} min",
        f"optuna {version('optuna')}; the curves: {versions}",
        "",
        "| whole trainings | " + " | ".join(map(str, ALLOWANCES)) + " |",
        "|---|" + "---|" * len(ALLOWANCES),
    ]
    for workers, each in zip(WORKERS, found, strict=True):
        spread = each.std(0) / len(each) ** 0.5
        cells = [f"{mean:.3f} ± {error:.3f}" for mean, error in zip(each.mean(0), spread, strict=True)]
        lines.append(f"| assay auto, {workers} workers | " + " | ".join(cells) + " |")
    lines.append(f"\nRandom search without stopping: {random[60]:.3f} after 60, {random[MANY]:.3f} after {MANY}.")
    kept = (1 - found[1, :, -1].mean()) / (1 - found[0, :, -1].mean())
    lines.append(f"64 workers keep {kept:.0%} of one worker's score.")
    return "\n".join(lines)


if __name__ == "__main__":
    main()
