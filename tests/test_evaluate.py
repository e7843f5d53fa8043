"""A real model judged on real digits of every task: what is written, that it is true, and that it repeats."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image
from ruamel.yaml import YAML

import judged
from assay.data.dataset import read_split
from assay.errors import InputError
from assay.evaluate import evaluate, logged, look
from assay.judged import worst
from assay.model_files import Trained
from assay.params import Evaluate
from disks import small_disk
from imports import ROOT

HOW = Evaluate(resamples=100, mistakes=4)
PICTURES = {
    "classification": {"gap", "confusion", "reliability", "mistakes", "why"},
    "multilabel": {"gap", "labels", "reliability", "mistakes"},
    "regression": {"gap", "predicted", "residuals", "mistakes"},
}


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """A folder a task: `data/` as prepared, `out/` as evaluated."""
    folders = {}
    for task in PICTURES:
        folders[task] = tmp_path_factory.mktemp(task)
        evaluate(judged.trained(task), judged.write_prepared(task, folders[task] / "data"), HOW, folders[task] / "out")
    return folders


def read(folder: Path, name: str) -> dict:
    return json.loads((folder / "out" / name).read_text(encoding="utf-8"))


def contents(folder: Path) -> dict[str, bytes]:
    """Every file below a folder."""
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@pytest.mark.parametrize("task", PICTURES)
class TestEveryTask:
    def test_every_figure_has_a_value_between_its_ends_in_six_digits(self, results: dict[str, Path], task: str) -> None:
        figures = read(results[task], "metrics.json")
        for figure in figures.values():
            assert figure["low"] <= figure["value"] <= figure["high"]
            assert all(number == round(number, 6) for number in figure.values())

    def test_a_figure_is_one_line_of_metrics(self, results: dict[str, Path], task: str) -> None:
        lines = (results[task] / "out" / "metrics.json").read_text(encoding="utf-8").splitlines()
        assert len(lines) == len(read(results[task], "metrics.json")) + 2

    def test_every_picture_can_be_opened_and_none_is_blank(self, results: dict[str, Path], task: str) -> None:
        drawn = {path.stem: path for path in (results[task] / "out" / "pictures").glob("*.png")}
        assert set(drawn) == PICTURES[task]
        for path in drawn.values():
            with Image.open(path) as picture:
                assert np.asarray(picture.convert("L")).std() > 5

    def test_every_test_sample_is_predicted_under_its_key(self, results: dict[str, Path], task: str) -> None:
        predictions = pd.read_parquet(results[task] / "out" / "predictions.parquet")
        index = pd.read_parquet(results[task] / "data" / "test" / "index.parquet")
        assert predictions[["key", "name"]].equals(index[["key", "name"]])

    def test_the_gap_shows_all_three_splits(self, results: dict[str, Path], task: str) -> None:
        assert list(read(results[task], "report.json")["gap"]) == ["train", "validation", "test"]

    def test_what_is_written_is_what_the_stage_declares_and_dvc_or_git_restore(
        self, results: dict[str, Path], task: str
    ) -> None:
        written = {f"results/evaluate/{path.name}" for path in (results[task] / "out").iterdir()}
        stage = YAML(typ="safe", pure=True).load(ROOT / "dvc.yaml")["stages"]["evaluate"]
        assert written == {next(iter(out)) if isinstance(out, dict) else out for out in stage["outs"]}

    def test_no_number_is_missing_and_no_path_of_the_machine_is_told(self, results: dict[str, Path], task: str) -> None:
        for name in ("metrics.json", "report.json"):
            text = (results[task] / "out" / name).read_text(encoding="utf-8")
            assert "NaN" not in text
            assert str(results[task]) not in text


def test_predictions_bear_the_figures_out(results: dict[str, Path]) -> None:
    predictions = pd.read_parquet(results["classification"] / "out" / "predictions.parquet")
    accuracy = read(results["classification"], "metrics.json")["accuracy"]["value"]
    assert (predictions["true"] == predictions["said"]).mean() == pytest.approx(accuracy, abs=1e-6)
    probabilities = predictions[[f"probability/{digit}" for digit in range(10)]]
    assert probabilities.sum(axis=1).to_numpy() == pytest.approx(1, abs=1e-5)
    assert (probabilities.to_numpy().argmax(1).astype(str) == predictions["said"]).all()


def test_numbers_are_predicted_in_the_targets_units(results: dict[str, Path]) -> None:
    predictions = pd.read_parquet(results["regression"] / "out" / "predictions.parquet")
    error = predictions["said/hundreds"] - predictions["true/hundreds"]
    rmse = read(results["regression"], "metrics.json")["rmse/hundreds"]["value"]
    assert np.sqrt((error**2).mean()) == pytest.approx(rmse, rel=1e-5)


def test_labels_are_predicted_by_their_names(results: dict[str, Path]) -> None:
    predictions = pd.read_parquet(results["multilabel"] / "out" / "predictions.parquet")
    exact = read(results["multilabel"], "metrics.json")["exact_match"]["value"]
    assert (predictions["true"] == predictions["said"]).mean() == pytest.approx(exact, abs=1e-6)


def test_dvcs_confusion_has_a_row_a_test_sample(results: dict[str, Path]) -> None:
    rows = pd.read_csv(results["classification"] / "out" / "pictures" / "confusion.csv", dtype=str)
    accuracy = read(results["classification"], "metrics.json")["accuracy"]["value"]
    assert len(rows) == judged.NUM_TEST
    assert (rows["actual"] == rows["predicted"]).mean() == pytest.approx(accuracy, abs=1e-6)


def test_the_least_that_must_be_beaten_is_the_most_frequent_class(results: dict[str, Path]) -> None:
    base = read(results["classification"], "report.json")["base"]
    counts = pd.read_parquet(results["classification"] / "out" / "predictions.parquet")["true"].value_counts()
    assert base["accuracy"]["value"] == pytest.approx(counts.iloc[0] / judged.NUM_TEST, abs=1e-6)


def test_a_second_evaluation_writes_the_same_bytes(results: dict[str, Path], tmp_path: Path) -> None:
    folder = results["classification"]
    evaluate(judged.trained("classification"), folder / "data", HOW, tmp_path)
    assert contents(folder / "out") == contents(tmp_path)


def test_the_worst_mistakes_are_wrong_and_come_worst_first(results: dict[str, Path]) -> None:
    seen = look(judged.trained("classification"), results["classification"] / "data", HOW)
    rows = worst(seen, 400)
    assert len(rows) == (seen.said.argmax(1) != seen.targets).sum()
    belief = seen.said[rows, seen.targets[rows]]
    assert (np.diff(belief) >= 0).all()


def test_a_model_without_mistakes_has_a_picture_that_says_so(results: dict[str, Path], tmp_path: Path) -> None:
    data = judged.write_prepared("classification", tmp_path / "data")
    seen = look(judged.trained("classification"), results["classification"] / "data", HOW)
    np.save(data / "test" / "targets.npy", seen.said.argmax(1))  # now everything that it says is true
    (tmp_path / "out" / "pictures").mkdir(parents=True)
    (tmp_path / "out" / "pictures" / "why.png").write_bytes(b"of a worse model")
    evaluate(judged.trained("classification"), data, HOW, tmp_path / "out")
    figures = json.loads((tmp_path / "out" / "metrics.json").read_text())
    assert figures["accuracy"] == {"value": 1.0, "low": pytest.approx(0.9690, abs=1e-4), "high": 1.0}
    assert (tmp_path / "out" / "pictures" / "mistakes.png").exists()
    assert not (tmp_path / "out" / "pictures" / "why.png").exists()


def test_an_empty_test_split_is_refused(tmp_path: Path) -> None:
    data = judged.write_prepared("classification", tmp_path / "data", test=0)
    with pytest.raises(InputError, match=r"the test split is empty; raise data\.splits\.test"):
        evaluate(judged.trained("classification"), data, HOW, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_a_model_that_was_trained_on_another_split_is_refused(results: dict[str, Path], tmp_path: Path) -> None:
    trained, data = judged.trained("classification"), results["classification"] / "data"
    version = trained.about.version
    copied = replace(trained, about=replace(trained.about, version=f"{version}+c0b1e5"))
    assert look(copied, data, HOW).verdicts.keys() == {"train", "validation", "test"}, "copies are of train alone"
    other = replace(trained, about=replace(trained.about, version=f"other+{version}"))
    with pytest.raises(InputError, match=rf"data of version other, and the test split is of version {version}, so"):
        evaluate(other, data, HOW, tmp_path / "out")


def test_a_model_of_other_classes_is_refused(results: dict[str, Path], tmp_path: Path) -> None:
    trained = judged.trained("classification")
    other = replace(trained, about=replace(trained.about, classes=tuple("abcdefghij")))
    with pytest.raises(InputError, match=r"the model's classes is .*; run `assay train` again"):
        evaluate(other, results["classification"] / "data", HOW, tmp_path / "out")


def test_a_model_that_says_nothing_finite_is_refused(results: dict[str, Path], tmp_path: Path) -> None:
    trained = judged.trained("classification")
    broken = Trained(_deaf(trained), trained.recipe, trained.about, trained.data)
    with pytest.raises(InputError, match="not all finite; train it again"):
        evaluate(broken, results["classification"] / "data", HOW, tmp_path / "out")


def _deaf(trained: Trained) -> object:
    import copy

    model = copy.deepcopy(trained.model)
    model.head.bias.data.fill_(float("nan"))
    return model


def test_tracking_gets_values_and_the_ends_of_the_main_figures(results: dict[str, Path]) -> None:
    seen = look(judged.trained("classification"), results["classification"] / "data", HOW)
    keys = dict(logged(seen.verdicts["test"].figures))
    assert {"test/accuracy", "test/accuracy.low", "test/accuracy.high", "test/recall/3"} <= set(keys)
    assert "test/recall/3.low" not in keys


def test_reading_the_training_samples_changes_nothing_on_disk(results: dict[str, Path]) -> None:
    split = read_split(results["classification"] / "data", "train")
    assert not split.parts[0].samples.flags.writeable


@pytest.mark.parametrize("damage", ["missing", "garbage", "shorter"])
def test_nothing_is_written_or_taken_away_where_the_data_is_damaged(
    results: dict[str, Path], tmp_path: Path, damage: str
) -> None:
    data, out = judged.write_prepared("classification", tmp_path / "data"), tmp_path / "out"
    path = data / "test" / "index.parquet"
    rows = pd.read_parquet(path)
    path.unlink()
    if damage == "garbage":
        path.write_bytes(b"PAR1 not really")
    elif damage == "shorter":
        rows[1:].to_parquet(path)
    (out / "pictures").mkdir(parents=True)
    (out / "pictures" / "old.png").write_bytes(b"of the last verdict")
    with pytest.raises(InputError, match=r"index\.parquet: .*run `assay prepare` again"):
        evaluate(judged.trained("classification"), data, HOW, out)
    assert contents(out) == {"pictures/old.png": b"of the last verdict"}


@pytest.fixture
def last(tmp_path: Path) -> Path:
    """Where the last verdict may be written, on a disk of its own or not."""
    place = tmp_path / "disk"
    place.mkdir()
    return place / "out"


def keep(out: Path) -> dict[str, bytes]:
    """Stand-ins of the last verdict, in `out`."""
    (out / "pictures").mkdir(parents=True)
    for name in ("metrics.json", "report.json", "predictions.parquet", "pictures/old.png"):
        (out / name).write_bytes(name.encode())
    return contents(out)


@pytest.mark.parametrize("size", ["20k", "40k", "100k"])
def test_a_full_disk_is_one_sentence_and_leaves_the_last_verdict_whole(
    results: dict[str, Path], last: Path, size: str
) -> None:
    """At 20 KB there is room for not one file more, at 40 KB for figures alone, at 100 KB for some of the pictures."""
    with small_disk(last.parent, size):
        before = keep(last)
        with pytest.raises(InputError, match=r"disk/out: the disk is full; free some space and run the same") as caught:
            evaluate(judged.trained("classification"), results["classification"] / "data", HOW, last)
        assert len(caught.value.sentences) == 1
        assert contents(last) == before


def test_what_stops_it_among_the_pictures_leaves_the_last_verdict_whole(
    results: dict[str, Path], last: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def stopped(_judged: object, _model: object, _names: object, folder: Path) -> None:
        assert (folder / "confusion.csv").exists(), "it was in the middle"
        raise KeyboardInterrupt("pressed")

    monkeypatch.setattr("assay.evaluation_pictures.draw_all", stopped)
    before = keep(last)
    with pytest.raises(KeyboardInterrupt, match="pressed"):
        evaluate(judged.trained("classification"), results["classification"] / "data", HOW, last)
    assert contents(last) == before


def test_what_a_killed_evaluation_and_another_task_left_is_gone_after_the_next(
    results: dict[str, Path], last: Path
) -> None:
    keep(last)
    (last / ".partial" / "pictures").mkdir(parents=True)
    (last / ".partial" / "pictures" / "labels.png").write_bytes(b"half")
    evaluate(judged.trained("classification"), results["classification"] / "data", HOW, last)
    assert contents(last) == contents(results["classification"] / "out")
