"""Networks tried by shape alone, on the meta device. Owns how that is made cheap; computes no number.

A network of a billion weights takes no memory there, and what a real input would be refused for is refused as well.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import nn
from torch.overrides import TorchFunctionMode


class _KeepShapes(TorchFunctionMode):
    """Functions that leave shapes alone are passed over: on the meta device batch norm is 5 ms of Python each."""

    NORMS = (F.batch_norm, F.layer_norm, F.group_norm, torch.batch_norm, torch.layer_norm)
    ACTIVATIONS = (F.relu, F.relu6, F.hardtanh, F.gelu, F.silu, F.hardswish, F.mish, F.elu, F.leaky_relu)
    PASSED = frozenset({*NORMS, *ACTIVATIONS, F.dropout})

    def __torch_function__(
        self,
        func: Callable[..., Any],
        types: Sequence[type],  # the protocol's
        args: Sequence[Any] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:
        if func in self.PASSED and args:
            return args[0]
        return func(*args, **(kwargs or {}))


def described(build: Callable[[], nn.Module]) -> nn.Module:
    """The module that `build` makes, with shapes and without numbers."""
    with torch.device("meta"):
        return build()


def output_shape(network: nn.Module, input_shape: Sequence[int]) -> tuple[int, ...]:
    """What a described `network` makes of an input of `input_shape` (float32).

    Raises:
        Exception: whatever the network raises where the input does not fit.
    """
    with torch.device("meta"), torch.no_grad(), _KeepShapes():
        return tuple(network(torch.empty(*input_shape)).shape)
