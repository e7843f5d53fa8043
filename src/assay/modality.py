"""What a kind of sample must offer. Owns the protocol and the lazy import of a room; knows no room's inside.

A sample is one array and one length: an image is `uint8 C×H×W`. Everything outside a room sees arrays, lengths and this
protocol, and names no modality.
"""

import importlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from importlib.metadata import entry_points
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
from numpy.typing import NDArray

from assay.errors import InputError, nearest

if TYPE_CHECKING:
    from matplotlib.figure import Figure
    from torch import Generator, Tensor
    from torch.nn import Module

    from assay.params import Data, Policy

ROOMS = {"image": "assay.image:MODALITY"}


class Unreadable(Exception):
    """A sample that cannot be decoded; the message is one reason, without the sample's name."""


@dataclass(frozen=True)
class Sample:
    """One decoded sample: an array in the room's shape, how much of its longest axis is used, its size on arrival."""

    array: NDArray[Any]
    length: int
    size: tuple[int, ...]  # as it arrived, before resizing: (height, width) of a picture


@dataclass(frozen=True)
class Finding:
    """Something worth a word about one sample: `kind` is a short key (`constant`), `why` a sentence's end."""

    kind: str
    why: str


@dataclass(frozen=True)
class Spec:
    """Shape and type of every sample of a prepared data set, with its axes by name."""

    modality: str
    shape: tuple[int, ...]
    dtype: str
    axes: tuple[str, ...]


Weights = Mapping[str, "Tensor"]


@dataclass(frozen=True)
class Backbone:
    """A network that turns a batch of raw samples into features.

    `build(spec, activation, input_size, weights)` gives a module whose `forward(x, length)` maps raw samples
    `N × spec.shape` (0…255 for pictures, uint8 or float) to `N × features`; its attribute `features` says how many, its
    attribute `stages` is a list of lists of parameters' names from input to output, for freezing and layer-wise rates.
    `smallest(spec)` is the smallest input size, in places a side, that it can take.
    """

    name: str
    build: Callable[["Spec", str | None, int | None, "Weights | None"], "Module"]
    smallest: Callable[["Spec"], int]
    pretrained: bool = False  # whether weights for it exist
    notes: Mapping[str, Any] = field(default_factory=dict)


class Modality(Protocol):
    """A room: one kind of sample. One contract suite runs over every room (tests/modality_contract.py)."""

    name: str  # the word in params.yaml, the room, the optional extra
    suffixes: frozenset[str]  # what in a folder is a sample, in lower case with the dot

    def decode(self, raw: bytes, how: "Data") -> Sample:
        """Raises Unreadable with the reason; never a substitute."""

    def check(self, sample: Sample, how: "Data") -> list[Finding]:
        """What is odd about a sample: blank, cut, constant."""

    def fingerprint(self, sample: Sample) -> bytes:
        """Bits that nearly agree for near duplicates (see data/leaks.py for how near): the leak test."""

    def spec(self, how: "Data") -> Spec:
        """Shape and type of every sample that `decode` gives under these settings."""

    def augment(self, policy: "Policy") -> "Callable[[Tensor, Tensor, Generator], Tensor]":
        """(x, length, rng) → x of the same shape, dtype and device; each sample of the batch draws its own."""

    def backbones(self) -> Mapping[str, Backbone]:
        """Every network of this room by name."""

    def corruptions(self) -> "Mapping[str, Callable[[Tensor, Tensor, int], Tensor]]":
        """(x, length, severity 0…5) → x; severity 0 is the identity."""

    def attribute(self, model: "Module", x: "Tensor", length: "Tensor", target: int) -> "Tensor":
        """One weight for each place of each input: `N × the spatial axes`."""

    def draw(self, x: "Tensor", weights: "Tensor | None") -> "Figure":
        """A picture of one sample that a person understands, and why where weights are given."""


def of(name: str) -> Modality:
    """The room called `name`, imported only now; a stranger's room comes by the entry point group `assay.modalities`.

    Raises:
        InputError: no such room.
    """
    if name in ROOMS:
        module, attribute = ROOMS[name].split(":")
        room: Modality = getattr(importlib.import_module(module), attribute)
        return room
    strangers = {point.name: point for point in entry_points(group="assay.modalities")}
    if name in strangers:
        loaded: Modality = strangers[name].load()
        return loaded
    raise InputError(f"data.modality: {name!r} is not a kind of sample; {nearest(name, {*ROOMS, *strangers})}")


def empty(spec: Spec, count: int) -> NDArray[Any]:
    """An array for `count` samples of `spec`."""
    return np.empty((count, *spec.shape), dtype=spec.dtype)
