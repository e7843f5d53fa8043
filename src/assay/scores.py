"""Validation scores of an epoch, from outputs and targets. Owns the few lines the hot path needs; evaluate.py judges.

Written out in torch because importing torchmetrics costs five seconds in every worker; a test holds them against it.
"""

from collections.abc import Callable, Mapping

import torch
from torch import Tensor

Score = Callable[[Tensor, Tensor], Tensor]


def scores_of(task: str, outputs: Tensor, targets: Tensor) -> dict[str, float]:
    """Every score of `task` but the loss, of N × K outputs."""
    return {name: float(score(outputs, targets)) for name, score in _SCORES[task].items()}


def _confusion(outputs: Tensor, targets: Tensor) -> Tensor:
    classes = outputs.shape[1]
    pairs = targets * classes + outputs.argmax(1)
    return torch.bincount(pairs, minlength=classes**2).reshape(classes, classes).double()


def _accuracy(outputs: Tensor, targets: Tensor) -> Tensor:
    return (outputs.argmax(1) == targets).double().mean()


def _balanced_accuracy(outputs: Tensor, targets: Tensor) -> Tensor:
    counts = _confusion(outputs, targets)
    present = counts.sum(1) > 0
    return (counts.diagonal()[present] / counts.sum(1)[present]).mean()


def _macro_f1(outputs: Tensor, targets: Tensor) -> Tensor:
    counts = _confusion(outputs, targets)
    seen = counts.sum(0) + counts.sum(1)
    return (2 * counts.diagonal()[seen > 0] / seen[seen > 0]).mean()


def _label_f1(outputs: Tensor, targets: Tensor) -> Tensor:
    said, true = outputs > 0, targets > 0.5
    seen = (said.sum(0) + true.sum(0)).double()
    f1 = 2 * (said & true).sum(0).double() / seen.clamp(min=1)
    return f1[seen > 0].mean() if bool((seen > 0).any()) else torch.tensor(0.0)


def _label_accuracy(outputs: Tensor, targets: Tensor) -> Tensor:
    return ((outputs > 0) == (targets > 0.5)).double().mean()


def _r2(outputs: Tensor, targets: Tensor) -> Tensor:
    error = (targets - outputs).double().square().sum(0)
    spread = (targets - targets.mean(0)).double().square().sum(0)
    return (1 - error / spread.clamp(min=torch.finfo(torch.float64).tiny)).mean()


_SCORES: Mapping[str, Mapping[str, Score]] = {
    "classification": {"accuracy": _accuracy, "balanced_accuracy": _balanced_accuracy, "f1": _macro_f1},
    "multilabel": {"f1": _label_f1, "accuracy": _label_accuracy},
    "regression": {
        "r2": _r2,
        "rmse": lambda outputs, targets: (outputs - targets).double().square().mean().sqrt(),
        "mae": lambda outputs, targets: (outputs - targets).double().abs().mean(),
    },
}
