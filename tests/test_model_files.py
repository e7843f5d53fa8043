"""A model on disk: what is read is what was written, to the bit, and a damaged folder is one sentence."""

import json
import re
from collections import OrderedDict
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import timm
import torch
from safetensors import safe_open
from safetensors.torch import load_file
from torch import nn

from assay.data.dataset import About
from assay.errors import InputError
from assay.modality import Spec
from assay.model_files import FACTS, RECIPE, TENSORS, load_model, save_model
from assay.models import Model, build_model
from assay.params import ACTIVATIONS, Data, Optimizer, Recipe
from assay.tensors import sha256
from assay.weights import weights_of

SPEC = Spec("image", (1, 28, 28), "uint8", ("channel", "height", "width"))
DATA = Data(image_size=28, channels=1, resize="pad", image="photo")
DIGITS = About(SPEC, "classification", ("label",), tuple("0123456789"), {"train": 70, "test": 30}, "v1")
NUMBERS = About(SPEC, "regression", ("width", "height"), None, {"train": 70}, "v2")


def saved(folder: Path, recipe: Recipe, about: About = DIGITS) -> Model:
    model = build_model(recipe, about.spec, about.num_outputs, None)
    if about.task == "regression":
        model.scale_outputs(np.array([3.0, 4.0]), np.array([2.0, 1.0]))
    save_model(folder, model, recipe, about, DATA)
    return model.eval()


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A saved cnn."""
    saved(tmp_path / "model", Recipe())
    return tmp_path / "model"


class TestRoundTrip:
    @pytest.mark.parametrize("about", [DIGITS, NUMBERS], ids=["classes", "numbers"])
    @pytest.mark.parametrize(
        "recipe",
        [
            Recipe(activation="gelu", optimizer=Optimizer(lr=3e-4), freeze=1),
            Recipe(backbone="mlp", input_size=14),
            Recipe(backbone="test_resnet", pretrained=True, dropout=0.2),
            Recipe(backbone="test_vit", input_size=32),
            Recipe(backbone="tf_efficientnet_lite0", pretrained=True, activation="silu"),
        ],
        ids=lambda recipe: recipe.backbone,
    )
    def test_what_is_read_is_what_was_written_to_the_bit(self, recipe: Recipe, about: About, tmp_path: Path) -> None:
        model = saved(tmp_path / "model", recipe, about)
        trained = load_model(tmp_path / "model")
        assert (trained.recipe, trained.about, trained.data) == (recipe, about, DATA)
        x = torch.randint(0, 256, (3, *SPEC.shape), dtype=torch.uint8)
        with torch.inference_mode():
            assert torch.equal(trained.model(x), model(x))
        assert not trained.model.training

    def test_equal_models_are_equal_bytes(self, folder: Path, tmp_path: Path) -> None:
        saved(tmp_path / "again", Recipe())
        for name in (TENSORS, RECIPE, FACTS):
            assert (folder / name).read_bytes() == (tmp_path / "again" / name).read_bytes()

    def test_a_trained_backbone_starts_another_model(self, folder: Path) -> None:
        recipe = Recipe(pretrained=str(folder), seed=9)
        model = build_model(recipe, SPEC, 2, weights_of(recipe, Path("/")))
        with safe_open(folder / TENSORS, "pt") as file:
            assert torch.equal(
                model.state_dict()["backbone.network.conv1.weight"], file.get_tensor("backbone.network.conv1.weight")
            )
            assert file.get_tensor("head.weight").shape[0] == 10

    def test_the_backbone_of_another_network_is_refused(self, folder: Path) -> None:
        with pytest.raises(InputError, match="model holds a cnn, and the recipe wants a mlp"):
            weights_of(Recipe(backbone="mlp", pretrained=str(folder)), Path("/"))

    @pytest.mark.parametrize("about", [DIGITS, NUMBERS], ids=["classes", "numbers"])
    @pytest.mark.parametrize(
        "recipe",
        [
            *(Recipe(activation=name) for name in ACTIVATIONS),
            Recipe(backbone="mlp", activation="selu", input_size=14),
            Recipe(backbone="mlp", activation="mish", input_size=40),
            Recipe(backbone="test_resnet", activation="silu", pretrained=True),
        ],
        ids=lambda recipe: f"{recipe.backbone}-{recipe.activation}",
    )
    def test_a_stranger_rebuilds_it_without_our_code(self, recipe: Recipe, about: About, tmp_path: Path) -> None:
        model = saved(tmp_path / "model", recipe, about)
        x = torch.randint(0, 256, (3, *SPEC.shape), dtype=torch.uint8)
        with torch.inference_mode():
            torch.testing.assert_close(without_assay(tmp_path / "model", x), model(x), rtol=1e-4, atol=1e-4)

    def test_the_folder_says_what_a_stranger_needs(self, folder: Path) -> None:
        facts = json.loads((folder / FACTS).read_text())
        assert facts["classes"] == list("0123456789")
        assert facts["spec"] == {"modality": "image", "shape": [1, 28, 28], "dtype": "uint8", "axes": list(SPEC.axes)}
        assert facts["data"]["resize"] == "pad"
        assert facts["network"]["input_range"] == [0, 255] and facts["network"]["mean"] == [0.0]
        assert sorted(path.name for path in folder.iterdir()) == sorted([FACTS, RECIPE, TENSORS])


def without_assay(folder: Path, x: torch.Tensor) -> torch.Tensor:
    """What the model in `folder` answers to raw pictures: torch, timm and safetensors alone, as its layout is told."""
    facts = json.loads((folder / FACTS).read_text())
    tensors, network = load_file(folder / TENSORS), facts["network"]
    if network["timm"]:
        body = timm.create_model(network["backbone"], num_classes=0, in_chans=facts["spec"]["shape"][0])
        for parent in list(body.modules()):
            for name, child in list(parent.named_children()):
                if isinstance(child, nn.ReLU | nn.GELU) and network["activation"]:
                    setattr(parent, name, {"silu": nn.SiLU, "relu": nn.ReLU}[network["activation"]]())
    else:
        layers = [(layer["name"], eval(layer["module"], vars(nn))) for layer in network["layers"]]
        body = nn.Sequential(OrderedDict(layers))
    own = "backbone.network."
    body.load_state_dict({name.removeprefix(own): tensors[name] for name in tensors if name.startswith(own)})
    mean, std = (torch.tensor(network[name]).reshape(-1, 1, 1) for name in ("mean", "std"))
    x = (x / network["input_range"][1] - mean) / std
    if network["input_size"] is not None:
        side = network["input_size"]
        x = nn.functional.interpolate(x, (side, side), mode="bilinear", antialias=side < x.shape[-1])
    outputs = nn.functional.linear(body.eval()(x), tensors["head.weight"], tensors["head.bias"])
    return outputs * tensors["output_std"] + tensors["output_mean"] if "output_std" in tensors else outputs


def rewrite(folder: Path, old: str, new: str) -> None:
    """Another recipe, as if the model had been written with it."""
    text = (folder / RECIPE).read_text().replace(old, new)
    (folder / RECIPE).write_text(text)
    facts = json.loads((folder / FACTS).read_text())
    (folder / FACTS).write_text(json.dumps(facts | {"recipe_sha256": sha256(text.encode())}))


class TestDamage:
    def test_a_truncated_tensor_file_is_one_sentence(self, folder: Path) -> None:
        path = folder / TENSORS
        path.write_bytes(path.read_bytes()[:-1])
        with pytest.raises(
            InputError, match=r"model\.safetensors: is damaged \(its SHA-256.*run `assay train` again\.$"
        ):
            load_model(folder)

    def test_truncated_facts_are_one_sentence(self, folder: Path) -> None:
        path = folder / FACTS
        path.write_text(path.read_text()[:-20])
        with pytest.raises(
            InputError, match=r"model\.json: is damaged \(JSONDecodeError: .*run `assay train` again\.$"
        ):
            load_model(folder)

    @pytest.mark.parametrize("missing", ["spec", "data", "classes"])
    def test_facts_that_lack_something_are_one_sentence(self, folder: Path, missing: str) -> None:
        facts = json.loads((folder / FACTS).read_text())
        del facts[missing]
        (folder / FACTS).write_text(json.dumps(facts))
        with pytest.raises(InputError, match=rf"model\.json: is damaged \(KeyError: '{missing}'\)"):
            load_model(folder)

    @pytest.mark.parametrize(
        ("name", "value"),
        [("spec", {"shape": ["1", "wide", "28"]}), ("spec", {"shape": [28]}), ("task", "clasification"), ("spec", 7)],
    )
    def test_facts_of_another_kind_are_one_sentence(self, folder: Path, name: str, value: object) -> None:
        facts = json.loads((folder / FACTS).read_text())
        facts[name] = facts[name] | value if isinstance(value, dict) else value
        (folder / FACTS).write_text(json.dumps(facts))
        with pytest.raises(InputError, match=r"model\.json: is damaged \((Value|Type)Error: .*run `assay train` again"):
            load_model(folder)

    def test_a_folder_in_the_place_of_the_facts_is_one_sentence(self, folder: Path) -> None:
        (folder / FACTS).unlink()
        (folder / FACTS).mkdir()
        with pytest.raises(InputError, match=r"model\.json: cannot be used \(Is a directory\); a folder stands where"):
            load_model(folder)

    def test_a_network_that_is_not_known_is_said_of_its_folder(self, folder: Path) -> None:
        rewrite(folder, "backbone: cnn", "backbone: cmm")
        with pytest.raises(InputError, match=rf"^{re.escape(str(folder))}: recipe\.backbone: 'cmm' is not a network"):
            load_model(folder)

    @pytest.mark.parametrize("name", [TENSORS, RECIPE, FACTS])
    def test_a_missing_file_is_named(self, folder: Path, name: str) -> None:
        (folder / name).unlink()
        with pytest.raises(InputError, match=name.replace(".", r"\.")):
            load_model(folder)

    def test_a_folder_without_a_model_is_named(self, tmp_path: Path) -> None:
        with pytest.raises(
            InputError, match=r"holds no trained model \(model\.json is missing\); run `assay train` first"
        ):
            load_model(tmp_path / "nothing")

    def test_a_later_layout_is_not_guessed_at(self, folder: Path) -> None:
        facts = json.loads((folder / FACTS).read_text())
        (folder / FACTS).write_text(json.dumps(facts | {"format": 2}))
        with pytest.raises(InputError, match="is of format 2, and this version reads format 1; update assay"):
            load_model(folder)

    def test_a_layout_that_is_no_number_is_refused(self, folder: Path) -> None:
        facts = json.loads((folder / FACTS).read_text())
        (folder / FACTS).write_text(json.dumps(facts | {"format": "1"}))
        with pytest.raises(InputError, match=r"format is '1'; it must be the number 1; run `assay train` again\."):
            load_model(folder)

    @pytest.mark.parametrize("edit", [lambda text: text.replace("gelu", "tanh"), lambda text: text[: len(text) // 3]])
    def test_a_recipe_that_was_edited_or_cut_is_one_sentence(self, folder: Path, edit: Callable[[str], str]) -> None:
        path = folder / RECIPE
        path.write_text(edit(path.read_text() + "# gelu"))
        with pytest.raises(InputError, match=r"recipe\.yaml: is damaged \(its SHA-256 is not the one in model\.json\)"):
            load_model(folder)

    def test_a_recipe_of_another_network_does_not_fit_the_tensors(self, folder: Path) -> None:
        rewrite(folder, "backbone: cnn", "backbone: mlp")
        with pytest.raises(InputError, match=r"model\.safetensors: .* they are of another network"):
            load_model(folder)
