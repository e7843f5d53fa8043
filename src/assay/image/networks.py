"""Our own small networks for pictures. Owns their layers and the step from raw pixels to their input; trains nothing.

Shapes: x is N × C × H × W, uint8 or float, 0…255; features are N × features.
"""

from collections import OrderedDict
from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from assay.activations import MONOTONE, activation
from assay.modality import Spec


class PictureNetwork(nn.Module):
    """Raw pictures to features: normalise, resize where the network sees another size than was prepared, compute.

    `features` is how many features come out. `stages` are lists of parameter names from input to output; together they
    are all parameters. `mean` and `std` are of pixels in 0…1, one a channel. `size` is height and width after resizing,
    or None where pictures stay as they are.
    """

    def __init__(
        self,
        network: nn.Module,
        features: int,
        stages: Sequence[Sequence[str]],
        mean: Sequence[float],
        std: Sequence[float],
        size: tuple[int, int] | None,
    ) -> None:
        super().__init__()
        self.network = network
        self.features = features
        self.stages = [[f"network.{name}" for name in stage] for stage in stages]
        self.notices: list[str] = []
        self.mean, self.std, self.size = tuple(mean), tuple(std), size
        # (x / 255 - mean) / std as one multiplication and addition; follows from the settings, so it is not saved.
        scale = torch.tensor([1 / (255 * s) for s in std]).reshape(-1, 1, 1)
        shift = torch.tensor([-m / s for m, s in zip(mean, std, strict=True)]).reshape(-1, 1, 1)
        self.register_buffer("scale", scale, persistent=False)
        self.register_buffer("shift", shift, persistent=False)
        self.scale: Tensor
        self.shift: Tensor

    def forward(self, x: Tensor, length: Tensor | None = None) -> Tensor:
        """N × C × H × W of 0…255 → N × features; `length` is not looked at, all of a picture counts."""
        features: Tensor = self.network(self.normalised(x))
        return features

    def normalised(self, x: Tensor) -> Tensor:
        """What the network sees of `x`: mean 0 and deviation 1 by `mean` and `std`, in the size it wants."""
        x = torch.addcmul(self.shift, x.float(), self.scale)
        if self.size is None or tuple(x.shape[-2:]) == self.size:
            return x
        shrinks = x.shape[-2] > self.size[0] or x.shape[-1] > self.size[1]
        return F.interpolate(x, self.size, mode="bilinear", align_corners=False, antialias=shrinks)


def seen_size(spec: Spec, input_size: int | None) -> tuple[int, int]:
    """Height and width that the network sees: the prepared size, unless the recipe wants another side."""
    return (input_size, input_size) if input_size is not None else (spec.shape[1], spec.shape[2])


def build_cnn(spec: Spec, act: str, input_size: int | None) -> PictureNetwork:
    """Two 3×3 convolutions (32, 64 maps), each pooled, and a dense layer of 128 features; no padding.

    The small network of every digits tutorial, for any size from `smallest_cnn` on.
    """
    height, width = seen_size(spec, input_size)
    places = ((height - 2) // 2 - 2) // 2 * (((width - 2) // 2 - 2) // 2)
    layers = OrderedDict(
        conv1=nn.Conv2d(spec.shape[0], 32, 3),
        **_pooled(act, 1),
        conv2=nn.Conv2d(32, 64, 3),
        **_pooled(act, 2),
        flatten=nn.Flatten(),
        dense=nn.Linear(64 * places, 128),
        act3=activation(act),
    )
    return _pictures(spec, layers, 128, (height, width) if input_size is not None else None)


def build_mlp(spec: Spec, act: str, input_size: int | None) -> PictureNetwork:
    """Two dense layers: 512, wide enough for all of a digit, then 128, as many features as the cnn gives its head."""
    height, width = seen_size(spec, input_size)
    layers = OrderedDict(
        flatten=nn.Flatten(),
        dense1=nn.Linear(spec.shape[0] * height * width, 512),
        act1=activation(act),
        dense2=nn.Linear(512, 128),
        act2=activation(act),
    )
    return _pictures(spec, layers, 128, (height, width) if input_size is not None else None)


def _pooled(act: str, number: int) -> dict[str, nn.Module]:
    pair = {f"act{number}": activation(act), f"pool{number}": nn.MaxPool2d(2)}
    return dict(reversed(pair.items())) if act in MONOTONE else pair


def _pictures(
    spec: Spec, layers: "OrderedDict[str, nn.Module]", features: int, size: tuple[int, int] | None
) -> PictureNetwork:
    """A layer with weights is a stage; pixels go to 0…1, as in the tutorials."""
    stages = [[f"{name}.{own}" for own, _ in layer.named_parameters()] for name, layer in layers.items()]
    channels = spec.shape[0]
    return PictureNetwork(
        nn.Sequential(layers), features, [s for s in stages if s], [0.0] * channels, [1.0] * channels, size
    )


def smallest_cnn(spec: Spec) -> int:  # noqa: ARG001  # the protocol's
    """10 → conv 8 → pool 4 → conv 2 → pool 1; below it nothing is left."""
    return 10


def smallest_mlp(spec: Spec) -> int:  # noqa: ARG001  # the protocol's
    """One place."""
    return 1
