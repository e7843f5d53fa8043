"""What candidates are worth that ran on common seeds, where the best was chosen by the same runs. Owns that model;
knows neither trials nor searches.

A run's value is its seed's effect, plus its candidate's, plus noise. The seeds' effects are free, so candidates are
compared within seeds. The candidates' are drawn from one normal distribution, so that the one which came out best is
drawn back to the others by as much as its runs could have flattered it; selection then needs no correction of its own,
however many were dropped on the way (Stein 1956; Efron and Morris 1975, JASA 70; Gelman, Hill and Yajima 2012,
arXiv:0907.2478). At most one candidate may stand out, as from a distribution ten times wider: else a clear winner would
be drawn back to where it does not belong. One candidate, the reference, is free: what is compared with all others was
not chosen for its value. The spread of the candidates is integrated over, not estimated (Gelman 2006, Bayesian Analysis
1), and so is the noise: given the spread every comparison is a t distribution, and they are mixed by their likelihood.

Measured in benchmarks/finals_quality.py. Dropped: plain means (the winner flattered by 0.4 standard deviations of the
seed), a half-Cauchy prior (by 0.1, this by 0.04), the reference drawn to the others (0.2 to 0.4 off where it is far).

Shapes: n runs, p coefficients (a seed's, the reference's, a candidate's), G grid points.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import brentq
from scipy.special import stdtr, stdtrit

from assay.intervals import Interval

Floats = NDArray[np.float64]

RATIOS = np.array([1e-3, *np.geomspace(0.1, 12, 13)])  # candidates' spread in standard deviations of the noise
STANDS_OUT, TIMES_WIDER = 0.05, 10.0  # chance that a given candidate does, and by what
NEGLIGIBLE = 1e-7  # weight of a grid point, beside the heaviest; most are, and each costs time
LEAST = 1e-18  # sum of squares of runs that all agree, after scaling
ROUNDING = 1e-9  # a lead below it is none, after scaling: candidates with equal runs


@dataclass(frozen=True)
class Effects:
    """The candidates' worth, a mixture over the grid; larger is better. In units of `scale` but what is returned."""

    rows: Mapping[int, Floats]  # candidate → p: its coefficients, the mean seed's among them
    level: float
    scale: float
    weights: Floats  # G, in sum 1
    means: Floats  # G × p
    noises: Floats  # G: variance of a run around its candidate and seed
    shapes: Floats  # G × p × p: the coefficients' covariance in units of it
    freedom: int  # degrees of freedom

    @property
    def noise(self) -> float:
        """The standard deviation of a run around its candidate and seed."""
        return self.scale * math.sqrt(float(self.weights @ self.noises))

    def score(self, name: int) -> float:
        """What a run of `name` is expected to give, over seeds like these."""
        return self.level + self.scale * float(self.weights @ (self.means @ self.rows[name]))

    def lead(self, name: int, other: int, confidence: float) -> Interval:
        """By how much `name` is better than `other`."""
        mean, spread = self._difference(name, other)
        value = float(self.weights @ mean)
        value = value if abs(value) > ROUNDING else 0.0
        low = min(value, self._quantile(mean, spread, (1 - confidence) / 2))
        high = max(value, self._quantile(mean, spread, (1 + confidence) / 2))
        return Interval(self.scale * value, self.scale * low, self.scale * high)

    def chance(self, name: int, other: int) -> float:
        """The probability that `name` is better than `other`."""
        mean, spread = self._difference(name, other)
        return float(self.weights @ stdtr(self.freedom, mean / spread))

    def _difference(self, name: int, other: int) -> tuple[Floats, Floats]:
        contrast = self.rows[name] - self.rows[other]
        spread: Floats = np.sqrt(self.noises * (contrast @ (self.shapes @ contrast).T))
        return self.means @ contrast, spread

    def _quantile(self, mean: Floats, spread: Floats, share: float) -> float:
        """Of the mixture: it lies between those of its parts."""
        parts = mean + spread * stdtrit(self.freedom, share)

        def off(value: float) -> float:
            return float(self.weights @ stdtr(self.freedom, (value - mean) / spread)) - share

        low, high = float(parts.min()), float(parts.max())
        if off(low) >= 0 or off(high) <= 0:  # they agree to the last digits
            return low if off(low) >= 0 else high
        return float(brentq(off, low, high, xtol=1e-9))


def effects_of(values: Mapping[tuple[int, int], float], reference: int | None) -> Effects:
    """Fit the model to runs.

    Args:
        values: (candidate, seed) → value, larger is better; two candidates at least have two seeds in common.
        reference: the candidate that is free; None: there is none.
    """
    runs = sorted(values)
    names = sorted({name for name, _ in runs}, key=lambda name: (name != reference, name))  # the reference first
    seeds = sorted({seed for _, seed in runs})
    design = np.zeros((len(runs), len(seeds) + len(names)))
    for row, (name, seed) in enumerate(runs):
        design[row, [seeds.index(seed), len(seeds) + names.index(name)]] = 1
    y = np.array([values[run] for run in runs])
    level = float(y.mean())
    scale = float(np.abs(y - level).max()) or 1.0
    rows = np.hstack([np.full((len(names), len(seeds)), 1 / len(seeds)), np.eye(len(names))])
    num_free = len(seeds) + (reference in names)
    mixture = _mixed(design, (y - level) / scale, num_free)
    return Effects(dict(zip(names, rows, strict=True)), level, scale, *mixture, len(runs) - num_free)


def _mixed(design: Floats, y: Floats, num_free: int) -> tuple[Floats, Floats, Floats, Floats]:
    """Weights, means, noises and shapes over the grid: Henderson's equations (Biometrics 31, 1975), flat priors for
    the first `num_free` coefficients and for the noise's logarithm."""
    prior, variances = _grid(design.shape[1] - num_free)
    precision = np.zeros((len(prior), design.shape[1]))
    precision[:, num_free:] = 1 / variances
    inner = design.T @ design + precision[:, :, None] * np.eye(design.shape[1])
    shapes = np.linalg.inv(inner)
    means = shapes @ (design.T @ y)
    freedom = len(y) - num_free
    left = np.maximum(y @ y - means @ (design.T @ y), LEAST)
    likelihood = -(np.log(variances).sum(1) + np.linalg.slogdet(inner)[1] + freedom * np.log(left)) / 2
    weights: Floats = np.exp(prior + likelihood - (prior + likelihood).max())
    counts = weights > NEGLIGIBLE
    weights = weights[counts] / weights[counts].sum()
    return weights, means[counts], left[counts] / freedom, np.asarray(shapes[counts], dtype=np.float64)


def _grid(num_drawn: int) -> tuple[Floats, Floats]:
    """Log prior, G, and variances in units of the noise's, G × num_drawn: even over the logarithm of the spread, where
    nobody stands out, and where each one does."""
    plain = np.repeat(RATIOS[:, None] ** 2, num_drawn, axis=1)
    wider = [plain[1:] * np.where(np.arange(num_drawn) == one, TIMES_WIDER**2, 1.0) for one in range(num_drawn)]
    standing = STANDS_OUT / (1 + STANDS_OUT * num_drawn)
    prior = [np.full(len(plain), math.log(1 - standing * num_drawn))]
    prior += [np.full(len(each), math.log(standing)) for each in wider]
    return np.concatenate(prior), np.concatenate([plain, *wider])
