"""The augmentation policy for pictures, as operations on whole batches. Owns what each strength means; reads no files.

Letters: N samples, C channels, H rows, W columns, K rows of draws.

Everything geometric becomes one affine matrix a sample and one resampling a batch, everything else is elementwise with
one factor a sample; nothing loops over pictures. An operation of strength 0 is left out when the closure is built.

What lies beyond a picture's edge is its nearest edge pixel: a background stays background whatever its colour. Black
would put wedges into pictures on white, and mirroring would write a second stroke beside one that touches the edge.
"""

import math
from collections.abc import Callable

import torch
from torch import Generator, Tensor
from torch.nn import functional

from assay.params import Policy

Augmentation = Callable[[Tensor, Tensor, Generator], Tensor]  # (pictures, lengths, rng) → pictures
Step = Callable[[Tensor, Tensor, Generator], Tensor]  # (float N×C×H×W in 0…255, draws K×N, rng) → the same

FULL = 255.0  # the end of a picture's value range
GEOMETRY = ("crop", "rotate", "flip", "flip_vertical", "translate", "scale", "shear")
DRAWS = (
    *("crop", "crop_x", "crop_y", "rotate", "flip", "flip_vertical", "translate_x", "translate_y", "scale", "shear"),
    *("brightness", "contrast", "saturation", "noise", "blur", "erase", "erase_aspect", "erase_x", "erase_y"),
)
_ROW = {name: row for row, name in enumerate(DRAWS)}
_LUMA = (0.299, 0.587, 0.114)  # ITU-R BT.601, as Pillow turns RGB into grey
_ASPECT = math.log(1 / 0.3)  # Random Erasing (Zhong et al. 2020): aspect ratios from 0.3 to 1 / 0.3
_REACH = 3  # standard deviations a blur's kernel reaches to either side: 99.7% of its weight


def augmentation(policy: Policy) -> Augmentation:
    """`(x, length, rng) → x` for pictures N×C×H×W, uint8 or float, both in 0…255; shape, dtype and device are kept.

    Everything is drawn on the generator's own device, so the same seed means the same pictures wherever `x` lies.
    """
    steps = _steps(policy)

    def augment(x: Tensor, _length: Tensor, rng: Generator) -> Tensor:  # every picture is as wide as the batch
        if not steps:
            return x
        draws = draw(len(x), rng).to(x.device, non_blocking=True)
        pictures = x.float()
        with torch.autocast(x.device.type, enabled=False):  # places and kernels need all their digits
            for step in steps:
                pictures = step(pictures, draws, rng)
        return restore(pictures, x.dtype)

    return augment


def draw(num_samples: int, rng: Generator) -> Tensor:
    """Uniform in [0, 1): one row a name in `DRAWS`, one column a sample, on the generator's device.

    All rows are drawn whatever is on, so that switching one operation on leaves what the others do as it was.
    """
    return torch.rand(len(DRAWS), num_samples, generator=rng, device=rng.device)


def restore(pictures: Tensor, dtype: torch.dtype) -> Tensor:
    """Pictures of any float values as `dtype` in 0…255, rounded where it holds integers."""
    cut = pictures.clamp(0, FULL)
    return cut.to(dtype) if dtype.is_floating_point else cut.add_(0.5).to(dtype)  # + 0.5 and truncation is rounding


def _steps(policy: Policy) -> list[Step]:
    steps: list[tuple[bool, Step]] = [
        (any(getattr(policy, name) for name in GEOMETRY), lambda x, u, _: warp(x, matrices(policy, u, *x.shape[-2:]))),
        (policy.blur > 0, lambda x, u, _: blur(x, policy.blur * _of(u, "blur"), policy.blur)),
        (policy.brightness + policy.contrast > 0, lambda x, u, _: _light(x, u, policy)),
        (policy.saturation > 0, lambda x, u, _: _saturate(x, _around_one(u, "saturation", policy.saturation))),
        (policy.noise > 0, lambda x, u, rng: _add_noise(x, policy.noise * _of(u, "noise"), rng)),
        (policy.erase > 0, lambda x, u, _: _erase(x, u, policy.erase)),
    ]
    return [step for is_on, step in steps if is_on]


def _of(draws: Tensor, name: str) -> Tensor:
    return draws[_ROW[name]]


def _pair(draws: Tensor, first: str) -> Tensor:
    """The rows of x and y, which stand next to each other: 2×N."""
    return draws[_ROW[first] : _ROW[first] + 2]


def _around_one(draws: Tensor, name: str, strength: float) -> Tensor:
    """A factor a sample, from 1 - strength to 1 + strength: N×1×1×1."""
    return _each(1 + strength * (_of(draws, name) * 2 - 1))


def _each(factor: Tensor) -> Tensor:
    """One number a sample, N, beside pictures N×C×H×W."""
    return factor[:, None, None, None]


def matrices(policy: Policy, draws: Tensor, height: int, width: int) -> Tensor:
    """N×2×3: for each place of the result where in the picture it comes from, as `torch.nn.functional.affine_grid`.

    Places run from -1 to 1 across the picture, x before y. The picture is cropped, flipped, scaled, sheared, rotated
    (clockwise for positive angles) and translated, in this order, about its centre and in square pixels.
    """
    either = draws * 2 - 1
    xx, xy, yx, yy = _turned(policy, either)
    kept = 1 - policy.crop * _of(draws, "crop") if policy.crop else 1.0
    grown = 1 + policy.scale * _of(either, "scale") if policy.scale else 1.0
    across = kept / grown * _sign(draws, "flip", policy.flip)
    down = kept / grown * _sign(draws, "flip_vertical", policy.flip_vertical)
    found = torch.zeros(draws.shape[1], 2, 3, device=draws.device)
    found[:, 0, 0], found[:, 0, 1] = across * xx, across * xy * (height / width)
    found[:, 1, 0], found[:, 1, 1] = down * yx * (width / height), down * yy
    if policy.crop:
        found[:, :, 2] = ((1 - kept) * _pair(either, "crop_x")).T
    if policy.translate:
        moved = 2 * policy.translate * _pair(either, "translate_x").T  # a side is 2 long
        found[:, :, 2] -= (found[:, :, :2] * moved[:, None, :]).sum(2)
    return found


def _turned(policy: Policy, either: Tensor) -> tuple[Tensor | float, ...]:
    """The inverse of shear, then rotation: xx, xy, yx, yy of a 2×2 matrix a sample."""
    turned: tuple[Tensor | float, ...] = (1.0, 0.0, 0.0, 1.0)
    if policy.rotate:
        angle = _of(either, "rotate") * math.radians(policy.rotate)
        cosine, sine = angle.cos(), angle.sin()
        turned = (cosine, sine, -sine, cosine)
    if policy.shear:
        slope = torch.tan(_of(either, "shear") * math.radians(policy.shear))
        xx, xy, yx, yy = turned
        turned = (xx - slope * yx, xy - slope * yy, yx, yy)
    return turned


def _sign(draws: Tensor, name: str, probability: float) -> Tensor | float:
    return 1 - 2 * (_of(draws, name) < probability).float() if probability else 1.0


def warp(x: Tensor, matrices: Tensor) -> Tensor:
    """Pictures N×C×H×W, float, resampled bilinearly at the places that `matrices` N×2×3 says.

    The grid is a sum of one part along the rows and one along the columns: a tenth of what `affine_grid` takes on a CPU
    (0.7 against 10 µs a sample of 28×28), and no matrix product that a card may compute in fewer digits.
    """
    height, width = x.shape[-2:]
    along = torch.addcmul(matrices[:, :, 2, None], matrices[:, :, 0, None], _centres(width, x.device))  # N×2×W
    down = matrices[:, :, 1, None] * _centres(height, x.device)  # N×2×H
    places = (along[:, :, None, :] + down[:, :, :, None]).permute(0, 2, 3, 1)  # N×H×W×2, the planes left as they lie
    return functional.grid_sample(x, places, mode="bilinear", padding_mode="border", align_corners=False)


def _centres(side: int, device: torch.device) -> Tensor:
    """Where the pixels' centres lie on a side that runs from -1 to 1."""
    return torch.linspace(1 / side - 1, 1 - 1 / side, side, device=device)


def blur(x: Tensor, sigma: Tensor, largest: float) -> Tensor:
    """Gaussian blur of pictures N×C×H×W, float, by `sigma` N pixels, none above `largest`: a separable convolution."""
    reach = math.ceil(_REACH * largest)
    taps = torch.arange(-reach, reach + 1, device=x.device)
    kernels = torch.exp(-((taps / sigma.clamp_min(1e-3)[:, None]) ** 2) / 2)  # 1e-3: one tap stays, the identity
    kernels = (kernels / kernels.sum(1, keepdim=True)).repeat_interleave(x.shape[1], 0)
    planes = x.reshape(1, -1, *x.shape[-2:])  # each channel of each picture is a group of its own
    planes = functional.pad(planes, (reach, reach, reach, reach), mode="replicate")
    planes = functional.conv2d(planes, kernels[:, None, None, :], groups=len(kernels))
    return functional.conv2d(planes, kernels[:, None, :, None], groups=len(kernels)).view(x.shape)


def _light(x: Tensor, draws: Tensor, policy: Policy) -> Tensor:
    """Brightness multiplies; contrast then stretches about the picture's mean."""
    bright = _around_one(draws, "brightness", policy.brightness)
    if not policy.contrast:
        return x * bright
    stretch = _around_one(draws, "contrast", policy.contrast)
    mean = x.mean((1, 2, 3), keepdim=True) * bright
    return torch.addcmul(mean * (1 - stretch), x, bright * stretch)


def _saturate(x: Tensor, factor: Tensor) -> Tensor:
    """Colours move away from the pixel's grey by `factor` N×1×1×1, or towards it; a grey picture has none to move."""
    if x.shape[1] != len(_LUMA):
        return x
    grey = (x * x.new_tensor(_LUMA)[:, None, None]).sum(1, keepdim=True)
    return torch.lerp(grey, x, factor)


def _add_noise(x: Tensor, deviation: Tensor, rng: Generator) -> Tensor:
    drawn = torch.randn(x.shape, generator=rng, device=rng.device).to(x.device, non_blocking=True)
    return torch.addcmul(x, drawn, _each(FULL * deviation))


def _erase(x: Tensor, draws: Tensor, largest: float) -> Tensor:
    """One rectangle a picture takes the picture's mean colour, which tells a network the least (Zhong et al. 2020)."""
    share = (largest * _of(draws, "erase")).clamp_min(1e-6)
    widest = torch.minimum(share.new_tensor(_ASPECT), -share.log())  # so that no side is longer than the picture's
    aspect = torch.exp(widest * (_of(draws, "erase_aspect") * 2 - 1))
    across = _inside(x.shape[3], (share * aspect).sqrt(), _of(draws, "erase_x"))
    down = _inside(x.shape[2], (share / aspect).sqrt(), _of(draws, "erase_y"))
    mask = down[:, None, :, None] & across[:, None, None, :]
    return torch.where(mask, x.mean((2, 3), keepdim=True), x)


def _inside(side: int, share: Tensor, place: Tensor) -> Tensor:
    """N×side: is a pixel's centre in a stretch of `share` of the side that starts at `place` of what is left?"""
    centres = (torch.arange(side, device=share.device) + 0.5) / side
    start = (1 - share) * place
    return (centres >= start[:, None]) & (centres < (start + share)[:, None])
