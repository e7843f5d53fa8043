"""More than one objective: the metric that is watched, and what a recipe costs. Owns which trials no other beats in
all, which of them is picked, and how a model that looks for one number looks for a front.

Values are held as losses here: smaller is better, the watched metric first. Costs count by their logarithm.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.stats import rankdata

from assay.search.trial import COMPLETE, FAILED, RUNNING, Tried, best_complete

Array = NDArray[np.float64]
Pick = str | Mapping[Any, float]  # knee, or cost → the most it may be

SLOPE = 0.05  # what the other objectives weigh beside the worst one, as in Knowles 2006


def losses_of(one: Tried, sign: int) -> tuple[float, ...]:
    """The trial's losses: of the metric, then a logarithm a cost."""
    return (-sign * one.score, *(math.log(max(cost, 1e-12)) for cost in one.costs.values()))


def dominates(one: Sequence[float], other: Sequence[float]) -> bool:
    """Whether `one` loses nowhere more than `other` and somewhere less; of a single loss: whether it is less."""
    return all(a <= b for a, b in zip(one, other, strict=True)) and any(a < b for a, b in zip(one, other, strict=True))


def best_among(tried: Sequence[Tried], sign: int, pick: Pick = "knee") -> Tried | None:
    """The complete trial with the best value, of equals the first; where costs count too the one that is picked."""
    if any(each.costs for each in tried):
        return picked(front_of(tried, sign), sign, pick)
    return best_complete(tried, sign)


def front_of(tried: Sequence[Tried], sign: int) -> list[Tried]:
    """The complete trials that no other one dominates, the best in the metric first; of equals the first."""
    complete = [each for each in tried if each.state == COMPLETE]
    complete.sort(key=lambda one: (losses_of(one, sign), one.number))
    kept: list[Tried] = []
    for each in complete:  # nobody that follows is better in the metric
        losses = losses_of(each, sign)
        if not any(losses_of(other, sign) == losses or dominates(losses_of(other, sign), losses) for other in kept):
            kept.append(each)
    return kept


def picked(front: Sequence[Tried], sign: int, pick: Pick) -> Tried | None:
    """Who of a front wins. By limits on costs the best in the metric that keeps them, or where none does the one that
    is least above them. By `knee` the one farthest from the line between the ends, which is the least sum of losses,
    each on its range over the front (Das 1999, Structural Optimization 18). None of an empty front."""
    if not front:
        return None
    if isinstance(pick, str):
        losses = np.array([losses_of(each, sign) for each in front])
        spread = np.ptp(losses, axis=0)
        shares = (losses - losses.min(0)) / np.where(spread > 0, spread, 1.0)
        return front[int(np.argmin(shares.sum(1)))]
    above = [max(0.0, *(math.log(each.costs[name] / most) for name, most in pick.items())) for each in front]
    return front[above.index(min(above))]


def traded(known: Sequence[Tried], finals: Array, rng: np.random.Generator) -> list[Tried]:
    """What is known of trials as one number each, larger is better, for a draw that looks into one direction of the
    front: the augmented Tchebycheff norm of the losses' ranks, by weights drawn anew (ParEGO: Knowles 2006, IEEE
    Transactions on Evolutionary Computation 10).

    Args:
        finals: what each trial comes to in the metric at its end, larger is better; NaN and -inf as `expected_finals`.
    """
    told = [at for at, each in enumerate(known) if math.isfinite(finals[at]) and each.costs]
    if not told:
        return [each if each.state == FAILED else replace(each, state=RUNNING, curve={}, value=None) for each in known]
    losses = np.array([[-finals[at], *known[at].costs.values()] for at in told])
    shares = (rankdata(losses, axis=0) - 0.5) / len(told)
    weights = rng.dirichlet(np.ones(losses.shape[1]))
    worth = dict(zip(told, -(shares * weights).max(1) - SLOPE * (shares @ weights), strict=True))
    return [_as_one(each, worth.get(at)) for at, each in enumerate(known)]


def _as_one(one: Tried, worth: float | None) -> Tried:
    if worth is not None:
        return replace(one, state=COMPLETE, curve={}, value=float(worth))
    return one if one.state == FAILED else replace(one, state=RUNNING, curve={}, value=None)
