"""Damage that pictures meet in the world, in five severities. Owns how much each severity is; draws nothing at random.

The kinds and their five steps are those of ImageNet-C (Hendrycks & Dietterich, Benchmarking Neural Network Robustness
to Common Corruptions and Perturbations, 2019). Blur is that of its CIFAR-10-C, as a share of the side: the first
steps for 224 pixels are nothing on a small picture.
"""

from collections.abc import Callable, Mapping

import torch
from torch import Tensor

from assay.image.transforms import FULL, restore
from assay.image.transforms import blur as gaussian_blur

Corruption = Callable[[Tensor, Tensor, int], Tensor]

WORST = 5  # severities run from 0, the identity, to this
NOISE = (0.08, 0.12, 0.18, 0.26, 0.38)  # standard deviation, as a share of the value range
BLUR = (0.4 / 32, 0.6 / 32, 0.7 / 32, 0.8 / 32, 1.0 / 32)  # standard deviation, as a share of the shorter side
BRIGHTNESS = (0.1, 0.2, 0.3, 0.4, 0.5)  # added to every value, as a share of the range
CONTRAST = (0.4, 0.3, 0.2, 0.1, 0.05)  # what is left of the distance to the picture's mean
PIXELATE = (0.6, 0.5, 0.4, 0.3, 0.25)  # places a side that are left, as a share
NOISE_FIELDS = 16  # different noises; which one a picture gets follows from its content


def _noise(x: Tensor, step: int) -> Tensor:
    """One of a few fixed fields of noise, chosen by the picture's content: equal however pictures are batched."""
    fixed = torch.Generator().manual_seed(step)
    fields = torch.randn(NOISE_FIELDS, *x.shape[1:], generator=fixed).to(x.device)
    return x + FULL * NOISE[step] * fields[x.sum((1, 2, 3)).long() % NOISE_FIELDS]


def _blur(x: Tensor, step: int) -> Tensor:
    sigma = BLUR[step] * min(x.shape[-2:])
    return gaussian_blur(x, x.new_full((len(x),), sigma), sigma)


def _brightness(x: Tensor, step: int) -> Tensor:
    return x + FULL * BRIGHTNESS[step]


def _contrast(x: Tensor, step: int) -> Tensor:
    return torch.lerp(x.mean((1, 2, 3), keepdim=True), x, CONTRAST[step])


def _pixelate(x: Tensor, step: int) -> Tensor:
    """Cells of one colour, their mean. (Torch's area resampling overlaps its cells, so that fewer may do less harm.)"""
    for axis in (2, 3):
        side = x.shape[axis]
        num_cells = max(1, round(side * PIXELATE[step]))
        cell = ((torch.arange(side, device=x.device) + 0.5) * num_cells / side).long()
        sums = x.new_zeros(*x.shape[:axis], num_cells, *x.shape[axis + 1 :]).index_add_(axis, cell, x)
        sizes = torch.bincount(cell, minlength=num_cells).view(-1, *[1] * (3 - axis))
        x = (sums / sizes).index_select(axis, cell)
    return x


def _in_severities(damage: Callable[[Tensor, int], Tensor]) -> Corruption:
    def corrupt(x: Tensor, _length: Tensor, severity: int) -> Tensor:
        assert 0 <= severity <= WORST, f"severity {severity} is not in 0…{WORST}"
        return restore(damage(x.float(), severity - 1), x.dtype) if severity else x

    return corrupt


CORRUPTIONS: Mapping[str, Corruption] = {
    "noise": _in_severities(_noise),
    "blur": _in_severities(_blur),
    "brightness": _in_severities(_brightness),
    "contrast": _in_severities(_contrast),
    "pixelate": _in_severities(_pixelate),
}
"""`(x, length, severity) → x` for pictures N×C×H×W, uint8 or float in 0…255, of the same shape and dtype."""
