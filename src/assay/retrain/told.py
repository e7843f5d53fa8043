"""What there is to tell of a retraining. Owns its parts as plain values, and which samples tell two models apart; draws
nothing and reads nothing.

Shapes: N samples, K outputs.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

MOST = 24  # samples that are shown


@dataclass(frozen=True)
class Data:
    """What is prepared now beside what the last retraining had.

    Attributes:
        before, now: split → samples.
        new, gone: samples by content.
        classes_before, classes_now: class → samples; none where there are no classes.
    """

    before: Mapping[str, int]
    now: Mapping[str, int]
    new: int = 0
    gone: int = 0
    classes_before: Mapping[str, int] = field(default_factory=dict)
    classes_now: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True)
class Ruled:
    """The two models on the test split.

    Attributes:
        said: the ruling, in a sentence.
        value, low, high: the gain and its interval; whatever the challenger is better by is positive.
        margin: how much worse than an earlier champion it may be.
        alpha: of this look.
        looks_left: in this year.
    """

    said: str
    metric: str
    value: float
    low: float
    high: float
    margin: float = 0.0
    alpha: float | None = None
    looks_left: int | None = None


@dataclass(frozen=True)
class Apart:
    """One sample on which the two differ; `png` is its picture, and the rest is words."""

    name: str
    png: bytes
    truth: str
    champion: str
    challenger: str
    right: str = ""  # `champion` or `challenger` where exactly one is


@dataclass(frozen=True)
class Told:
    """A retraining as its page tells it. Every part but the first may be missing.

    Attributes:
        kind: how it ended: promoted, kept, nothing new or failed.
        at: seconds since 1970.
        sentence: the same for a person.
        version, champion: of the registry: the challenger, and who is champion now.
        why: why it ran, or did not.
        missed: how often it was due since the last and did not run.
        drift: findings, a sentence each.
        recipe_before, recipe_now: field → value.
        validation: what the screen said.
        vetoes: a sentence each.
        num_apart: samples on which the two differ; `apart` are some of them.
    """

    model: str
    kind: str
    at: float
    sentence: str = ""
    version: int | None = None
    champion: int | None = None
    why: str = ""
    missed: int = 0
    data: Data | None = None
    drift: Sequence[str] = ()
    recipe_before: Mapping[str, Any] = field(default_factory=dict)
    recipe_now: Mapping[str, Any] = field(default_factory=dict)
    validation: str = ""
    test: Ruled | None = None
    vetoes: Sequence[str] = ()
    apart: Sequence[Apart] = ()
    num_apart: int = 0


def differing(
    task: str, challenger: NDArray[Any], champion: NDArray[Any], targets: NDArray[Any], most: int = MOST
) -> tuple[list[int], int]:
    """The samples that tell two models apart best, and how many do at all.

    Those come first that exactly one has right: in turn one that the challenger won and one that it lost, so that
    neither hides the other; the further apart the outputs, the earlier. Of numbers, none is quite right: there the
    smaller error counts as right.

    Args:
        challenger, champion: N × K, logits or values.
        targets: N class numbers, N × K zeros and ones, or N × K values.
    """
    assert challenger.shape == champion.shape and len(targets) == len(champion), "outputs of the same samples"
    said = [_said(task, outputs) for outputs in (challenger, champion)]
    apart = np.flatnonzero((said[0] != said[1]).reshape(len(targets), -1).any(axis=1))
    far = np.abs(_scaled(task, challenger) - _scaled(task, champion)).sum(axis=1)
    winner = winners(task, challenger, champion, targets)
    ranked = sorted(map(int, apart), key=lambda row: (-far[row], row))
    won, lost, neither = ([row for row in ranked if winner[row] == sign] for sign in (1, -1, 0))
    both = [row for pair in zip(won, lost, strict=False) for row in pair]
    rest = won[len(lost) :] + lost[len(won) :]
    return [*both, *rest, *neither][:most], len(apart)


def winners(task: str, challenger: NDArray[Any], champion: NDArray[Any], targets: NDArray[Any]) -> NDArray[np.int64]:
    """N numbers: 1 where the challenger alone is right, -1 where the champion is, 0 where both or none are."""
    if task == "regression":
        wide = targets.reshape(len(targets), -1)
        errors = [np.abs(outputs - wide).sum(axis=1) for outputs in (challenger, champion)]
        return np.asarray(np.sign(errors[1] - errors[0]), dtype=np.int64)
    right: list[NDArray[Any]] = [
        (_said(task, outputs) == targets).reshape(len(targets), -1).all(axis=1) for outputs in (challenger, champion)
    ]
    return np.subtract(*right, dtype=np.int64)


def _said(task: str, outputs: NDArray[Any]) -> NDArray[Any]:
    """What outputs come to: N classes, N × K labels or N × K values."""
    if task == "classification":
        return np.asarray(outputs.argmax(axis=1))
    return np.asarray(outputs > 0) if task == "multilabel" else outputs


def _scaled(task: str, outputs: NDArray[Any]) -> NDArray[np.float64]:
    """Outputs between which a distance says something: probabilities, or the values."""
    wide = outputs.astype(np.float64)
    if task == "regression":
        return wide
    if task == "multilabel":
        return 0.5 * (1 + np.tanh(wide / 2))
    powers = np.exp(wide - wide.max(axis=1, keepdims=True))
    return np.asarray(powers / powers.sum(axis=1, keepdims=True))
