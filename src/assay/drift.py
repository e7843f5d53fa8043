"""Whether new samples are still like those that a model was chosen by. Owns the tests, and what each look may cost of
the error of a model's whole life; knows what the model says of samples as arrays, and neither where they lie nor what
follows.

Two tests share a look: what the model says (Kolmogorov and Smirnov, an output each, Bonferroni over them) and its
features (domain.py). Each holds where the samples of a side are independent, and none of them taught the model.

Shapes: N samples, K outputs (probabilities of classes or labels, or values), F features.

Source: Rabanser, Günnemann and Lipton, Failing loudly: an empirical study of methods for detecting dataset shift,
NeurIPS 2019 (there BBSDs and the domain classifier).
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import lru_cache
from math import gcd, log, sqrt
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray
from scipy.stats import kstwo

from assay.domain import told_apart
from assay.intervals import Interval
from assay.label_shift import LabelShift, label_shift

EXACT = 10**6  # products of two counts up to which p is counted path by path; beyond, its limit is as good
TINY = 1e-9  # a p below it is 1 less almost 1: the limit says more
NAMED = 10  # samples that are named, at most

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Answers:
    """What a model says of samples.

    Attributes:
        said: N × K.
        features: N × F, what its head saw.
        targets: N class numbers of classification, below 0 where the model does not know the class; else None.
    """

    said: Floats
    features: Floats
    targets: NDArray[np.int64] | None = None

    def __len__(self) -> int:
        return len(self.said)


@dataclass(frozen=True)
class Finding:
    """One test: `of` an output, or `features`. Its effect is a KS distance (0…1), or the AUC of a classifier
    (0.5…1)."""

    of: str
    p: float
    threshold: float  # of p; 0 where it has no part in this look
    effect: float
    moved: float  # the mean output now less that before; 0 for features

    @property
    def found(self) -> bool:
        return self.p <= self.threshold


@dataclass(frozen=True)
class Drift:
    """What one look has found."""

    old: int
    new: int
    alpha: float  # of this look
    outputs: tuple[Finding, ...]
    features: Finding
    differ: tuple[str, ...]  # names of the new samples that differ most, the first most
    labels: LabelShift | None  # of classification

    @property
    def found(self) -> bool:
        return any(one.found for one in (*self.outputs, self.features))

    @property
    def worst(self) -> Finding:
        """The output that moved most surely."""
        return min(self.outputs, key=lambda one: (one.p, -one.effect))

    @property
    def said(self) -> str:
        """In a sentence or two."""
        worst, sees = self.worst, smallest(self.old, self.new, self.outputs[0].threshold)
        told = f"{self.new:,} new samples beside {self.old:,}, α {self.alpha:.2g}"
        outputs = f"{worst.of!r} is said otherwise (distance {worst.effect:.2f}, p {worst.p:.2g})"
        features = f"features tell new from old (AUC {self.features.effect:.2f}, p {self.features.p:.2g})"
        if self.found:
            shown = [text for one, text in ((worst, outputs), (self.features, features)) if one.found]
            return f"drift: {' and '.join(shown)}; {told}."
        most = max(one.effect for one in self.outputs)
        return (
            f"no drift is shown: distances reach {most:.2f}, where {sees:.2f} would be seen,"
            f" and features tell new from old with AUC {self.features.effect:.2f} (p {self.features.p:.2g}); {told}."
        )

    def as_json(self) -> dict[str, Any]:
        """As it is kept."""
        return asdict(self)

    @classmethod
    def from_json(cls, told: Mapping[str, Any]) -> Self:
        """What `as_json` gave."""
        labels = told["labels"]
        if labels is not None:
            today = tuple(Interval(**one) for one in labels["today"])
            accuracy = Interval(**labels["accuracy"])
            labels = LabelShift(tuple(labels["before"]), today, labels["accuracy_before"], accuracy)
        outputs = tuple(Finding(**one) for one in told["outputs"])
        return cls(
            **{name: told[name] for name in ("old", "new", "alpha")},
            outputs=outputs,
            features=Finding(**told["features"]),
            differ=tuple(told["differ"]),
            labels=labels,
        )


def alpha_of_look(alpha: float, number: int) -> float:
    """What look `number`, from 1, may cost of `alpha`: all looks together never cost more, however many there will be.

    Look k spends one part in k + 1 of what is left: the first a half, the second a third of the rest. A year of weekly
    looks needs distances 1.2 times as large at its end as 52 equal parts would, which have none for week 53.

    >>> [round(alpha_of_look(0.05, number), 5) for number in (1, 2, 3)]
    [0.025, 0.00833, 0.00417]
    """
    return alpha / (number * (number + 1))


def detect(
    old: Answers,
    new: Answers,
    names: Sequence[str],
    samples: Sequence[str],
    *,
    alpha: float,
    permutations: int,
    confidence: float,
    resamples: int,
    seed: int,
) -> Drift:
    """Look whether `new` is like `old`, with an error of at most `alpha`.

    Args:
        old: samples like those the model was made for, which it was not taught.
        names: of the K outputs.
        samples: names of the new samples.
        permutations: at most. Where so many cannot reach half of alpha, the outputs have all of it.
        confidence: of the intervals of shares and accuracy, with `resamples` of the bootstrap.
    """
    reached = alpha / 2 >= 1 / (permutations + 1)
    shares = (alpha / 2, alpha / 2) if reached else (alpha, 0.0)
    outputs = _outputs(old.said, new.said, names, shares[0])
    enough = min(permutations, int(20 / alpha) + 1)  # a p of half of alpha is some ten times as fine as one of them
    apart = told_apart(old.features, new.features, permutations=enough, seed=seed)
    labels = None
    if old.targets is not None:
        known = old.targets >= 0
        said = old.said[known].argmax(1), old.targets[known], new.said.argmax(1)
        labels = label_shift(*said, len(names), confidence=confidence, resamples=resamples, seed=seed)
    differ = tuple(samples[row] for row in apart.rows[:NAMED])
    features = Finding("features", apart.p, shares[1], apart.auc, 0.0)
    return Drift(len(old), len(new), alpha, outputs, features, differ, labels)


def smallest(old: int, new: int, threshold: float) -> float:
    """The KS distance that is seen at this threshold, about."""
    return sqrt(log(2 / threshold) / 2 * (old + new) / (old * new))


def _outputs(old: Floats, new: Floats, names: Sequence[str], alpha: float) -> tuple[Finding, ...]:
    """A finding an output; together they err with `alpha`."""
    steps = ks_steps(old, new)
    unit = len(old) * len(new) // gcd(len(old), len(new))
    moved = new.mean(0) - old.mean(0)
    each = zip(names, steps.tolist(), moved.tolist(), strict=True)
    return tuple(
        Finding(name, ks_p(step, len(old), len(new)), alpha / len(names), step / unit, way) for name, step, way in each
    )


def ks_steps(old: Floats, new: Floats) -> NDArray[np.int64]:
    """K: the KS distance of each column, in parts of one by the least common multiple of both counts."""
    common = gcd(len(old), len(new))
    pooled = np.concatenate([old, new])
    order = np.argsort(pooled, axis=0, kind="stable")
    ordered = np.take_along_axis(pooled, order, axis=0)
    walked = np.cumsum(np.where(order < len(old), len(new) // common, -(len(old) // common)), axis=0)
    last = np.ones(pooled.shape, bool)
    last[:-1] = ordered[1:] > ordered[:-1]  # between equal values there is no place to look
    steps: NDArray[np.int64] = np.where(last, np.abs(walked), 0).max(0)
    return steps


@lru_cache(maxsize=2**14)
def ks_p(steps: int, old: int, new: int) -> float:
    """Two-sided p of a KS distance of `steps` (see `ks_steps`); exact without equal values, and too large with them.

    As scipy.stats.ks_2samp has it, from the distance alone: of many looks at as many samples most distances are known.

    >>> round(ks_p(6, 10, 10), 4)  # a distance of 0.6
    0.0524
    """
    unit = old * new // gcd(old, new)
    if steps <= 0:
        return 1.0
    exact = 1 - _share_within(steps, old, new) if old * new <= EXACT else 0.0
    if exact > TINY:
        return min(exact, 1.0)
    return float(np.clip(kstwo.sf(steps / unit, round(old * new / (old + new))), 0, 1))


def _share_within(steps: int, old: int, new: int) -> float:
    """Of all orders that two such samples can have, those whose distance stays below `steps`."""
    few, many = sorted((old, new))
    unit = old * new // gcd(old, new)
    places = np.arange(many + 1) * (unit // many)
    inside = np.where(places < steps, 1.0, 0.0)
    for row in range(1, few + 1):  # of paths on a grid: to each place from below and from the left
        kept = np.abs(places - row * (unit // few)) < steps
        inside = np.where(kept, np.cumsum(np.where(kept, inside * (row / (row + many)), 0.0)), 0.0)
    return float(inside[-1])
