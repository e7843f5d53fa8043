"""How often the intervals that Assay reports hold the truth, where the truth is known.

    python benchmarks/coverage.py --quick    # a tenth of the repetitions
    python benchmarks/coverage.py --write    # keeps the table in benchmarks/results/

Of models with a known accuracy, loss or gain test sets of n samples are drawn, and every time the interval of 95% is
made by the very functions that `assay evaluate` and `assay challenge` call. The truth of figures without a formula is
their mean over ten times 100,000 samples. Beside the share that holds it: how often it lies below the interval, above.

To reach: between 93% and 97% in every row. Where a share is close to 1 and samples are few, mistakes are a handful, and
no interval of a share covers evenly; such rows are printed too.
"""

import argparse
import os
import platform
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
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
COUNTS, CONFIDENCE, MANY, PARTS = (50, 200, 500, 2000, 10_000), 0.95, 100_000, 10
RESAMPLES, MANY_TIMES, SOME_TIMES = 1000, 10_000, 1000  # of a share, of a whole verdict
HOW = Evaluate(confidence=CONFIDENCE, resamples=RESAMPLES)
Array = NDArray[np.float64]
Found = Mapping[str, Interval]


@dataclass(frozen=True)
class World:
    """A kind of model: its figures from n samples, their truth where a formula says it, and repetitions."""

    figures: Callable[[np.random.Generator, int, Evaluate], Found]
    times: int = SOME_TIMES
    truth: Mapping[str, float] | None = None


def share(accuracy: float) -> World:
    def figures(rng: np.random.Generator, n: int, _: Evaluate) -> Found:
        return {"accuracy, Wilson": wilson(int(rng.binomial(n, accuracy)), n, CONFIDENCE)}

    return World(figures, MANY_TIMES, {"accuracy, Wilson": accuracy})


def gain(gained: float, lost: float) -> World:
    def figures(rng: np.random.Generator, n: int, _: Evaluate) -> Found:
        up, down, _ = rng.multinomial(n, [gained, lost, 1 - gained - lost])
        return {"gain of accuracy": gain_of_shares(int(up), int(down), n, CONFIDENCE)}

    return World(figures, MANY_TIMES, {"gain of accuracy": gained - lost})


def classes(shares: list[float], pull: float) -> World:
    """Two models that know the class as well as `pull` says, the second a bit better."""

    def figures(rng: np.random.Generator, n: int, how: Evaluate) -> Found:
        targets = rng.choice(len(shares), n, p=shares)
        shared, known = rng.normal(size=(n, len(shares))), np.eye(len(shares))[targets]
        champion, challenger = (pull * k * known + shared + 0.5 * rng.normal(size=known.shape) for k in (1.0, 1.08))
        found = judge("classification", champion, targets, [str(k) for k in range(len(shares))], how).figures
        return {**overall(found), **gains("classification", challenger, champion, targets, how)}

    return World(figures)


def labels(frequent: list[float]) -> World:
    """Labels that are not equally frequent; `rarest` is the last one alone."""

    def figures(rng: np.random.Generator, n: int, how: Evaluate) -> Found:
        targets = (rng.random((n, len(frequent))) < frequent).astype(np.float64)
        shared = rng.normal(size=targets.shape) + np.log(np.divide(frequent, 1 - np.array(frequent))) / 2
        champion, challenger = (
            2.5 * k * (targets - 0.5) + shared + 0.5 * rng.normal(size=shared.shape) for k in (1.0, 1.08)
        )
        found = judge("multilabel", champion, targets, [str(k) for k in range(len(frequent))], how).figures
        rarest = {
            f"{figure} of the rarest": found[f"{figure}/{len(frequent) - 1}"]
            for figure in ("auroc", "average_precision")
            if f"{figure}/{len(frequent) - 1}" in found
        }
        return {**overall(found), **rarest, **gains("multilabel", challenger, champion, targets, how)}

    return World(figures)


def values(noise: Callable[[np.random.Generator, int], Array]) -> World:
    """One target, and errors of the kind that `noise` draws."""

    def figures(rng: np.random.Generator, n: int, how: Evaluate) -> Found:
        targets, shared = rng.normal(1, 3, size=(n, 1)), noise(rng, n)
        champion, challenger = (targets + k * shared + 0.3 * noise(rng, n) for k in (1.0, 0.95))
        found = judge("regression", champion, targets, ["target"], how).figures
        return {**overall(found), **gains("regression", challenger, champion, targets, how)}

    return World(figures)


def overall(found: Found) -> dict[str, Interval]:
    return {name: figure for name, figure in found.items() if "/" not in name}


def gains(task: str, challenger: Array, champion: Array, targets: NDArray[np.number], how: Evaluate) -> Found:
    """Of every metric of the task; the permutation test beside it, which costs most, is asked a few times only."""
    metrics = {"classification": ("balanced_accuracy", "f1", "loss"), "multilabel": ("f1", "loss")}
    return {
        f"gain of {metric}": compare(
            task, metric, challenger, champion, targets, confidence=how.confidence, resamples=10
        ).gain
        for metric in metrics.get(task, ("r2", "rmse", "mae"))
    }


WORLDS = {
    "80% right": share(0.8),
    "95% right": share(0.95),
    "99% right": share(0.99),
    "0.5 points better, 2.5% differ": gain(0.015, 0.01),
    "2 points better, 10% differ": gain(0.06, 0.04),
    "5 classes, the smallest 8%": classes([0.4, 0.25, 0.15, 0.12, 0.08], 2.2),
    "10 classes, 95% right": classes([0.1] * 10, 3.8),
    "10 classes, 99.5% right": classes([0.1] * 10, 5.2),
    "4 labels, on 50, 30, 15, 10%": labels([0.5, 0.3, 0.15, 0.1]),
    "normal errors": values(lambda rng, n: rng.normal(size=(n, 1))),
    "Laplace errors": values(lambda rng, n: rng.laplace(size=(n, 1))),
}


def truth_of(name: str) -> Mapping[str, float]:
    world = WORLDS[name]
    if world.truth is not None:
        return world.truth
    few = HOW.model_copy(update={"resamples": 10})
    found = [world.figures(np.random.default_rng([9, part]), MANY, few) for part in range(PARTS)]
    return {figure: float(np.mean([each[figure].value for each in found])) for figure in found[0]}


def row(job: tuple[str, int, float, Mapping[str, float]]) -> dict[str, tuple[float, float, float]]:
    """Of each figure the shares of intervals that hold the truth, that lie above it, that lie below it."""
    name, count, part, truth = job
    rng = np.random.default_rng([count, *name.encode()])
    found = [WORLDS[name].figures(rng, count, HOW) for _ in range(max(20, round(part * WORLDS[name].times)))]
    shares = {}
    for figure, true in truth.items():
        each = [one[figure] for one in found if figure in one]
        above, below = np.mean([[true < one.low, true > one.high] for one in each], axis=0).tolist()
        shares[figure] = (1 - above - below, above, below)
    return shares


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--quick", action="store_true", help="a tenth of the repetitions")
    options.add_argument("--write", action="store_true", help="keep the table in benchmarks/results/")
    chosen = options.parse_args()
    began, part = time.monotonic(), 0.1 if chosen.quick else 1.0
    with Pool(os.cpu_count()) as pool:
        truths = dict(zip(WORLDS, pool.map(truth_of, WORLDS, chunksize=1), strict=True))
        jobs = [(name, count, part, truths[name]) for count in reversed(COUNTS) for name in WORLDS]
        shares = dict(zip([job[:2] for job in jobs], pool.map(row, jobs, chunksize=1), strict=True))
    text = table(shares, truths, part, time.monotonic() - began)
    print(text)
    if chosen.write:
        (RESULTS / "coverage.md").write_text(text + "\n")


def table(
    shares: Mapping[tuple[str, int], Mapping[str, tuple[float, float, float]]],
    truths: Mapping[str, Mapping[str, float]],
    part: float,
    seconds: float,
) -> str:
    inside = [held[0] for found in shares.values() for held in found.values()]
    lines = [
        f"Share of 95% intervals that hold the truth (truth below them, above them); {round(part * MANY_TIMES):,} "
        f"repetitions of plain shares, {round(part * SOME_TIMES):,} of the rest (one standard deviation of chance: "
        f"{(0.95 * 0.05 / (part * SOME_TIMES)) ** 0.5:.1%}), with {RESAMPLES:,} resamples; numpy {version('numpy')}, "
        f"{platform.machine()}, {seconds / 60:.0f} min",
        "",
        f"Of {len(inside)} cells {sum(0.93 <= share <= 0.97 for share in inside)} lie in 93 to 97%, "
        f"{sum(share > 0.97 for share in inside)} above and {sum(share < 0.93 for share in inside)} below; the least "
        f"is {min(inside):.1%}.",
        "",
        "| model | figure | truth | " + " | ".join(f"n = {count:,}" for count in COUNTS) + " |",
        "|---|---|---|" + "---|" * len(COUNTS),
    ]
    for name, truth in truths.items():
        for figure, true in truth.items():
            cells = ["{:.1%} ({:.1%}, {:.1%})".format(*shares[name, count][figure]) for count in COUNTS]
            lines.append(f"| {name} | {figure} | {true:.4g} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


if __name__ == "__main__":
    main()
