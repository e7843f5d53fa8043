"""One temperature that makes probabilities mean what they say: of answers given at 0.8, eight in ten are right. Owns
how it is found; where it is kept and applied is the registry's.

Outputs are divided by it, so what is said stays and only how surely changes. Guo, Pleiss, Sun and Weinberger, On
calibration of modern neural networks, ICML 2017.
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray

NONE = 1.0  # changes nothing
LOWEST, HIGHEST = 0.25, 16.0  # beyond, a network is not unsure but broken


def fitted(task: str, outputs: NDArray[np.float32], targets: NDArray[Any]) -> float:
    """The temperature under which held-out samples have the smallest log loss.

    It is `NONE` for numbers, and where the samples show no mistake: how often a model errs that was never seen to err,
    they cannot tell, and the smallest loss would be that of a model which is always certain.

    Args:
        outputs: N × K logits, finite.
        targets: N class numbers, or N × K labels.
    """
    from scipy.optimize import minimize_scalar

    if task == "regression" or not _errs(task, outputs, targets):
        return NONE
    logits = outputs.astype(np.float64)
    bounds = (np.log(LOWEST), np.log(HIGHEST))
    found = float(np.exp(minimize_scalar(lambda log: _loss(task, logits / np.exp(log), targets), bounds=bounds).x))
    return found if _loss(task, logits / found, targets) < _loss(task, logits, targets) else NONE


def _errs(task: str, outputs: NDArray[np.float32], targets: NDArray[Any]) -> bool:
    if task == "classification":
        return bool((outputs.argmax(1) != targets).any())
    return bool(((outputs > 0) != (targets > 0.5)).any())


def _loss(task: str, logits: NDArray[np.float64], targets: NDArray[Any]) -> float:
    """Mean log loss, of each class or of each label."""
    from assay.sums import class_losses, label_losses

    losses = class_losses(logits, targets) if task == "classification" else label_losses(logits, targets > 0.5)
    return float(losses.mean())
