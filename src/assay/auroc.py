"""The area under the ROC curve with what each sample adds to its spread. Owns the formula; makes no interval.

Shapes: N samples.
"""

import math

import numpy as np
from numpy.typing import NDArray
from scipy.stats import rankdata

Floats = NDArray[np.float64]


def auroc(scores: Floats, positive: NDArray[np.bool_]) -> tuple[float, Floats]:
    """The share of pairs of a positive and a negative that `scores` order rightly, ties half; and a term a sample.

    The terms of a sum or a mean of areas are the sum or the mean of their terms, and the sum of their squares is its
    unbiased variance. Source: DeLong, DeLong and Clarke-Pearson, Comparing the areas under two or more correlated
    receiver operating characteristic curves, Biometrics 44 (1988).

    Args:
        scores: N.
        positive: N; some are and some are not.
    """
    ranks, num_positive = rankdata(scores), int(positive.sum())
    num_negative = len(scores) - num_positive
    assert num_positive and num_negative, "no pair to order"
    above = (ranks[positive] - rankdata(scores[positive])) / num_negative  # of each the share of negatives below it
    below = 1 - (ranks[~positive] - rankdata(scores[~positive])) / num_positive
    area, terms = float(above.mean()), np.empty(len(scores))
    terms[positive] = (above - area) / _divisor(num_positive)
    terms[~positive] = (below - area) / _divisor(num_negative)
    return area, terms


def _divisor(count: int) -> float:
    return math.sqrt(count * max(1, count - 1))
