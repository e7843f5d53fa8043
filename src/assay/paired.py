"""Whether one model is better than another on the same samples. Owns the tests and the interval of the difference;
knows outputs and targets as arrays, and neither a model nor what hangs on the answer.

Shapes: N samples, K outputs (classes, labels or targets), D sums, b resamples of one block.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_array, vstack
from scipy.special import log_softmax
from scipy.stats import binom

from assay.intervals import BLOCK, Interval, Scores, Weights, bootstrap, quantile_of, tally_of
from assay.params import SMALLER_IS_BETTER

RESAMPLES = 10_000
TIE = 1e-12  # two equal figures, computed in another order

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Compared:
    """A challenger beside a champion; whatever it is better by is positive, also where smaller values are better."""

    metric: str
    count: int  # samples
    challenger: float
    champion: float
    gain: Interval
    confidence: float  # of the interval
    p: float  # of a gain as large as this one or larger where neither is better
    spread: float  # standard deviation of the gain, as if it were of one sample: divide by √N

    @property
    def said(self) -> str:
        """In a line."""
        ends = f"{self.confidence:.0%} interval {self.gain.low:+.4f} to {self.gain.high:+.4f}"
        beside = f"{self.metric} {self.challenger:.4f} beside {self.champion:.4f} on {self.count:,} samples"
        return f"{beside}, a gain of {self.gain.value:+.4f} ({ends}), p {self.p:.2g}"


def compare(
    task: str,
    metric: str,
    challenger: NDArray[Any],
    champion: NDArray[Any],
    targets: NDArray[Any],
    *,
    confidence: float,
    seed: int = 0,
    resamples: int = RESAMPLES,
) -> Compared:
    """Compare two models by what they say of the same samples.

    Accuracy of one class is judged by McNemar's test and an interval of Bonett and Price; whatever else by swapping the
    two models' answers, sample by sample, and by the paired bootstrap.

    Args:
        metric: one of `METRICS_OF_TASK`, resolved.
        challenger, champion: N × K, logits or values.
        targets: N class numbers, N × K zeros and ones, or N × K values.
    """
    assert challenger.shape == champion.shape, f"outputs {challenger.shape} and {champion.shape}"
    assert len(targets) == len(champion) > 0, f"{len(champion)} outputs for {len(targets)} targets"
    one, other = (_SUMS[task][metric](outputs.astype(np.float64), targets) for outputs in (challenger, champion))
    sign = -1.0 if metric in SMALLER_IS_BETTER else 1.0
    values = [float(each.figure(each.total)[0]) for each in (one, other)]
    if (task, metric) == ("classification", "accuracy"):
        right = [outputs.argmax(1) == targets for outputs in (challenger, champion)]
        gained, lost = int((right[0] & ~right[1]).sum()), int((right[1] & ~right[0]).sum())
        gain, p = gain_of_shares(gained, lost, len(targets), confidence), float(mcnemar(gained, lost))
        spread = _spread_of_shares(gained, lost, len(targets))
    else:
        gain, deviation = _resampled(one, other, sign, confidence, seed, resamples)
        p, spread = swap_test(one, other, sign, seed, resamples), deviation * len(targets) ** 0.5
    return Compared(metric, len(targets), values[0], values[1], gain, confidence, p, spread)


def mcnemar(gained: Any, lost: Any) -> Any:
    """The one-sided mid-p of McNemar's test; numbers, or arrays of one shape.

    Args:
        gained: samples that the challenger alone has right.
        lost: samples that the champion alone has right.

    Source: Fagerland, Lydersen and Laake, The McNemar test for binary matched-pairs data: mid-p and asymptotic are
    better than exact conditional, BMC Medical Research Methodology 13 (2013).

    >>> round(float(mcnemar(15, 5)), 4)
    0.0133
    """
    apart = np.asarray(gained) + lost
    return binom.sf(gained, apart, 0.5) + 0.5 * binom.pmf(gained, apart, 0.5)


def gain_of_shares(gained: int, lost: int, total: int, confidence: float) -> Interval:
    """The interval of the difference of two paired shares; honest where nearly all samples agree.

    Source: Bonett and Price, Adjusted Wald confidence interval for a difference of binomial proportions based on paired
    data, Journal of Educational and Behavioral Statistics 37 (2012).
    """
    value = (gained - lost) / total
    up, down = (gained + 1) / (total + 2), (lost + 1) / (total + 2)
    half = quantile_of(confidence) * ((up + down - (up - down) ** 2) / (total + 2)) ** 0.5
    return Interval(value, max(-1.0, min(value, up - down - half)), min(1.0, max(value, up - down + half)))


def _spread_of_shares(gained: int, lost: int, total: int) -> float:
    """As `gain_of_shares` has it: not 0 where no sample tells the two apart."""
    up, down = (gained + 1) / (total + 2), (lost + 1) / (total + 2)
    return float((up + down - (up - down) ** 2) ** 0.5)


@dataclass(frozen=True)
class Sums:
    """A metric as a function of sums over samples.

    Attributes:
        values: D × N, what each sample adds.
        figure: D × b sums to b values; NaN where they cannot say.
    """

    values: csr_array
    figure: Callable[[Floats], Floats]

    @property
    def total(self) -> Floats:
        """The sums over all samples, D × 1."""
        return np.asarray(self.values.sum(1), dtype=np.float64)[:, None]


def swap_test(challenger: Sums, champion: Sums, sign: float, seed: int, resamples: int) -> float:
    """The one-sided p of a paired permutation test: were neither better, answers to a sample could change hands.

    Source: Ernst, Permutation methods: a basis for exact inference, Statistical Science 19 (2004). What was observed is
    one of the orders that count, so p is never 0.
    """
    apart = csr_array(challenger.values - champion.values)
    apart.eliminate_zeros()
    apart = apart[:, np.unique(apart.indices)]  # samples of which both say the same change nothing
    ours, theirs = challenger.total, champion.total

    def gain(moved: Floats) -> Floats:
        return sign * (challenger.figure(ours - moved) - champion.figure(theirs + moved))

    observed, rng, as_large = gain(np.zeros_like(ours))[0], np.random.default_rng(seed), 0
    block = max(1, BLOCK // max(1, apart.shape[1]))
    for start in range(0, resamples, block):
        swapped = rng.random((apart.shape[1], min(block, resamples - start)), dtype=np.float32) < 0.5
        as_large += int((gain(apart @ swapped.astype(np.float64)) >= observed - TIE).sum())
    return (1 + as_large) / (1 + resamples)


def _resampled(
    challenger: Sums, champion: Sums, sign: float, confidence: float, seed: int, resamples: int
) -> tuple[Interval, float]:
    """The gain's percentile interval and its standard deviation."""

    def score(weights: Weights) -> Scores:
        ours, theirs = (each.figure(each.values @ weights) for each in (challenger, champion))
        return {"gain": sign * (ours - theirs)}

    strata = np.zeros(challenger.values.shape[1], dtype=np.int64)
    found = bootstrap(score, strata, resamples, seed)["gain"]
    return found.interval(confidence), float(found.drawn.std())


def _mean(values: NDArray[Any]) -> Sums:
    """The mean of a value a sample."""
    return Sums(_rows(values, np.ones(len(values))), lambda sums: sums[0] / sums[1])


def _rows(*rows: Any) -> csr_array:
    return csr_array(np.stack([np.asarray(row, dtype=np.float64) for row in rows]))


def _mean_share(hits: Floats, among: Floats) -> Floats:
    """The mean over those of K that occur: K × b to b."""
    with np.errstate(invalid="ignore"):
        shares = np.where(among > 0, hits / among, 0.0)
        return np.asarray(shares.sum(0) / (among > 0).sum(0))


def _classes(outputs: Floats, targets: NDArray[Any]) -> tuple[csr_array, csr_array, csr_array]:
    """By class, K × N each: right, said and true."""
    said, count, ones = outputs.argmax(1), outputs.shape[1], np.ones(len(outputs))
    return tally_of(targets, said == targets, count), tally_of(said, ones, count), tally_of(targets, ones, count)


def _balanced_accuracy(outputs: Floats, targets: NDArray[Any]) -> Sums:
    right, _, true = _classes(outputs, targets)
    return Sums(csr_array(vstack([right, true])), lambda sums: _mean_share(*np.split(sums, 2)))


def _f1(right: csr_array, said: csr_array, true: csr_array) -> Sums:
    def figure(sums: Floats) -> Floats:
        hits, saids, trues = np.split(sums, 3)
        return _mean_share(2 * hits, saids + trues)

    return Sums(csr_array(vstack([right, said, true])), figure)


def _class_loss(outputs: Floats, targets: NDArray[Any]) -> Sums:
    return _mean(-log_softmax(outputs, axis=1)[np.arange(len(targets)), targets])


def _label_f1(outputs: Floats, targets: NDArray[Any]) -> Sums:
    said, true = (outputs > 0).T, (targets > 0.5).T
    return _f1(*(csr_array(each.astype(np.float64)) for each in (said & true, said, true)))


def _label_loss(outputs: Floats, targets: NDArray[Any]) -> Sums:
    return _mean(np.logaddexp(0, np.where(targets > 0.5, -outputs, outputs)).mean(1))


def _r2(outputs: Floats, targets: NDArray[Any]) -> Sums:
    true = targets.astype(np.float64).reshape(outputs.shape)
    error, centred = outputs - true, true - true.mean(0)

    def figure(sums: Floats) -> Floats:
        left, total, square = np.split(sums[:-1], 3)
        with np.errstate(invalid="ignore", divide="ignore"):  # a resample of one value only: bootstrap leaves it out
            spread = square - total**2 / sums[-1]
            return np.asarray(np.where(spread > 0, 1 - left / spread, np.nan).mean(0))

    return Sums(_rows(*(error**2).T, *centred.T, *(centred**2).T, np.ones(len(true))), figure)


def _rmse(outputs: Floats, targets: NDArray[Any]) -> Sums:
    squares = _mean(((outputs - targets.reshape(outputs.shape)) ** 2).mean(1))
    return Sums(squares.values, lambda sums: np.sqrt(squares.figure(sums)))


_SUMS: Mapping[str, Mapping[str, Callable[[Floats, NDArray[Any]], Sums]]] = {
    "classification": {
        "accuracy": lambda outputs, targets: _mean(outputs.argmax(1) == targets),
        "balanced_accuracy": _balanced_accuracy,
        "f1": lambda outputs, targets: _f1(*_classes(outputs, targets)),
        "loss": _class_loss,
    },
    "multilabel": {
        "f1": _label_f1,
        "accuracy": lambda outputs, targets: _mean(((outputs > 0) == (targets > 0.5)).mean(1)),
        "loss": _label_loss,
    },
    "regression": {
        "r2": _r2,
        "rmse": _rmse,
        "mae": lambda outputs, targets: _mean(np.abs(outputs - targets.reshape(outputs.shape)).mean(1)),
        "loss": lambda outputs, targets: _mean(((outputs - targets.reshape(outputs.shape)) ** 2).mean(1)),
    },
}
