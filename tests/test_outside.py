"""What `assay params --check` finds outside of params.yaml, each with its line, and that it writes nothing."""

import re
from pathlib import Path

import pytest

from assay.check import checked
from assay.errors import InputError
from assay.tensors import packed
from photographs import fill

TABLE = "data: {source: table, path: table.csv, image_size: 16}\n"
FOLDER = "data: {source: folder, path: animals, image_size: 16}\n"
SEARCH = "search:\n  trials: 2\n  space: {dropout: {low: 0.0, high: 0.5}}\n"
WRONG = {  # params.yaml → the sentence, after `params.yaml:`
    "data: {source: folder, path: one}": "1: data.target: every sample is 'cat'; a classifier needs at least two",
    "data: {source: folder, path: small}": "1: recipe.input_size: cnn takes no input of size 8; the smallest that ",
    TABLE + "recipe: {loss: mse}": "2: recipe.loss is 'mse', which does not fit classification",
    "data: {source: table, path: table.csv, task: regression}": "1: data.target: 'label' of sample 1 is 'cat', not a",
    "data: {source: table, path: ragged.csv}": "ragged.csv: line 3 has 1 values for 2 columns",
    "data: {source: table, path: head.csv}": "1: data.target: 'label': there is no sample.",
    "data: {source: hub, path: empty}": "1: data.path: empty is not a data set that `datasets` can read",
    "tracking: {uri: 'http://127.0.0.1:9'}": "1: tracking.uri: no MLflow server at http://127.0.0.1:9",
    "tracking: {uri: 'foo://bar'}": "1: tracking.uri: foo://bar is no address of a store",
    "tracking: {uri: 'sqlite:///garbage.db'}": "1: tracking.uri: ",
    SEARCH + "  storage: foo://x": "4: search.storage is 'foo://x'; it cannot be opened (",
    SEARCH + "  storage: sqlite:///nowhere/x.db": "4: search.storage is 'sqlite:///nowhere/x.db'; there is no such",
    SEARCH + "  storage: sqlite:///garbage.db": "4: search.storage is 'sqlite:///garbage.db'; it cannot be opened (",
    SEARCH + "  storage: sqlite:///animals": "4: search.storage is 'sqlite:///animals'; it cannot be opened (",
    SEARCH + "  storage: 'sqlite://'": "4: search.storage is 'sqlite://', which names no file, so its study would be",
    "promote: {storage: foo://x}": "1: promote.storage is 'foo://x', which cannot be used (",
    "promote: {storage: sqlite:///garbage.db}": "1: promote.storage is 'sqlite:///garbage.db', which cannot be used (",
    "promote: {storage: 'sqlite://'}": "1: promote.storage is 'sqlite://', which names no file, so",
    SEARCH + "  from: [41c2816d801c]": "4: search.from has '41c2816d801c', which is no study here; it must be []",
    SEARCH + "  resources: {cpu: 9999}": "4: search.resources.cpu is 9999; this machine has ",
    SEARCH + "  resources: {gpu: 64}": "4: search.resources.gpu is 64; this machine has ",
    SEARCH + "recipe: {precision: fp16}": "4: recipe.precision is 'fp16', which needs a GPU; on this cpu",
    "recipe: {pretrained: garbage.db}": "1: recipe.pretrained: garbage.db: is no whole safetensors file",
    "recipe: {backbone: resnet18, pretrained: true, input_size: 32}": "1: resnet18: its weights are not here and "
    "cannot be fetched; run `assay weights fetch resnet18` where there is a network, and put the file at ",
    "recipe: {pretrained: empty}": "1: recipe.pretrained: empty is neither a safetensors file nor the folder",
    "recipe: {pretrained: other.safetensors}": "1: weights of other.safetensors: ",
    "recipe: {backbone: tf_efficientnet_lite0, pretrained: true, input_size: 32}": "1: weights/tf_efficientnet_lite0",
    TABLE + "recipe: {class_weights: {cat: 1.0, cow: 2.0}}": "2: recipe.class_weights differs from the classes of",
    TABLE
    + "search:\n  trials: 2\n  space:\n    class_weights: {choices: [null, {cat: 1.0}]}": "5: recipe.class_weights "
    "differs from the classes of the data in 'dog'",
}


@pytest.fixture
def project(folder: Path) -> Path:
    fill(folder / "animals", {"cat": 2, "dog": 2})
    fill(folder / "one", {"cat": 2})
    fill(folder / "small", {"cat": 2, "dog": 2}, side=8)
    (folder / "small/cat/0.png").write_bytes(b"no picture")
    (folder / "empty").mkdir()
    (folder / "table.csv").write_text("image,label\na.png,cat\nb.png,dog\n")
    (folder / "ragged.csv").write_text("image,label\na.png,cat\nb.png\n")
    (folder / "head.csv").write_text("image,label\n")
    (folder / "garbage.db").write_bytes(b"no database, no weights" * 50)
    (folder / "weights").mkdir()
    (folder / "weights/tf_efficientnet_lite0.safetensors").write_bytes(packed({}))
    (folder / "weights/weights.lock").write_text(f"{'ab' * 32}  tf_efficientnet_lite0.safetensors\n")
    (folder / "other.safetensors").write_bytes(packed({}))
    return folder


@pytest.mark.parametrize("text", WRONG)
def test_what_can_be_known_before_anything_runs_is_said_by_the_check(text: str, project: Path) -> None:
    Path("params.yaml").write_text(text)
    before = sorted(project.rglob("*"))
    with pytest.raises(InputError, match=rf"^params\.yaml: ?{re.escape(WRONG[text])}"):
        checked(thorough=True)
    assert [path for path in sorted(project.rglob("*")) if ".assay" not in path.parts] == before


def test_a_lock_that_cannot_be_read_is_said_whether_weights_are_here_or_not(project: Path) -> None:
    Path("weights/weights.lock").write_text("abc  file\n")
    for backbone in ("tf_efficientnet_lite0", "tf_efficientnet_lite1"):
        Path("params.yaml").write_text(f"recipe: {{backbone: {backbone}, pretrained: true, input_size: 32}}")
        with pytest.raises(
            InputError, match=r"^params\.yaml:1: weights/weights\.lock:1: must be a SHA-256, two blanks"
        ):
            checked(thorough=True)


def test_a_cluster_may_have_what_this_machine_has_not(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RAY_ADDRESS", "head:6379")
    Path("params.yaml").write_text(FOLDER + SEARCH + "  resources: {cpu: 9999}")
    assert checked(thorough=True).search.resources.cpu == 9999


def test_a_store_that_is_not_there_yet_is_no_error(project: Path) -> None:
    Path("params.yaml").write_text(
        FOLDER + SEARCH + "  storage: sqlite:///study.db\ntracking: {uri: 'sqlite:///a/b.db'}"
    )
    checked(thorough=True)
    assert not Path("study.db").exists() and not Path("a").exists()
