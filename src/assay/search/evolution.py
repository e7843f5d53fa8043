"""Two samplers that breed new points from the better ones: CMA-ES and NSGA-II. Owns how; like those of samplers.py they
hang on the seed, the trial's number and what is known, and remember nothing that they could not reckon again.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from heapq import nlargest
from typing import Any

import numpy as np
from numpy.typing import NDArray

from assay.search.cube import Array, Cube
from assay.search.feasible import Feasible
from assay.search.samplers import GOOD, Random, generator, telling
from assay.search.trial import COMPLETE, FAILED, RUNNING, Tried

TRIES = 64  # draws of a point, before one at random stands in: it may break a constraint, or have been tried
INSIDE = 10  # draws of a position, before it is cut off at the end of its axis
SPREAD = 0.3  # standard deviation at first; that of points which are spread evenly is 0.29
NARROWEST = 0.3  # of a level: what an axis with levels spreads at least, so that no level becomes the last
RAREST = 0.1  # of an even share: what a choice's probability stays above
CROSSED = 0.9  # probability that a child has two parents (Optuna's)
Merit = tuple[float, float]


def merit(trial: Tried, sign: int) -> Merit | None:
    """How good, larger is better, by this trial alone: one that came to its end before one that was stopped, the later
    the better, before one that failed; None where nothing is known."""
    if trial.state == FAILED:
        return -math.inf, 0.0
    if trial.state == RUNNING or not trial.curve:
        return None
    last = math.inf if trial.state == COMPLETE else float(max(trial.curve))
    return last, max(sign * value for value in trial.curve.values())


class Nsga2:
    """NSGA-II (Deb et al. 2002, doi:10.1109/4235.996017) of one objective: the rank of a point is that of its value.

    The parents are the better half of all that came before, at most `GOOD`, each the better of two that are taken by
    chance; a child takes each axis from one of two parents, and one axis in all is drawn anew. It does not wait for a
    generation to end, so workers are not idle.
    """

    learns = True

    def __init__(self, cube: Cube, seed: int, sign: int) -> None:
        self.cube, self.seed, self.sign = cube, seed, sign
        self._else = Random(cube, seed)

    def draw(self, number: int, known: Sequence[Tried]) -> dict[str, Any]:
        judged = ((merit(each, self.sign), -each.number, each) for each in telling(known, self.sign))
        ranked = [(rank, at, each) for rank, at, each in judged if rank is not None]
        best = nlargest(min(GOOD, len(ranked) // 2), ranked, lambda one: one[:2])
        if len(best) < 2 or not self.cube.axes:
            return self._else.draw(number, known)
        parents = np.stack([self.cube.point(each.drawn) for *_, each in best])
        rng, feasible = generator(self.seed, number), Feasible(self.cube.space, known)
        for _ in range(TRIES):
            child = self.cube.drawn(_child(rng, parents))
            if feasible.is_new(child):
                return child
        return self._else.draw(number, known)


def _child(rng: np.random.Generator, parents: Array) -> Array:
    """`parents`: n × axes, the best first."""
    axes = parents.shape[1]
    one, other = parents[rng.integers(len(parents), size=(2, 2)).min(axis=1)]
    crossed = (rng.random() < CROSSED) & (rng.random(axes) < 0.5)
    return np.where(rng.random(axes) < 1 / axes, rng.random(axes), np.where(crossed, other, one))


@dataclass(frozen=True)
class _Cloud:
    """Where CMA-ES looks: a normal distribution over the ordered axes, and a probability of each choice of the rest."""

    mean: Array
    step: float
    covariance: Array
    step_path: Array
    covariance_path: Array
    odds: tuple[Array, ...]
    age: int = 0  # generations


class CmaEs:
    """CMA-ES (Hansen 2016, arXiv:1604.00772, its defaults) over the ordered axes.

    A generation is `population` trials by number, the start that was drawn otherwise among them; what is not known of
    the last ones is left out. Numbers with levels keep a spread of a part of a level (Hansen 2011, RR-7748), so that
    none is the last. Choices without an order have a probability each, which moves towards those of the better half
    (as in CatCMA, Hamano et al. 2024, arXiv:2405.09962) and never to nothing.
    """

    learns = True

    def __init__(self, cube: Cube, seed: int, sign: int) -> None:
        self.cube, self.seed, self.sign = cube, seed, sign
        axes = list(cube.axes.values())
        self._ordered = np.array([axis.ordered for axis in axes], dtype=bool)
        self._choices = [len(axis.levels) for axis in axes if not axis.ordered]
        self._narrowest = np.array([NARROWEST / len(a.levels) if a.levels else 0.0 for a in axes if a.ordered])
        self.population = 4 + int(3 * math.log(max(1, len(axes))))
        self._numbers = _Numbers.of(int(self._ordered.sum()), self.population)
        self._told: list[tuple[Sequence[Tried], _Cloud]] = []  # what was known of each generation, and what came of it
        self._else = Random(cube, seed)

    def draw(self, number: int, known: Sequence[Tried]) -> dict[str, Any]:
        cloud, rng = self._cloud(known), generator(self.seed, number)
        feasible = Feasible(self.cube.space, known)
        for _ in range(TRIES):
            drawn = self.cube.drawn(self._sample(rng, cloud))
            if feasible.is_new(drawn):
                return drawn
        return self._else.draw(number, known)

    def _cloud(self, known: Sequence[Tried]) -> _Cloud:
        """After every generation that has begun to its last."""
        count, odds = len(self._narrowest), tuple(np.full(many, 1 / many) for many in self._choices)
        cloud = _Cloud(np.full(count, 0.5), SPREAD, np.eye(count), np.zeros(count), np.zeros(count), odds)
        for at in range(len(known) // self.population):
            generation = known[at * self.population : (at + 1) * self.population]
            if at < len(self._told) and self._told[at][0] == generation:
                cloud = self._told[at][1]
                continue
            cloud = self._after(cloud, generation)
            self._told[at:] = [(generation, cloud)]
        return cloud

    def _after(self, cloud: _Cloud, generation: Sequence[Tried]) -> _Cloud:
        ranked = [(rank, -each.number, each) for each in generation if (rank := merit(each, self.sign)) is not None]
        best = [each for *_, each in sorted(ranked, key=lambda one: one[:2], reverse=True)][: self.population // 2]
        if len(best) < 2:
            return cloud
        points = np.stack([self.cube.point(each.drawn) for each in best])
        weights = self._numbers.weights[: len(best)] / self._numbers.weights[: len(best)].sum()
        moved = self._numbers.moved(cloud, points[:, self._ordered], weights)
        return _Cloud(*moved, self._odds(cloud, points[:, ~self._ordered], weights), cloud.age + 1)

    def _odds(self, cloud: _Cloud, points: Array, weights: Array) -> tuple[Array, ...]:
        rate, found = self._numbers.mass / (self._numbers.mass + len(self._ordered)), []
        for odds, column in zip(cloud.odds, points.T, strict=True):
            level = np.minimum((column * len(odds)).astype(int), len(odds) - 1)
            wanted = np.bincount(level, weights, len(odds))
            kept = np.maximum(odds + rate * (wanted - odds), RAREST / len(odds))
            found.append(kept / kept.sum())
        return tuple(found)

    def _sample(self, rng: np.random.Generator, cloud: _Cloud) -> Array:
        point = np.empty(len(self._ordered))
        spread = cloud.step * np.sqrt(np.diag(cloud.covariance))
        wider = np.maximum(1.0, self._narrowest / spread)
        half = _root(cloud.covariance)
        for _ in range(INSIDE):
            moved = cloud.mean + cloud.step * wider * (half @ rng.standard_normal(len(spread)))
            if ((moved >= 0) & (moved < 1)).all():
                break
        point[self._ordered] = np.clip(moved, 0.0, np.nextafter(1.0, 0.0))
        point[~self._ordered] = [(rng.choice(len(odds), p=odds) + 0.5) / len(odds) for odds in cloud.odds]
        return point


@dataclass(frozen=True)
class _Numbers:
    """The constants of the method for so many axes and so large a population (Hansen 2016, table 1)."""

    axes: int
    weights: NDArray[np.float64]
    mass: float  # μ_eff

    @classmethod
    def of(cls, axes: int, population: int) -> "_Numbers":
        half = population // 2
        weights = math.log((population + 1) / 2) - np.log(np.arange(1, half + 1))
        weights /= weights.sum()
        return cls(axes, weights, float(1 / (weights**2).sum()))

    def moved(self, cloud: _Cloud, points: Array, weights: Array) -> tuple[Array, float, Array, Array, Array]:
        """Mean, step, covariance and both paths after the best `points`, best first. None moves the mean further than
        a point of its own would (Hansen 2011, arXiv:1110.4181): the start was drawn otherwise."""
        n, mass = self.axes, self.mass
        if n == 0:
            return cloud.mean, cloud.step, cloud.covariance, cloud.step_path, cloud.covariance_path
        whiten = np.linalg.inv(_root(cloud.covariance))
        steps = (points - cloud.mean) / cloud.step
        longest, lengths = math.sqrt(n) + 2 * n / (n + 2), np.linalg.norm(steps @ whiten.T, axis=1)
        steps = steps * np.minimum(1.0, longest / np.maximum(lengths, 1e-12))[:, None]
        step = weights @ steps
        of_step, damp = (mass + 2) / (n + mass + 5), 2 * max(0.0, math.sqrt((mass - 1) / (n + 1)) - 1)
        damp += 1 + of_step
        path = (1 - of_step) * cloud.step_path + math.sqrt(of_step * (2 - of_step) * mass) * (whiten @ step)
        usual = math.sqrt(n) * (1 - 1 / (4 * n) + 1 / (21 * n**2))
        length = float(np.linalg.norm(path))
        steady = length / math.sqrt(1 - (1 - of_step) ** (2 * (cloud.age + 1))) < (1.4 + 2 / (n + 1)) * usual
        of_path = (4 + mass / n) / (n + 4 + 2 * mass / n)
        further = (1 - of_path) * cloud.covariance_path + steady * math.sqrt(of_path * (2 - of_path) * mass) * step
        of_one = 2 / ((n + 1.3) ** 2 + mass)
        of_all = min(1 - of_one, 2 * (mass - 2 + 1 / mass) / ((n + 2) ** 2 + mass))
        kept = 1 - of_one - of_all + (not steady) * of_one * of_path * (2 - of_path)
        covariance = kept * cloud.covariance + of_one * np.outer(further, further)
        covariance += of_all * (steps.T * weights) @ steps
        size = cloud.step * math.exp(min(1.0, of_step / damp * (length / usual - 1)))
        return cloud.mean + cloud.step * step, min(size, SPREAD), (covariance + covariance.T) / 2, path, further


def _root(covariance: Array) -> Array:
    """The symmetric root of a covariance."""
    values, vectors = np.linalg.eigh(covariance)
    root: Array = (vectors * np.sqrt(np.maximum(values, 1e-16))) @ vectors.T
    return root
