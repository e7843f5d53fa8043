"""How sure a figure is: closed forms where there are any, the bootstrap for the rest. Knows no model.

Shapes: N samples, b resamples of one block, B resamples in all.
"""

import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from statistics import NormalDist
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.special import stdtrit

Weights = NDArray[np.float32]  # N × b: how often each sample stands in each resample
Scores = Mapping[str, NDArray[np.float64]]  # figure → b values, NaN where a resample cannot say

BLOCK = 2**19  # weights held at once: 2 MB of float32 stay in a core's cache (measured: 2**17…2**20 are alike)
DIGITS = 6  # of what is written, so that a diff shows a change and not a rounding


@dataclass(frozen=True)
class Interval:
    """A figure with the ends of its confidence interval: low ≤ value ≤ high."""

    value: float
    low: float
    high: float

    def rounded(self) -> dict[str, float]:
        """As it stands in metrics.json."""
        return {name: round(number, DIGITS) + 0.0 for name, number in vars(self).items()}  # + 0.0: never -0.0


def quantile_of(confidence: float) -> float:
    """How many standard deviations a two-sided interval of `confidence` reaches: 1.96 for 0.95."""
    return NormalDist().inv_cdf(0.5 + confidence / 2)


def wilson(hits: int, total: int, confidence: float) -> Interval:
    """The interval of a share, hits of total; honest at 0, at 1 and for few samples.

    Source: E. B. Wilson, Probable Inference, the Law of Succession, and Statistical Inference, JASA 22 (1927).

    >>> wilson(98, 100, confidence=0.95).rounded()
    {'value': 0.98, 'low': 0.930012, 'high': 0.994498}
    """
    assert 0 <= hits <= total, f"{hits} hits of {total}"
    assert total > 0, "a share of nothing has no interval"
    z, share = quantile_of(confidence), hits / total
    middle = (share + z * z / (2 * total)) / (1 + z * z / total)
    half = z / (1 + z * z / total) * math.sqrt(share * (1 - share) / total + z * z / (4 * total * total))
    low = 0.0 if hits == 0 else min(share, middle - half)
    high = 1.0 if hits == total else max(share, middle + half)
    return Interval(share, low, high)


def mean_of_proportions(hits: NDArray[Any], totals: NDArray[Any], confidence: float) -> Interval:
    """The interval of the mean of independent shares, hits of totals each; honest for shares of a few samples.

    Four samples more, half of them hits, are dealt among the shares. A bootstrap within each share never draws what it
    has not seen, and held the truth in 85% where a share had 4 samples (docs/log.md).
    Source: Price and Bonett, An improved confidence interval for a linear function of binomial proportions,
    Computational Statistics and Data Analysis 45 (2004).
    """
    count = len(totals)
    assert count and (totals > 0).all(), "a share of nothing has no interval"
    value, more = float((hits / totals).mean()), totals + 4 / count
    shares = (hits + 2 / count) / more
    middle, deviation = float(shares.mean()), float((shares * (1 - shares) / more).sum() ** 0.5) / count
    half = quantile_of(confidence) * deviation
    return Interval(value, max(0.0, min(value, middle - half)), min(1.0, max(value, middle + half)))


def share_of_deviation(value: float, deviation: float, count: int, confidence: float, perfect: Interval) -> Interval:
    """The interval of a figure in 0…1 that is no plain share, from its standard deviation, on the scale of the logit.

    There it is more nearly normal, and no end can leave 0…1. Source: Pepe, The Statistical Evaluation of Medical Tests
    for Classification and Prediction, Oxford 2003, for the area under a curve.

    Args:
        count: of what the deviation was estimated from.
        perfect: what as many perfect shares say, where the figure is 1; the other way round where it is 0.
    """
    if value >= 1:
        return perfect
    if value <= 0:
        return Interval(0.0, 0.0, 1 - perfect.low)
    middle, half = math.log(value / (1 - value)), student(confidence, count) * deviation / (value * (1 - value))
    low, high = (0.5 * (1 + math.tanh((middle + end) / 2)) for end in (-half, half))  # never overflows
    return Interval(value, min(value, low), max(value, high))


def below_one(value: float, without: NDArray[np.float64], confidence: float) -> Interval:
    """The interval of a figure of at most 1 and without a least one, as R² is, on the scale of log(1 - value).

    Args:
        without: the figure without each sample; NaN where the others cannot say.
    """
    if value >= 1:
        return Interval(1.0, 1.0, 1.0)
    deviation = jackknife(np.log(np.maximum(1 - without, np.finfo(np.float64).tiny)))
    away, half = 1 - value, student(confidence, len(without)) * deviation
    low, high = 1 - away * math.exp(min(half, 700.0)), 1 - away * math.exp(-half)
    return Interval(value, min(value, low), max(value, high))


def mean_of_positives(values: NDArray[np.float64], confidence: float) -> Interval:
    """The interval of the mean of values of at least 0 that lean to the right, as losses and errors do.

    Student's, after Hall's transformation that takes out their skewness. Source: Hall, On the removal of skewness by
    transformation, Journal of the Royal Statistical Society B 54 (1992).
    """
    value, count = float(values.mean()), len(values)
    if count < 2 or (spread := float(values.std())) <= 1e-12 * abs(value):
        return Interval(value, value, value)
    lean = float(((values - value) ** 3).mean()) / spread**3 / math.sqrt(count)
    unit = float(values.std(ddof=1)) / math.sqrt(count)

    def undone(quantile: float) -> float:
        """The value of Student's statistic that the transformation takes to `quantile`."""
        if abs(lean) < 1e-6:
            return quantile
        return (float(np.cbrt(1 + lean * (quantile - lean / 6))) - 1) * 3 / lean

    end = student(confidence, count)
    low, high = value - undone(end) * unit, value - undone(-end) * unit
    return Interval(value, max(0.0, min(value, low)), max(value, high))


def jackknife(without: NDArray[np.float64]) -> float:
    """The standard deviation of a figure, from what it is without each sample, N values.

    Samples without which it cannot say (a class or a spread is gone) are left out.
    Source: Efron and Stein, The jackknife estimate of variance, Annals of Statistics 9 (1981). It leans to the
    safe side.
    """
    without = without[np.isfinite(without)]
    count = len(without)
    return math.sqrt(count - 1) * float(without.std()) if count else 0.0


def student(confidence: float, count: int) -> float:
    """As `quantile_of`, where the deviation itself is estimated from `count` values."""
    return float(stdtrit(max(1, count - 1), 0.5 + confidence / 2))


def mean_of_shares(shares: list[Interval]) -> Interval:
    """The interval of the mean of independent shares, from the intervals of each.

    The distances to the ends are added as variances are. Used where no sample is wrong: elsewhere it is wider than the
    bootstrap and leans low, since each Wilson interval does (measured for 2 and 10 shares of 15 to 1,000).
    Source: Zou and Donner, Construction of confidence limits about effect measures, Statistics in Medicine 27 (2008).
    """
    assert shares, "the mean of no shares"
    value = sum(share.value for share in shares) / len(shares)
    down = math.sqrt(sum((share.value - share.low) ** 2 for share in shares)) / len(shares)
    up = math.sqrt(sum((share.high - share.value) ** 2 for share in shares)) / len(shares)
    return Interval(value, max(0.0, value - down), min(1.0, value + up))


def resamples(strata: NDArray[np.int64], count: int, seed: int) -> Iterator[Weights]:
    """Yield blocks of bootstrap weights; in each resample every stratum keeps its number of samples.

    Args:
        strata: N numbers from 0; samples are exchanged within equal numbers only (all 0: the plain bootstrap).
        count: B, in all.
        seed: of the draws; equal arguments give equal weights.
    """
    num_samples = len(strata)
    order = np.argsort(strata, kind="stable")
    _, first, size = np.unique(strata[order], return_index=True, return_counts=True)
    sizes, firsts = np.repeat(size, size)[:, None], np.repeat(first, size)[:, None]
    rng = np.random.default_rng(seed)
    block = max(1, min(count, BLOCK // max(1, num_samples)))
    for start in range(0, count, block):
        width = min(block, count - start)
        drawn = (rng.random((num_samples, width)) * sizes).astype(np.int64) + firsts  # < sizes: doubles are k / 2**53
        flat = drawn * width + np.arange(width)
        counted = np.bincount(flat.ravel(), minlength=num_samples * width).reshape(num_samples, width)
        weights = np.empty((num_samples, width), dtype=np.float32)
        weights[order] = counted
        yield weights


@dataclass(frozen=True)
class Resampled:
    """A figure and what it was in every resample; at least one of them, all finite."""

    value: float
    drawn: NDArray[np.float64]

    def interval(self, confidence: float) -> Interval:
        """The percentile interval, which always holds the value."""
        low, high = np.quantile(self.drawn, _ends(confidence))
        return Interval(self.value, min(self.value, float(low)), max(self.value, float(high)))

    def share_interval(self, confidence: float, perfect: Interval) -> Interval:
        """The percentile interval of a figure in 0…1; `perfect` where it is 1 in every resample.

        A bootstrap cannot draw a mistake that was not made: for a perfect score it claims certainty from any number of
        samples. `perfect` is what as many perfect shares say.
        """
        if self.value == 1.0 and self.drawn.min() == 1.0:
            return perfect
        found = self.interval(confidence)
        return Interval(found.value, max(0.0, found.low), min(1.0, found.high))

    def distance_interval(self, count: int, confidence: float, chance: float) -> Interval:
        """The interval of a sum of absolute deviations (calibration error), which sampling noise can only raise.

        The figure lies above the truth, and its resamples lie above it in turn by about as much. So the low end is
        moved down by both and the high end by one of them; of the percentiles and Student's ends the further ones
        count, since each is too near on one side (docs/log.md). Where the figure is within `chance`, what no deviation
        at all gives at this confidence, the low end is 0.

        Args:
            count: N.
        """
        low, high = np.quantile(self.drawn, _ends(confidence))
        bias = max(0.0, float(self.drawn.mean()) - self.value)
        half = student(confidence, count) * self.deviation(count)
        lowest = 0.0 if self.value <= chance else max(0.0, min(float(low), self.value - half) - 2 * bias)
        highest = max(float(high), self.value + half) - bias
        return Interval(self.value, min(self.value, lowest), max(self.value, highest))

    def deviation(self, count: int) -> float:
        """The standard deviation of the figure of `count` samples."""
        return float(self.drawn.std()) * math.sqrt(count / max(1, count - 1))


def bootstrap(
    score: Callable[[Weights], Scores], strata: NDArray[np.int64], count: int, seed: int
) -> dict[str, Resampled]:
    """Every figure that `score` computes from weights, in `count` resamples; the value is `score` of all weights 1.

    A figure that is not finite there is left out; so is, for that figure, a resample in which it is not (a label that
    lost its last positive).

    Args:
        score: `N × b` weights to b values a figure.
        strata: see `resamples`.
    """
    values = score(np.ones((len(strata), 1), dtype=np.float32))
    blocks = [score(weights) for weights in resamples(strata, count, seed)]
    found = {}
    for name, value in values.items():
        drawn = np.concatenate([block[name] for block in blocks])
        drawn = drawn[np.isfinite(drawn)]
        if np.isfinite(value[0]) and len(drawn):
            found[name] = Resampled(float(value[0]), drawn)
    return found


def _ends(confidence: float) -> list[float]:
    return [(1 - confidence) / 2, (1 + confidence) / 2]
