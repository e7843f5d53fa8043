"""When a challenger becomes champion: only where it is shown to be better, with an error that holds over a whole year.
Owns the rules, the budget of looks at the test split, and the verdict; reads no data and keeps nothing.

A model that is retrained every week and promoted whenever its score is higher is in the end the luckiest and not the
best one: of 52 challengers that are no better than their champion, McNemar's test at 5% promotes one in two of three
years. So a year has one α, and each look at the test split spends a part of it: what is left, divided by the looks that
are left. A look that promotes gives its part back, since its claim was right (Burman, Sonesson and Guilbaud, A
recycling framework for the construction of Bonferroni-based multiple tests, Statistics in Medicine 28, 2009). Before a
look stands a screen on the validation split, which costs nothing. benchmarks/promotion_error.py holds all of it
against simulated years.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from statistics import NormalDist
from types import MappingProxyType

from assay.paired import Compared

POWER = 0.8  # with which the smallest gain that a test split can see is seen
YEAR_S = 365.25 * 24 * 3600
GROWN = 2.0  # a test split of so many times its samples is a new one
WORSE = 0.05  # probability that any slice at all is called worse where none is
CREEP = 0.9  # two-sided confidence, so that each end errs in 5%


@dataclass(frozen=True)
class Rules:
    """What is fixed with the first champion, before anything was seen.

    Attributes:
        metric: decides; resolved.
        alpha: probability of a wrong promotion in a year, at most.
        slots: looks at the test split in a year, at most.
        screen: p on the validation split above which the test split is not looked at.
        margin: how much worse than an earlier champion of the year the next may be, in the metric's unit.
    """

    metric: str
    alpha: float = 0.05
    slots: int = 52
    screen: float = 0.2
    margin: float = 0.005


@dataclass(frozen=True)
class Budget:
    """What a test split has left in a year; every change is a new one.

    Attributes:
        began: seconds since 1970.
        count: samples of the test split when it began.
        sketch: keys of some of these samples, by which it is known again.
    """

    rules: Rules
    began: float
    count: int
    sketch: tuple[str, ...]
    looks: int = 0
    spent: float = 0.0

    @property
    def alpha(self) -> float:
        """Of the next look; 0 where none is left."""
        left = self.rules.slots - self.looks
        return (self.rules.alpha - self.spent) / left if left > 0 else 0.0

    def looked(self) -> "Budget":
        """After a look that did not promote, or whose end is not known."""
        return replace(self, looks=self.looks + 1, spent=self.spent + self.alpha)

    def returned(self, alpha: float) -> "Budget":
        """After the look turned out to promote: its α returns."""
        return replace(self, spent=self.spent - alpha)

    def over(self, now: float, count: int, keys: frozenset[str]) -> str | None:
        """Why a new budget begins: the year is over, or the test split is another one; None: it goes on.

        A test split that lost samples is no other: who takes away what a challenger has wrong opens no new budget.
        """
        if now - self.began >= YEAR_S:
            return "a year has passed"
        if count >= GROWN * self.count:
            return f"the test split has grown from {self.count:,} to {count:,} samples"
        if not keys.intersection(self.sketch):
            return "the test split has none of its samples any more"
        return None


@dataclass(frozen=True)
class Prospect:
    """What can be known before a look."""

    alpha: float
    looks_left: int
    smallest: float  # gain that is seen with 80% power
    wanted: float | None
    needed: int | None  # samples that would see the wanted gain; None: these do

    @property
    def said(self) -> str:
        """In a sentence or two."""
        seen = f"this test split sees a gain of {self.smallest:.4g} or more (power {POWER:.0%}, α {self.alpha:.4f})"
        left = f"{seen}; {self.looks_left} looks are left this year."
        if self.needed is None:
            return left
        return f"{left} To see the wanted {self.wanted:.4g}, about {self.needed:,} test samples would do."


def prospect(budget: Budget, spread: float, count: int, wanted: float | None) -> Prospect:
    """What a look can see.

    Args:
        spread: of the two models on the validation split; see `Compared`.
        count: samples of the test split that count.
    """
    reach = NormalDist().inv_cdf(1 - budget.alpha) + NormalDist().inv_cdf(POWER)
    smallest = reach * spread / math.sqrt(count)
    needed = math.ceil((reach * spread / wanted) ** 2) if wanted is not None and wanted < smallest else None
    return Prospect(budget.alpha, budget.rules.slots - budget.looks, smallest, wanted, needed)


@dataclass(frozen=True)
class Ruling:
    """What came of a look."""

    promoted: bool
    alpha: float
    test: Compared
    vetoes: tuple[str, ...]

    @property
    def said(self) -> str:
        """What a person reads of it."""
        by = f"{self.test.said}, α {self.alpha:.4f}"
        if self.promoted:
            return f"the challenger is shown to be better and is champion now: {by}."
        if self.vetoes:
            return f"the challenger scores better, but the champion stays: {' '.join(self.vetoes)} It had {by}."
        return f"the challenger is NOT shown to be better; the champion stays: {by}."


def screened(validation: Compared, rules: Rules) -> bool:
    """Whether a challenger may be looked at on the test split."""
    return validation.p <= rules.screen


def worse_on(slices: Mapping[str, Compared]) -> dict[str, float]:
    """The slices on which a challenger is shown to be worse, with p of Holm: times the slices that are left.

    Source: Holm, A simple sequentially rejective multiple test procedure, Scandinavian Journal of Statistics 6 (1979).

    Args:
        slices: name → the *champion* beside the challenger, so that p is of a loss as large as this one.
    """
    found: dict[str, float] = {}
    for rank, name in enumerate(sorted(slices, key=lambda name: slices[name].p)):
        if (p := slices[name].p * (len(slices) - rank)) > WORSE:
            break
        found[name] = max([p, *found.values()])
    return found


def ruled(
    test: Compared,
    alpha: float,
    rules: Rules,
    earlier: Mapping[str, Compared],
    slices: Mapping[str, Compared] = MappingProxyType({}),
    limits: Sequence[str] = (),
) -> Ruling:
    """The verdict of a look.

    Args:
        test: the challenger beside the champion.
        alpha: of this look.
        earlier: name → the challenger beside another champion of the year, at confidence `CREEP`.
        slices: as `worse_on` has them.
        limits: a sentence for each limit of a person's that the challenger exceeds.
    """
    vetoes = [
        f"it may be worse than {name}, champion earlier this year, by more than {rules.margin:.4g}."
        for name, one in earlier.items()
        if one.gain.low < -rules.margin
    ]
    for name, p in worse_on(slices).items():
        one = slices[name]  # champion and challenger stand the other way round
        told = f"{one.metric} {one.champion:.4f} beside {one.challenger:.4f} on {one.count:,} samples"
        vetoes.append(f"it is shown to be worse on {name}: {told}, p {p:.2g} (Holm, {len(slices)} slices).")
    vetoes += limits
    better = test.p <= alpha
    return Ruling(better and not vetoes, alpha, test, tuple(vetoes) if better else ())
