"""Parts of a test split: each has its figure where it has the samples for one, from the source to metrics.json."""

import json
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest

import judged
from assay.data.dataset import SPLITS, read_slices, read_split, sliced_by
from assay.data.prepare import prepare
from assay.data.sources import open_source
from assay.errors import InputError
from assay.evaluate import evaluate
from assay.intervals import wilson
from assay.params import Data, Evaluate
from assay.slices import judge_slices, parts_of
from photographs import fill

HOW = Evaluate(resamples=100, mistakes=4, slices=["camera"])


def table(place: Path) -> Data:
    """Pictures of two classes, taken by two cameras; every tenth by nobody knows which."""
    fill(place / "animals", {"cat": 30, "dog": 30})
    names = sorted(path.relative_to(place).as_posix() for path in (place / "animals").rglob("*.png"))
    cameras = ["" if number % 10 == 0 else ("left", "right")[number % 2] for number in range(len(names))]
    rows = [f"{name},{name.split('/')[1]},{camera}" for name, camera in zip(names, cameras, strict=True)]
    (place / "table.csv").write_text("\n".join(["image,label,camera", *rows]) + "\n")
    return Data(source="table", path=str(place / "table.csv"), image_size=16)


def test_prepare_keeps_the_columns_beside_the_data_and_the_data_are_as_without(tmp_path: Path) -> None:
    data = table(tmp_path)
    asked = {"with": ["camera"], "without": []}
    reports = [prepare(data, tmp_path / name, lambda _done: None, slices) for name, slices in asked.items()]
    assert reports[0].about == reports[1].about
    for file in (tmp_path / "with" / "data").rglob("*.*"):
        assert file.read_bytes() == (tmp_path / "without" / file.relative_to(tmp_path / "with")).read_bytes()
    told = dict(line.split(",")[0::2] for line in (tmp_path / "table.csv").read_text().splitlines()[1:])
    seen: list[str | None] = []
    for split in SPLITS:
        folder = tmp_path / "with" / "data"
        keys = read_split(folder, split).keys
        values = read_slices(folder, split, keys, ["camera"])["camera"]
        names = pq.read_table(folder / split / "index.parquet")["name"].to_pylist()
        assert values == [told[name] or None for name in names]
        seen += values
    assert set(seen) == {"left", "right", None}
    assert sliced_by(tmp_path / "without" / "data") == frozenset()


def test_a_column_that_was_not_kept_is_asked_for_in_words(tmp_path: Path) -> None:
    prepare(table(tmp_path), tmp_path / "out", lambda _done: None, [])
    keys = read_split(tmp_path / "out" / "data", "test").keys
    with pytest.raises(InputError, match=r"evaluate\.slices: .* was prepared without 'camera'; run `assay prepare`"):
        read_slices(tmp_path / "out" / "data", "test", keys, ["camera"])


@pytest.mark.parametrize(
    "settings, slices, says",
    [
        ({"source": "digits"}, ["camera"], r"evaluate\.slices: 'camera' names a column, and digits has none"),
        ({}, ["camra"], r"evaluate\.slices: table\.csv has no column 'camra'; did you mean 'camera'\?"),
        ({}, ["camera", "camera"], r"evaluate\.slices: .* one is named twice"),
    ],
)
def test_a_column_that_is_not_there_is_a_sentence(tmp_path: Path, settings: dict, slices: list[str], says: str) -> None:
    data = table(tmp_path).model_copy(update=settings)
    with pytest.raises(InputError, match=says):
        open_source(data, slices)


def test_every_value_is_a_part_but_one_that_is_missing() -> None:
    parts = parts_of({"camera": ["b", None, "a", "b"], "day": ["1", "1", "1", "1"]})
    assert {name: rows.tolist() for name, rows in parts.items()} == {
        "camera=a": [2],
        "camera=b": [0, 3],
        "day=1": [0, 1, 2, 3],
    }


def test_few_samples_are_counted_and_not_judged() -> None:
    outputs = np.eye(2)[[0] * 20 + [1] * 5]
    columns = {"camera": ["many"] * 20 + ["few"] * 5}
    found = judge_slices("classification", outputs, np.zeros(25, dtype=np.int64), ["a", "b"], HOW, columns)
    assert found.figures == {"accuracy/camera=many": wilson(20, 20, HOW.confidence)}
    assert found.counts == {"camera=few": 5, "camera=many": 20}
    assert found.notes == ["slices of fewer than 10 test samples, counted and not judged: camera=few (5)."]


def test_numbers_that_are_all_the_same_in_a_part_have_no_r2_there() -> None:
    rng = np.random.default_rng(0)
    targets = np.concatenate([np.ones(20), rng.normal(size=20)])[:, None]
    columns = {"camera": ["dull"] * 20 + ["bright"] * 20}
    found = judge_slices("regression", targets + rng.normal(size=(40, 1)), targets, ["y"], HOW, columns)
    assert set(found.figures) == {"r2/camera=bright"}
    assert set(found.missing) == {"r2/camera=dull"}


def test_the_stage_writes_a_figure_a_part_among_the_others(tmp_path: Path) -> None:
    data = judged.write_prepared("classification", tmp_path / "data")
    cameras = [("left", "right")[number % 2] for number in range(judged.NUM_TEST)]
    judged.write_slices_of(data, {"camera": cameras})
    evaluate(judged.trained("classification"), data, HOW, tmp_path / "out")
    figures = json.loads((tmp_path / "out" / "metrics.json").read_text())
    report = json.loads((tmp_path / "out" / "report.json").read_text())
    parts = [figures[f"accuracy/camera={camera}"]["value"] for camera in ("left", "right")]
    assert np.mean(parts) == pytest.approx(figures["accuracy"]["value"], abs=1e-5)
    assert report["slices"] == {"camera=left": judged.NUM_TEST // 2, "camera=right": judged.NUM_TEST // 2}
