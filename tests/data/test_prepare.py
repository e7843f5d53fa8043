"""A source becomes a prepared data set: all of it, the same on every machine, or nothing and a sentence."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
from PIL import Image

from assay.data.dataset import SPLITS, open_prepared, read_split
from assay.data.prepare import plan, prepare
from assay.data.report import Report
from assay.data.splits import content_key, split_of
from assay.errors import InputError
from assay.params import Data
from photographs import crop, encoded, fill, picture

NAMES = ("samples", "lengths", "targets", "keys")


def run(data: Data, out: Path) -> Report:
    return prepare(data, out, lambda _done: None)


def folder_of(path: Path, **settings: Any) -> Data:
    return Data(**({"source": "folder", "path": str(path), "image_size": 16} | settings))


def content(out: Path) -> dict[str, bytes]:
    return {str(path.relative_to(out)): path.read_bytes() for path in sorted(out.rglob("*")) if path.is_file()}


@pytest.fixture
def animals(tmp_path: Path) -> Path:
    return fill(tmp_path / "animals", {"cat": 40, "dog 2": 40, "dog 10": 40})


def test_what_is_written_opens_and_is_what_was_there(animals: Path, tmp_path: Path) -> None:
    report = run(folder_of(animals), tmp_path / "out")
    data = open_prepared(tmp_path / "out" / "data")
    assert data.about == report.about
    assert data.about.classes == ("cat", "dog 2", "dog 10")
    assert sum(data.about.counts.values()) == 120
    for name in SPLITS:
        split = read_split(tmp_path / "out" / "data", name)
        index = pq.read_table(tmp_path / "out" / "data" / name / "index.parquet").to_pylist()
        for row, entry in enumerate(index):
            raw = (animals / entry["name"]).read_bytes()
            key = content_key(raw)
            assert entry["key"] == key.hex() == split.keys[row].tobytes().hex()
            assert split_of(key, None, Data().splits, "assay") == name
            assert data.about.classes[split.targets[row]] == Path(entry["name"]).parent.name
            with Image.open(animals / entry["name"]) as original:
                assert np.array_equal(split.parts[0].samples[row], np.moveaxis(np.asarray(original), -1, 0))


def test_a_report_has_no_place_and_no_time_and_repeats_to_the_byte(animals: Path, tmp_path: Path) -> None:
    run(folder_of(animals), tmp_path / "one")
    animals.rename(tmp_path / "moved")
    run(folder_of(tmp_path / "moved"), tmp_path / "two")
    assert content(tmp_path / "one") == content(tmp_path / "two")
    assert not [name for name, raw in content(tmp_path / "one").items() if str(tmp_path).encode() in raw]


def test_two_processes_write_what_one_writes(animals: Path, tmp_path: Path) -> None:
    run(folder_of(animals, workers=1), tmp_path / "one")
    run(folder_of(animals, workers=2), tmp_path / "two")
    assert content(tmp_path / "one") == content(tmp_path / "two")


def test_the_version_changes_with_content_target_and_how_it_is_seen(animals: Path, tmp_path: Path) -> None:
    versions = [run(folder_of(animals), tmp_path / "out").about.version]
    for change in ({"image_size": 8}, {"channels": 1}, {"split_key": "other"}, {"resize": "pad"}):
        versions.append(run(folder_of(animals, **change), tmp_path / "out").about.version)
    (animals / "cat" / "0.png").rename(animals / "dog 2" / "0.png")
    versions.append(run(folder_of(animals), tmp_path / "out").about.version)
    (animals / "cat" / "new.png").write_bytes(encoded(picture(999)))
    versions.append(run(folder_of(animals), tmp_path / "out").about.version)
    assert len(set(versions)) == len(versions)


def test_new_samples_move_none_of_the_old(animals: Path, tmp_path: Path) -> None:
    def splits() -> dict[str, str]:
        run(folder_of(animals), tmp_path / "out")
        index = {name: pq.read_table(tmp_path / "out" / "data" / name / "index.parquet") for name in SPLITS}
        return {entry: name for name in SPLITS for entry in index[name]["name"].to_pylist()}

    before = splits()
    for number in range(1000, 1060):
        (animals / "cat" / f"{number}.png").write_bytes(encoded(picture(number)))
    after = splits()
    assert before == {name: after[name] for name in before} and len(after) == 180


def test_without_a_size_the_pictures_keep_theirs(animals: Path, tmp_path: Path) -> None:
    assert run(folder_of(animals, image_size=None), tmp_path / "out").about.spec.shape == (3, 16, 16)


def test_copies_in_a_higher_split_are_left_out_and_told(animals: Path, tmp_path: Path) -> None:
    added = 0
    for number in range(200):
        photo = crop(number % 20, 200).resize((64, 64), Image.Resampling.BOX)
        added += 1
        (animals / "cat" / f"copy {number}.jpg").write_bytes(encoded(photo, "JPEG", quality=95 - number // 20))
    report = run(folder_of(animals, image_size=64, max_bad=0.0), tmp_path / "out")
    leaks = report.figures["near_duplicates"]
    assert leaks["count"] > added * 0.5
    assert sum(report.about.counts.values()) == 120 + added - leaks["count"]
    order = {name: place for place, name in enumerate(SPLITS)}
    assert all(order[leak["split"]] < order[leak["near_split"]] for leak in leaks["list"])
    kept = {entry for name in SPLITS for entry in _index(tmp_path / "out", name)}
    assert not kept & {leak["name"] for leak in leaks["list"]}
    assert any("near duplicates" in sentence for sentence in report.sentences())


def _index(out: Path, split: str) -> list[str]:
    return pq.read_table(out / "data" / split / "index.parquet")["name"].to_pylist()


def test_equal_files_stay_in_one_split_and_their_different_labels_are_told(animals: Path, tmp_path: Path) -> None:
    (animals / "dog 2" / "same.png").write_bytes((animals / "cat" / "0.png").read_bytes())
    (animals / "cat" / "again.png").write_bytes((animals / "cat" / "1.png").read_bytes())
    figures = run(folder_of(animals), tmp_path / "out").figures
    assert figures["exact_duplicates"] == {
        "count": 2,
        "list": figures["exact_duplicates"]["list"],
        "samples": 2,
    }
    assert figures["conflicts"] == {"count": 1, "list": [["cat/0.png", "dog 2/same.png"]]}
    assert figures["near_duplicates"]["count"] == 0


def test_the_report_tells_what_is_odd(animals: Path, tmp_path: Path) -> None:
    (animals / "cat" / "flat.png").write_bytes(encoded(Image.new("RGB", (16, 16), (5, 5, 5))))
    (animals / "cat" / "cut.png").write_bytes(encoded(picture(500))[:200])
    report = run(folder_of(animals, max_bad=0.1), tmp_path / "out")
    figures = json.loads((tmp_path / "out" / "report.json").read_text(encoding="utf-8"))
    assert figures == report.figures
    assert [entry["name"] for entry in figures["unreadable"]["list"]] == ["cat/cut.png"]
    assert figures["odd"]["constant"]["list"] == [{"name": "cat/flat.png", "why": "every pixel is (5, 5, 5)"}]
    assert figures["sizes"] == {"different": 1, "commonest": {"16×16": 121}}
    assert (
        figures["too_small_to_judge"]
        == [name for name, counts in figures["classes"].items() if counts["test"] < 10]
        != []
    )
    train = read_split(tmp_path / "out" / "data", "train").parts[0].samples
    assert np.allclose(figures["channels"]["mean"], train.mean(axis=(0, 2, 3)), atol=0.01)
    assert np.allclose(figures["channels"]["std"], train.std(axis=(0, 2, 3)), atol=0.01)
    assert any("cat/cut.png" in sentence for sentence in report.sentences())


def test_the_page_shows_training_samples_of_every_class_and_needs_no_other_file(animals: Path, tmp_path: Path) -> None:
    run(folder_of(animals), tmp_path / "out")
    page = (tmp_path / "out" / "samples.html").read_text(encoding="utf-8")
    assert page.count("<img") == 30 and "http" not in page
    assert all(f"<h2>{name} · " in page for name in ("cat", "dog 2", "dog 10"))
    assert not [name for split in SPLITS[1:] for name in _index(tmp_path / "out", split) if f"'{name}'" in page]


def a_table(folder: Path, **columns: list[Any]) -> str:
    import pyarrow as pa

    num = len(next(iter(columns.values())))
    pq.write_table(
        pa.table({"image": [encoded(picture(number)) for number in range(num)]} | columns), folder / "t.parquet"
    )
    return str(folder / "t.parquet")


def test_many_targets_become_a_multilabel_or_a_regression_set(tmp_path: Path) -> None:
    path = a_table(
        tmp_path, red=[n % 2 for n in range(80)], big=[n % 3 == 0 for n in range(80)], x=[n / 3 for n in range(80)]
    )
    both = {"source": "table", "path": path, "image_size": 16}
    labels = run(Data(**both, target=["red", "big"]), tmp_path / "labels").about
    assert (labels.task, labels.classes, labels.num_outputs) == ("multilabel", ("red", "big"), 2)
    numbers = run(Data(**both, target=["x", "red"], task="regression"), tmp_path / "numbers")
    assert (numbers.about.classes, numbers.about.num_outputs) == (None, 2)
    assert read_split(tmp_path / "numbers" / "data", "train").targets.dtype == np.float32
    assert set(numbers.figures["target_statistics"]["x"]) == set(SPLITS)
    assert "<h2>x 0 to " in (tmp_path / "numbers" / "samples.html").read_text(encoding="utf-8")


def test_a_group_stays_in_one_split(tmp_path: Path) -> None:
    path = a_table(tmp_path, label=[n % 2 for n in range(120)], owner=[f"o{n // 4}" for n in range(120)])
    run(Data(source="table", path=path, image_size=16, group="owner"), tmp_path / "out")
    groups = [
        set(pq.read_table(tmp_path / "out" / "data" / name / "index.parquet")["group"].to_pylist()) for name in SPLITS
    ]
    assert sum(len(group) for group in groups) == len(set.union(*groups)) == 30


WRONG = [
    ({"path": "nowhere"}, r"nowhere does not exist"),
    ({"path": "one"}, r"data\.target: every sample is 'a'; a classifier needs at least two classes"),
    ({"path": "broken"}, r"data: none of 4 samples can be read: a/0\.png: .*; a/1\.png"),
    ({"path": "broken", "image_size": None}, r"data: none of 4 samples can be read; a/0\.png"),
    ({"path": "half"}, r"data\.max_bad: 20 of 60 samples cannot be used, .* of 0\.01: b/40\.png: .*and 15 more, "),
    ({"path": "rare"}, r"class 'rare' \(1 samples\) has none in \w+ and \w+; add samples of it"),
    ({"path": "sizes", "image_size": None}, r"data\.image_size: .* 16×16 \(29\), 40×20 \(1\); set it, e\.g\. to 28"),
    ({"path": "wide", "image_size": None}, r"data\.image_size: .* 40×20 \(2\); set it"),
    ({"path": "half", "splits": {"train": 0.5, "validation": 0.1, "test": 0.1}}, r"sum to 0\.7; they must sum to 1"),
]  # fmt: skip


def bad_folders(place: Path) -> None:
    fill(place / "one", {"a": 3})
    for name, count in (("broken", 4), ("half", 60)):
        fill(place / name, {"a": count // 2, "b": count - count // 2} if name == "broken" else {"a": 40, "b": 20})
        for path in (place / name).rglob("*.png"):
            if name == "broken" or path.parent.name == "b":
                path.write_bytes(path.read_bytes()[:100])
    fill(place / "rare", {"a": 60, "rare": 1})
    fill(place / "sizes", {"a": 15, "b": 15})
    (place / "sizes" / "b" / "29.png").write_bytes(encoded(picture(1).resize((40, 20))))
    for name in ("a", "b"):
        (place / "wide" / name).mkdir(parents=True)
        (place / "wide" / name / "w.png").write_bytes(encoded(picture(ord(name)).resize((40, 20))))


@pytest.mark.parametrize(("settings", "said"), WRONG)
def test_data_that_makes_no_set_is_one_sentence_and_leaves_nothing(
    folder: Path, settings: dict[str, Any], said: str
) -> None:
    bad_folders(folder)
    with pytest.raises(InputError, match=said) as caught:
        run(Data(**({"source": "folder", "image_size": 16} | settings)), folder / "out")
    assert len(caught.value.sentences) == 1 and "\n" not in caught.value.sentences[0]
    assert not (folder / "out").exists() or not list((folder / "out").iterdir())


def test_of_too_many_unreadable_samples_a_list_names_each_with_its_reason(folder: Path) -> None:
    bad_folders(folder)
    with pytest.raises(InputError, match=r"and 15 more, all of them in \.assay/unreadable\.json; mend or remove"):
        run(folder_of(folder / "half"), folder / "out")
    listed = json.loads((folder / ".assay/unreadable.json").read_text(encoding="utf-8"))
    assert [entry["name"] for entry in listed] == [f"b/{number}.png" for number in range(40, 60)]
    assert all(entry["reason"] for entry in listed)


@pytest.mark.usefixtures("folder")  # the list of what is unreadable goes to the working directory
def test_a_failed_run_leaves_the_last_good_set_in_its_place(animals: Path, tmp_path: Path) -> None:
    run(folder_of(animals), tmp_path / "out")
    before = content(tmp_path / "out")
    for path in animals.rglob("*.png"):
        path.write_bytes(b"gone")
    with pytest.raises(InputError, match="none of 120 samples can be read"):
        run(folder_of(animals), tmp_path / "out")
    assert content(tmp_path / "out") == before


def test_progress_is_told_up_to_the_number_that_the_plan_names(animals: Path, tmp_path: Path) -> None:
    planned, heard = plan(folder_of(animals)), []
    planned.write(tmp_path / "out", heard.append)
    assert heard == sorted(heard) and heard[-1] == planned.num_samples == 120


def test_no_part_of_prepare_imports_torch() -> None:
    program = (
        "import sys; from assay.data import prepare, folders, tables; from assay.params import Data; "
        "prepare.plan(Data()); print([name for name in ('torch', 'timm', 'matplotlib') if name in sys.modules])"
    )
    ended = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True, env=_environment()
    )
    assert ended.stdout.strip() == "[]"


def _environment() -> dict[str, str]:
    import os

    return os.environ | {"PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
