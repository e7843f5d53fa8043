"""How often the intervals that Assay reports hold the truth, where the truth is known.

    python benchmarks/coverage.py --quick    # fewer repetitions, some minutes
    python benchmarks/coverage.py --write    # keeps the table in benchmarks/results/

Of models with a known accuracy, loss or gain test sets of n samples are drawn, and every time the interval of 95% is
made by the very functions that `assay evaluate` and `assay challenge` call. The truth of figures without a formula is
their value on a million samples. Beside the share that holds it: how often it lies below the interval, and above.

To reach: between 93% and 97% in every row. Where a share is close to 1 and samples are few, the number of mistakes is a
handful, and no interval of a share covers evenly; such rows are printed too.
"""

import argparse
import os
import platform
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from importlib.metadata import version
from multiprocessing import Pool
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from assay.intervals import Interval, wilson
from assay.paired import compare, gain_of_shares
from assay.params import Evaluate
from assay.verdict import judge

RESULTS = Path(__file__).resolve().parent / "results"
COUNTS, CONFIDENCE, CLASSES, MANY = (50, 500, 2000, 10_000), 0.95, 5, 1_000_000
RESAMPLES, MANY_TIMES, SOME_TIMES = 1000, 4000, 400  # of closed forms, of bootstraps
HOW = Evaluate(confidence=CONFIDENCE, resamples=RESAMPLES)
Array = NDArray[np.float64]


@dataclass(frozen=True)
class Figure:
    """What is estimated: its truth, and its interval from n samples."""

    truth: Callable[[], float]
    interval: Callable[[np.random.Generator, int], Interval]
    times: int


def share(accuracy: float) -> Figure:
    return Figure(lambda: accuracy, lambda rng, n: wilson(int(rng.binomial(n, accuracy)), n, CONFIDENCE), MANY_TIMES)


def gain(gained: float, lost: float) -> Figure:
    def interval(rng: np.random.Generator, n: int) -> Interval:
        up, down, _ = rng.multinomial(n, [gained, lost, 1 - gained - lost])
        return gain_of_shares(int(up), int(down), n, CONFIDENCE)

    return Figure(lambda: gained - lost, interval, MANY_TIMES)


def answers(rng: np.random.Generator, count: int) -> tuple[NDArray[np.int64], Array, Array]:
    """Classes that are not equally frequent, and the logits of two models that know them, the second a bit better."""
    targets = rng.choice(CLASSES, count, p=[0.4, 0.25, 0.15, 0.12, 0.08])
    shared = rng.normal(size=(count, CLASSES))
    known = np.eye(CLASSES)[targets]
    return targets, *(2.2 * k * known + shared + 0.5 * rng.normal(size=shared.shape) for k in (1.0, 1.08))


def judged(name: str) -> Figure:
    def value(rng: np.random.Generator, n: int, how: Evaluate) -> Interval:
        targets, logits, _ = answers(rng, n)
        return judge("classification", logits, targets, [str(k) for k in range(CLASSES)], how).figures[name]

    few = HOW.model_copy(update={"resamples": 100})
    return Figure(
        lambda: _truth(name, lambda rng, n: value(rng, n, few).value), lambda rng, n: value(rng, n, HOW), SOME_TIMES
    )


def paired(metric: str) -> Figure:
    def value(rng: np.random.Generator, n: int, resamples: int) -> Interval:
        targets, champion, challenger = answers(rng, n)
        found = compare(
            "classification", metric, challenger, champion, targets, confidence=CONFIDENCE, resamples=resamples
        )
        return found.gain

    return Figure(
        lambda: _truth(f"gain {metric}", lambda rng, n: value(rng, n, 10).value),
        lambda rng, n: value(rng, n, RESAMPLES),
        SOME_TIMES,
    )


@cache
def _truths() -> dict[str, float]:
    return {}


def _truth(name: str, value: Callable[[np.random.Generator, int], float]) -> float:
    """On a million samples, in ten parts: a part's bias is that of 100,000 samples."""
    if name not in _truths():
        _truths()[name] = float(np.mean([value(np.random.default_rng([9, part]), MANY // 10) for part in range(10)]))
    return _truths()[name]


FIGURES = {
    "accuracy 0.80, Wilson": share(0.8),
    "accuracy 0.95, Wilson": share(0.95),
    "accuracy 0.99, Wilson": share(0.99),
    "gain of accuracy 0.5 points, 2.5% differ": gain(0.015, 0.01),
    "gain of accuracy 2 points, 10% differ": gain(0.06, 0.04),
    "balanced_accuracy, bootstrap": judged("balanced_accuracy"),
    "macro_f1, bootstrap": judged("macro_f1"),
    "log_loss, bootstrap": judged("log_loss"),
    "auroc, bootstrap": judged("auroc"),
    "gain of loss, paired bootstrap": paired("loss"),
    "gain of f1, paired bootstrap": paired("f1"),
    "gain of balanced_accuracy, paired bootstrap": paired("balanced_accuracy"),
}


def row(job: tuple[str, int, float]) -> tuple[float, float, float]:
    """The shares that hold the truth, that lie above it, that lie below it."""
    name, count, part = job
    figure, rng = FIGURES[name], np.random.default_rng([count, *name.encode()])
    truth = figure.truth()
    found = [figure.interval(rng, count) for _ in range(max(20, round(part * figure.times)))]
    above, below = (np.mean([truth < each.low for each in found]), np.mean([truth > each.high for each in found]))
    return 1 - float(above + below), float(above), float(below)


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--quick", action="store_true", help="a tenth of the repetitions")
    options.add_argument("--write", action="store_true", help="keep the table in benchmarks/results/")
    chosen = options.parse_args()
    began, part = time.monotonic(), 0.1 if chosen.quick else 1.0
    jobs = [(name, count, part) for name in FIGURES for count in COUNTS]
    with Pool(os.cpu_count()) as pool:
        found = dict(zip(jobs, pool.map(row, jobs, chunksize=1), strict=True))
    text = table(found, part, time.monotonic() - began)
    print(text)
    if chosen.write:
        (RESULTS / "coverage.md").write_text(text + "\n")


def table(found: dict[tuple[str, int, float], tuple[float, float, float]], part: float, seconds: float) -> str:
    lines = [
        f"Share of 95% intervals that hold the truth (truth below them, above them); {round(part * MANY_TIMES):,} "
        f"repetitions of closed forms, {round(part * SOME_TIMES):,} of bootstraps with {RESAMPLES:,} resamples; numpy "
        f"{version('numpy')}, {platform.machine()}, {seconds / 60:.0f} min",
        "",
        "| figure | " + " | ".join(f"n = {count:,}" for count in COUNTS) + " |",
        "|---|" + "---|" * len(COUNTS),
    ]
    for name in FIGURES:
        cells = ["{:.1%} ({:.1%}, {:.1%})".format(*found[name, count, part]) for count in COUNTS]
        lines.append(f"| {name} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


if __name__ == "__main__":
    main()
