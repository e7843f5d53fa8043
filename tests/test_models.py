"""A model: what is frozen, how parameters are grouped, what cannot be built and the sentence about it."""

import copy

import numpy as np
import pytest
import torch

from assay.errors import InputError
from assay.image import zoo
from assay.modality import Spec
from assay.models import Model, build_model, check_recipe
from assay.params import Recipe
from assay.shapes import described

LIGHT = ("cnn", "mlp", "test_resnet", "test_vit", "convnext_atto", "tf_efficientnet_lite0")
WITH_NORMS = ("test_resnet", "tf_efficientnet_lite0")  # batch norm


def pictures(side: int = 32, channels: int = 1) -> Spec:
    return Spec("image", (channels, side, side), "uint8", ("channel", "height", "width"))


def step(model: Model, spec: Spec) -> None:
    """One step of gradient descent on random pictures, as far as it may go."""
    x = torch.randint(0, 256, (4, *spec.shape), dtype=torch.uint8, generator=torch.manual_seed(0))
    optimizer = torch.optim.SGD([p for p in model.parameters() if p.requires_grad], lr=0.1)
    model.train()
    model(x, torch.full((4,), spec.shape[1])).square().sum().backward()
    optimizer.step()


def moved(before: dict[str, torch.Tensor], model: Model) -> set[str]:
    return {name for name, tensor in model.state_dict().items() if not torch.equal(tensor, before[name])}


class TestBuilding:
    @pytest.mark.parametrize("name", LIGHT)
    def test_logits_are_as_many_as_outputs(self, name: str) -> None:
        spec = pictures()
        model = build_model(Recipe(backbone=name, dropout=0.5), spec, 7, None)
        assert model(torch.zeros(2, *spec.shape, dtype=torch.uint8)).shape == (2, 7)

    def test_weights_follow_the_seed_and_leave_the_global_state_alone(self) -> None:
        torch.manual_seed(5)
        expected = torch.rand(3)
        torch.manual_seed(5)
        one, two = (build_model(Recipe(seed=1), pictures(), 10, None).state_dict() for _ in range(2))
        other = build_model(Recipe(seed=2), pictures(), 10, None).state_dict()
        assert torch.equal(torch.rand(3), expected)
        assert all(torch.equal(one[name], two[name]) for name in one)
        assert not any(torch.equal(one[name], other[name]) for name in one)

    def test_outputs_of_regression_are_in_the_targets_units_and_saved(self) -> None:
        model = build_model(Recipe(), pictures(), 2, None)
        x = torch.zeros(3, 1, 32, 32)
        plain = model(x)
        model.scale_outputs(np.array([100.0, -1.0]), np.array([50.0, 0.0]))
        torch.testing.assert_close(model(x), plain * torch.tensor([50.0, 1.0]) + torch.tensor([100.0, -1.0]))
        torch.testing.assert_close(model.standardized(model(x)), plain, atol=1e-4, rtol=1e-4)
        assert {"output_mean", "output_std"} <= model.state_dict().keys()

    def test_a_pretrained_network_says_that_its_activations_were_replaced(self) -> None:
        weights = zoo.create("test_resnet", 1, (32, 32)).state_dict()
        model = build_model(Recipe(backbone="test_resnet", activation="mish"), pictures(), 3, weights)
        assert model.notices == ["test_resnet: its activations are now mish; its weights were trained with others."]


class TestFreezing:
    @pytest.mark.parametrize("name", LIGHT)
    @pytest.mark.parametrize("freeze", [1, 2, "backbone"])
    def test_what_is_frozen_does_not_move_and_the_rest_does(self, name: str, freeze: int | str) -> None:
        spec = pictures()
        model = build_model(Recipe(backbone=name, freeze=freeze), spec, 3, None)
        before = copy.deepcopy(model.state_dict())
        step(model, spec)
        found = moved(before, model)
        parameters = dict(model.named_parameters())
        assert not found & model.frozen
        assert {"head.weight", "head.bias"} <= found
        assert len(model.frozen) == sum(not parameter.requires_grad for parameter in parameters.values()) > 0
        if freeze == "backbone":
            assert found == {"head.weight", "head.bias"}

    @pytest.mark.parametrize("name", WITH_NORMS)
    def test_statistics_of_frozen_batch_norms_stand_still_and_others_follow(self, name: str) -> None:
        spec = pictures()
        model = build_model(Recipe(backbone=name, freeze=2), spec, 3, None)
        before = copy.deepcopy(model.state_dict())
        step(model, spec)
        norms = [
            key.removesuffix(".weight")
            for key in model.frozen
            if f"{key.removesuffix('.weight')}.running_mean" in before
        ]
        found = moved(before, model)
        assert norms
        assert not {f"{norm}.{kind}" for norm in norms for kind in ("running_mean", "running_var")} & found
        assert any(name.endswith("running_mean") for name in found)

    def test_a_copy_of_a_frozen_model_is_frozen_itself(self) -> None:
        model = build_model(Recipe(backbone="test_resnet", freeze="backbone"), pictures(), 3, None)
        twin = copy.deepcopy(model)
        twin.train()
        norms = [module for module in twin.modules() if hasattr(module, "running_mean")]
        assert norms and not any(norm.training for norm in norms)


class TestGroups:
    def test_every_parameter_that_learns_is_in_one_group(self) -> None:
        for freeze in (None, 1, "backbone"):
            model = build_model(Recipe(backbone="test_vit", freeze=freeze), pictures(), 3, None)
            grouped = [id(p) for group in model.parameter_groups(1e-3, 0.5) for p in group["params"]]
            assert sorted(grouped) == sorted(id(p) for p in model.parameters() if p.requires_grad)

    def test_each_stage_learns_at_a_multiple_of_the_one_above(self) -> None:
        model = build_model(Recipe(), pictures(), 3, None)
        scales = {
            name: group["lr_scale"]
            for group in model.parameter_groups(0.1, 0.5)
            for name, parameter in model.named_parameters()
            if any(parameter is one for one in group["params"])
        }
        assert scales["head.weight"] == scales["head.bias"] == 1
        assert scales["backbone.network.dense.weight"] == 0.5
        assert scales["backbone.network.conv2.weight"] == 0.25
        assert scales["backbone.network.conv1.bias"] == 0.125
        assert all(group["lr"] == 0.1 * group["lr_scale"] for group in model.parameter_groups(0.1, 0.5))
        assert {group["lr_scale"] for group in model.parameter_groups(0.1, None)} == {1.0}

    def test_biases_and_norms_do_not_decay(self) -> None:
        model = build_model(Recipe(backbone="test_resnet"), pictures(), 3, None)
        names = {id(parameter): name for name, parameter in model.named_parameters()}
        decays = {names[id(p)]: group["decays"] for group in model.parameter_groups(1, None) for p in group["params"]}
        assert decays["head.weight"] and decays["backbone.network.conv1.0.weight"]
        assert not decays["head.bias"] and not decays["backbone.network.bn1.weight"]

    @pytest.mark.parametrize(
        ("name", "ending", "count"),
        [
            ("swin_tiny_patch4_window7_224", "relative_position_bias_table", 12),
            ("levit_128s", "attention_biases", 12),
            ("resmlp_12_224", "norm1.alpha", 12),
            ("dm_nfnet_f0", ".gain", 12),
            ("fastvit_t8", "layer_scale.gamma", 12),
        ],
    )
    def test_tables_of_biases_and_scales_with_more_axes_do_not_decay(self, name: str, ending: str, count: int) -> None:
        network = described(lambda: build_model(Recipe(backbone=name), pictures(224), 1, None))
        names = {id(parameter): name for name, parameter in network.named_parameters()}
        decays = {names[id(p)]: group["decays"] for group in network.parameter_groups(1, None) for p in group["params"]}
        still = [name for name in decays if name.endswith(ending)]
        assert len(still) >= count / 2 and not any(decays[name] for name in still)
        assert decays["head.weight"], "a row of weights is no scale"


class TestChecking:
    @pytest.mark.parametrize("name", LIGHT)
    def test_what_can_be_built_passes(self, name: str) -> None:
        check_recipe(Recipe(backbone=name, freeze=2), pictures())

    @pytest.mark.parametrize(
        ("recipe", "sentence"),
        [
            (
                Recipe(backbone="resnet81"),
                r"^recipe\.backbone: 'resnet81' is not a network; did you mean 'resnet18'\?$",
            ),
            (
                Recipe(input_size=9),
                r"^recipe\.input_size: cnn takes no input of size 9; the smallest that works is 10\.$",
            ),
            (
                Recipe(backbone="vgg11", input_size=28),
                r"vgg11 takes no input of size 28; the smallest that works is 32\.$",
            ),
            (Recipe(freeze=4), r"^recipe\.freeze: 4 is more stages than cnn has; it must be at most 3\.$"),
            (Recipe(backbone="test_resnet", freeze=99), r"99 is more stages than test_resnet has; it must be at most"),
            (
                Recipe(pretrained=True),
                r"^recipe\.pretrained: no trained weights of 'cnn' are known; it must be false or a path",
            ),
        ],
    )
    def test_what_cannot_be_built_is_one_sentence(self, recipe: Recipe, sentence: str) -> None:
        with pytest.raises(InputError, match=sentence):
            check_recipe(recipe, pictures(28))

    def test_several_problems_are_said_together(self) -> None:
        with pytest.raises(InputError, match="pretrained") as caught:
            check_recipe(Recipe(pretrained=True, freeze=9), pictures())
        assert len(caught.value.sentences) == 2

    def test_more_stages_frozen_than_there_are_is_refused_when_built(self) -> None:
        with pytest.raises(InputError, match="4 is more stages than cnn has; it must be at most 3"):
            build_model(Recipe(freeze=4), pictures(), 3, None)
