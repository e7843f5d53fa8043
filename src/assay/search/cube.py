"""A space as the unit cube: every parameter an axis, every point a recipe. Owns the way between what Optuna keeps of a
trial and the numbers a model reckons with; draws nothing.

A point is a row of axis positions in [0, 1]. An axis with levels (whole numbers, steps, choices) is cut into as many
equal pieces.
"""

import math
from bisect import bisect_left
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution, IntDistribution

from assay.search.space import Drawn, Space, step_value

Array = NDArray[np.float64]

MIDDLE = 0.5  # where a parameter stands that has no value


class Steps(Sequence[float]):
    """Numbers from `low` to `high`, `step` apart, as a person would write them: 0.3, and not three times 0.1. None is
    made before it is asked for, since a fine step makes many."""

    def __init__(self, low: float, high: float, step: float) -> None:
        self.low, self.high, self.step = low, high, step

    def __len__(self) -> int:
        return round((self.high - self.low) / self.step) + 1

    def __getitem__(self, number: Any) -> Any:
        if not 0 <= number < len(self):
            raise IndexError(number)
        return step_value(self.low, self.step, int(number))


@dataclass(frozen=True)
class Axis:
    """One parameter: its levels in order, or the ends of its range."""

    levels: Sequence[Any]  # none: every value between the ends
    ordered: bool
    low: float = 0.0
    high: float = 1.0
    log: bool = False
    whole: bool = False

    @property
    def width(self) -> int:
        """Columns that a model sees: one, or one a choice where they have no order."""
        return 1 if self.ordered else len(self.levels)

    def value(self, position: float) -> Any:
        if self.levels:
            return self.levels[int(self.level(np.array(position)))]
        if not self.log:
            return float(min(self.low + position * (self.high - self.low), self.high))
        value = min(max(self.low * (self.high / self.low) ** position, self.low), self.high)
        return round(value) if self.whole else float(value)

    def position(self, value: Any) -> float:
        """The inverse of `value`, in the middle of a level."""
        if self.levels:
            return (self._number(value) + 0.5) / len(self.levels)
        if self.log:
            return math.log(value / self.low) / math.log(self.high / self.low)
        return float((value - self.low) / (self.high - self.low))

    def level(self, positions: Array) -> NDArray[np.int64]:
        return np.minimum((positions * len(self.levels)).astype(np.int64), len(self.levels) - 1)

    def _number(self, value: Any) -> int:
        """Which level `value` is; of numbers the nearest, since Optuna reckons steps with another rounding."""
        if not self.ordered:
            return self.levels.index(value)
        after = min(bisect_left(self.levels, value), len(self.levels) - 1)
        nearer = after > 0 and value - self.levels[after - 1] < self.levels[after] - value
        return after - nearer

    def columns(self, positions: Array) -> Array:
        """n positions as n × width: in [0, 1] where they are ordered; two choices without order are 1 apart."""
        if not self.levels:
            return np.asarray(positions[:, None])
        level = self.level(positions)
        if self.ordered:
            return np.asarray((level / max(1, len(self.levels) - 1))[:, None])
        return np.asarray(math.sqrt(0.5) * (level[:, None] == np.arange(len(self.levels))))


class Cube:
    """The parameters of a space that vary."""

    def __init__(self, space: Space) -> None:
        self.space = space
        self.axes = {name: _axis(each) for name, each in space.varying.items()}
        self.fixed = {name: _only(each) for name, each in space.distributions.items() if name not in self.axes}
        self.widths = [axis.width for axis in self.axes.values()]
        named = {other for each in space.parameters.values() for other in each.when}
        self._deciding = {at: axis for at, (name, axis) in enumerate(self.axes.items()) if name in named}
        self._known: dict[tuple[int, ...], NDArray[np.bool_]] = {}

    def drawn(self, point: Array) -> dict[str, Any]:
        """A value of every parameter."""
        values = {name: axis.value(float(at)) for (name, axis), at in zip(self.axes.items(), point, strict=True)}
        return {name: values[name] if name in values else self.fixed[name] for name in self.space.parameters}

    def kept(self, drawn: Drawn) -> dict[str, Any]:
        """`drawn` by another, with its values between steps as ours."""
        return {name: self._kept(name, value) for name, value in drawn.items()}

    def _kept(self, name: str, value: Any) -> Any:
        axis = self.axes.get(name)
        return axis.value(axis.position(value)) if axis is not None and isinstance(axis.levels, Steps) else value

    def point(self, drawn: Drawn) -> Array:
        """The inverse of `drawn`; a parameter without a value stands in the middle."""
        return np.array([a.position(drawn[n]) if n in drawn else MIDDLE for n, a in self.axes.items()])

    def columns(self, points: Array) -> Array:
        """n × axes as a model sees them, n × columns: what does not count in a point is the same in all such points."""
        counts, seen = self._counts(points), []
        for number, axis in enumerate(self.axes.values()):
            neutral = MIDDLE if axis.ordered else 0.0
            seen.append(np.where(counts[:, number, None], axis.columns(points[:, number]), neutral))
        return np.concatenate(seen, axis=1)

    def _counts(self, points: Array) -> NDArray[np.bool_]:
        """Which parameters count in which points, n × axes. It hangs on the few that a condition names."""
        if not self._deciding:
            return np.ones(points.shape, dtype=bool)
        decided = np.stack([axis.level(points[:, at]) for at, axis in self._deciding.items()], axis=1)
        kinds, of = np.unique(decided, axis=0, return_inverse=True)
        return np.stack([self._counting(tuple(kind)) for kind in kinds])[of.reshape(-1)]

    def _counting(self, levels: tuple[int, ...]) -> NDArray[np.bool_]:
        if levels not in self._known:
            point = np.full(len(self.axes), MIDDLE)
            for (at, axis), level in zip(self._deciding.items(), levels, strict=True):
                point[at] = (level + 0.5) / len(axis.levels)
            active = self.space.active(self.drawn(point))
            self._known[levels] = np.array([name in active for name in self.axes])
        return self._known[levels]


def _axis(distribution: BaseDistribution) -> Axis:
    if isinstance(distribution, CategoricalDistribution):
        choices = distribution.choices
        if all(isinstance(each, (int, float)) and not isinstance(each, bool) for each in choices):
            return Axis(tuple(sorted(choices)), ordered=True)
        return Axis(tuple(choices), ordered=False)
    assert isinstance(distribution, (FloatDistribution, IntDistribution))
    low, high = distribution.low, distribution.high
    if isinstance(distribution, IntDistribution):
        if distribution.log:
            return Axis((), ordered=True, low=low, high=high, log=True, whole=True)
        return Axis(range(distribution.low, distribution.high + 1, distribution.step), ordered=True)
    if distribution.step is None:
        return Axis((), ordered=True, low=low, high=high, log=distribution.log)
    return Axis(Steps(low, high, distribution.step), ordered=True)


def _only(distribution: BaseDistribution) -> Any:
    """The value of a parameter that has no other."""
    if isinstance(distribution, CategoricalDistribution):
        return distribution.choices[0]
    assert isinstance(distribution, (FloatDistribution, IntDistribution))
    return distribution.low
