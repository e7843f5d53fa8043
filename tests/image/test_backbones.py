"""One contract for every network of the room, and what only timm's or only ours must do."""

import subprocess
import sys

import pytest
import timm
import torch
from timm.models.nfnet import GammaAct
from torch import nn

from assay.activations import MODULES, MONOTONE
from assay.errors import InputError
from assay.image import zoo
from assay.image.backbones import BACKBONES
from assay.modality import Spec
from assay.models import check_recipe
from assay.params import ACTIVATIONS, Recipe
from assay.shapes import described, output_shape
from assay.tensors import Mismatch
from waits import LIMIT_S

SMALLEST = {  # found on the meta device, and what each paper's pooling and patches lead to
    "cnn": 10,
    "mlp": 1,
    "resnet18": 1,
    "vgg11": 32,
    "inception_v3": 75,
    "convnext_atto": 32,
    "vit_tiny_patch16_224": 16,
    "tf_efficientnet_lite0": 1,
}
LIGHT = sorted(SMALLEST.keys() - {"vgg11"})  # vgg11's 128 million weights are looked at by shape alone


def pictures(side: int, channels: int = 3) -> Spec:
    return Spec("image", (channels, side, side), "uint8", ("channel", "height", "width"))


def batch(spec: Spec, count: int = 2, seed: int = 0) -> torch.Tensor:
    return torch.randint(0, 256, (count, *spec.shape), dtype=torch.uint8, generator=torch.manual_seed(seed))


class TestEveryBackbone:
    """What the rest of the house counts on; a new member is one line in SMALLEST."""

    @pytest.mark.parametrize("name", LIGHT)
    def test_features_are_as_many_as_said_and_the_gradient_reaches_every_stage(self, name: str) -> None:
        spec = pictures(max(32, SMALLEST[name]))
        network = BACKBONES[name].build(spec, None, None, None)
        features = network(batch(spec), torch.tensor([spec.shape[1]] * 2))
        assert features.shape == (2, network.features)
        features.square().sum().backward()
        found = dict(network.named_parameters())
        for stage in network.stages:
            assert any(found[name].grad is not None and found[name].grad.abs().sum() > 0 for name in stage)

    @pytest.mark.parametrize("name", sorted(SMALLEST))
    def test_stages_hold_every_parameter_once(self, name: str) -> None:
        network = described(lambda: BACKBONES[name].build(pictures(max(32, SMALLEST[name])), None, None, None))
        listed = [name for stage in network.stages for name in stage]
        assert sorted(listed) == sorted(name for name, _ in network.named_parameters())
        assert len(network.stages) >= 2 and all(network.stages)
        assert BACKBONES[name].notes.get("num_stages", len(network.stages)) == len(network.stages)

    @pytest.mark.parametrize("name", sorted(SMALLEST))
    def test_the_smallest_size_works_and_one_less_does_not(self, name: str) -> None:
        spec, least = pictures(32), SMALLEST[name]
        assert BACKBONES[name].smallest(spec) == least
        check_recipe(Recipe(backbone=name, input_size=None), pictures(least))
        if least > 1:
            with pytest.raises(InputError, match=rf"{name} takes no input of size {least - 1}; .* works is {least}\."):
                check_recipe(Recipe(backbone=name), pictures(least - 1))

    def test_where_only_some_sizes_work_the_smallest_of_all_is_said(self) -> None:
        name = "hiera_tiny_224"
        assert BACKBONES[name].smallest(pictures(224)) == 32
        with pytest.raises(InputError, match=rf"{name} takes no input of size 40, only some sizes; 32 and 224 work\."):
            check_recipe(Recipe(backbone=name), pictures(40))

    @pytest.mark.parametrize("side", [10, 11, 12, 13, 33])
    @pytest.mark.parametrize("name", ["cnn", "mlp"])
    def test_ours_take_every_size_from_the_smallest_on(self, name: str, side: int) -> None:
        spec = pictures(side, 1)
        network = described(lambda: BACKBONES[name].build(spec, None, None, None))
        assert output_shape(network, (2, *spec.shape)) == (2, network.features)

    @pytest.mark.parametrize("name", ["cnn", "mlp", "test_resnet", "test_vit"])
    def test_another_input_size_than_prepared_is_resized_to(self, name: str) -> None:
        spec = pictures(40)
        network = BACKBONES[name].build(spec, None, 32, None).eval()
        assert network.normalised(batch(spec)).shape[-2:] == (32, 32)
        assert network(batch(spec)).shape == (2, network.features)

    @pytest.mark.parametrize("name", ["cnn", "mlp", "test_resnet", "test_vit"])
    def test_uint8_and_float_of_the_same_pixels_are_the_same(self, name: str) -> None:
        spec = pictures(32)
        network, x = BACKBONES[name].build(spec, None, None, None).eval(), batch(spec)
        assert torch.equal(network(x), network(x.float()))

    @pytest.mark.parametrize("activation", ACTIVATIONS)
    @pytest.mark.parametrize("name", ["cnn", "mlp", "test_resnet", "test_efficientnet", "test_vit"])
    def test_every_activation_takes_the_place_of_the_networks_own(self, name: str, activation: str) -> None:
        spec = pictures(32)
        network = described(lambda: BACKBONES[name].build(spec, activation, None, None))
        kinds = {type(module) for module in network.modules() if isinstance(module, zoo.REPLACED)}
        assert kinds <= {type(MODULES[activation]())}
        assert any(isinstance(module, type(MODULES[activation]())) for module in network.modules())
        assert output_shape(network, (2, *spec.shape)) == (2, network.features)


class TestOurs:
    def test_cnn_and_mlp_need_no_timm(self) -> None:
        code = """if True:
            import sys
            from assay.modality import Spec
            from assay.models import build_model, check_recipe
            from assay.params import Recipe
            for name in ("cnn", "mlp"):
                spec = Spec("image", (1, 28, 28), "uint8", ("channel", "height", "width"))
                check_recipe(Recipe(backbone=name), spec)
                build_model(Recipe(backbone=name), spec, 10, None)
            assert "timm" not in sys.modules
        """
        subprocess.run([sys.executable, "-c", code], check=True, timeout=LIMIT_S)

    @pytest.mark.parametrize("activation", sorted(MONOTONE))
    def test_pooling_before_a_monotone_activation_changes_nothing(self, activation: str) -> None:
        spec = pictures(28, 1)
        network = BACKBONES["cnn"].build(spec, activation, None, None).network.double()  # float32 rounds to ties
        order = [name for name, _ in network.named_children()]
        swapped = nn.Sequential(*(getattr(network, name) for name in _activation_first(order)))
        x = torch.rand(4, 1, 28, 28, dtype=torch.float64)
        first, second = network(x), swapped(x)
        assert order != _activation_first(order)
        assert torch.equal(first, second)
        parameters = list(network.parameters())
        for one, other in zip(
            torch.autograd.grad(first.sum(), parameters), torch.autograd.grad(second.sum(), parameters), strict=True
        ):
            torch.testing.assert_close(one, other)

    def test_an_input_too_small_is_refused_when_built(self) -> None:
        with pytest.raises(InputError, match="smallest that works is 10"):
            BACKBONES["cnn"].build(pictures(9), None, None, None)

    def test_pictures_that_are_not_square_go_through(self) -> None:
        spec = Spec("image", (3, 20, 44), "uint8", ("channel", "height", "width"))
        for name in ("cnn", "mlp"):
            assert BACKBONES[name].build(spec, None, None, None)(batch(spec)).shape == (2, 128)


def _activation_first(order: list[str]) -> list[str]:
    swapped = list(order)
    for number in ("1", "2"):
        place = swapped.index(f"pool{number}")
        swapped[place], swapped[place + 1] = swapped[place + 1], swapped[place]
    return swapped


class TestTimm:
    def test_every_name_of_timm_is_here_and_a_stranger_is_not(self) -> None:
        assert len(BACKBONES) == len(timm.list_models()) + 2 == len(list(BACKBONES))
        assert "resnet18.a1_in1k" in BACKBONES
        assert BACKBONES["resnet18"].pretrained and not BACKBONES["cnn"].pretrained
        assert "resnet18.no_such_tag" not in BACKBONES and "resnet81" not in BACKBONES

    def test_normalising_is_that_of_the_training_of_the_weights(self) -> None:
        network = BACKBONES["resnet18"].build(pictures(32), None, None, None)
        grey = torch.full((1, 3, 32, 32), 255 * 0.5)
        expected = (0.5 - torch.tensor([0.485, 0.456, 0.406])) / torch.tensor([0.229, 0.224, 0.225])
        torch.testing.assert_close(network.normalised(grey)[0, :, 0, 0], expected)

    @pytest.mark.parametrize("name", ["rdnet_tiny", "caformer_s18"])
    def test_a_network_without_groups_has_its_modules_as_stages(self, name: str) -> None:
        network = described(lambda: BACKBONES[name].build(pictures(224), None, None, None))
        assert len(network.stages) >= 4
        assert sum(map(len, network.stages)) == len(list(network.parameters()))

    def test_a_network_that_takes_no_grey_says_so(self) -> None:
        with pytest.raises(InputError, match=r"backbone: csatv2 takes no pictures of 1 .* set data\.channels to 3"):
            check_recipe(Recipe(backbone="csatv2"), pictures(224, 1))

    def test_activations_of_a_pretrained_network_are_replaced_with_a_word(self) -> None:
        weights = zoo.create("test_resnet", 3, (32, 32)).state_dict()
        kept = BACKBONES["test_resnet"].build(pictures(32), None, None, weights)
        assert kept.notices == []
        changed = BACKBONES["test_resnet"].build(pictures(32), "gelu", None, weights)
        assert changed.notices == ["test_resnet: its activations are now gelu; its weights were trained with others."]

    def test_relu_that_a_network_calls_by_itself_is_said_to_stay(self) -> None:
        network = described(lambda: BACKBONES["legacy_xception"].build(pictures(299), "gelu", None, None))
        assert network.notices == ["legacy_xception: calls ReLU inside its own code as well; there it stays."]

    def test_a_network_without_norms_is_kept_even_by_the_gain_of_its_activation(self) -> None:
        network = described(lambda: BACKBONES["dm_nfnet_f0"].build(pictures(224), "mish", None, None))
        found = [module for module in network.modules() if isinstance(module, GammaAct)]
        assert found and network.notices == []
        x = torch.randn(100_000, generator=torch.manual_seed(0))
        for module in found:
            torch.testing.assert_close(module(x), nn.functional.mish(x) * module.gamma)
            assert float(module(x).std()) == pytest.approx(1, abs=0.01)

    def test_gates_are_no_activations(self) -> None:
        network = described(lambda: BACKBONES["mobilenetv3_small_100"].build(pictures(32), "relu", None, None))
        assert any(type(module).__name__ == "Hardsigmoid" for module in network.modules())

    def test_positions_are_resampled_to_another_size(self) -> None:
        weights = zoo.create("test_vit", 3, (160, 160)).state_dict()
        network = BACKBONES["test_vit"].build(pictures(32), None, None, weights).network
        assert network.pos_embed.shape[1] < weights["pos_embed"].shape[1]
        assert torch.equal(network.state_dict()["blocks.0.attn.qkv.weight"], weights["blocks.0.attn.qkv.weight"])

    def test_weights_of_another_network_are_refused(self) -> None:
        weights = zoo.create("test_resnet", 3, (32, 32)).state_dict()
        with pytest.raises(Mismatch, match="they are of another network"):
            BACKBONES["test_vit"].build(pictures(32), None, None, weights)
        weights["fc.weight"], weights["conv1.0.weight"] = torch.zeros(1), torch.zeros(7, 3, 3, 3)
        with pytest.raises(Mismatch, match=r"conv1.0.weight is 7×3×3×3 there and \S+ in this network"):
            BACKBONES["test_resnet"].build(pictures(32), None, None, weights)

    def test_grey_is_seen_as_each_colour_would_see_it_but_for_a_constant(self) -> None:
        weights = zoo.create("resnet18", 3, (32, 32)).state_dict()
        colour = BACKBONES["resnet18"].build(pictures(32, 3), None, None, weights)
        grey = BACKBONES["resnet18"].build(pictures(32, 1), None, None, weights)
        x = batch(pictures(32, 1), count=1).float()
        seen = colour.network.conv1(colour.normalised(x.expand(-1, 3, -1, -1)))
        difference = (seen - grey.network.conv1(grey.normalised(x)))[0, :, 3:-3, 3:-3]  # padding apart
        torch.testing.assert_close(difference, difference[:, :1, :1].expand_as(difference), atol=1e-4, rtol=1e-4)
