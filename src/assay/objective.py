"""What training makes small: losses of the data and penalties on weights. Knows no network and moves no weight.

L1 and L2 are penalties: they belong to the loss, so an adaptive optimizer rescales their gradient like any other.
Weight decay (descent.py) is decoupled: it shrinks weights beside the gradient and no optimizer rescales it
(Loshchilov & Hutter, 2019, https://arxiv.org/abs/1711.05101).
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F

from assay.errors import InputError, nearest
from assay.params import LOSSES_OF_TASK, Recipe

Loss = Callable[[Tensor, Tensor], Tensor]


def resolve_loss(recipe: Recipe, task: str) -> str:
    """The loss's name for `task`; `auto` is the task's own.

    Raises:
        InputError: the loss does not fit the task.
    """
    fitting = LOSSES_OF_TASK[task]
    if recipe.loss == "auto":
        return fitting[0]
    if recipe.loss not in fitting:
        raise InputError(f"recipe.loss is {recipe.loss!r}, which does not fit {task}; use {' or '.join(fitting)}.")
    return recipe.loss


def make_loss(recipe: Recipe, task: str, weights: Tensor | None) -> Loss:
    """The mean loss of a batch: `(outputs N × K, targets) → scalar`.

    Targets are N class numbers for classification and N × K for multilabel (0 or 1) and regression. `weights` are K
    weights of the classes, or None.
    """
    name = resolve_loss(recipe, task)
    smoothing = recipe.label_smoothing
    if name == "cross_entropy":
        return lambda outputs, targets: F.cross_entropy(outputs, targets, weights, label_smoothing=smoothing)
    if name == "binary_cross_entropy":
        return lambda outputs, targets: _binary(outputs, targets, weights, smoothing).mean()
    if name == "focal" and task == "multilabel":
        return lambda outputs, targets: _focal_binary(outputs, targets, weights, smoothing, recipe.focal_gamma)
    if name == "focal":
        return lambda outputs, targets: _focal(outputs, targets, weights, smoothing, recipe.focal_gamma)
    if name == "mse":
        return F.mse_loss
    assert name == "huber", name
    return lambda outputs, targets: F.huber_loss(outputs, targets, delta=recipe.huber_delta)


def _binary(outputs: Tensor, targets: Tensor, weights: Tensor | None, smoothing: float) -> Tensor:
    smooth = targets * (1 - smoothing) + smoothing / 2
    return F.binary_cross_entropy_with_logits(outputs, smooth, weights, reduction="none")


def _focal(outputs: Tensor, targets: Tensor, weights: Tensor | None, smoothing: float, gamma: float) -> Tensor:
    """Lin et al., 2017, https://arxiv.org/abs/1708.02002: an easy sample's loss fades by (1 - p)^gamma."""
    log_p = F.log_softmax(outputs, dim=1).gather(1, targets[:, None]).squeeze(1)
    each = F.cross_entropy(outputs, targets, reduction="none", label_smoothing=smoothing)
    fade = (1 - log_p.exp()) ** gamma
    if weights is None:
        return (fade * each).mean()
    share = weights[targets]
    return (share * fade * each).sum() / share.sum()


def _focal_binary(outputs: Tensor, targets: Tensor, weights: Tensor | None, smoothing: float, gamma: float) -> Tensor:
    p = torch.sigmoid(outputs)
    wrong = targets * (1 - p) + (1 - targets) * p
    return (wrong**gamma * _binary(outputs, targets, weights, smoothing)).mean()


def class_weights(
    wanted: str | Mapping[str, float] | None, classes: Sequence[str] | None, targets: NDArray[Any]
) -> Tensor | None:
    """K weights of the classes, float32, or None.

    `balanced` is N / (K × count of the class), so that every class weighs alike (King & Zeng, 2001); for multilabel the
    count is of the label's positives. A mapping names classes; those it does not name weigh 1.

    Raises:
        InputError: weights for a task without classes, or for a class there is not.
    """
    if wanted is None:
        return None
    if classes is None:
        raise InputError("recipe.class_weights is set, but regression has no classes; set it to null.")
    if isinstance(wanted, str):
        counts = np.bincount(targets, minlength=len(classes)) if targets.ndim == 1 else targets.sum(0)
        return torch.from_numpy((len(targets) / (len(classes) * np.maximum(counts, 1))).astype(np.float32))
    for name in wanted:
        if name not in classes:
            raise InputError(f"recipe.class_weights: {name!r} is not a class; {nearest(name, classes)}")
    return torch.tensor([float(wanted.get(name, 1.0)) for name in classes])


class Penalty:
    """l1 × sum |w| + l2 × sum w² over weights (not biases, not norms), as gradients added after `backward`.

    Equal to adding the penalty to the loss, without a graph for it.
    """

    def __init__(self, l1: float, l2: float, weights: Sequence[Tensor]) -> None:
        self.l1, self.l2 = l1, l2
        self.weights = list(weights) if l1 or l2 else []

    @torch.no_grad()
    def add_gradients(self) -> None:
        """Add the penalty's gradient to the `.grad` of the weights that have one."""
        if not self.weights:
            return
        learning = [weight for weight in self.weights if weight.grad is not None]
        gradients = [weight.grad for weight in learning if weight.grad is not None]
        if self.l2:
            torch._foreach_add_(gradients, learning, alpha=2 * self.l2)
        if self.l1:
            torch._foreach_add_(gradients, torch._foreach_sign(learning), alpha=self.l1)

    @torch.no_grad()
    def value(self) -> float:
        """The penalty itself, for the record."""
        if not self.weights:
            return 0.0
        total = sum(self.l1 * weight.abs().sum() + self.l2 * weight.square().sum() for weight in self.weights)
        return float(total)
