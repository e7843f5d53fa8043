"""Every network for pictures by its name. Owns the list; the networks stand in networks.py and zoo.py (timm).

`cnn` and `mlp` are had without importing timm; asking for any other name imports it.
"""

from collections.abc import Callable, Iterator, Mapping
from functools import partial
from types import ModuleType

from torch import nn

from assay.errors import InputError
from assay.image import networks
from assay.modality import Backbone, Spec, Weights
from assay.tensors import copy_weights


class Backbones(Mapping[str, Backbone]):
    """Name → backbone: ours at once, timm's when asked for: by architecture, or with the tag of its weights."""

    def __getitem__(self, name: str) -> Backbone:
        return OURS[name] if name in OURS else _zoo().backbone(name)

    def __iter__(self) -> Iterator[str]:
        yield from OURS
        yield from _zoo().names()

    def __len__(self) -> int:
        return len(OURS) + len(_zoo().names())


def _zoo() -> ModuleType:
    from assay.image import zoo  # timm takes seconds to import

    return zoo


Build = Callable[[Spec, str, int | None], networks.PictureNetwork]


def _build(
    build: Build,
    smallest: Callable[[Spec], int],
    spec: Spec,
    activation: str | None,
    input_size: int | None,
    weights: Weights | None,
) -> nn.Module:
    if min(networks.seen_size(spec, input_size)) < smallest(spec):
        raise InputError(f"recipe.input_size: the smallest that works is {smallest(spec)}.")
    network = build(spec, activation or "relu", input_size)
    if weights is not None:
        copy_weights(weights, network)
    return network


def _ours(name: str, build: Build, smallest: Callable[[Spec], int], num_stages: int) -> Backbone:
    return Backbone(name, partial(_build, build, smallest), smallest, notes={"num_stages": num_stages})


OURS = {
    "cnn": _ours("cnn", networks.build_cnn, networks.smallest_cnn, 3),
    "mlp": _ours("mlp", networks.build_mlp, networks.smallest_mlp, 2),
}
BACKBONES: Mapping[str, Backbone] = Backbones()
