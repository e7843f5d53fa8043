"""What untried points may be worth, from what tried ones were: a Gaussian process over the unit cube.

Knows numbers only: no trial, no study, no parameter's name. A parameter is a block of columns with one length scale:
see cube.py.
"""

import math
from collections.abc import Sequence
from copy import copy
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import LinAlgError, cho_factor, cho_solve, solve_triangular
from scipy.optimize import minimize
from scipy.spatial.distance import cdist
from scipy.special import log_ndtr, ndtri
from scipy.stats import rankdata

Array = NDArray[np.float64]

ROOT5 = math.sqrt(5)
# Priors of the logarithms, mean and standard deviation. Of the length scale it grows with the root of the number of
# parameters (Hvarfner et al. 2024, arXiv:2402.02229), so that many parameters do not make every point a stranger.
LENGTH_MEAN, LENGTH_SD = math.log(0.5), 1.0
SIGNAL_MEAN, SIGNAL_SD = 0.0, 0.5  # variance, of values that are standard normal
NOISE_MEAN, NOISE_SD = -4.0, 1.5  # variance of a value that is measured again
LENGTHS, SIGNALS, NOISES = (-4.0, 4.0), (-3.0, 3.0), (-9.0, 1.0)  # bounds of the logarithms
STEPS = 30  # of the search for them; what more of them found was not better
JITTER = 1e-6
VERY_LOW = -30.0  # below it 1 / z² is exact to three digits, and the way round it is not


def normal_scores(values: Array) -> Array:
    """Values by their ranks, as quantiles of a standard normal: a recipe that fails by far weighs no more than one
    that fails, and the best ones stand apart (Salinas et al. 2020, arXiv:1909.13595)."""
    return np.asarray(ndtri((rankdata(values) - 0.5) / len(values)))


@dataclass(frozen=True)
class Scales:
    """Logarithms: a length a parameter, the variances of signal and noise."""

    lengths: Array
    signal: float
    noise: float

    @classmethod
    def of(cls, packed: Array) -> "Scales":
        return cls(packed[:-2], float(packed[-2]), float(packed[-1]))

    @property
    def packed(self) -> Array:
        packed: Array = np.r_[self.lengths, self.signal, self.noise]
        return packed


class Surrogate:
    """A Gaussian process (Matérn 5/2, a length scale a parameter) with the scales that are likeliest a posteriori.

    Args:
        points: n × columns.
        values: n, larger is better; any unit, since they are ranked.
        widths: columns of each parameter.
        scales: those of another fit, to be taken as they are; None: the likeliest are looked for.
    """

    def __init__(self, points: Array, values: Array, widths: Sequence[int], scales: Scales | None = None) -> None:
        self.points, self._of = points, np.repeat(np.arange(len(widths)), widths)
        self.values = normal_scores(values)
        self.scales = scales or self._likeliest(len(widths))
        self._solve()

    def believing(self, points: Array) -> "Surrogate":
        """As if what it predicts had been measured at `points` too: sure of itself there, and no wiser elsewhere."""
        further = copy(self)
        further.points = np.concatenate([self.points, points])
        further.values = np.concatenate([self.values, self.predict(points)[0]])
        further._solve()
        return further

    def _solve(self) -> None:
        variance = math.exp(self.scales.noise) + JITTER
        self._factor = cho_factor(self._covariance(self.points) + variance * np.eye(len(self.points)), lower=True)
        self._weights = cho_solve(self._factor, self.values)

    def predict(self, points: Array) -> tuple[Array, Array]:
        """Mean and standard deviation at m × columns, without the noise of a measurement."""
        covariance = self._covariance(points)
        half = solve_triangular(self._factor[0], covariance.T, lower=True)
        variance = math.exp(self.scales.signal) - (half**2).sum(0)
        return covariance @ self._weights, np.sqrt(np.maximum(variance, 1e-10))

    def log_improvement(self, points: Array) -> Array:
        """The logarithm (Ament et al. 2023, arXiv:2310.20708) of the improvement that is expected over the best value,
        lucky as that may be: asked for more than the best mean, the search looks about more."""
        mean, deviation = self.predict(points)
        return _log_h((mean - self.values.max()) / deviation) + np.log(deviation)

    @staticmethod
    def _prior(count: int) -> Scales:
        return Scales(np.full(count, LENGTH_MEAN + 0.5 * math.log(count)), SIGNAL_MEAN, NOISE_MEAN)

    def _covariance(self, points: Array) -> Array:
        shrink = np.exp(-self.scales.lengths)[self._of]
        squares = cdist(points * shrink, self.points * shrink, "sqeuclidean")
        return math.exp(self.scales.signal) * _matern(squares)[0]

    def _likeliest(self, count: int) -> Scales:
        each = [self.points[:, self._of == number] for number in range(count)]
        squares = np.stack([cdist(one, one, "sqeuclidean") for one in each], -1)  # n × n × parameters
        prior = self._prior(count).packed
        spread = np.r_[np.full(count, LENGTH_SD), SIGNAL_SD, NOISE_SD]

        def loss(packed: Array) -> tuple[float, Array]:
            value, slope = _evidence(packed, squares, self.values)
            away = (packed - prior) / spread
            return value + 0.5 * float(away @ away), slope + away / spread

        bounds = [LENGTHS] * count + [SIGNALS, NOISES]
        found = minimize(loss, prior, jac=True, method="L-BFGS-B", bounds=bounds, options={"maxiter": STEPS})
        return Scales.of(found.x)


def _evidence(packed: Array, squares: Array, values: Array) -> tuple[float, Array]:
    """The negative logarithm of the values' likelihood, and its slope along each scale."""
    scales, eye = Scales.of(packed), np.eye(len(values))
    shrink, signal, noise = np.exp(-2 * scales.lengths), math.exp(scales.signal), math.exp(scales.noise)
    shape, bend = _matern(squares @ shrink)
    try:
        factor = cho_factor(signal * shape + (noise + JITTER) * eye, lower=True)
    except LinAlgError:
        return 1e10, np.zeros_like(packed)
    weights, inverse = cho_solve(factor, values), cho_solve(factor, eye)
    slack = inverse - np.outer(weights, weights)
    lengths = 0.5 * signal * np.einsum("ij,ijk->k", slack * bend, squares) * shrink
    slope = np.r_[lengths, 0.5 * signal * (slack * shape).sum(), 0.5 * noise * np.trace(slack)]
    return float(0.5 * values @ weights + np.log(np.diag(factor[0])).sum()), slope


def _matern(squares: Array) -> tuple[Array, Array]:
    """Matérn 5/2 of squared distances, and its slope along the logarithm of a scale for a unit of squared distance."""
    distance = ROOT5 * np.sqrt(squares)
    fade = np.exp(-distance)
    return (1 + distance + 5 / 3 * squares) * fade, 5 / 3 * (1 + distance) * fade


def _log_h(z: Array) -> Array:
    """log(φ(z) + z Φ(z)), also far below zero, where the difference is lost to rounding."""
    high, low = np.maximum(z, -1.0), np.minimum(z, -1.0)
    near = np.log(np.exp(_log_density(high)) + high * np.exp(log_ndtr(high)))
    with np.errstate(divide="ignore"):
        rest = np.log1p(low * np.exp(log_ndtr(low) - _log_density(low)))
    far = _log_density(low) + np.where(low > VERY_LOW, rest, -2 * np.log(-low))
    return np.where(z > -1, near, far)


def _log_density(z: Array) -> Array:
    return np.asarray(-0.5 * z**2 - 0.5 * math.log(2 * math.pi))
