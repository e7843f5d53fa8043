"""What to try next and when to stop. Owns both decisions.

Each follows from what trials with smaller numbers reported, never from who reported first. So a search ends the same
with one worker and with two, on a busy machine and on an idle one, and where it was killed and went on.
"""

import math
from bisect import bisect_right, insort
from collections.abc import Callable, Container
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import optuna
from optuna.distributions import BaseDistribution
from optuna.samplers import RandomSampler, TPESampler
from optuna.study import StudyDirection
from optuna.trial import FrozenTrial, TrialState, create_trial

from assay.search.trial import FAILED, RUNNING, STATE_OF, Tried

STARTUP = 10  # trials drawn at random before the model is asked: Optuna's own default, at most a third of the budget
FEWEST_STARTUP = 4  # a density over fewer points says nothing
BASE_NUMBER = 0  # the trial of the base recipe
SLOWEST = 2  # times longer than others a trial's epoch may take, and nobody waits for it
LONGEST = 16  # first rungs' time: what began so long ago is waited for, however long it takes
FAR = 10**9


def is_random(number: int, trials: int) -> bool:
    """Whether trial `number` of `trials` is drawn knowing nothing."""
    return number < min(STARTUP, max(FEWEST_STARTUP, trials // 3))


@dataclass(frozen=True)
class Sight:
    """How much a trial that is drawn by the model knows of those before it.

    While one trial runs, the other workers begin others; so the further back one began, the more epochs it has had. Its
    first `epochs` are known, as many as it has had for certain where all are about equally fast. What that hides from a
    single worker is little: most trials are stopped at the first rung.
    """

    min_epochs: int
    reduction: int
    workers: int = 2  # one worker sees what two see, so that both find the same

    def epochs(self, back: int) -> float:
        """The epochs that are known of the trial that began `back` numbers before; inf: its end."""
        rungs = (back - 1) // (SLOWEST * max(1, self.workers - 1))
        return rungs * self.min_epochs if rungs < LONGEST else math.inf

    def rung(self, epochs: float) -> int | None:
        """The last rung (see Halving) that is not beyond `epochs`."""
        if epochs < self.min_epochs:
            return None
        rung = self.min_epochs
        while rung * self.reduction <= epochs:
            rung *= self.reduction
        return rung


class Drawing:
    """Draws trials: at random at first, then by multivariate TPE (Falkner et al. 2018, arXiv:1807.01774). What is not
    known of a trial is handled as if it still ran: at the last rung it is known to have reached it counts like one that
    was stopped there, and before the first as a bad one. A sampler lives for one trial: its seed is the search's and
    the trial's number.

    `tried` gives a trial by its number.
    """

    def __init__(
        self,
        distributions: dict[str, BaseDistribution],
        seed: int,
        direction: StudyDirection,
        tried: Callable[[int], Tried],
    ) -> None:
        self.distributions, self.seed, self._tried = distributions, seed, tried
        study = optuna.create_study(direction=direction)
        self._past = _Past(study.study_name, study._storage)
        self._ended: dict[int, FrozenTrial] = {}  # of which all is known

    def draw(self, number: int, trials: int, sight: Sight) -> dict[str, Any]:
        """A value of every parameter for trial `number` of `trials`; what `sight` shows of those before it is there."""
        seed = int(np.random.SeedSequence([self.seed, number]).generate_state(1)[0])
        if is_random(number, trials):
            self._past.sampler = RandomSampler(seed)
        else:
            self._past.known = tuple(self._seen(before, number - before, sight) for before in range(number))
            self._past.sampler = _StaticTPE(self.distributions, seed)
        return dict(self._past.ask(self.distributions).params)

    def _seen(self, number: int, back: int, sight: Sight) -> FrozenTrial:
        """A trial as it is seen by one that is drawn `back` numbers later."""
        if number in self._ended:
            return self._ended[number]
        trial, epochs = self._tried(number), sight.epochs(back)
        last = max(trial.curve, default=0) + (trial.state == FAILED)  # it fails within the epoch after its last
        if trial.state != RUNNING and last <= epochs:
            self._ended[number] = self._frozen(trial, trial.curve, STATE_OF[trial.state])
            return self._ended[number]
        rung = sight.rung(epochs)
        if rung is None:
            return self._frozen(trial, {}, TrialState.RUNNING)
        return self._frozen(
            trial, {epoch: trial.curve[epoch] for epoch in trial.curve if epoch <= rung}, TrialState.PRUNED
        )

    def _frozen(self, trial: Tried, curve: dict[int, float], state: TrialState) -> FrozenTrial:
        frozen = create_trial(
            state=state,
            value=trial.value if state == TrialState.COMPLETE else None,
            params=trial.drawn,
            distributions={name: self.distributions[name] for name in trial.drawn},
            intermediate_values=curve,
        )
        frozen.number = trial.number - FAR  # in order, and never the number of the one that is drawn
        return frozen


class _Past(optuna.Study):
    """A study that knows of its trials what it is told."""

    known: tuple[FrozenTrial, ...] = ()

    def _get_trials(
        self, deepcopy: bool = True, states: Container[TrialState] | None = None, use_cache: bool = False
    ) -> list[FrozenTrial]:
        return [trial for trial in self.known if states is None or trial.state in states]


class _StaticTPE(TPESampler):
    """TPE over a space that is known: Optuna would take what all trials have in common, and the base recipe may lack a
    value that lies outside the space."""

    def __init__(self, distributions: dict[str, BaseDistribution], seed: int) -> None:
        super().__init__(multivariate=True, constant_liar=True, seed=seed, n_startup_trials=1)
        self._varying = {name: each for name, each in distributions.items() if not each.single()}

    def infer_relative_search_space(self, study: optuna.Study, trial: FrozenTrial) -> dict[str, BaseDistribution]:
        return self._varying


@dataclass
class _Course:
    """A trial as halving sees it."""

    best: dict[int, float] = field(default_factory=dict)  # epoch → best value up to there, larger is better
    last: int = 0  # epoch reported
    over: bool = False  # nothing more will come
    complete: bool = False  # its last epoch was the last that was asked for
    stopped: int | None = None  # after this epoch
    told: bool = False  # how it ended is settled, whatever comes


@dataclass
class _Rung:
    epoch: int
    front: int = 0  # the first trial of which it is open whether it came so far
    values: list[float] = field(default_factory=list)  # of those before it that came so far, in order of size


class Halving:
    """Successive halving over trials that run beside each other (Li et al. 2020, arXiv:1810.05934).

    Rungs stand at `min_epochs` × `reduction`^k epochs. At each a trial is judged by its best value up to there, among
    the trials with smaller numbers that came as far: it goes on while it is one of the best 1 / `reduction`, rounded
    down but at least one. Where one of those is still on its way, the verdict waits and the trial runs on; what it
    reports beyond the epoch after which it turns out to be stopped does not count. Trial 0, the base recipe, is never
    stopped, and neither is one that has come to its end; one that fails is a rival at the rungs it reached.
    """

    def __init__(self, min_epochs: int, reduction: int, sign: int) -> None:
        self.min_epochs, self.reduction, self._sign = min_epochs, reduction, sign  # 1: larger is better, -1: smaller
        self._courses: list[_Course] = []
        self._rungs: list[_Rung] = []
        self._farthest = 0

    def begin(self, number: int) -> None:
        """Trial `number` begins, or begins anew; numbers come without a gap."""
        if number == len(self._courses):
            self._courses.append(_Course())
        else:
            self._courses[number] = _Course()

    def report(self, number: int, epoch: int, value: float, complete: bool = False) -> None:
        """Its `value` after `epoch` (from 1), which may be its last."""
        course = self._courses[number]
        value *= self._sign
        course.best[epoch] = max(value, course.best.get(course.last, value))
        course.last = epoch
        self._farthest = max(self._farthest, epoch)
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
        while (epoch := self.min_epochs * self.reduction ** len(self._rungs)) <= self._farthest:
            self._rungs.append(_Rung(epoch))
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
        value = course.best[max(epoch for epoch in course.best if epoch <= rung.epoch)]
        free = number == BASE_NUMBER or course.told or (course.complete and course.last == rung.epoch)
        if not free and self._is_behind(value, rung):
            course.stopped = rung.epoch
            stopped.append(number)
        insort(rung.values, value)
        return True

    def _is_behind(self, value: float, rung: _Rung) -> bool:
        better = len(rung.values) - bisect_right(rung.values, value)
        return better >= max(1, (len(rung.values) + 1) // self.reduction)
