"""How weights move: the optimizer by its name, decoupled weight decay, and the learning rate of every step.

A schedule is a function of the step alone, so a resumed run needs nothing kept for it. Knows no loss and no data.
"""

import inspect
import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch.optim import Optimizer as TorchOptimizer

from assay.params import Optimizer, Schedule

Groups = Sequence[Mapping[str, Any]]

# https://arxiv.org/abs/1708.07120 and torch's OneCycleLR: where the cycle starts and ends, as shares of its height.
ONE_CYCLE_RISE, ONE_CYCLE_START, ONE_CYCLE_END = 0.3, 1 / 25, 1 / 250_000
GUARDED = ("add_param_group", "step", "zero_grad", "state_dict", "load_state_dict")  # by torch, for torch.compile


def make_optimizer(settings: Optimizer, groups: Groups) -> TorchOptimizer:
    """The optimizer over parameter groups `{"params", "lr", "lr_scale", "decays"}`, fused where torch can.

    Weight decay is not handed on: `decay_weights` does it alike for every optimizer.
    """
    device: str = groups[0]["params"][0].device.type
    kind, options = _kind(settings, device)
    return _eager(kind)([dict(group) for group in groups], lr=settings.lr, **options)


def _kind(settings: Optimizer, device: str) -> tuple[type[TorchOptimizer], dict[str, Any]]:
    if settings.name == "lion":
        from timm.optim.lion import Lion  # timm takes seconds to import

        return Lion, {"weight_decay": 0.0}
    momentum = settings.momentum
    kinds: dict[str, tuple[type[TorchOptimizer], dict[str, Any]]] = {
        "sgd": (torch.optim.SGD, {"fused": True}),
        "momentum": (torch.optim.SGD, {"momentum": momentum, "fused": True}),
        "nesterov": (torch.optim.SGD, {"momentum": momentum, "nesterov": momentum > 0, "fused": True}),
        "rmsprop": (torch.optim.RMSprop, {"momentum": momentum}),
        "adagrad": (torch.optim.Adagrad, {"fused": device != "mps"}),  # where torch 2.14 has no kernel
        "adam": (torch.optim.Adam, {"fused": True}),
        "adamw": (torch.optim.AdamW, {"weight_decay": 0.0, "fused": True}),
        "nadam": (torch.optim.NAdam, {}),
    }
    return kinds[settings.name]


def _eager(kind: type[TorchOptimizer]) -> Callable[..., TorchOptimizer]:
    """`kind` without what torch puts around its methods for `torch.compile`: it does nothing here, and to do it imports
    torch._dynamo, which costs every worker 2 s of a core and 150 MB.
    """
    bare: dict[str, Any] = {name: inspect.unwrap(getattr(kind, name)) for name in GUARDED}
    return type(kind.__name__, (kind,), bare | {"step": torch.no_grad()(bare["step"])})


@torch.no_grad()
def decay_weights(optimizer: TorchOptimizer, weight_decay: float) -> None:
    """Shrink every weight by its learning rate × `weight_decay`, apart from the gradient (decoupled)."""
    if not weight_decay:
        return
    for group in optimizer.param_groups:
        if group["decays"] and group["lr"]:
            torch._foreach_mul_(group["params"], 1 - group["lr"] * weight_decay)


def set_rate(optimizer: TorchOptimizer, rate: float) -> None:
    """Give every group its learning rate: `rate` × the group's scale."""
    for group in optimizer.param_groups:
        group["lr"] = rate * group["lr_scale"]


def rate_at(step: int, lr: float, schedule: Schedule, epochs: int, steps_an_epoch: int) -> float:
    """The learning rate of `step` (from 0) of `epochs` × `steps_an_epoch` steps, at most `lr`."""
    total = epochs * steps_an_epoch
    warmup = min(round(schedule.warmup * steps_an_epoch), total)
    if schedule.name == "one_cycle":
        return lr * _one_cycle(step, total, warmup or max(1, round(ONE_CYCLE_RISE * total)))
    if step < warmup:
        return lr * (step + 1) / warmup
    if schedule.name == "cosine":
        return lr * _fall((step - warmup) / max(1, total - warmup), 1.0, 0.0)
    if schedule.name == "step":
        return lr * float(schedule.step_factor ** (step // steps_an_epoch // schedule.step_epochs))
    return lr


def _one_cycle(step: int, total: int, rise: int) -> float:
    if step < rise:
        return _fall((step + 1) / rise, ONE_CYCLE_START, 1.0)
    return _fall((step - rise + 1) / max(1, total - rise), 1.0, ONE_CYCLE_END)


def _fall(done: float, begin: float, end: float) -> float:
    """Half a cosine from `begin` to `end` while `done` goes from 0 to 1."""
    return end + (begin - end) * (1 + math.cos(math.pi * done)) / 2
