"""Every network for pictures by its name. Owns the list; the networks stand in networks.py and zoo.py (timm).

`cnn` and `mlp` are had without importing timm; asking for any other name imports it.
"""

from collections.abc import Callable, Iterator, Mapping
from functools import partial

from torch import nn

from assay.image import networks
from assay.modality import Backbone, Spec, Weights
from assay.tensors import copy_weights


class Backbones(Mapping[str, Backbone]):
    """Name → backbone: ours at once, timm's when asked for.

    Raises:
        KeyError: no such network; `names_like` says what to offer instead.
    """

    def __getitem__(self, name: str) -> Backbone:
        if name in OURS:
            return OURS[name]
        raise KeyError(name)

    def __contains__(self, name: object) -> bool:
        return name in OURS

    def __iter__(self) -> Iterator[str]:
        yield from OURS

    def __len__(self) -> int:
        return sum(1 for _ in self)


Build = Callable[[Spec, str, int | None], networks.PictureNetwork]


def _build(
    build: Build, spec: Spec, activation: str | None, input_size: int | None, weights: Weights | None
) -> nn.Module:
    network = build(spec, activation or "relu", input_size)
    if weights is not None:
        copy_weights(weights, network)
    return network


OURS: dict[str, Backbone] = {
    "cnn": Backbone("cnn", partial(_build, networks.build_cnn), networks.smallest_cnn),
    "mlp": Backbone("mlp", partial(_build, networks.build_mlp), networks.smallest_mlp),
}
BACKBONES: Mapping[str, Backbone] = Backbones()
