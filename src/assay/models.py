"""A model: backbone, dropout, head. Owns what is frozen and how parameters are grouped; never trains.

Files are model_files.py's, pretrained weights are weights.py's.
"""

from typing import Any

import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from assay import modality
from assay.errors import InputError, nearest
from assay.modality import Backbone, Spec, Weights
from assay.params import Recipe
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

        `mean` and `std` are of the training targets, one an output; they are saved with the weights. A target that never
        varies counts as of deviation 1.
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
        `decays` is False for biases, norms and every other parameter of one axis: no penalty and no decay for those.
        Frozen parameters are in no group.
        """
        found = dict(self.named_parameters())
        below = [*self.stages, [name for name in found if not name.startswith("backbone.")]]
        groups: list[dict[str, Any]] = []
        for distance, names in enumerate(reversed(below)):
            scale = 1.0 if layer_decay is None else layer_decay**distance
            free = [(name, found[name]) for name in names if found[name].requires_grad]
            for decays in (True, False):
                params = [parameter for name, parameter in free if _decays(name, parameter) == decays]
                if params:
                    groups.append({"params": params, "lr": lr * scale, "lr_scale": scale, "decays": decays})
        return groups


def _decays(name: str, parameter: Tensor) -> bool:
    return parameter.ndim > 1 and not name.endswith(".bias")


def build_model(recipe: Recipe, spec: Spec, num_outputs: int, weights: Weights | None) -> Model:
    """The network that `recipe` describes, for samples of `spec`.

    Weights that are not given are drawn from `recipe.seed`; the global random state stays as it was. `weights` are the
    backbone's (see weights.py); the recipe's `pretrained` is not looked at, so a saved model is rebuilt without it.

    Raises:
        InputError: unknown backbone, too small an input, weights of another shape, more stages frozen than there are.
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
    return model.to(memory_format=torch.channels_last)  # type: ignore[call-overload, no-any-return]


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
        raise InputError(
            f"recipe.freeze: {recipe.freeze} stages are more than {recipe.backbone} has; at most {len(model.stages)}."
        )
    return frozenset(name for stage in model.stages[: recipe.freeze] for name in stage)
