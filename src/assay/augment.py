"""One augmentation policy, two uses: online transforms of a batch, and offline copies. Names no kind of sample."""

from collections.abc import Callable
from typing import TYPE_CHECKING

import torch

from assay import modality
from assay.params import Online, Policy

if TYPE_CHECKING:
    from torch import Generator, Tensor


def online(policy: Online, kind: str) -> "Callable[[Tensor, Tensor, Generator], Tensor] | None":
    """What `policy` at its `strength` does to a batch of modality `kind`; None where it does nothing.

    Mixing samples with each other is `mix`, apart from this: it changes targets too.
    """
    scaled = strengthened(policy)
    return modality.of(kind).augment(scaled) if is_on(scaled) else None


def is_on(policy: Policy) -> bool:
    """Whether any strength of the policy is above 0."""
    return any(getattr(policy, name) > 0 for name in Policy.model_fields)


def strengthened(policy: Online) -> Policy:
    """The policy with every strength multiplied by `strength`, none beyond what params.yaml allows for it."""
    return Policy(**{name: min(getattr(policy, name) * policy.strength, _most(name)) for name in Policy.model_fields})


def _most(name: str) -> float:
    """The upper bound of a strength, as declared in params.py: there alone."""
    bounds = [bound.le for bound in Policy.model_fields[name].metadata if hasattr(bound, "le")]
    assert len(bounds) == 1, f"augmentation strength {name!r} has no upper bound"
    return float(bounds[0])


def mix(x: "Tensor", policy: Online, rng: "Generator") -> "tuple[Tensor, Tensor | None, Tensor | float]":
    """Mix each sample with another of its batch: mixup by value, CutMix by a box; where both are on, one a batch.

    The box spans all axes but batch and channel, so a sequence N×L gives a stretch and a picture a rectangle.
    `strength` has no say here: an alpha is no amount.

    Returns:
        The mixed samples, of the dtype of `x`; the number of each one's partner, N; the share of itself that each kept:
        the loss is `share · loss(targets) + (1 - share) · loss(targets[partner])`. (x, None, 1) where both are off.

    Sources: Zhang et al., mixup (2018); Yun et al., CutMix (2019).
    """
    if not (policy.mixup or policy.cutmix):
        return x, None, 1.0
    partner = torch.randperm(len(x), generator=rng, device=rng.device).to(x.device)
    kept = _kept(x, policy, rng).to(x.device)
    mixed = torch.lerp(x[partner].float(), x.float(), kept)
    return (mixed if x.dtype.is_floating_point else mixed.round_()).to(x.dtype), partner, kept.mean()


def _kept(x: "Tensor", policy: Online, rng: "Generator") -> "Tensor":
    """How much of itself a sample keeps, place by place: one number (mixup), or 0 in a box and 1 elsewhere (CutMix)."""
    if not policy.cutmix:
        return _beta(policy.mixup, rng)
    outside = _outside_box(x, 1 - _beta(policy.cutmix, rng), rng)
    if not policy.mixup:
        return outside
    coin = torch.rand((), generator=rng, device=rng.device) < 0.5  # stays on the device: asking would wait for it
    return torch.where(coin, outside, _beta(policy.mixup, rng))


def _beta(alpha: float, rng: "Generator") -> "Tensor":
    """One draw of Beta(alpha, alpha): a Dirichlet of two, which torch draws from a generator, as it does not Beta."""
    return torch._sample_dirichlet(torch.full((2,), alpha, device=rng.device), generator=rng)[0]


def _outside_box(x: "Tensor", share: "Tensor", rng: "Generator") -> "Tensor":
    """1 outside a box of `share` of all places, 0 inside; its centre is anywhere, so it may be cut off at an edge."""
    sides = x.shape[2:] or x.shape[1:]
    half = share ** (1 / len(sides)) / 2
    inside = torch.ones((), device=rng.device)
    for axis, side in enumerate(sides):
        centre = torch.rand((), generator=rng, device=rng.device)
        places = (torch.arange(side, device=rng.device) + 0.5) / side
        inside = inside * ((places - centre).abs() < half).float().view(-1, *[1] * (len(sides) - axis - 1))
    return 1 - inside
