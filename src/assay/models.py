"""A model: backbone, dropout, head. Owns what is frozen and how parameters are grouped; never trains.

Files are model_files.py's, pretrained weights are weights.py's.
"""

from collections import defaultdict
from functools import cache
from typing import Any

import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from assay import modality
from assay.errors import InputError, nearest
from assay.modality import Backbone, Spec, Weights
from assay.params import Recipe
from assay.shapes import described, output_shape
from assay.tensors import Mismatch


class Model(nn.Module):
    """Raw samples to logits: `head(dropout(backbone(x, length)))`.

    `notices` are sentences a person should read once, e.g. that activations of a pretrained network were replaced.
    """

    def __init__(self, backbone: nn.Module, num_outputs: int, dropout: float) -> None:
        super().__init__()
        self.backbone = backbone
        self.dropout = nn.Dropout(dropout)
        self.head = nn.Linear(int(backbone.features), num_outputs)  # type: ignore[arg-type]
        self.notices: list[str] = list(getattr(backbone, "notices", []))
        self.frozen: frozenset[str] = frozenset()
        self.register_buffer("output_mean", None)  # regression: see scale_outputs
        self.register_buffer("output_std", None)
        self.output_mean: Tensor | None
        self.output_std: Tensor | None
        self._still: list[nn.Module] = []

    @property
    def stages(self) -> list[list[str]]:
        """Names of the backbone's parameters, a list a stage, from input to output."""
        return [[f"backbone.{name}" for name in stage] for stage in self.backbone.stages]  # type: ignore[union-attr]

    def forward(self, x: Tensor, length: Tensor | None = None) -> Tensor:
        """N × spec.shape, raw → N × num_outputs logits (regression: the numbers themselves)."""
        logits: Tensor = self.head(self.dropout(self.backbone(x, length)))
        if self.output_mean is None or self.output_std is None:
            return logits
        return logits * self.output_std + self.output_mean

    def scale_outputs(self, mean: NDArray[Any], std: NDArray[Any]) -> None:
        """Regression: answer in the targets' units, while the head learns numbers near 0 and 1.

        `mean` and `std` are of the training targets, one an output; they are saved with the weights. A target that
        never varies counts as of deviation 1.
        """
        deviation = torch.as_tensor(std, dtype=torch.float32)
        self.output_mean = torch.as_tensor(mean, dtype=torch.float32)
        self.output_std = torch.where(deviation > 0, deviation, 1.0)

    def standardized(self, values: Tensor) -> Tensor:
        """Outputs or targets N × num_outputs in units of the training targets' spread; as they are without a scale."""
        if self.output_mean is None or self.output_std is None:
            return values
        return (values - self.output_mean) / self.output_std

    def freeze(self, names: frozenset[str]) -> None:
        """Let the parameters called `names` stand still, and with them the batch norms that they belong to."""
        self.frozen = names
        for name, parameter in self.named_parameters():
            parameter.requires_grad_(name not in names)
        norms = [(name, module) for name, module in self.named_modules() if hasattr(module, "running_mean")]
        self._still = [module for name, module in norms if f"{name}.weight" in names]
        self.train(self.training)

    def train(self, mode: bool = True) -> "Model":
        """As of any module, but frozen batch norms stay in evaluation mode: their statistics are frozen too."""
        super().train(mode)
        for norm in self._still:
            norm.eval()
        return self

    def parameter_groups(self, lr: float, layer_decay: float | None) -> list[dict[str, Any]]:
        """Groups for an optimizer: `params`, `lr` (= lr × lr_scale), `lr_scale`, `decays`.

        The head learns at `lr`, each stage below at `layer_decay` times the rate of the one above it (None: all alike).
        `decays` is False for biases, norms and other scales of channels: no penalty and no decay for those.
        Frozen parameters are in no group.
        """
        found = dict(self.named_parameters())
        below = [*self.stages, [name for name in found if not name.startswith("backbone.")]]
        groups: dict[tuple[float, bool], list[nn.Parameter]] = defaultdict(list)  # few groups: each costs a call a step
        for distance, names in enumerate(reversed(below)):
            scale = 1.0 if layer_decay is None else layer_decay**distance
            for name in names:
                if found[name].requires_grad:
                    groups[scale, _decays(name, found[name])].append(found[name])
        return [
            {"params": params, "lr": lr * scale, "lr_scale": scale, "decays": decays}
            for (scale, decays), params in groups.items()
        ]


def _decays(name: str, parameter: Tensor) -> bool:
    """Whether it is a weight: no bias, table of biases, norm, or scale of channels, however many axes of 1 that has."""
    one_axis = parameter.ndim != 2 and max(parameter.shape, default=1) == parameter.numel()
    return not one_axis and "bias" not in name.rpartition(".")[2]


def build_model(recipe: Recipe, spec: Spec, num_outputs: int, weights: Weights | None) -> Model:
    """The network that `recipe` describes, for samples of `spec`.

    Weights that are not given are drawn from `recipe.seed`; the global random state stays as it was. `weights` are the
    backbone's (see weights.py); the recipe's `pretrained` is not looked at, so a saved model is rebuilt without it.

    Raises:
        InputError: unknown backbone, too small an input, weights of another shape, more stages frozen than it has.
    """
    backbone = find_backbone(recipe.backbone, spec)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(recipe.seed)
        try:
            network = backbone.build(spec, recipe.activation, recipe.input_size, weights)
        except Mismatch as error:
            origin = recipe.pretrained if isinstance(recipe.pretrained, str) else recipe.backbone
            raise InputError(*(f"weights of {origin}: {sentence}" for sentence in error.sentences)) from error
        model = Model(network, num_outputs, recipe.dropout)
    model.freeze(_frozen(recipe, model))
    return model.to(memory_format=torch.channels_last)


def check_recipe(recipe: Recipe, spec: Spec) -> None:
    """Whether `build_model` will build this and its input go through; no weights are allocated, drawn or read.

    Raises:
        InputError: every reason why not, one sentence each.
    """
    backbone = find_backbone(recipe.backbone, spec)
    problems = []
    if recipe.pretrained is True and not backbone.pretrained:
        problems.append(
            f"recipe.pretrained: no trained weights of {recipe.backbone!r} are known; it must be false or a path."
        )
    try:
        num_stages = _described(recipe.backbone, spec, recipe.input_size)
        if isinstance(recipe.freeze, int) and recipe.freeze > num_stages:
            problems.append(_too_many_stages(recipe, num_stages))
    except InputError as error:
        problems += error.sentences
    if problems:
        raise InputError(*problems)


@cache
def _described(name: str, spec: Spec, input_size: int | None) -> int:
    """How many stages the backbone has; that its input goes through is tried by shape alone, see shapes.py.

    A backbone that notes its `num_stages` takes every size from its smallest on, and need not be tried.
    """
    backbone = find_backbone(name, spec)
    size = input_size if input_size is not None else min(spec.shape[1:])
    if "num_stages" in backbone.notes:
        if size < backbone.smallest(spec):
            raise _misfit(backbone, spec, size)
        return int(backbone.notes["num_stages"])
    try:
        network = described(lambda: backbone.build(spec, None, input_size, None))
        shape = output_shape(network, (2, *spec.shape))
    except Exception as error:  # a foreign network says in its own way that an input does not fit
        raise _misfit(backbone, spec, size) from error
    features: Any = network.features
    assert shape == (2, features), f"{name} gives {shape}, and says {features} features"
    stages: Any = network.stages
    return len(stages)


def _misfit(backbone: Backbone, spec: Spec, size: int) -> InputError:
    least = backbone.smallest(spec)
    what = f"recipe.input_size: {backbone.name} takes no input of size {size}"
    if size < least:
        return InputError(f"{what}; the smallest that works is {least}.")
    also = dict.fromkeys([least, backbone.notes.get("trained_at", least)])
    return InputError(f"{what}, only some sizes; {' and '.join(map(str, also))} work.")


def find_backbone(name: str, spec: Spec) -> Backbone:
    """The backbone called `name` in the room of `spec`.

    Raises:
        InputError: there is none; the nearest name is said.
    """
    known = modality.of(spec.modality).backbones()
    try:
        return known[name]
    except KeyError:
        raise InputError(f"recipe.backbone: {name!r} is not a network; {nearest(name, known)}") from None


def _frozen(recipe: Recipe, model: Model) -> frozenset[str]:
    if recipe.freeze is None:
        return frozenset()
    if recipe.freeze == "backbone":
        return frozenset(name for stage in model.stages for name in stage)
    if recipe.freeze > len(model.stages):
        raise InputError(_too_many_stages(recipe, len(model.stages)))
    return frozenset(name for stage in model.stages[: recipe.freeze] for name in stage)


def _too_many_stages(recipe: Recipe, num_stages: int) -> str:
    return f"recipe.freeze: {recipe.freeze} is more stages than {recipe.backbone} has; it must be at most {num_stages}."
