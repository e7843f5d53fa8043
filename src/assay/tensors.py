"""Named tensors in files: safetensors, never pickle. Owns reading, writing and fitting them; not what they mean."""

import hashlib
from collections.abc import Mapping
from pathlib import Path

import safetensors
import safetensors.torch
import torch
from torch import Tensor, nn

from assay.errors import InputError


class Mismatch(InputError):
    """Tensors that do not fit a network; the sentences lack the place they came from, which the catcher adds."""


def packed(tensors: Mapping[str, Tensor]) -> bytes:
    """The bytes of a safetensors file, equal for equal tensors on every machine.

    One entry of metadata: the format keeps several in no fixed order.
    """
    plain = {name: tensors[name].detach().to("cpu").contiguous().clone() for name in sorted(tensors)}
    data: bytes = safetensors.torch.save(plain, metadata={"format": "pt"})
    return data


def unpacked(data: bytes, path: Path) -> dict[str, Tensor]:
    """The tensors in the bytes that `path` held.

    Raises:
        InputError: they are no safetensors file, or not a whole one.
    """
    try:
        tensors: dict[str, Tensor] = safetensors.torch.load(data)
    except safetensors.SafetensorError as error:
        raise InputError(f"{path}: is no whole safetensors file ({error}).") from error
    return tensors


def sha256(data: bytes) -> str:
    """The digest as `sha256sum` prints it."""
    return hashlib.sha256(data).hexdigest()


def copy_weights(weights: Mapping[str, Tensor], network: nn.Module) -> None:
    """Copy `weights` into `network`: every tensor of it, by name.

    Raises:
        Mismatch: a name is missing on either side, or a shape differs.
    """
    own = network.state_dict()
    if (odd := difference(weights, own)) is not None:
        raise Mismatch(odd)
    with torch.no_grad():
        for name, tensor in own.items():
            tensor.copy_(weights[name])


def difference(weights: Mapping[str, Tensor], own: Mapping[str, Tensor]) -> str | None:
    """How `weights` differ in names or shapes from a network's `own`, as a sentence; None where they do not."""
    missing, strange = sorted(own.keys() - weights.keys()), sorted(weights.keys() - own.keys())
    if missing or strange:
        odd = f"{missing[0]} is missing" if missing else f"{strange[0]} has no place in this network"
        return f"{odd} ({len(missing)} missing, {len(strange)} too many); they are of another network."
    for name, tensor in own.items():
        if weights[name].shape != tensor.shape:
            return f"{name} is {_shape(weights[name])} there and {_shape(tensor)} in this network."
    return None


def _shape(tensor: Tensor) -> str:
    return "×".join(map(str, tensor.shape)) or "a single number"
