"""How often a year of weekly retraining promotes a model that is no better, and how much of real progress it takes.

    python benchmarks/promotion_error.py --quick    # 1,000 years of each kind, some seconds
    python benchmarks/promotion_error.py --write    # 10,000, half a minute; keeps the table in benchmarks/results/

Simulated are years of 52 challengers against whoever is champion, by Assay's own budget, screen and test. A share of
all samples is contested: the champion has half of them right, and a challenger, which is trained on from it, answers a
part of these anew. So both differ on few samples, as models that are retrained do, and the champion's luck on the test
split stays with it from week to week. What a challenger is worth is known; a promotion is wrong where it is not better.

- equal: as good as the champion. - correlated: the same, but almost the same model. - drifting: worse by 0.1 points on
average, by a spread of 0.2. - improving: better from week to week, by 1.3 points in the year, whoever is champion.

Beside Assay: promoting whatever scores higher; higher by half a point (what a threshold in MLflow's registry does); and
McNemar's test at 5% each week. Gains are those of the champion at the end of the year, in points, and as a share of
what promoting whatever scores higher gains.

To reach: wrong in at most 2.5% of the years, the interval below 5%; at 1.3 points a year at least 70% of the gain with
2,000 test samples, 85% with 10,000.
"""

import argparse
import os
import platform
import time
from collections.abc import Callable
from dataclasses import dataclass
from importlib.metadata import version
from multiprocessing import Pool
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from assay.intervals import wilson
from assay.paired import mcnemar
from assay.promotion import Budget, Rules

RESULTS = Path(__file__).resolve().parent / "results"
WEEKS, SAMPLES, POINT = 52, (500, 2000, 10_000), 0.01
RULES = Rules("accuracy")
CONTESTED = 0.1  # of all samples
Floats = NDArray[np.float64]
Bools = NDArray[np.bool_]
Counts = NDArray[np.int64]  # of a year each


@dataclass(frozen=True)
class Kind:
    """What challengers are worth: from the champion's accuracy and the week to theirs, of contested samples."""

    anew: float  # share of the contested samples that a challenger answers anew
    worth: Callable[[Floats, int, np.random.Generator], Floats]


KINDS = {
    "equal": Kind(0.4, lambda champion, _week, _rng: champion),
    "correlated": Kind(0.1, lambda champion, _week, _rng: champion),
    "drifting": Kind(0.4, lambda champion, _week, rng: champion + _points(rng.normal(-0.1, 0.2, len(champion)))),
    "improving": Kind(0.4, lambda champion, week, _rng: np.full(len(champion), 0.5 + _points(1.3 * week / WEEKS))),
}


def _points(points: Floats | float) -> Floats | float:
    """Of all samples, in hundredths, as a share of the contested ones."""
    return points * POINT / CONTESTED


class Assay:
    """A budget a year, and the decisions that follow from it."""

    name = "Assay"

    def __init__(self, years: int, samples: int) -> None:
        self.budgets = [Budget(RULES, 0.0, samples, ()) for _ in range(years)]

    def promotes(self, gained: Counts, lost: Counts, seen: tuple[Counts, Counts], samples: int) -> Bools:
        looks = np.flatnonzero(mcnemar(*seen) <= RULES.screen)
        promoted = np.zeros(len(gained), bool)
        for year, p in zip(looks, mcnemar(gained[looks], lost[looks]), strict=True):
            alpha = self.budgets[year].alpha
            budget, promoted[year] = self.budgets[year].looked(), p <= alpha
            self.budgets[year] = budget.returned(alpha) if promoted[year] else budget
        return promoted


@dataclass(frozen=True)
class Simple:
    """A rule that looks at the test split alone, and remembers nothing."""

    name: str
    rule: Callable[[Counts, Counts, int], Bools]

    def promotes(self, gained: Counts, lost: Counts, seen: tuple[Counts, Counts], samples: int) -> Bools:
        return self.rule(gained, lost, samples)


SIMPLE = [
    Simple("higher score", lambda gained, lost, _samples: gained > lost),
    Simple("higher by 0.5 points", lambda gained, lost, samples: (gained - lost) / samples > 0.5 * POINT),
    Simple("McNemar at 5% each week", lambda gained, lost, _samples: mcnemar(gained, lost) <= 0.05),
]


def year(kind: Kind, judge: Assay | Simple, years: int, samples: int, seed: int) -> tuple[float, float]:
    """The share of years with a wrong promotion, and the mean gain in points."""
    rng, champion = np.random.default_rng(seed), np.full(years, 0.5)
    wrong = np.zeros(years, bool)
    splits = [rng.binomial(samples, CONTESTED, years) for _ in range(2)]  # contested samples of test, of validation
    right = [rng.binomial(each, champion) for each in splits]  # of them, by the champion
    for week in range(1, WEEKS + 1):
        asked = np.clip(kind.worth(champion, week, rng), 0.01, 0.99)
        chance = np.clip((asked - (1 - kind.anew) * champion) / kind.anew, 0, 1)  # that an answer given anew is right
        worth = (1 - kind.anew) * champion + kind.anew * chance
        gained = [rng.binomial(each - ok, kind.anew * chance) for each, ok in zip(splits, right, strict=True)]
        lost = [rng.binomial(ok, kind.anew * (1 - chance)) for ok in right]
        promoted = judge.promotes(gained[0], lost[0], (gained[1], lost[1]), samples)
        wrong |= promoted & (worth <= champion + 1e-12)
        champion = np.where(promoted, worth, champion)
        right = [np.where(promoted, ok + up - down, ok) for ok, up, down in zip(right, gained, lost, strict=True)]
    return float(wrong.mean()), float((champion - 0.5).mean() * CONTESTED / POINT)


def row(job: tuple[str, int, int, int]) -> tuple[float, float]:
    """Of one rule (by its place, Assay first) and one kind of year."""
    kind, samples, rule, years = job
    judge = Assay(years, samples) if rule == 0 else SIMPLE[rule - 1]
    return year(KINDS[kind], judge, years, samples, seed=samples)


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--years", type=int, default=10_000)
    options.add_argument("--quick", action="store_true", help="1,000 years")
    options.add_argument("--write", action="store_true", help="keep the table in benchmarks/results/")
    chosen = options.parse_args()
    years, began = 1000 if chosen.quick else chosen.years, time.monotonic()
    jobs = [(kind, samples, rule, years) for kind in KINDS for samples in SAMPLES for rule in range(1 + len(SIMPLE))]
    with Pool(os.cpu_count()) as pool:
        found = dict(zip(jobs, pool.map(row, jobs, chunksize=1), strict=True))
    text = table(found, years, time.monotonic() - began)
    print(text)
    if chosen.write:
        (RESULTS / "promotion_error.md").write_text(text + "\n")


def table(found: dict[tuple[str, int, int, int], tuple[float, float]], years: int, seconds: float) -> str:
    names = [Assay.name, *(each.name for each in SIMPLE)]
    lines = [
        f"{years:,} years of {WEEKS} challengers each; α {RULES.alpha:g} a year, screen {RULES.screen:g}; numpy "
        f"{version('numpy')}, scipy {version('scipy')}, {platform.machine()}, {seconds / 60:.1f} min",
        "",
        "Years with a wrong promotion:",
        "",
        "| challengers | test samples | " + " | ".join(names) + " |",
        "|---|---|" + "---|" * len(names),
    ]
    for kind in (each for each in KINDS if each != "improving"):
        for samples in SAMPLES:
            shares = [found[kind, samples, rule, years][0] for rule in range(len(names))]
            ours = wilson(round(shares[0] * years), years, 0.95)
            cells = [f"{ours.value:.2%} [{ours.low:.2%}, {ours.high:.2%}]", *(f"{each:.1%}" for each in shares[1:])]
            lines.append(f"| {kind} | {samples:,} | " + " | ".join(cells) + " |")
    lines += ["", "Points gained where challengers improve by 1.3 a year:", ""]
    lines += ["| test samples | " + " | ".join(names) + " |", "|---|" + "---|" * len(names)]
    for samples in SAMPLES:
        gains = [found["improving", samples, rule, years][1] for rule in range(len(names))]
        cells = [f"{gain:.2f} ({gain / gains[1]:.0%})" for gain in gains]
        lines.append(f"| {samples:,} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


if __name__ == "__main__":
    main()
