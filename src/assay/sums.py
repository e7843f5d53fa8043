"""Metrics as functions of sums over samples, and what each is without each sample. Knows outputs and targets as arrays.

Shapes: N samples, K outputs (classes, labels or targets), D sums, b values of one block.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_array, vstack
from scipy.special import log_softmax

HELD = 2**22  # numbers of the sums held at once, 32 MB

Floats = NDArray[np.float64]
Figure = Callable[[Floats], Floats]  # D × b sums to b values; NaN where they cannot say


@dataclass(frozen=True)
class Sums:
    """A metric as a function of sums over samples.

    Attributes:
        values: D × N, what each sample adds.
    """

    values: csr_array
    figure: Figure

    @property
    def total(self) -> Floats:
        """The sums over all samples, D × 1."""
        return np.asarray(self.values.sum(1), dtype=np.float64)[:, None]

    @property
    def value(self) -> float:
        """The metric of all samples."""
        return float(self.figure(self.total)[0])

    def without_each(self) -> Floats:
        """The metric of all samples but one, for each of N; NaN where the others cannot say."""
        total, (num_sums, count) = self.total, self.values.shape
        width = max(1, HELD // num_sums)
        parts = (self.values[:, start : start + width].toarray() for start in range(0, count, width))
        with np.errstate(invalid="ignore", divide="ignore"):  # nothing is left of one sample
            return np.concatenate([self.figure(total - part) for part in parts])


def tally_of(rows: NDArray[np.int64], values: NDArray[Any], num_rows: int) -> csr_array:
    """A matrix whose product with weights sums `values` by row number: num_rows × N."""
    places = (rows, np.arange(len(rows)))
    return csr_array((values.astype(np.float64), places), shape=(num_rows, len(rows)))


def mean_of(values: NDArray[Any]) -> Sums:
    """The mean of a value a sample."""
    return Sums(_rows(values, np.ones(len(values))), lambda sums: sums[0] / sums[1])


def balanced_accuracy_of(said: NDArray[np.int64], true: NDArray[np.int64], num_classes: int) -> Sums:
    """The mean recall of the classes that occur."""
    right, _, trues = _classes(said, true, num_classes)
    return Sums(csr_array(vstack([right, trues])), lambda sums: _mean_share(*np.split(sums, 2)))


def class_f1_of(
    said: NDArray[np.int64], true: NDArray[np.int64], num_classes: int, among: NDArray[np.int64] | None = None
) -> Sums:
    """The mean F1 of the classes `among`; unless given, of those that occur or are said."""
    sums = _classes(said, true, num_classes)
    return _f1(sums if among is None else (each[among] for each in sums))


def label_f1_of(said: NDArray[np.bool_], true: NDArray[np.bool_], micro: bool = False) -> Sums:
    """The mean F1 of the labels, each N × K; or the F1 of all labels together, `micro`."""
    return _f1((csr_array(each.T.astype(np.float64)) for each in (said & true, said, true)), micro)


def class_losses(logits: Floats, true: NDArray[np.int64]) -> Floats:
    """Each sample's cross-entropy, from logits N × K and class numbers N."""
    losses: Floats = -log_softmax(logits, axis=1)[np.arange(len(true)), true]
    return losses


def label_losses(logits: Floats, true: NDArray[np.bool_]) -> Floats:
    """Each sample's binary cross-entropy, the mean over its labels, each N × K."""
    losses: Floats = np.logaddexp(0, np.where(true, -logits, logits)).mean(1)
    return losses


def r2_of(error: Floats, true: NDArray[Any]) -> Sums:
    """The mean R² of K targets, each N × K."""
    centred = true.astype(np.float64) - true.mean(0, dtype=np.float64)

    def figure(sums: Floats) -> Floats:
        left, total, square = np.split(sums[:-1], 3)
        with np.errstate(invalid="ignore", divide="ignore"):  # one value only has no spread
            spread = square - total**2 / sums[-1]
            return np.asarray(np.where(spread > 0, 1 - left / spread, np.nan).mean(0))

    return Sums(_rows(*(error**2).T, *centred.T, *(centred**2).T, np.ones(len(true))), figure)


def rmse_of(error: Floats) -> Sums:
    """The root of the mean squared error over samples and targets, N × K."""
    squares = mean_of((error**2).mean(1))
    return Sums(squares.values, lambda sums: np.sqrt(np.maximum(0, squares.figure(sums))))


def _rows(*rows: Any) -> csr_array:
    return csr_array(np.stack([np.asarray(row, dtype=np.float64) for row in rows]))


def _mean_share(hits: Floats, among: Floats) -> Floats:
    """The mean over those of K that occur: K × b to b."""
    with np.errstate(invalid="ignore"):
        shares = np.where(among > 0, hits / among, 0.0)
        return np.asarray(shares.sum(0) / (among > 0).sum(0))


def _classes(said: NDArray[np.int64], true: NDArray[np.int64], num_classes: int) -> list[csr_array]:
    """By class, K × N each: right, said and true."""
    ones = np.ones(len(true))
    return [tally_of(rows, add, num_classes) for rows, add in ((true, said == true), (said, ones), (true, ones))]


def _f1(counted: Iterable[csr_array], micro: bool = False) -> Sums:
    def figure(sums: Floats) -> Floats:
        hits, saids, trues = np.split(sums, 3)
        if micro:
            hits, saids, trues = (each.sum(0, keepdims=True) for each in (hits, saids, trues))
        return _mean_share(2 * hits, saids + trues)

    return Sums(csr_array(vstack(list(counted))), figure)
