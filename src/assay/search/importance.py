"""Which parameters moved the trials, and how sure that is. Owns the figure; draws nothing."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from optuna.distributions import BaseDistribution, CategoricalDistribution
from scipy.stats import rankdata

from assay.intervals import Interval, quantile_of
from assay.search.space import place_of
from assay.search.trial import Tried

FEWEST = 6  # trials: of fewer nothing can be told
MOST, HALVES = 500, 40  # trials looked at; halves of them, for the interval
BANDWIDTH = 0.12  # of a range: about the distance of neighbours among ten trials


@dataclass(frozen=True)
class Importance:
    """A share 0…1 a parameter, of the order after `epoch` of those trials that came so far."""

    epoch: int
    num_trials: int
    shares: dict[str, Interval]


def importance_of(varying: Mapping[str, BaseDistribution], tried: Sequence[Tried]) -> Importance | None:
    """The importance of what varies; None of too few trials."""
    whole = [each for each in tried if each.curve and set(varying) <= set(each.drawn)]
    if len(whole) < FEWEST or not varying:
        return None
    epoch, values = _common(whole)
    shares = _shares(varying, [each for each in whole if epoch in each.curve], values)
    return Importance(epoch, len(values), shares)


def _common(tried: Sequence[Tried]) -> tuple[int, list[float]]:
    """The last epoch that at least half of the trials saw, and the values there: those of one epoch can be compared."""
    epoch = sorted(len(each.curve) for each in tried)[len(tried) // 2]
    return epoch, [each.curve[epoch] for each in tried if epoch in each.curve]


def _shares(
    varying: Mapping[str, BaseDistribution], tried: Sequence[Tried], values: Sequence[float]
) -> dict[str, Interval]:
    """How much of the order of the trials each parameter predicts by itself, 0…1.

    The order, since a few failures would be most of the differences in value. Each trial's rank is predicted from the
    others alone, the nearer in that parameter the more they count (Nadaraya 1964 and Watson 1964); 1 - squared error /
    variance, and 0 where it predicts nothing: so what is noise is shown as none, unlike the splits of a forest. What
    parameters do only together is not seen. The 95% interval is that of the jackknife which leaves half of the trials
    out (Shao and Wu 1989, Annals of Statistics 17). Of many trials an even sample is looked at.
    """
    sample = np.unique(np.linspace(0, len(values) - 1, min(len(values), MOST)).astype(int))
    told, rng = rankdata(np.asarray(values)[sample]), np.random.default_rng(0)
    halves = [rng.permutation(len(told))[: (len(told) + 1) // 2] for _ in range(HALVES)]
    shares = {}
    for name, distribution in varying.items():
        near = _nearness(distribution, [tried[row].drawn[name] for row in sample])
        share = _predicted(near, told)
        spread = float(np.std([_predicted(near[np.ix_(half, half)], told[half]) for half in halves]))
        reach = quantile_of(0.95) * spread
        shares[name] = Interval(share, max(0.0, share - reach), min(1.0, share + reach))
    return shares


def _predicted(near: NDArray[np.float64], values: NDArray[np.float64]) -> float:
    variance = float(np.square(values - _without_itself(np.ones_like(near), values)).sum())
    errors = values - _without_itself(near, values)
    return max(0.0, 1 - float(np.square(errors).sum()) / variance) if variance else 0.0


def _without_itself(weights: NDArray[np.float64], values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Each value as the weighted mean of the others."""
    others = weights * (1 - np.eye(len(values)))
    others = others + 1e-9 * (1 - np.eye(len(values)))  # who has no neighbour gets the mean
    mean: NDArray[np.float64] = others @ values / others.sum(axis=1)
    return mean


def _nearness(distribution: BaseDistribution, drawn: Sequence[Any]) -> NDArray[np.float64]:
    """N × N weights: for a number by its distance on its own scale, for a choice 1 where it is the same."""
    if isinstance(distribution, CategoricalDistribution):
        return np.array([[float(one == other) for other in drawn] for one in drawn])
    places = np.array([place_of(distribution, value) for value in drawn])
    distances: NDArray[np.float64] = places[:, None] - places
    return np.exp(-0.5 * np.square(distances / BANDWIDTH))
