"""The activations a recipe may name. Owns name → module; does not know where in a network they stand."""

from collections.abc import Callable, Mapping

from torch import nn

MODULES: Mapping[str, Callable[[], nn.Module]] = {
    "sigmoid": nn.Sigmoid,
    "tanh": nn.Tanh,
    "relu": nn.ReLU,
    "leaky_relu": nn.LeakyReLU,
    "elu": nn.ELU,
    "selu": nn.SELU,
    "gelu": nn.GELU,
    "silu": nn.SiLU,
    "mish": nn.Mish,
    "hardswish": nn.Hardswish,
}
# max(f(a), f(b)) = f(max(a, b)) holds for these, gradients included, so pooling first saves ¾ of their work.
MONOTONE = frozenset({"sigmoid", "tanh", "relu", "leaky_relu", "elu", "selu"})


def activation(name: str) -> nn.Module:
    """A new module of the activation called `name`, one of `params.ACTIVATIONS`."""
    assert name in MODULES, f"the settings let {name!r} through, which is no activation"
    return MODULES[name]()
