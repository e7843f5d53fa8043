"""Which classes are more frequent today, and how often a model is right then, from its answers alone. Owns the estimate
and its intervals; it holds where the shares of the classes have changed and nothing else has.

Shapes: K classes, b resamples of one block; joint is K said × K true, shares of all samples.

Source: Lipton, Wang and Smola, Detecting and correcting for label shift with black box predictors, ICML 2018; its
weights are drawn a little towards 1, after Azizzadenesheli et al., Regularized learning for domain adaptation under
label shifts, ICLR 2019: where the model confuses two classes always, their shares stay in the ratio that they had.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from assay.intervals import Interval, Resampled, wilson

ROUNDED = 12  # digits: a perfect model is right in all and not in all but 1e-16
BLOCK = 2**22  # cells of joint at once
Floats = NDArray[np.float64]


@dataclass(frozen=True)
class LabelShift:
    """The shares of the classes and the accuracy, before and today."""

    before: tuple[float, ...]
    today: tuple[Interval, ...]
    accuracy_before: float
    accuracy: Interval


def label_shift(
    said: NDArray[np.int64],
    true: NDArray[np.int64],
    today: NDArray[np.int64],
    num_classes: int,
    *,
    confidence: float,
    resamples: int,
    seed: int,
) -> LabelShift:
    """Estimate from what a model said of old samples, what was true there, and what it says of new ones."""
    assert len(said) == len(true) > 0 and len(today) > 0, f"{len(said)} and {len(today)} answers, {len(true)} classes"
    places = said * num_classes + true
    joint = np.bincount(places, minlength=num_classes**2).reshape(1, num_classes, num_classes) / len(said)
    answers = np.bincount(today, minlength=num_classes)[None] / len(today)
    shares, accuracy = _estimated(joint, answers, len(today))
    drawn = list(_redrawn(joint[0], answers[0], (len(said), len(today)), resamples, seed))
    every = np.concatenate([each for each, _ in drawn])
    right = np.concatenate([each for _, each in drawn])
    perfect = wilson(len(said), len(said), confidence)
    return LabelShift(
        tuple(joint[0].sum(0).tolist()),
        tuple(Resampled(float(value), every[:, k]).interval(confidence) for k, value in enumerate(shares[0])),
        float(np.trace(joint[0])),
        Resampled(float(accuracy[0]), right).share_interval(confidence, perfect),
    )


def _estimated(joint: Floats, answers: Floats, count: int) -> tuple[Floats, Floats]:
    """b × K shares of the classes and b accuracies, where a model answers so `count` samples."""
    num_classes = joint.shape[-1]
    turned = joint.transpose(0, 2, 1)
    square = turned @ joint
    pull = np.trace(square, axis1=1, axis2=2) / (num_classes * count)
    pulled = square + pull[:, None, None] * np.eye(num_classes)
    wanted = (turned @ answers[..., None])[..., 0] + pull[:, None]
    weights = np.maximum(np.linalg.solve(pulled, wanted[..., None])[..., 0], 0.0)  # a share is not negative
    before = joint.sum(1)
    shares = weights * before
    total = shares.sum(1, keepdims=True)
    shares, weights = shares / total, weights / total
    right = (np.diagonal(joint, axis1=1, axis2=2) * weights).sum(1)
    return shares, np.minimum(right.round(ROUNDED), 1.0)


def _redrawn(
    joint: Floats, answers: Floats, counts: tuple[int, int], resamples: int, seed: int
) -> Iterator[tuple[Floats, Floats]]:
    """The estimates of the bootstrap, of old and new samples both."""
    rng, block = np.random.default_rng(seed), max(1, BLOCK // joint.size)
    for start in range(0, resamples, block):
        width = min(block, resamples - start)
        old = rng.multinomial(counts[0], joint.ravel(), size=width).reshape(width, *joint.shape) / counts[0]
        yield _estimated(old, rng.multinomial(counts[1], answers, size=width) / counts[1], counts[1])
