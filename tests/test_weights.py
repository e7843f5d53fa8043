"""Weights: from packages, from the hub's cache, from a path; what was changed is refused."""

from pathlib import Path

import numpy as np
import pytest
import timm
import torch
from PIL import Image
from sklearn.datasets import load_sample_image

from assay.errors import InputError
from assay.image import zoo
from assay.image.backbones import BACKBONES
from assay.modality import Spec
from assay.models import build_model
from assay.params import Recipe
from assay.tensors import packed, sha256
from assay.weights import LOCK, PACKAGED, check, fetch, read_lock, weights_of

HOUSE = Path(__file__).parents[1]
LITE0 = "tf_efficientnet_lite0"
PALACE, DAISY = 698, 985  # of ImageNet's thousand classes


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder to which the weights of lite0 were fetched."""
    folder = tmp_path_factory.mktemp("house")
    fetch(LITE0, folder)
    return folder


def pictures(channels: int, side: int = 224) -> Spec:
    return Spec("image", (channels, side, side), "uint8", ("channel", "height", "width"))


def photo(name: str, side: int = 224) -> torch.Tensor:
    """The middle of one of scikit-learn's photos, 1 × 3 × side × side."""
    whole = Image.fromarray(load_sample_image(name))
    edge = min(whole.size)
    left, top = (whole.width - edge) // 2, (whole.height - edge) // 2
    square = whole.crop((left, top, left + edge, top + edge)).resize((side, side), Image.Resampling.BICUBIC)
    return torch.from_numpy(np.array(square)).permute(2, 0, 1)[None]


class TestPackaged:
    @pytest.mark.parametrize(("name", "class_index"), [("china.jpg", PALACE), ("flower.jpg", DAISY)])
    def test_lite0_knows_a_palace_and_a_daisy(self, root: Path, name: str, class_index: int) -> None:
        weights = weights_of(LITE0, root)
        network = BACKBONES[LITE0].build(pictures(3), None, None, weights).eval()
        with torch.inference_mode():
            logits = network(photo(name)) @ weights["classifier.weight"].T + weights["classifier.bias"]
        assert int(logits.argmax()) == class_index

    def test_a_grey_picture_is_seen_as_its_three_equal_colours(self, root: Path) -> None:
        weights = weights_of(LITE0, root)
        grey = photo("china.jpg", 96).float().mean(1, keepdim=True)
        with torch.inference_mode():
            one = BACKBONES[LITE0].build(pictures(1, 96), None, None, weights).eval()(grey)
            three = BACKBONES[LITE0].build(pictures(3, 96), None, None, weights).eval()(grey.expand(-1, 3, -1, -1))
        torch.testing.assert_close(one, three, atol=1e-4, rtol=1e-4)

    @pytest.mark.parametrize("name", sorted(PACKAGED))
    def test_conversion_gives_the_bytes_that_the_house_has_locked(self, name: str, tmp_path: Path) -> None:
        path = fetch(name, tmp_path)
        assert read_lock(HOUSE)[path.name] == sha256(path.read_bytes())

    def test_the_model_starts_from_them(self, root: Path) -> None:
        recipe = Recipe(backbone=LITE0, pretrained=True)
        model = build_model(recipe, pictures(3, 32), 10, weights_of(recipe, root))
        key = "blocks.0.0.conv_dw.weight"
        assert torch.equal(model.backbone.network.state_dict()[key], weights_of(LITE0, root)[key])

    def test_none_asked_for_none_given(self, tmp_path: Path) -> None:
        assert weights_of(Recipe(backbone=LITE0), tmp_path) is None
        assert list(tmp_path.iterdir()) == []


class TestLock:
    def test_a_changed_file_is_refused_until_its_line_is_deleted(self, root: Path, tmp_path: Path) -> None:
        (tmp_path / "weights").mkdir()
        (tmp_path / "weights" / LOCK).write_bytes((root / "weights" / LOCK).read_bytes())
        path = tmp_path / "weights" / f"{LITE0}.safetensors"
        changed = bytearray((root / "weights" / path.name).read_bytes())
        changed[-1] ^= 1
        path.write_bytes(changed)
        for use in (weights_of, fetch):
            with pytest.raises(InputError, match=rf"its SHA-256 is not .* `assay weights fetch {LITE0}`"):
                use(LITE0, tmp_path)
        (tmp_path / "weights" / LOCK).write_text("")
        assert fetch(LITE0, tmp_path) == path
        assert read_lock(tmp_path) == {path.name: sha256(bytes(changed))}

    def test_a_file_cut_short_is_no_weights(self, root: Path, tmp_path: Path) -> None:
        path = tmp_path / "weights" / f"{LITE0}.safetensors"
        path.parent.mkdir()
        path.write_bytes((root / "weights" / path.name).read_bytes()[:-100])
        with pytest.raises(InputError, match=r"safetensors: is no whole safetensors file"):
            fetch(LITE0, tmp_path)

    def test_a_line_of_another_form_is_named(self, tmp_path: Path) -> None:
        (tmp_path / "weights").mkdir()
        (tmp_path / "weights" / LOCK).write_text("abc  file\n")
        with pytest.raises(InputError, match=r"weights.lock:1: must be a SHA-256, two blanks and a file name"):
            read_lock(tmp_path)


class TestHub:
    """timm's own way, with the hub's host unknown: its cache is all there is."""

    @pytest.fixture(autouse=True)
    def cache(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
        from huggingface_hub import constants

        for proxy in ("http_proxy", "https_proxy", "all_proxy", "HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY"):
            monkeypatch.delenv(proxy, raising=False)
        monkeypatch.setattr(constants, "ENDPOINT", "https://hub.invalid")
        monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "cache"))
        return tmp_path / "cache"

    def test_without_a_network_one_sentence_says_where_to_fetch_and_where_to_put(self, tmp_path: Path) -> None:
        sentence = r"run `assay weights fetch test_vit` where .* at .*/weights/test_vit\.safetensors\."
        with pytest.raises(InputError, match=sentence):
            weights_of(Recipe(backbone="test_vit", pretrained=True), tmp_path)
        with pytest.raises(InputError, match=sentence):
            check("test_vit", tmp_path)
        assert not (tmp_path / "weights").exists()

    def test_what_timm_fetched_is_kept_and_locked(self, cache: Path, tmp_path: Path) -> None:
        tensors = timm.create_model("test_vit").state_dict()
        hub = cache / ("models--" + timm.get_pretrained_cfg("test_vit").hf_hub_id.replace("/", "--"))
        (hub / "refs").mkdir(parents=True)
        (hub / "refs" / "main").write_text("0" * 40)
        snapshot = hub / "snapshots" / ("0" * 40)
        snapshot.mkdir(parents=True)
        (snapshot / "model.safetensors").write_bytes(packed(tensors))
        check("test_vit", tmp_path)
        found = weights_of(Recipe(backbone="test_vit", pretrained=True), tmp_path)
        assert found is not None and all(torch.equal(found[name], tensors[name]) for name in tensors)
        assert list(read_lock(tmp_path)) == ["test_vit.safetensors"]

    def test_a_network_without_weights_is_said_to_have_none(self, tmp_path: Path) -> None:
        with pytest.raises(InputError, match=r"cnn: no trained weights of it are known; "):
            weights_of(Recipe(backbone="cnn", pretrained=True), tmp_path)


class TestPath:
    def test_a_safetensors_file_is_taken(self, tmp_path: Path) -> None:
        tensors = zoo.create("test_resnet", 3, (32, 32)).state_dict()
        (tmp_path / "mine.safetensors").write_bytes(packed(tensors))
        recipe = Recipe(backbone="test_resnet", pretrained="mine.safetensors")
        model = build_model(recipe, pictures(3, 32), 10, weights_of(recipe, tmp_path))
        assert torch.equal(model.backbone.network.state_dict()["conv1.0.weight"], tensors["conv1.0.weight"])

    def test_weights_that_do_not_fit_are_named_with_path_old_and_new(self, tmp_path: Path) -> None:
        network = BACKBONES["cnn"].build(pictures(3, 28), None, None, None)
        (tmp_path / "mine.safetensors").write_bytes(packed(network.state_dict()))
        recipe = Recipe(backbone="cnn", pretrained="mine.safetensors")
        sentence = r"mine\.safetensors: network\.conv1\.weight is 32×3×3×3 there and 32×1×3×3 in this network"
        with pytest.raises(InputError, match=sentence):
            build_model(recipe, pictures(1, 28), 10, weights_of(recipe, tmp_path))

    def test_a_file_that_is_no_weights_is_said_with_the_setting(self, tmp_path: Path) -> None:
        (tmp_path / "params.yaml").write_text("recipe: {}")
        sentence = r"^recipe\.pretrained: .*params\.yaml: is no whole safetensors file \(.*\); it must be false, "
        with pytest.raises(InputError, match=sentence):
            weights_of(Recipe(pretrained="params.yaml"), tmp_path)

    def test_a_path_to_nothing_is_named(self, tmp_path: Path) -> None:
        with pytest.raises(InputError, match=r"nothing\.safetensors is neither a safetensors file nor the folder"):
            weights_of(Recipe(pretrained="nothing.safetensors"), tmp_path)


def test_a_misspelt_network_is_answered_with_the_nearest_one(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"^rsnet18: no trained weights of it are known; did you mean 'resnet18'\?$"):
        fetch("rsnet18", tmp_path)
