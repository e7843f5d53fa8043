"""timm's networks as backbones. Owns how one is created, cut into stages, loaded and given other activations.

The only module of this room that imports timm; PyTorch Image Models, https://github.com/huggingface/pytorch-image-models.
"""

from bisect import bisect_left
from collections.abc import Mapping, Sequence
from functools import cache, partial
from typing import Any

import timm
import torch
from timm import layers
from timm.layers import activations_me
from timm.models import PretrainedCfg, adapt_input_conv, group_parameters, metaformer, nfnet
from torch import Tensor, nn

from assay.activations import activation
from assay.errors import InputError
from assay.image.networks import PictureNetwork, seen_size
from assay.modality import Backbone, Spec, Weights
from assay.shapes import described, output_shape
from assay.tensors import Mismatch, copy_weights, difference

# What timm puts where a network is not linear. Sigmoid, its hard form, Tanh and Softmax are gates and attention there.
REPLACED = (
    *(nn.ReLU, nn.ReLU6, nn.LeakyReLU, nn.PReLU, nn.ELU, nn.CELU, nn.SELU, nn.GELU, nn.SiLU, nn.Mish, nn.Hardswish),
    *(layers.Swish, layers.Mish, layers.HardSwish, layers.HardMish, layers.GELU, layers.GELUTanh, layers.QuickGELU),
    *(activations_me.SwishMe, activations_me.MishMe, activations_me.HardSwishMe, activations_me.HardMishMe),
    *(metaformer.SquaredReLU, metaformer.StarReLU),
)
# Modules of timm that call F.relu by themselves, found by reading timm 1.0.31; there nothing can be replaced.
FUNCTIONAL = ("timm.models.nasnet", "timm.models.pnasnet", "timm.models.xception", "timm.models.mobilevit")
# What the smallest size of a network mostly is: a whole patch, window or pooled map. Tried before what lies between.
LIKELY_SIZES = (1, 2, 4, 7, 8, 14, 16, 28, 32, 48, 64, 96, 128, 192, 224)


def names() -> list[str]:
    """Every network of timm, by architecture."""
    return list(timm.list_models())


def trained_config(name: str) -> PretrainedCfg:
    """How timm's weights of `name` were trained: their pixels' mean and std, size, first layers."""
    found = timm.get_pretrained_cfg(name)
    return PretrainedCfg() if found is None else found


@cache
def _tagged() -> frozenset[str]:
    return frozenset(timm.list_models(pretrained=True))


@cache
def backbone(name: str) -> Backbone:
    """The network `name`: an architecture, or one with the tag of its weights, `resnet18.a1_in1k`.

    Raises:
        KeyError: timm has none of that name.
    """
    if name not in _tagged() and ("." in name or not timm.is_model(name)):
        raise KeyError(name)
    cfg = trained_config(name)
    return Backbone(
        name,
        partial(build, name),
        partial(smallest, name),
        pretrained=cfg.has_weights,
        notes={"mean": cfg.mean, "std": cfg.std, "trained_at": cfg.input_size[1]},
    )


def build(name: str, spec: Spec, act: str | None, input_size: int | None, weights: Weights | None) -> PictureNetwork:
    """The network without its classifier, for pictures of `spec`, with its own activations unless `act` names others.

    A network that timm fixes to one size is made for the size it will see. `weights` are by timm's names; their
    classifier is left out, three channels are summed for grey pictures, embeddings of position are resampled.

    Raises:
        Mismatch: the weights are of another network.
    """
    size, channels = seen_size(spec, input_size), spec.shape[0]
    network = create(name, channels, size)
    if weights is not None:
        network = _loaded(network, name, channels, size, weights)
    mean, std = pixel_statistics(name, channels)
    found = PictureNetwork(
        network, features_of(network), stages(network), mean, std, size if input_size is not None else None
    )
    if act is not None:
        found.notices += replace_activations(network, name, act, pretrained=weights is not None)
    return found


def create(name: str, channels: int, size: tuple[int, int], **more: Any) -> nn.Module:
    """timm's network `name` with features instead of classes."""
    settings: dict[str, Any] = {"num_classes": 0, "in_chans": channels, **more}
    if trained_config(name).fixed_input_size:
        settings["img_size"] = size
    network: nn.Module = timm.create_model(name, **settings)
    return network


def features_of(network: nn.Module) -> int:
    """How many features come out of a network without classes."""
    return int(getattr(network, "head_hidden_size", None) or network.num_features)  # type: ignore[arg-type]


def stages(network: nn.Module) -> list[list[str]]:
    """timm's coarse groups of parameters, from input to output; where timm names none, modules: `stem`, `stages.0`…"""
    try:
        groups = group_parameters(network, network.group_matcher(coarse=True))  # type: ignore[operator]
        return [list(groups[number]) for number in sorted(groups)]
    except (AttributeError, AssertionError):  # metaformers have no groups, rdnet no coarse ones
        pass
    found: dict[str, list[str]] = {}
    for name, _ in network.named_parameters():
        first, second, *_ = [*name.split("."), ""]
        found.setdefault(f"{first}.{second}" if second.isdigit() else first, []).append(name)
    return list(found.values())


def pixel_statistics(name: str, channels: int) -> tuple[Sequence[float], Sequence[float]]:
    """Mean and deviation of pixels in 0…1 that the network was trained with; grey: the mean over its colours."""
    cfg = trained_config(name)
    if channels == len(cfg.mean):
        return cfg.mean, cfg.std
    return [sum(cfg.mean) / len(cfg.mean)] * channels, [sum(cfg.std) / len(cfg.std)] * channels


def _loaded(network: nn.Module, name: str, channels: int, size: tuple[int, int], weights: Weights) -> nn.Module:
    """`network` with `weights` in it, or another one made with them, where timm must resample positions."""
    own = network.state_dict()
    fitting = {key.removeprefix("network."): tensor for key, tensor in weights.items()}
    fitting = _first_kernels(name, channels, {key: fitting[key] for key in own if key in fitting}, own)
    if fitting.keys() == own.keys() and any(fitting[key].shape != own[key].shape for key in own):
        overlay = {"state_dict": fitting, "input_size": (channels, *size), "num_classes": 0}
        try:
            return create(name, channels, size, pretrained=True, pretrained_cfg_overlay=overlay)
        except (RuntimeError, ValueError) as error:
            raise Mismatch(difference(fitting, own) or str(error).splitlines()[0]) from error
    copy_weights(fitting, network)
    return network


def _first_kernels(
    name: str, channels: int, weights: dict[str, Tensor], own: Mapping[str, Tensor]
) -> dict[str, Tensor]:
    """First kernels of another number of channels, fitted: summed for grey pictures.

    A grey pixel is normalised once, by the mean deviation, so each colour's kernel is first brought to that scale.
    """
    cfg = trained_config(name)
    first: Any = cfg.first_conv  # one name, several, or none
    firsts = (first,) if isinstance(first, str) else (first or ())
    mean_std = sum(cfg.std) / len(cfg.std)
    for key in (f"{first}.weight" for first in firsts):
        kernel = weights.get(key)
        if kernel is None or kernel.shape == own[key].shape or kernel.ndim != 4 or kernel.shape[1] != len(cfg.std):
            continue
        scale = torch.tensor([mean_std / std for std in cfg.std]).reshape(1, -1, 1, 1)
        weights[key] = adapt_input_conv(channels, kernel.float() * scale)
    return weights


def replace_activations(network: nn.Module, name: str, act: str, *, pretrained: bool) -> list[str]:
    """Put `act` in the place of every activation of `network`; what a person should know about it comes back."""
    notices = []
    if pretrained:
        notices.append(f"{name}: its activations are now {act}; its weights were trained with others.")
    if any(type(module).__module__ in FUNCTIONAL for module in network.modules()):
        notices.append(f"{name}: calls ReLU inside its own code as well; there it stays.")
    for module in list(network.modules()):
        for key, child in module._modules.items():
            if isinstance(child, REPLACED):
                module._modules[key] = activation(act)
            elif isinstance(child, nfnet.GammaAct):
                module._modules[key] = nfnet.GammaAct(act, gamma=_gain(act))
    return notices


def _gain(act: str) -> float:
    """What brings a standard normal back to deviation 1 behind `act`: networks without norms are kept even by it
    (Brock et al. 2021, arXiv:2101.08692)."""
    places = torch.arange(10_000, dtype=torch.float64, device="cpu")  # also where a network is only described
    normal = torch.special.ndtri((places + 0.5) / len(places))
    return 1 / float(activation(act)(normal).std())


def smallest(name: str, spec: Spec) -> int:
    """The smallest side that `name` takes, found on the meta device: shapes alone, nothing is allocated.

    Raises:
        InputError: the network takes no picture of these channels at all.
    """
    return _smallest(name, spec.shape[0])


@cache
def _smallest(name: str, channels: int) -> int:
    cfg = trained_config(name)
    known = cfg.input_size[1]
    if not _fits(name, channels, known, None):
        fitting = len(cfg.mean)
        raise InputError(
            f"recipe.backbone: {name} takes no pictures of {channels} channels; set data.channels to {fitting}, or "
            "choose another network."
        )
    made = None if cfg.fixed_input_size else _described(name, channels, known)
    sizes = [size for size in LIKELY_SIZES if size < known]
    high = next((size for size in sizes if _fits(name, channels, size, made)), known)  # a larger one may not fit again
    between = range(max((size for size in sizes if size < high), default=0) + 1, high)
    return between.start + bisect_left(between, True, key=lambda size: _fits(name, channels, size, made))


def _described(name: str, channels: int, size: int) -> nn.Module:
    return described(lambda: create(name, channels, (size, size)))


def _fits(name: str, channels: int, size: int, made: nn.Module | None) -> bool:
    """Whether pictures of `size` go through; a network of fixed size is made for each."""
    try:
        network = _described(name, channels, size) if made is None else made
        shape = output_shape(network, (2, channels, size, size))
    except Exception:  # noqa: BLE001  # timm says too small an input in a dozen ways; the caller names the size
        return False
    return shape == (2, features_of(network))
