"""A model as a file for others: it computes the same on real digits, for any batch size, or it is not there."""

import json
from pathlib import Path

import numpy as np
import onnxruntime
import pytest
import torch
from PIL import Image
from torch import nn

import assay
import judged
from assay.data.dataset import read_split
from assay.errors import InputError
from assay.export import SAMPLES, export, export_checked, real_samples
from assay.model_files import Trained, save_model
from assay.models import build_model
from assay.params import with_values

pytestmark = pytest.mark.filterwarnings("ignore:.*torch.jit:FutureWarning")  # the tests load what was exported


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return judged.write_prepared("classification", tmp_path_factory.mktemp("data") / "data")


@pytest.fixture(scope="module")
def samples(data: Path) -> np.ndarray:
    return np.array(read_split(data, "test").parts[0].samples)


def with_backbone(backbone: str) -> Trained:
    """The digits' model, or an untrained one of another backbone: equal outputs are asked for, not good ones."""
    one = judged.trained("classification")
    if backbone == "mlp":
        return one
    recipe = with_values(one.recipe, {"backbone": backbone})
    return Trained(build_model(recipe, one.about.spec, 10, None).eval(), recipe, one.about, one.data)


@pytest.mark.parametrize("backbone", ["mlp", "cnn"])
def test_onnx_takes_raw_samples_in_batches_of_any_size(backbone: str, samples: np.ndarray, tmp_path: Path) -> None:
    trained = with_backbone(backbone)
    assert export_checked(trained, "onnx", samples[:64], tmp_path / "m.onnx") < 1e-5
    session = onnxruntime.InferenceSession(str(tmp_path / "m.onnx"), providers=["CPUExecutionProvider"])
    with torch.inference_mode():
        expected = trained.model(torch.from_numpy(samples)).softmax(1).numpy()
    for count in (1, 5, len(samples)):
        found = session.run(["probabilities"], {"samples": samples[:count]})[0]
        assert found == pytest.approx(expected[:count], abs=1e-5)
    facts = session.get_modelmeta().custom_metadata_map
    assert json.loads(facts["classes"]) == list("0123456789")
    assert [path.name for path in tmp_path.iterdir()] == ["m.onnx"]


@pytest.mark.parametrize("task", ["classification", "multilabel", "regression"])
def test_torchscript_takes_raw_samples_in_batches_of_any_size(task: str, samples: np.ndarray, tmp_path: Path) -> None:
    trained = judged.trained(task)
    assert export_checked(trained, "torchscript", samples[:64], tmp_path / "m.pt") < 1e-3
    facts = {"task": "", "target_names": ""}
    loaded = torch.jit.load(str(tmp_path / "m.pt"), _extra_files=facts)
    with torch.inference_mode():
        outputs = trained.model(torch.from_numpy(samples))
        found = loaded(torch.from_numpy(samples))
    expected = {"classification": outputs.softmax(1), "multilabel": outputs.sigmoid(), "regression": outputs}[task]
    assert found.numpy() == pytest.approx(expected.numpy(), rel=1e-5, abs=1e-5)
    assert facts["task"].decode() == task


def test_the_verb_says_what_it_wrote_and_how_near_it_is(data: Path, tmp_path: Path) -> None:
    one = judged.trained("classification")
    save_model(tmp_path / "model", one.model, one.recipe, one.about, one.data)
    said = export(tmp_path / "model", "torchscript", tmp_path / "out" / "m.pt", data)
    assert said.startswith(f"{tmp_path / 'out' / 'm.pt'} (checked on {SAMPLES} samples; largest difference ")
    assert (tmp_path / "out" / "m.pt").exists()


def test_an_exported_file_names_no_place_of_the_machine_that_wrote_it(samples: np.ndarray, tmp_path: Path) -> None:
    here = str(Path(torch.__file__).parent.parent)
    for form, name in (("onnx", "m.onnx"), ("torchscript", "m.pt")):
        export_checked(judged.trained("classification"), form, samples[:16], tmp_path / name)
        written = (tmp_path / name).read_bytes()
        for place in (here, str(tmp_path), str(Path(assay.__file__).parent)):
            assert place.encode() not in written


class Moody(nn.Module):
    """Answers by a branch that a trace freezes."""

    def __init__(self, inner: nn.Module) -> None:
        super().__init__()
        self.inner = inner

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        logits: torch.Tensor = self.inner(x)
        return logits if torch.jit.is_tracing() else -logits


def test_a_file_that_computes_something_else_is_refused_and_removed(samples: np.ndarray, tmp_path: Path) -> None:
    one = judged.trained("classification")
    moody = Trained(Moody(one.model), one.recipe, one.about, one.data)  # type: ignore[arg-type]
    (tmp_path / "m.pt").write_bytes(b"an older file")
    with pytest.raises(InputError, match=r"m\.pt: the torchscript file's outputs differ .* it was not kept"):
        export_checked(moody, "torchscript", samples[:16], tmp_path / "m.pt")
    assert [path.name for path in tmp_path.iterdir()] == ["m.pt"]
    assert (tmp_path / "m.pt").read_bytes() == b"an older file"


class Unwritable(nn.Module):
    """Leaves torch's world, where no exporter can follow."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        assert not torch.jit.is_tracing(), "no way in"
        return x.flatten(1)[:, :10].float()


def test_a_network_that_torch_cannot_export_is_said_in_one_sentence(samples: np.ndarray, tmp_path: Path) -> None:
    one = judged.trained("classification")
    odd = Trained(Unwritable(), one.recipe, one.about, one.data)  # type: ignore[arg-type]
    with pytest.raises(InputError, match=r"m\.pt: torch cannot write this network as torchscript \(.*no way in"):
        export_checked(odd, "torchscript", samples[:16], tmp_path / "m.pt")
    assert not list(tmp_path.iterdir())


class Stopped(nn.Module):
    """Fails in the middle of an exporter, as it does after Ctrl-C or by itself."""

    def __init__(self, error: BaseException) -> None:
        super().__init__()
        self.error = error

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        if torch.compiler.is_exporting():
            raise RuntimeError("a class was being defined") from self.error
        return x.flatten(1)[:, :10].float()


def test_ctrl_c_while_torch_exports_ends_the_verb(samples: np.ndarray, tmp_path: Path) -> None:
    one = judged.trained("classification")
    stopped = Trained(Stopped(KeyboardInterrupt()), one.recipe, one.about, one.data)  # type: ignore[arg-type]
    with pytest.raises(KeyboardInterrupt, match=r"^$"):
        export_checked(stopped, "onnx", samples[:16], tmp_path / "m.onnx")
    assert not list(tmp_path.iterdir())


def test_what_torch_says_around_an_error_is_left_out(samples: np.ndarray, tmp_path: Path) -> None:
    one = judged.trained("classification")
    error = ValueError("\x1b[96mno way in.\x1b[0m\nNext steps:")
    odd = Trained(Stopped(error), one.recipe, one.about, one.data)  # type: ignore[arg-type]
    with pytest.raises(
        InputError, match=r"m\.onnx: torch cannot write this network as onnx \(no way in\); try the other"
    ):
        export_checked(odd, "onnx", samples[:16], tmp_path / "m.onnx")


class TestRealSamples:
    def test_are_of_the_validation_split_where_there_is_one(self, data: Path) -> None:
        found = real_samples(judged.trained("classification"), data)
        assert (found == read_split(data, "validation").parts[0].samples[:SAMPLES]).all()

    def test_are_the_readable_ones_of_a_folder(self, samples: np.ndarray, tmp_path: Path) -> None:
        for number in range(3):
            Image.fromarray(samples[number, 0]).save(tmp_path / f"{number}.png")
        (tmp_path / "1.png").write_bytes(b"broken")
        found = real_samples(judged.trained("classification"), tmp_path)
        assert (found == samples[[0, 2]]).all()

    def test_are_asked_for_where_there_is_none(self, tmp_path: Path) -> None:
        with pytest.raises(InputError, match="holds no sample that the exported file could be checked on"):
            real_samples(judged.trained("classification"), tmp_path)

    def test_in_a_place_that_is_not_there_are_refused(self, tmp_path: Path) -> None:
        with pytest.raises(InputError, match=r"--samples: .*nowhere does not exist; give pictures"):
            real_samples(judged.trained("classification"), tmp_path / "nowhere")

    def test_of_another_shape_are_refused(self, data: Path) -> None:
        from dataclasses import replace

        one = judged.trained("classification")
        spec = replace(one.about.spec, shape=(3, 28, 28))
        other = replace(one, about=replace(one.about, spec=spec))
        with pytest.raises(InputError, match=r"its samples are \(1, 28, 28\), the model's \(3, 28, 28\)"):
            real_samples(other, data)
