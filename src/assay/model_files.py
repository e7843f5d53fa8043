"""A trained model on disk. Owns the layout of the folder and its reading and writing; never trains, fetches nothing.

    model/model.safetensors   every tensor by its name: `backbone.…`, `head.weight`, `head.bias`; for regression also
                              `output_mean` and `output_std`: the network's number × std + mean is the target's
    model/recipe.yaml         what it was trained by, every field of `recipe` in params.yaml
    model/model.json          format        version of this layout
                              sha256        of model.safetensors
                              recipe_sha256 of recipe.yaml
                              task, target_names, classes (in the order of the outputs), counts, data_version
                              spec          modality, shape, dtype and axes of a sample
                              data          how a sample became so: what of `data` in params.yaml decoding asks for
                              network       backbone, activation, input_size (side that the network sees), input_range,
                                            mean and std (of x / 255, one a channel: subtracted, then divided by),
                                            timm (its version, where the backbone is timm's: create_model with
                                            num_classes=0 and in_chans, every activation then replaced by `activation`),
                                            layers (of a backbone of ours: modules of torch.nn in their order, as torch
                                            prints them; `backbone.network.NAME.…` are their tensors)

JSON, YAML and safetensors: nothing in it is code, and reading it does not need this project. Equal models, equal bytes.
"""

import json
from dataclasses import asdict, dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

from torch import Tensor, nn

from assay import settings
from assay.data.dataset import About
from assay.errors import InputError, of_path
from assay.models import Model, build_model
from assay.params import Data, Recipe
from assay.tensors import Mismatch, copy_weights, packed, sha256, unpacked
from assay.whole import write_whole

FORMAT = 1
TENSORS, RECIPE, FACTS = "model.safetensors", "recipe.yaml", "model.json"
OURS = ("cnn", "mlp")
DECODING = {"modality", "image", "image_size", "resize", "channels"}  # of `data`; where it lay is nobody's business


@dataclass(frozen=True)
class Trained:
    """A model that was trained, in evaluation mode on the CPU, and what must be known to use it."""

    model: Model
    recipe: Recipe
    about: About
    data: Data


def save_model(folder: Path, model: Model, recipe: Recipe, about: About, data: Data) -> None:
    """Write `model` into `folder`; model.json comes last, so that a half-written folder is not opened.

    Raises:
        InputError: the disk is full or not writable.
    """
    tensors = packed(model.state_dict())
    (folder / FACTS).unlink(missing_ok=True)
    write_whole(tensors, folder / TENSORS)
    settings.write_recipe(recipe, folder / RECIPE)
    hashes = {"sha256": sha256(tensors), "recipe_sha256": sha256((folder / RECIPE).read_bytes())}
    facts = _facts(model, recipe, about, data) | hashes
    write_whole((json.dumps(facts, indent=1, sort_keys=True) + "\n").encode(), folder / FACTS)


def _facts(model: Model, recipe: Recipe, about: About, data: Data) -> dict[str, Any]:
    ours = recipe.backbone in OURS
    network = {
        "backbone": recipe.backbone,
        "activation": recipe.activation,
        "input_size": recipe.input_size,
        "input_range": [0, 255],
        "mean": getattr(model.backbone, "mean", None),
        "std": getattr(model.backbone, "std", None),
        "timm": None if ours else version("timm"),
        "layers": _layers(model.backbone) if ours else None,
    }
    said = asdict(about)
    return {
        "format": FORMAT,
        "data_version": said.pop("version"),
        "data": data.model_dump(mode="json", include=DECODING),
        "network": network,
        **said,
    }


def _layers(backbone: nn.Module) -> list[dict[str, str]]:
    return [{"name": name, "module": repr(layer)} for name, layer in backbone.get_submodule("network").named_children()]


def load_model(folder: Path) -> Trained:
    """The model that `save_model` wrote, computing the same to the bit; needs no network and no pretrained weights.

    Raises:
        InputError: the folder holds no model, a damaged one, or one of a later version of this layout.
    """
    facts = read_facts(folder)
    path = folder / RECIPE
    if path.is_file():
        _same(path.read_bytes(), facts.get("recipe_sha256"), path)
    recipe = settings.read_recipe(path, "run `assay train` again.")
    tensors = read_tensors(folder, facts)
    try:
        about, data = About.from_json(facts, facts["data_version"]), Data.model_validate_json(json.dumps(facts["data"]))
    except (KeyError, TypeError, ValueError) as error:
        raise _damaged(folder / FACTS, error) from error
    try:
        model = build_model(recipe, about.spec, about.num_outputs, None)
    except InputError as error:  # a network or a kind of sample that is not known here
        raise InputError(*(f"{folder}: {sentence}" for sentence in error.sentences)) from error
    if "output_mean" in tensors and "output_std" in tensors:
        model.scale_outputs(tensors["output_mean"].numpy(), tensors["output_std"].numpy())
    try:
        copy_weights(tensors, model)
    except Mismatch as error:
        raise InputError(*(f"{folder / TENSORS}: {sentence}" for sentence in error.sentences)) from error
    return Trained(model.eval(), recipe, about, data)


def read_facts(folder: Path) -> dict[str, Any]:
    """What model.json says.

    Raises:
        InputError: it is missing, damaged, or of a later version of this layout.
    """
    path = folder / FACTS
    try:
        facts = json.loads(path.read_text(encoding="utf-8"))
        found = facts["format"]
    except (FileNotFoundError, NotADirectoryError) as error:
        raise InputError(f"{folder}: holds no trained model ({FACTS} is missing); run `assay train` first.") from error
    except OSError as error:
        raise InputError(of_path(error)) from error
    except (ValueError, KeyError, TypeError) as error:
        raise _damaged(path, error) from error
    if type(found) is not int:
        raise InputError(f"{path}: format is {found!r}; it must be the number {FORMAT}; run `assay train` again.")
    if found != FORMAT:
        raise InputError(f"{path}: is of format {found}, and this version reads format {FORMAT}; update assay.")
    return dict(facts)


def read_tensors(folder: Path, facts: dict[str, Any]) -> dict[str, Tensor]:
    """Every tensor of the model by name.

    Raises:
        InputError: the file is missing, or not the one that model.json was written with.
    """
    path = folder / TENSORS
    try:
        data = path.read_bytes()
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror}); run `assay train` again.") from error
    _same(data, facts.get("sha256"), path)
    return unpacked(data, path)


def _same(data: bytes, wanted: Any, path: Path) -> None:
    if sha256(data) != wanted:
        raise InputError(f"{path}: is damaged (its SHA-256 is not the one in {FACTS}); run `assay train` again.")


def _damaged(path: Path, error: Exception) -> InputError:
    first = str(error).splitlines()[0]
    return InputError(f"{path}: is damaged ({type(error).__name__}: {first}); run `assay train` again.")
