"""The champion's watch over real digits and a real registry: what counts as new, and what `assay drift` says."""

import json
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import judged
from assay.championship import Championship
from assay.data.dataset import SPLITS
from assay.data.splits import content_key
from assay.errors import InputError
from assay.model_files import save_model
from assay.params import Params
from assay.watch import TooFew, Watch, answers_and_features, chosen_by
from samples import mnist

PROGRAM = "import sys; from assay.cli import main; sys.argv[0] = 'assay'; main()"
TASK, PARAMS, NEW = "classification", Params(), 60


def apart(data: Path) -> None:
    """Splits share no sample."""
    for number, split in enumerate(SPLITS):
        keys = np.load(data / split / "keys.npy")
        keys[:, 14] = number + 1
        np.save(data / split / "keys.npy", keys)


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A champion, its prepared data, and folders of digits that it never met: as they are, brighter, and broken."""
    root = tmp_path_factory.mktemp("house")
    judged.write_prepared(TASK, root / "results" / "prepare" / "data")
    data = root / "results" / "prepare" / "data"
    apart(data)
    trained = judged.trained(TASK)
    save_model(root / "model", trained.model, trained.recipe, trained.about, trained.data)
    with Championship(PARAMS, root) as opened:
        opened.challenge(root / "model", data)
    images, _ = mnist()
    rows = np.random.default_rng(0).permutation(len(images))[1000:]  # the same order as in samples.py: nobody met these
    for name, add in (("same", 0), ("bright", 100)):
        (root / name).mkdir()
        for row in rows[:NEW]:
            image = np.clip(images[row].astype(int) + add, 0, 255).astype(np.uint8)
            Image.fromarray(image).save(root / name / f"{row}.png")
    return root


@pytest.fixture
def root(house: Path, tmp_path: Path) -> Path:
    """A project of its own with that champion, and no look made yet; the model is read where it lies."""
    shutil.copytree(house, tmp_path / "project")
    return tmp_path / "project"


@pytest.fixture
def watch(root: Path) -> Iterator[Watch]:
    with Championship(PARAMS, root) as opened, Watch(PARAMS, opened) as looking:
        yield looking


def prepared(root: Path) -> Path:
    return root / "results" / "prepare" / "data"


def test_features_are_what_the_head_made_the_outputs_from() -> None:
    trained = judged.trained(TASK)
    images = mnist()[0][:30, None]
    outputs, features = answers_and_features(trained.model, images, np.full(30, 28, np.int32))
    head = trained.model.head
    assert np.allclose(features @ head.weight.detach().numpy().T + head.bias.detach().numpy(), outputs, atol=1e-4)


class TestPaths:
    def test_usual_samples_show_no_drift_and_brighter_ones_do(self, watch: Watch, root: Path) -> None:
        usual = watch.at_paths(prepared(root), [root / "same"])
        assert not usual.drift.found and (usual.drift.old, usual.drift.new) == (judged.NUM_VALIDATION, NEW)
        assert usual.drift.labels is not None
        bright = watch.at_paths(prepared(root), [root / "bright"])
        assert bright.drift.found and bright.number == 2
        assert all(name.startswith(str(root / "bright")) for name in bright.drift.differ)

    def test_the_brighter_ones_among_usual_ones_are_named(self, watch: Watch, root: Path) -> None:
        found = watch.at_paths(prepared(root), [root / "same", root / "bright"])
        assert found.drift.features.found
        assert all("bright" in name for name in found.drift.differ)

    def test_the_same_samples_cost_one_look(self, watch: Watch, root: Path) -> None:
        first = watch.at_paths(prepared(root), [root / "same"])
        shutil.copytree(root / "same", root / "other names")
        again = watch.at_paths(prepared(root), [root / "other names", root / "same"])
        assert again.again and again.number == first.number and again.drift == first.drift

    def test_samples_that_the_champion_has_seen_and_copies_do_not_count(
        self, watch: Watch, root: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        taught = sorted((root / "same").iterdir())[:7]
        for row, file in enumerate(taught):
            watch.champion.seen.train[row] = np.frombuffer(content_key(file.read_bytes()), np.uint8)
        (root / "same" / "text.png").write_text("this is no picture")
        found = watch.at_paths(prepared(root), [root / "same", root / "same"])
        assert found.drift.new == NEW - 7
        said = capsys.readouterr().err
        assert f"left out: {NEW + 7} samples that the champion has seen, or that came twice." in said
        assert "text.png: cannot be read" in said and "left out: 2 samples that could not be read." in said

    def test_too_few_are_a_sentence_and_no_look(self, watch: Watch, root: Path) -> None:
        few = sorted((root / "same").iterdir())[:5]
        with pytest.raises(
            TooFew, match=r"drift\.fewest: 5 new samples are too few .* it takes 20\. No look was spent"
        ):
            watch.at_paths(prepared(root), few)
        assert watch.at_paths(prepared(root), [root / "same"]).number == 1


class TestPrepared:
    def test_what_is_new_is_what_the_champion_has_not_seen(self, watch: Watch, root: Path) -> None:
        new = 40
        for split, place in (("train", 1), ("validation", 2)):
            keys = np.load(prepared(root) / split / "keys.npy")
            count = new - 10 if split == "train" else 10
            keys[-count:, 15] = place  # these came later
            np.save(prepared(root) / split / "keys.npy", keys)
        found = watch.at_prepared(prepared(root))
        assert (found.drift.new, found.drift.old) == (new, judged.NUM_VALIDATION - 10)
        assert found.drift.differ[0].startswith("digit/")

    def test_where_nothing_is_new_there_is_no_look(self, watch: Watch, root: Path) -> None:
        with pytest.raises(TooFew, match="0 new samples are too few"):
            watch.at_prepared(prepared(root))

    def test_samples_that_the_champion_was_taught_are_no_measure(self, watch: Watch, root: Path) -> None:
        watch.champion.seen.train[:9] = watch.champion.seen.validation[:9]
        assert len(chosen_by(prepared(root), watch.champion)[0]) == judged.NUM_VALIDATION - 9

    def test_classes_in_another_order_are_the_champions(self, watch: Watch, root: Path) -> None:
        usual = chosen_by(prepared(root), watch.champion)[1]
        file = prepared(root) / "dataset.json"
        about = json.loads(file.read_text())
        file.write_text(json.dumps(about | {"classes": ["new", *about["classes"][1:]]}))
        targets = chosen_by(prepared(root), watch.champion)[1].targets
        assert usual.targets is not None and targets is not None
        assert np.array_equal(targets, np.where(usual.targets == 0, -1, usual.targets))

    def test_data_of_another_kind_are_a_sentence(self, watch: Watch, tmp_path: Path) -> None:
        other = judged.write_prepared("regression", tmp_path / "other")
        with pytest.raises(
            InputError,
            match=r"its task is classification, the data.s is regression, so the champion cannot",
        ):
            watch.at_prepared(other)


@pytest.mark.parametrize("task", ["multilabel", "regression"])
def test_other_tasks_are_watched_too(task: str, tmp_path: Path) -> None:
    data = judged.write_prepared(task, tmp_path / "data")
    apart(data)
    trained = judged.trained(task)
    save_model(tmp_path / "model", trained.model, trained.recipe, trained.about, trained.data)
    with Championship(PARAMS, tmp_path) as opened:
        opened.challenge(tmp_path / "model", data)
    keys = np.load(data / "train" / "keys.npy")
    keys[-50:, 15] = 250
    np.save(data / "train" / "keys.npy", keys)
    with Championship(PARAMS, tmp_path) as opened, Watch(PARAMS, opened) as watch:
        found = watch.at_prepared(data).drift
    assert found.new == 50 and found.labels is None
    assert [one.of for one in found.outputs] == list(trained.about.classes or trained.about.target_names)


def test_the_verb_says_what_was_found_and_exits_so(root: Path) -> None:
    (root / "params.yaml").write_text("drift: {alpha: 0.05}\n")
    ended = {}
    for name in ("same", "bright"):
        command = [sys.executable, "-c", PROGRAM, "drift", name]
        ended[name] = subprocess.run(command, capture_output=True, text=True, check=False, cwd=root)
    assert (ended["same"].returncode, ended["bright"].returncode) == (0, 10), ended
    assert "no drift is shown" in ended["same"].stdout
    assert "look 2 under version 1" in ended["bright"].stdout and "These differ most: bright/" in ended["bright"].stdout
    assert "If only the shares of the classes have changed, accuracy is" in ended["bright"].stdout
