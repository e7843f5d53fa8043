"""How sure a figure is: Wilson's interval for shares, the bootstrap for the rest. Knows numbers, no model.

Shapes: N samples, b resamples of one block, B resamples in all.
"""

import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from statistics import NormalDist
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_array

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

    def distance_interval(self, confidence: float, chance: float) -> Interval:
        """The interval of a sum of absolute deviations (calibration error), which sampling noise can only raise.

        The figure lies above the truth, and its resamples lie above it in turn by about as much. So the low end is
        moved down by both and the high end by one of them; where the figure is within `chance`, what no deviation at
        all gives at this confidence, the low end is 0.
        """
        low, high = np.quantile(self.drawn, _ends(confidence))
        bias = max(0.0, float(self.drawn.mean()) - self.value)
        lowest = 0.0 if self.value <= chance else max(0.0, float(low) - 2 * bias)
        return Interval(self.value, min(self.value, lowest), max(self.value, float(high) - bias))


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


def tally_of(rows: NDArray[np.int64], values: NDArray[Any], num_rows: int) -> csr_array:
    """A matrix whose product with weights sums `values` by row number: num_rows × N."""
    places = (rows, np.arange(len(rows)))
    return csr_array((values.astype(np.float64), places), shape=(num_rows, len(rows)))


def _ends(confidence: float) -> list[float]:
    return [(1 - confidence) / 2, (1 + confidence) / 2]
