"""The ways to draw a trial. Owns how each looks at what is known of earlier trials; decides neither which is used nor
what is known.

A draw hangs on the seed, the trial's number and what it is told, on nothing that a process remembers: so a search that
was killed goes on as if it had not been.
"""

import math
from collections.abc import Callable, Container, Iterable, Iterator, Sequence
from functools import cache
from heapq import nlargest
from itertools import islice
from typing import Any, Protocol

import numpy as np
import optuna
from numpy.typing import NDArray
from optuna.distributions import BaseDistribution
from optuna.samplers import TPESampler
from optuna.study import StudyDirection
from optuna.trial import FrozenTrial, TrialState, create_trial
from scipy.stats import qmc
from threadpoolctl import ThreadpoolController

from assay.errors import InputError
from assay.search.cube import Array, Cube
from assay.search.earlier import First
from assay.search.feasible import Feasible
from assay.search.space import Drawn
from assay.search.surrogate import Scales, Surrogate
from assay.search.trial import BASE_NUMBER, COMPLETE, FAILED, PRUNED, RUNNING, STATE_OF, Tried

FAR = 10**9
WIDE, NEAR = 1000, 480  # candidates of a Gaussian draw: anywhere, and round the best points
BEST = 8  # points that are good enough to look near them
STEP = 0.15  # standard deviation of a step away from one, of an axis
MOVED = 1.5  # axes a step moves, on average, besides one
SETTLED = 40  # trials from which on a few more do not move the scales
GOOD, ENOUGH = 25, 300  # trials: the most that Optuna's TPE calls good, and the most it is told of
ASKS = 32  # of TPE, which may have fallen in love with points that break a constraint
REDRAWS = 1000  # points that may break a constraint before the constraints are blamed


class Sampler(Protocol):
    """Draws a value of every parameter."""

    learns: bool  # whether `draw` looks at `known`

    def draw(self, number: int, known: Sequence[Tried]) -> dict[str, Any]:
        """Trial `number`; `known` is what is known of those before it, by number."""
        ...


class Given:
    """Points that others found, in their order, from trial 1 on."""

    learns = False

    def __init__(self, first: Sequence[First]) -> None:
        self.first = first

    def draw(self, number: int, known: Sequence[Tried]) -> dict[str, Any]:
        return dict(self.first[number - BASE_NUMBER - 1].drawn)


class Random:
    """Every point as likely as every other; who `learns` draws none that is known to fail."""

    def __init__(self, cube: Cube, seed: int, learns: bool = False) -> None:
        self.cube, self.seed, self.learns = cube, seed, learns

    def draw(self, number: int, known: Sequence[Tried]) -> dict[str, Any]:
        found = next(filter(Feasible(self.cube.space, known).keeps, self._points(number)), None)
        return found or first_feasible(self._points(number), self.cube)  # better one that may fail than none

    def _points(self, number: int) -> Iterator[dict[str, Any]]:
        rng = generator(self.seed, number)
        return (self.cube.drawn(rng.random(len(self.cube.axes))) for _ in range(REDRAWS))


class Sobol:
    """Points that leave no gap: a scrambled Sobol sequence (Owen 1998), a trial's by its number. One that breaks a
    constraint is made up for at random."""

    learns = False

    def __init__(self, cube: Cube, seed: int) -> None:
        self.cube, self.seed = cube, seed
        self._else = Random(cube, seed)

    def draw(self, number: int, known: Sequence[Tried]) -> dict[str, Any]:
        if not self.cube.axes:
            return self.cube.drawn(np.empty(0))
        points = qmc.Sobol(len(self.cube.axes), rng=np.random.default_rng(self.seed))
        if number:
            points.fast_forward(number)
        drawn = self.cube.drawn(points.random(1)[0])
        return drawn if self.cube.space.keeps(drawn) else self._else.draw(number, known)


class Grid:
    """Every recipe once, the last parameter first, but the base recipe and those that `first` has, which were tried."""

    learns = False

    def __init__(self, cube: Cube, first: Sequence[First] = ()) -> None:
        self.cube, self._skipped = cube, len(first)
        self._counts = [len(axis.levels) for axis in cube.axes.values()]
        self._seen = {self._key(cube.space.of_base()), *(self._key(each.drawn) for each in first)}
        self._found: list[dict[str, Any]] = []  # the first recipes, as far as they were asked for
        self._ahead = map(self._drawn, range(math.prod(self._counts)))

    def most(self, trials: int) -> int:
        """Of so many trials as many as there are recipes for, with the base recipe and those that `first` has.

        Raises:
            InputError: no recipe keeps the constraints.
        """
        before = BASE_NUMBER + 1 + self._skipped
        self._find(trials - before)
        if trials > before and not self._found:  # what is skipped may be all there is
            first_feasible(map(self._drawn, range(math.prod(self._counts))), self.cube)
        return min(trials, before + len(self._found))

    def draw(self, number: int, known: Sequence[Tried]) -> dict[str, Any]:
        turn = number - BASE_NUMBER - 1 - self._skipped
        self._find(turn + 1)
        return dict(self._found[turn])

    def _find(self, count: int) -> None:
        """Find so many recipes, or all."""
        while len(self._found) < count and (drawn := next(self._ahead, None)) is not None:
            if (key := self._key(drawn)) not in self._seen and self.cube.space.keeps(drawn):
                self._seen.add(key)
                self._found.append(drawn)

    def _key(self, drawn: Drawn) -> tuple[tuple[str, Any], ...]:
        """The same of points that are one recipe."""
        return tuple((name, drawn[name]) for name in self.cube.space.active(drawn))

    def _drawn(self, at: int) -> dict[str, Any]:
        point = []
        for count in reversed(self._counts):
            point.append((at % count + 0.5) / count)
            at //= count
        return self.cube.drawn(np.array(point[::-1]))


class Tpe:
    """Multivariate TPE (Falkner et al. 2018, arXiv:1807.01774), Optuna's. What still runs counts as a bad one.

    Of many trials it is told the best, which alone are its good ones however many there are, and the last: the further
    back one of the others was, the less it weighs.
    """

    learns = True

    def __init__(self, cube: Cube, seed: int, direction: StudyDirection) -> None:
        self.cube, self.distributions, self.seed = cube, cube.space.distributions, seed
        self.sign = 1 if direction == StudyDirection.MAXIMIZE else -1
        study = optuna.create_study(direction=direction)
        self._past = _Past(study.study_name, study._storage)
        self._else = Random(cube, seed)
        self._frozen: dict[int, FrozenTrial] = {}  # of which all is known

    def draw(self, number: int, known: Sequence[Tried]) -> dict[str, Any]:
        self._past.known = tuple(map(self._seen, telling(known, self.sign)))
        seeds = generator(self.seed, number).integers(2**32, size=ASKS)
        asked = (self._ask(int(seed)) for seed in seeds)
        return next(filter(Feasible(self.cube.space, known).keeps, asked), None) or self._else.draw(number, known)

    def _ask(self, seed: int) -> dict[str, Any]:
        self._past.sampler = _StaticTPE(self.cube.space.varying, seed)
        return self.cube.kept(self._past.ask(self.distributions).params)

    def _seen(self, trial: Tried) -> FrozenTrial:
        kept = self._frozen.get(trial.number)
        if kept is None or kept.user_attrs["told"] is not trial:
            kept = create_trial(
                state=STATE_OF[trial.state],
                value=trial.value if trial.state == COMPLETE else None,
                params=trial.drawn,
                distributions={name: self.distributions[name] for name in trial.drawn},
                intermediate_values=trial.curve,
                user_attrs={"told": trial},
            )
            kept.number = trial.number - FAR  # in order, and never the number of the one that is drawn
            self._frozen[trial.number] = kept
        return kept


def telling(known: Sequence[Tried], sign: int) -> Sequence[Tried]:
    """Of many trials the `GOOD` best, as TPE ranks them, and of the others the last, `ENOUGH` in all; by number."""
    if len(known) <= ENOUGH:
        return known
    complete = ((sign * each.score, -each.number) for each in known if each.state == COMPLETE)
    good = {-number for _, number in nlargest(GOOD, complete)}
    if len(good) < GOOD:  # then those that were stopped last
        stopped = (
            (max(each.curve), sign * each.curve[max(each.curve)], -each.number)
            for each in known
            if each.state == PRUNED and each.curve
        )
        good |= {-number for *_, number in nlargest(GOOD - len(good), stopped)}
    others = islice((each for each in reversed(known) if each.number not in good), ENOUGH - len(good))
    return sorted([*(known[number] for number in good), *others], key=lambda each: each.number)


class Gaussian:
    """The point from which most improvement is expected (see surrogate.py), of many anywhere and near the best ones.

    A trial that was stopped counts by the value it would have come to if it had gone on like the others; one that
    still runs by what the model thinks of it, so that nobody else is sent there; one that failed is the worst. The
    scales are found anew for every draw at first, later now and then, from what was known then.
    """

    learns = True

    def __init__(self, cube: Cube, seed: int, sign: int, known: Callable[[int], Sequence[Tried]]) -> None:
        """`known` gives what was known when an earlier trial was drawn."""
        self.cube, self.seed, self.sign, self._known = cube, seed, sign, known
        self._scales: dict[int, Scales] = {}  # number → as found for its draw
        self._places: list[Array] = []  # of what was drawn, by number, which nothing changes
        self._else = Random(cube, seed)

    def draw(self, number: int, known: Sequence[Tried]) -> dict[str, Any]:
        values = expected_finals(known, self.sign)
        if not self.cube.axes or np.isnan(values).all():
            return self._else.draw(number, known)
        with _threads().limit(limits=1):  # matrices of this size gain nothing from more, least beside trials
            return self._drawn(number, known, values)

    def _drawn(self, number: int, known: Sequence[Tried], values: Array) -> dict[str, Any]:
        tried, settling = self._points(known), settling_number(number)
        if settling not in self._scales:
            earlier = known if settling == number else self._known(settling)
            self._scales[settling] = self._model(self._points(earlier), expected_finals(earlier, self.sign)).scales
        model = self._model(tried, values, self._scales[settling])
        points = self._candidates(generator(self.seed, number), tried, model)
        order = np.argsort(-model.log_improvement(self.cube.columns(points)), kind="stable")
        drawn = (self.cube.drawn(points[at]) for at in order)
        return next(filter(Feasible(self.cube.space, known).is_new, drawn), None) or self._else.draw(number, known)

    def _points(self, known: Sequence[Tried]) -> Array:
        for each in known[len(self._places) :]:
            self._places.append(self.cube.point(each.drawn))
        return np.stack(self._places[: len(known)])

    def _model(self, tried: Array, values: Array, scales: Scales | None = None) -> Surrogate:
        points = self.cube.columns(tried)
        told = ~np.isnan(values)
        model = Surrogate(points[told], values[told], self.cube.widths, scales)
        return model if told.all() else model.believing(points[~told])

    def _candidates(self, rng: np.random.Generator, tried: Array, model: Surrogate) -> Array:
        axes = list(self.cube.axes.values())
        best = np.argsort(-model.predict(self.cube.columns(tried))[0], kind="stable")[:BEST]
        near = np.repeat(tried[best], NEAR // len(best), axis=0)
        moves = rng.random(near.shape) < MOVED / len(axes)
        moves[np.arange(len(near)), rng.integers(len(axes), size=len(near))] = True
        steps = np.array([max(STEP, 1 / len(axis.levels)) if axis.levels else STEP for axis in axes])
        ordered = np.array([axis.ordered for axis in axes])
        moved = np.clip(near + steps * rng.standard_normal(near.shape), 0.0, np.nextafter(1.0, 0.0))
        moved = np.where(ordered, moved, rng.random(near.shape))
        return np.concatenate([rng.random((WIDE, len(axes))), np.where(moves, moved, near)])


def expected_finals(known: Sequence[Tried], sign: int) -> NDArray[np.float64]:
    """What each trial comes to at its end, larger is better; NaN where nothing is known, -inf of one that failed.

    One that was stopped gets its best value so far and what those that came to their end gained, in the middle, from
    there on.
    """
    complete = [each for each in known if each.state == COMPLETE and each.value is not None]
    gains: dict[int, float] = {}

    def gain(epoch: int) -> float:
        if epoch not in gains:
            so_far = [
                max(sign * value for at, value in each.curve.items() if at <= epoch)
                for each in complete
                if epoch in each.curve
            ]
            ends = [sign * each.score for each in complete if epoch in each.curve]
            gains[epoch] = float(np.median(np.subtract(ends, so_far))) if ends else 0.0
        return gains[epoch]

    def final(each: Tried) -> float:
        if each.state == FAILED:
            return -math.inf
        if each.state == COMPLETE:
            return sign * each.score
        if each.state == RUNNING or not each.curve:
            return math.nan
        return max(sign * value for value in each.curve.values()) + gain(max(each.curve))

    return np.array([final(each) for each in known])


def settling_number(number: int) -> int:
    """The trial, at most `number`, for whose draw the model's scales are found: all at first, then every tenth part."""
    if number <= SETTLED:
        return number
    last = SETTLED
    while (following := last + max(1, last // 10)) <= number:
        last = following
    return last


def generator(seed: int, number: int) -> np.random.Generator:
    """Of a trial's own."""
    return np.random.default_rng([seed, number])


def first_feasible(points: Iterable[dict[str, Any]], cube: Cube) -> dict[str, Any]:
    """The first that keeps the constraints.

    Raises:
        InputError: there is none.
    """
    found = next(filter(cube.space.keeps, points), None)
    if found is None:
        raise InputError("search.constraints leave nothing to try: every recipe that was drawn broke one; widen them.")
    return found


@cache
def _threads() -> ThreadpoolController:
    return ThreadpoolController()


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

    def __init__(self, varying: dict[str, BaseDistribution], seed: int) -> None:
        super().__init__(multivariate=True, constant_liar=True, seed=seed, n_startup_trials=1)
        self._varying = varying

    def infer_relative_search_space(self, study: optuna.Study, trial: FrozenTrial) -> dict[str, BaseDistribution]:
        return self._varying
