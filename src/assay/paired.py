"""Whether one model is better than another on the same samples. Owns the tests and the interval of the difference;
knows outputs and targets as arrays, and neither a model nor what hangs on the answer.

Shapes: N samples, K outputs (classes, labels or targets), D sums (sums.py).
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_array
from scipy.stats import binom

from assay.intervals import BLOCK, Interval, jackknife, quantile_of, student
from assay.params import SMALLER_IS_BETTER
from assay.sums import (
    Sums,
    balanced_accuracy_of,
    class_f1_of,
    class_losses,
    label_f1_of,
    label_losses,
    mean_of,
    r2_of,
    rmse_of,
)

RESAMPLES = 10_000
SHARES = frozenset({"accuracy", "balanced_accuracy", "f1"})
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
    two models' answers, sample by sample, with an interval by the jackknife.

    Args:
        metric: one of `METRICS_OF_TASK`, resolved.
        challenger, champion: N × K, logits or values.
        targets: N class numbers, N × K zeros and ones, or N × K values.
    """
    assert challenger.shape == champion.shape, f"outputs {challenger.shape} and {champion.shape}"
    assert len(targets) == len(champion) > 0, f"{len(champion)} outputs for {len(targets)} targets"
    one, other = (_SUMS[task][metric](outputs.astype(np.float64), targets) for outputs in (challenger, champion))
    sign = -1.0 if metric in SMALLER_IS_BETTER else 1.0
    values = [one.value, other.value]
    if (task, metric) == ("classification", "accuracy"):
        right = [outputs.argmax(1) == targets for outputs in (challenger, champion)]
        gained, lost = int((right[0] & ~right[1]).sum()), int((right[1] & ~right[0]).sum())
        gain, p = gain_of_shares(gained, lost, len(targets), confidence), float(mcnemar(gained, lost))
        spread = _spread_of_shares(gained, lost, len(targets))
    else:
        gain, deviation = _jackknifed(one, other, sign, confidence, bounded=metric in SHARES)
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
        smaller = gain(apart @ swapped.astype(np.float64)) < observed - TIE
        as_large += int((~smaller).sum())  # so is what has no value: it shows nothing
    return (1 + as_large) / (1 + resamples)


def _jackknifed(
    challenger: Sums, champion: Sums, sign: float, confidence: float, bounded: bool
) -> tuple[Interval, float]:
    """The gain's interval by the jackknife and Student's quantile, and its standard deviation.

    A bootstrap of few samples is too narrow, most where two models differ in a handful of answers. So shares get one
    sample more that tells the two apart; `gain_of_shares` has two, which are too many here (docs/log.md).
    """
    count = challenger.values.shape[1]
    value = sign * (challenger.value - champion.value)
    variance = jackknife(challenger.without_each() - champion.without_each()) ** 2
    deviation = (variance + (1 / count**2 if bounded else 0.0)) ** 0.5
    half, most = student(confidence, count) * deviation, 1.0 if bounded else np.inf
    return Interval(value, max(-most, value - half), min(most, value + half)), deviation


def _error(outputs: Floats, targets: NDArray[Any]) -> Floats:
    error: Floats = outputs - targets.reshape(outputs.shape)
    return error


_SUMS: Mapping[str, Mapping[str, Callable[[Floats, NDArray[Any]], Sums]]] = {
    "classification": {
        "accuracy": lambda outputs, targets: mean_of(outputs.argmax(1) == targets),
        "balanced_accuracy": lambda outputs, targets: balanced_accuracy_of(
            outputs.argmax(1), targets, outputs.shape[1]
        ),
        "f1": lambda outputs, targets: class_f1_of(outputs.argmax(1), targets, outputs.shape[1]),
        "loss": lambda outputs, targets: mean_of(class_losses(outputs, targets)),
    },
    "multilabel": {
        "f1": lambda outputs, targets: label_f1_of(outputs > 0, targets > 0.5),
        "accuracy": lambda outputs, targets: mean_of(((outputs > 0) == (targets > 0.5)).mean(1)),
        "loss": lambda outputs, targets: mean_of(label_losses(outputs, targets > 0.5)),
    },
    "regression": {
        "r2": lambda outputs, targets: r2_of(_error(outputs, targets), targets.reshape(outputs.shape)),
        "rmse": lambda outputs, targets: rmse_of(_error(outputs, targets)),
        "mae": lambda outputs, targets: mean_of(np.abs(_error(outputs, targets)).mean(1)),
        "loss": lambda outputs, targets: mean_of((_error(outputs, targets) ** 2).mean(1)),
    },
}
