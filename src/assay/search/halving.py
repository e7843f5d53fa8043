"""When to stop a trial. Owns the verdict at every rung, which follows from what trials with smaller numbers reported,
never from who reported first; knows no store.
"""

import math
from bisect import bisect_right, insort
from collections import defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from itertools import count, takewhile
from operator import ge
from statistics import median

from assay.search.trial import BASE_NUMBER

Worth = tuple[float, ...]  # a value, then costs with their sign turned: larger is better

FEWEST_FOR_MEDIAN = 4  # rivals: the middle of fewer says nothing (Optuna's MedianPruner waits for 5 trials)


def rung_epochs(min_epochs: int, reduction: int, pruner: str = "asha") -> Iterator[int]:
    """After which epochs trials are judged (see Halving), without end."""
    if pruner == "none":
        return iter(())
    return count(min_epochs) if pruner == "median" else (min_epochs * reduction**level for level in count())


def rungs_reached(lasts: Mapping[int, int], min_epochs: int, reduction: int, pruner: str) -> list[tuple[int, int]]:
    """The epoch of each rung and how many trials came so far, as far as any did; of how many trials had which last
    epoch."""
    reached = takewhile(max(lasts, default=0).__ge__, rung_epochs(min_epochs, reduction, pruner))
    return [(epoch, sum(many for last, many in lasts.items() if last >= epoch)) for epoch in reached]


@dataclass
class _Course:
    """A trial as halving sees it."""

    best: dict[int, float] = field(default_factory=dict)  # epoch → best value up to there, larger is better
    costs: tuple[float, ...] = ()  # smaller is better
    last: int = 0  # epoch reported
    over: bool = False  # nothing more will come
    complete: bool = False  # its last epoch was the last that was asked for
    stopped: int | None = None  # after this epoch
    told: bool = False  # how it ended is settled, whatever comes


@dataclass
class _Rung:
    epoch: int
    front: int = 0  # the first trial of which it is open whether it came so far
    # bracket → values of those before it that came so far, in order of size
    values: dict[int, list[Worth]] = field(default_factory=lambda: defaultdict(list))


class Halving:
    """Successive halving over trials that run beside each other (Li et al. 2020, arXiv:1810.05934), and its kin.

    Rungs stand at `min_epochs` × `reduction`^k epochs. At each a trial is judged by its best value up to there, among
    the trials with smaller numbers that came as far: it goes on while it is one of the best 1 / `reduction`, rounded
    down but at least one. Where one of those is still on its way, the verdict waits and the trial runs on; what it
    reports beyond the epoch after which it turns out to be stopped does not count. Trial 0, the base recipe, is never
    stopped, and neither is one that has come to its end; one that fails is a rival at the rungs it reached.

    `pruner`: `asha`, which is `auto`, as above; `hyperband` deals trials in turn to brackets, of which each begins to
    judge a rung later than the one before, among its own (Li et al. 2018, arXiv:1603.06560); `median` judges at every
    epoch from `min_epochs` on, against the middle of the others (Golovin et al. 2017, Google Vizier); `none` stops
    nobody. Where costs count too, only those are better that are nowhere worse (Schmucker et al. 2021,
    arXiv:2106.12639); `median` looks at the value alone.
    """

    def __init__(
        self, min_epochs: int, reduction: int, sign: int, pruner: str = "asha", epochs: int | None = None
    ) -> None:
        """`sign`: 1 where larger is better, -1 where smaller is; `epochs`: the most a trial has, for `hyperband`."""
        self._sign, self._pruner, self._reduction, self._brackets = sign, pruner, reduction, 1
        if pruner == "hyperband" and epochs is not None:
            self._brackets += max(0, int(math.log(max(1, epochs / min_epochs), reduction) + 1e-9))
        self._courses: list[_Course] = []
        self._rungs: list[_Rung] = []
        self._ahead = rung_epochs(min_epochs, reduction, pruner)
        self._upcoming: float = next(self._ahead, math.inf)  # the epoch of the rung that nobody has reached

    def begin(self, number: int) -> None:
        """Trial `number` begins, or begins anew; numbers come without a gap."""
        if number == len(self._courses):
            self._courses.append(_Course())
        else:
            self._courses[number] = _Course()

    def report(
        self, number: int, epoch: int, value: float, complete: bool = False, costs: tuple[float, ...] = ()
    ) -> None:
        """Its `value` after `epoch` (from 1), which may be its last, and what it costs, where that counts too."""
        course = self._courses[number]
        course.costs = costs
        value *= self._sign
        course.best[epoch] = max(value, course.best.get(course.last, value))
        course.last = epoch
        while self._upcoming <= epoch:
            self._rungs.append(_Rung(int(self._upcoming)))
            self._upcoming = next(self._ahead, math.inf)
        course.complete = course.over = complete

    def end(self, number: int) -> None:
        """Nothing more will come of it."""
        self._courses[number].over = True

    def tell(self, number: int, stopped: int | None) -> None:
        """How it ended is known from before."""
        course = self._courses[number]
        course.over, course.told, course.stopped = True, True, stopped

    def judge(self) -> list[int]:
        """Say all that can be said now: the numbers of trials that are stopped by it."""
        stopped: list[int] = []
        for level, rung in enumerate(self._rungs):
            while rung.front < len(self._courses) and self._passes(level, rung, stopped):
                rung.front += 1
        return stopped

    def stopped(self, number: int) -> int | None:
        """The epoch after which it is stopped."""
        return self._courses[number].stopped

    def knows(self, number: int, epochs: float) -> bool:
        """Whether it is known what becomes of a trial within `epochs`."""
        course = self._courses[number]
        if course.told or course.stopped is not None:
            return True
        judged = [rung for rung in self._rungs if rung.epoch <= min(epochs, course.last - course.complete)]
        return (course.over or course.last >= epochs) and all(rung.front > number for rung in judged)

    def settled(self, number: int) -> bool:
        """Whether it is known how it ended."""
        return self.knows(number, math.inf)

    def _passes(self, level: int, rung: _Rung, stopped: list[int]) -> bool:
        """Whether it is known if the trial at the rung's front came so far; if it did, it is judged."""
        number = rung.front
        course = self._courses[number]
        if course.stopped is not None and course.stopped < rung.epoch:
            return True
        if course.last < rung.epoch:
            return course.over
        if level and self._rungs[level - 1].front <= number:
            return False
        best = course.best[max(epoch for epoch in course.best if epoch <= rung.epoch)]
        worth = (best, *(-cost for cost in course.costs))
        bracket = number % self._brackets
        if level < bracket:
            return True
        free = number == BASE_NUMBER or course.told or (course.complete and course.last == rung.epoch)
        if not free and self._is_behind(worth, rung.values[bracket]):
            course.stopped = rung.epoch
            stopped.append(number)
        insort(rung.values[bracket], worth)
        return True

    def _is_behind(self, worth: Worth, rivals: list[Worth]) -> bool:
        if self._pruner == "median":
            return len(rivals) >= FEWEST_FOR_MEDIAN and worth[0] < median(rival[0] for rival in rivals)
        if len(worth) == 1:
            better = len(rivals) - bisect_right(rivals, worth)
        else:
            better = sum(all(map(ge, rival, worth)) and rival != worth for rival in rivals)
        return better >= max(1, (len(rivals) + 1) // self._reduction)
