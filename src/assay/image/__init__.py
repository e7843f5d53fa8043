"""The room of pictures: uint8 C×H×W in 0…255. Owns which function answers each verb; computes nothing."""

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING

from assay.image import decode
from assay.modality import Backbone, Finding, Modality, Sample, Spec

if TYPE_CHECKING:
    from matplotlib.figure import Figure
    from torch import Generator, Tensor
    from torch.nn import Module

    from assay.params import Data, Policy


class Image:
    """Pictures, as `assay.modality.Modality` asks. Whatever needs torch is imported when its verb is called."""

    name = "image"
    suffixes = decode.SUFFIXES

    def decode(self, raw: bytes, how: "Data") -> Sample:
        return decode.decode(raw, how)

    def check(self, sample: Sample, how: "Data") -> list[Finding]:
        return decode.check(sample, how)

    def fingerprint(self, sample: Sample) -> bytes:
        return decode.fingerprint(sample)

    def spec(self, how: "Data") -> Spec:
        return decode.spec(how)

    def augment(self, policy: "Policy") -> "Callable[[Tensor, Tensor, Generator], Tensor]":
        from assay.image.transforms import augmentation

        return augmentation(policy)

    def backbones(self) -> Mapping[str, Backbone]:
        from assay.image.backbones import BACKBONES

        return BACKBONES

    def corruptions(self) -> "Mapping[str, Callable[[Tensor, Tensor, int], Tensor]]":
        from assay.image.corruptions import CORRUPTIONS

        return CORRUPTIONS

    def attribute(self, model: "Module", x: "Tensor", length: "Tensor", target: int) -> "Tensor":
        from assay.image.attribution import attribute

        return attribute(model, x, length, target)

    def draw(self, x: "Tensor", weights: "Tensor | None") -> "Figure":
        from assay.image.drawing import draw

        return draw(x, weights)


MODALITY: Modality = Image()
