"""What a person gets wrong: each is one sentence and exit code 2, and nothing is written. Stages run as they are, in
this process where they end before anything heavy begins.
"""

import runpy
import socket
from pathlib import Path

import numpy as np
import pytest

from assay.check import PREPARED, note_prepared
from assay.data.dataset import read_about
from assay.params import Data
from clones import STAGES, Clone
from disks import small_disk
from imports import ROOT
from photographs import encoded, fill, picture
from prepared import write_train

pytestmark = pytest.mark.e2e

NO_SEARCH = "search: {trials: 0}\n"
FOLDER = "data: {source: folder, path: animals, image_size: 16}\n"
TABLE = "data: {source: table, path: table.csv, image_size: 16, target: "
SPACE = FOLDER + "search:\n  trials: 2\n  space:\n    "

SETTINGS = {  # params.yaml → the sentence, after `params.yaml:`
    # params.yaml itself
    NO_SEARCH + "recipe:\n  optimiser: {lr: 1}": "3: 'optimiser' is not a setting of recipe; did you mean 'optimizer'?",
    NO_SEARCH + "recipe: {epochs: many}": "2: recipe.epochs is 'many'; it must be a whole number from 1 to 100000.",
    NO_SEARCH + "recipe: {dropout: 1.5}": "2: recipe.dropout is 1.5; it must be a number of at least 0 and below 1.",
    NO_SEARCH + "recipe: {activation: rleu}": "2: recipe.activation is 'rleu'; did you mean 'relu'?",
    NO_SEARCH + "recipe: {loss: focl}": "2: recipe.loss is 'focl'; did you mean 'focal'?",
    NO_SEARCH + "recipe: {loss: mse}": "2: recipe.loss is 'mse', which does not fit classification; it must be 'auto', "
    "'cross_entropy' or 'focal'.",
    NO_SEARCH + "data: {splits: {train: 0.7, validation: 0.2, test: 0.2}}": "2: data.splits sums to 1.1 (train 0.7 + "
    "validation 0.2 + test 0.2); it must sum to 1.",
    # the space
    SPACE + "dropuot: {low: 0, high: 0.5}": "5: 'dropuot' is not a setting of recipe that search.space could vary; did "
    "you mean 'dropout'?",
    SPACE + "dropout: {low: 0.5, high: 0.2}": "5: search.space.dropout.low is 0.5; it must be below high, 0.2.",
    SPACE
    + "dropout: {low: 0, high: 0.5, when: {backbone: [cnn]}}": "5: search.space.dropout.when names 'backbone', which "
    "is not another entry of search.space; there is none.",
    # networks
    NO_SEARCH
    + "recipe: {backbone: rsnet18}": "2: recipe.backbone: 'rsnet18' is not a network; did you mean 'resnet18'?",
    SPACE
    + "input_size: {choices: [8]}": "5: recipe.input_size: cnn takes no input of size 8; the smallest that works is "
    "10.",
    SPACE
    + "backbone: {choices: [cnn, vgg16]}": "5: recipe.input_size: vgg16 takes no input of size 16; the smallest that "
    "works is 32.",
    # the data
    NO_SEARCH + "data: {source: folder, path: photos}": "2: data.path: photos does not exist; ",
    NO_SEARCH + "data: {source: folder, path: empty}": "2: data.path: empty holds no sample in a class folder",
    NO_SEARCH + TABLE + "lable}": "2: data.target: table.csv has no column 'lable'; did you mean 'label'?",
    # where runs go
    NO_SEARCH
    + "tracking: {uri: ./runs}": "2: tracking.uri: './runs' is a folder, which MLflow no longer writes runs to; ",
}
DATA = {  # params.yaml → the sentence of the stage that looks into the data
    NO_SEARCH
    + "data: {source: folder, path: one}": "2: data.target: every sample is 'cat'; a classifier needs at least two "
    "classes.",
    NO_SEARCH
    + TABLE
    + "label, task: regression}": "2: data.target: 'label' of sample 1 is 'cat', not a finite number; ",
    NO_SEARCH
    + "data: {source: table, path: amounts.csv, image_size: 16}\n"
    + "augment: {balance: true, policy: {rotate: 10}}": "3: augment.balance is true, which needs one class a sample; ",
    NO_SEARCH
    + TABLE
    + "label}\nrecipe: {class_weights: {cat: 1.0}}": "3: recipe.class_weights differs from the classes of the data in ",
    NO_SEARCH
    + "data: {source: folder, path: small}": "2: recipe.input_size: cnn takes no input of size 8; the smallest that ",
}


@pytest.fixture
def project(folder: Path) -> Path:
    """The stages, and data of each kind that a case needs."""
    (folder / "pipeline").symlink_to(ROOT / "pipeline")
    fill(folder / "animals", {"cat": 2, "dog": 2})
    fill(folder / "one", {"cat": 2})
    fill(folder / "small", {"cat": 2, "dog": 2}, side=8)
    (folder / "empty/cat").mkdir(parents=True)
    rows = (f"animals/{name}/{number}.png,{name}" for name, number in (("cat", 0), ("cat", 1), ("dog", 2), ("dog", 3)))
    (folder / "table.csv").write_text("\n".join(["image,label", *rows, ""]))
    (folder / "amounts.csv").write_text("image,label\n" + "".join(f"{number}.png,{number}.5\n" for number in range(40)))
    return folder


def ended(stage: str, capsys: pytest.CaptureFixture[str]) -> list[str]:
    """The lines of a stage that ends with exit code 2 and has written no result."""
    with pytest.raises(SystemExit, match=r"^2$"):
        runpy.run_path(f"pipeline/{stage}.py", run_name="__main__")
    said = capsys.readouterr()
    assert said.out == ""
    assert not Path("results").exists() and not Path("mlruns").exists()
    return said.err.splitlines()


@pytest.mark.parametrize("text", SETTINGS)
def test_wrong_settings_are_one_sentence_with_their_line(
    text: str, project: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    Path("params.yaml").write_text(text)
    [said] = ended("prepare", capsys)
    assert said.startswith(f"params.yaml:{SETTINGS[text]}")


@pytest.mark.parametrize("text", DATA)
def test_data_that_nothing_can_be_learnt_from_is_one_sentence(
    text: str, project: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    Path("params.yaml").write_text(text)
    [said] = ended("prepare", capsys)
    assert said.startswith(f"params.yaml:{DATA[text]}")


def test_several_mistakes_are_said_together(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    Path("params.yaml").write_text("recipe: {epochs: 0}\nserach: {}\nsearch: {trials: 0}\ndata: {channels: 2}")
    assert [said.split(" ")[0] for said in ended("prepare", capsys)] == [f"params.yaml:{line}:" for line in (1, 2, 4)]


def test_a_tracking_server_that_is_away_is_found_before_the_work(
    project: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with socket.socket() as closed:  # bound and not listening: nobody answers there
        closed.bind(("127.0.0.1", 0))
        address = f"http://127.0.0.1:{closed.getsockname()[1]}"
        Path("params.yaml").write_text(f"{NO_SEARCH}{FOLDER}tracking: {{uri: '{address}'}}")
        [said] = ended("prepare", capsys)
    assert said.startswith(f"params.yaml:3: tracking.uri: no MLflow server at {address} (")
    assert "right would be null" in said


@pytest.mark.parametrize("stage", [stage for stage in STAGES if stage != "prepare"])
def test_a_stage_whose_input_is_not_there_says_so(
    stage: str, project: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    Path("params.yaml").write_text(NO_SEARCH + FOLDER)
    [said] = ended(stage, capsys)
    assert said.startswith("results/")


@pytest.mark.parametrize("stage", [stage for stage in STAGES if stage != "prepare"])
def test_a_stage_after_prepare_refuses_data_of_other_settings(
    stage: str, project: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write_train(Path("results/prepare/data"), np.arange(8))
    note_prepared(Data(source="folder", path="former", image_size=16), read_about(PREPARED).version)
    before = sorted(project.rglob("*"))
    Path("params.yaml").write_text(NO_SEARCH + FOLDER)
    with pytest.raises(SystemExit, match=r"^2$"):
        runpy.run_path(f"pipeline/{stage}.py", run_name="__main__")
    [said] = capsys.readouterr().err.splitlines()
    assert said.startswith("params.yaml:2: results/prepare/data was prepared with data.path 'former'; run `assay ")
    assert [path for path in sorted(project.rglob("*")) if path.name != "params.yaml"] == before


def refused(project: Path) -> list[str]:
    """What `python pipeline/prepare.py` says, in a process of its own, that ends with exit code 2."""
    ended = Clone(project).run("python", "pipeline/prepare.py", code=2)
    assert ended.stdout == ""
    return ended.stderr.splitlines()


def test_files_of_which_none_can_be_read_are_one_sentence_and_a_failed_run(project: Path) -> None:
    for path in (project / "animals").rglob("*.png"):
        path.write_bytes(path.read_bytes()[:40])
    (project / "params.yaml").write_text(NO_SEARCH + FOLDER)
    progress, said = refused(project)
    assert progress == "prepare 4/4"
    assert said.startswith("data: none of 4 samples can be read: cat/0.png: ")
    assert Clone(project).statuses() == {("prepare", "FAILED"): 1}
    assert not list(project.glob("results/*/*"))


def test_a_full_disk_is_one_sentence_and_what_was_half_written_is_taken_away(project: Path) -> None:
    for number in range(100, 200):
        (project / f"animals/cat/{number}.png").write_bytes(encoded(picture(number, 32)))
    (project / "params.yaml").write_text(NO_SEARCH + FOLDER.replace("16", "32"))
    with small_disk(project / "results"):
        assert refused(project) == [
            "results/prepare: the disk is full; free some space and run the same command again."
        ]
        assert not list(project.glob("results/*/*"))
