"""Every source gives the same kind of samples, in one order, twice; what is wrong with one is a sentence."""

import csv
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from assay.data.decoding import decode_one
from assay.data.raw import Raw, Source
from assay.data.sources import open_source
from assay.errors import InputError
from assay.image.decode import decode
from assay.params import Data
from photographs import encoded, fill, picture

NUM = 12
KINDS = ("cat", "dog", "Bär mit Hut")


def rows() -> list[dict[str, Any]]:
    """A row a sample: its picture, class, a number, and whose it is."""
    return [
        {"image": encoded(picture(number)), "label": KINDS[number % 3], "size": number / 2, "owner": f"o{number % 4}"}
        for number in range(NUM)
    ]


def write_files(folder: Path) -> list[str]:
    """The pictures as files with blanks and umlauts in their names."""
    (folder / "Bilder hier").mkdir(parents=True)
    names = [f"Bilder hier/nü {number}.png" for number in range(NUM)]
    for name, row in zip(names, rows(), strict=True):
        (folder / name).write_bytes(row["image"])
    return names


def write_csv(path: Path, columns: dict[str, list[Any]], delimiter: str = ",") -> None:
    with path.open("w", encoding="utf-8", newline="") as stream:
        writer = csv.writer(stream, delimiter=delimiter)
        writer.writerow(columns)
        writer.writerows(zip(*columns.values(), strict=True))


def columns(names: list[Any]) -> dict[str, list[Any]]:
    made = rows()
    return {"image": names} | {name: [row[name] for row in made] for name in ("label", "size", "owner")}


def a_folder(place: Path) -> Data:
    for name, row in zip(write_files(place / "raw"), rows(), strict=True):
        target = place / "set" / row["label"] / "a b" / "ü"
        target.mkdir(parents=True, exist_ok=True)
        (target / Path(name).name).write_bytes(row["image"])
    return Data(source="folder", path=str(place / "set"))


def a_csv(place: Path) -> Data:
    names = write_files(place)
    write_csv(place / "table.csv", columns(list(names)))
    return Data(source="table", path=str(place / "table.csv"))


def a_tsv(place: Path) -> Data:
    write_csv(place / "table.tsv", columns([str(place / name) for name in write_files(place)]), "\t")
    return Data(source="table", path=str(place / "table.tsv"))


def a_parquet_of_paths(place: Path) -> Data:
    pq.write_table(pa.table(columns(list(write_files(place)))), place / "table.parquet")
    return Data(source="table", path=str(place / "table.parquet"))


def a_parquet_of_bytes(place: Path) -> Data:
    pq.write_table(pa.Table.from_pylist(rows()), place / "table.parquet")
    return Data(source="table", path=str(place / "table.parquet"))


def a_saved_hub_set(place: Path) -> Data:
    import datasets

    said = datasets.Features(
        image=datasets.Image(), label=datasets.ClassLabel(names=list(KINDS)),
        size=datasets.Value("float32"), owner=datasets.Value("string"),
    )  # fmt: skip
    made = [row | {"image": {"bytes": row["image"], "path": None}} for row in rows()]
    parts = {
        name: datasets.Dataset.from_list(part, features=said)
        for name, part in (("train", made[:8]), ("test", made[8:]))
    }
    datasets.DatasetDict(parts).save_to_disk(place / "set")
    return Data(source="hub", path=str(place / "set"))


def a_hub_folder_of_parquet(place: Path) -> Data:
    (place / "set" / "data").mkdir(parents=True)
    pq.write_table(pa.Table.from_pylist(rows()), place / "set" / "data" / "train-00000-of-00001.parquet")
    return Data(source="hub", path=str(place / "set"))


def a_hub_folder_of_pictures(place: Path) -> Data:
    for number, row in enumerate(rows()):
        target = place / "set" / ("train" if number < 8 else "test") / row["label"]
        target.mkdir(parents=True, exist_ok=True)
        (target / f"{number}.png").write_bytes(row["image"])
    return Data(source="hub", path=str(place / "set"))


SOURCES = [
    a_folder, a_csv, a_tsv, a_parquet_of_paths, a_parquet_of_bytes,
    a_saved_hub_set, a_hub_folder_of_parquet, a_hub_folder_of_pictures,
]  # fmt: skip
WITH_COLUMNS = [a_csv, a_parquet_of_paths, a_parquet_of_bytes, a_saved_hub_set]


def by_content(source: Source) -> dict[bytes, Raw]:
    return {raw.read(): raw for raw in source}


@pytest.mark.parametrize("make", SOURCES)
class TestEverySource:
    def test_gives_every_sample_with_its_target(self, make: Callable[[Path], Data], tmp_path: Path) -> None:
        found = by_content(open_source(make(tmp_path)))
        assert {content: raw.labels for content, raw in found.items()} == {
            row["image"]: (row["label"],) for row in rows()
        }

    def test_names_are_its_own_and_of_no_machine(self, make: Callable[[Path], Data], tmp_path: Path) -> None:
        names = [raw.name for raw in open_source(make(tmp_path))]
        assert len(set(names)) == NUM
        assert not [name for name in names if str(tmp_path) in name or "\\" in name or name.startswith("/")]

    def test_is_walked_twice_in_one_order_and_labels_agree(self, make: Callable[[Path], Data], tmp_path: Path) -> None:
        source = open_source(make(tmp_path))
        first = [(raw.name, raw.labels) for raw in source]
        assert first == [(raw.name, raw.labels) for raw in source]
        assert [labels for _, labels in first] == list(source.labels())
        assert len(source.target_names) == 1

    def test_its_samples_decode(self, make: Callable[[Path], Data], tmp_path: Path) -> None:
        data = make(tmp_path)
        assert {decode(raw.read(), data).size for raw in open_source(data)} == {(16, 16)}


@pytest.mark.parametrize("make", WITH_COLUMNS)
class TestEverySourceWithColumns:
    def test_has_many_targets_and_groups(self, make: Callable[[Path], Data], tmp_path: Path) -> None:
        data = make(tmp_path).model_copy(update={"target": ["size", "label"], "group": "owner"})
        source = open_source(data)
        assert source.target_names == ("size", "label")
        found = {
            content: (float(raw.labels[0]), raw.labels[1], raw.group) for content, raw in by_content(source).items()
        }
        assert found == {row["image"]: (row["size"], row["label"], row["owner"]) for row in rows()}

    def test_lacks_a_column_in_words(self, make: Callable[[Path], Data], tmp_path: Path) -> None:
        data = make(tmp_path).model_copy(update={"image": "imag", "target": ["labels", "size"], "group": "patient"})
        with pytest.raises(InputError, match=r"data\.image: .* has no column 'imag'; did you mean 'image'\?") as caught:
            open_source(data)
        said = "\n".join(caught.value.sentences)
        assert "data.target" in said and "did you mean 'label'?" in said
        assert "data.group" in said and "known are image, label, owner, size" in said


def test_the_digits_are_5000_of_ten_classes_as_they_ever_were() -> None:
    source = open_source(Data(source="digits"))
    labels = list(source.labels())
    assert len(labels) == 5000 and {labels.count((str(digit),)) for digit in range(10)} == {500}
    first = next(iter(source))
    assert (first.name, first.labels) == ("digit/0000", ("0",))
    assert first.read().startswith(b"P5 28 28 255\n") and len(first.read()) == 13 + 784


def test_a_folder_passes_over_what_is_no_sample_with_a_word(tmp_path: Path) -> None:
    fill(tmp_path, {"b10": 1, "b9": 1})
    for name in ("empty", ".git", "b9/.cache"):
        (tmp_path / name).mkdir()
    for name in ("README.md", "b9/.DS_Store", "b9/notes.txt", "b9/.cache/x.png", "stray.png"):
        (tmp_path / name).write_bytes(b"x")
    source = open_source(Data(source="folder", path=str(tmp_path)))
    assert [raw.name for raw in source] == ["b9/1.png", "b10/0.png"]
    said = " ".join(source.notes)
    for name in ("empty", ".git", "b9/.cache", "README.md", "b9/.DS_Store", "b9/notes.txt", "stray.png"):
        assert name in said


def test_a_link_that_leads_back_is_walked_once(tmp_path: Path) -> None:
    fill(tmp_path, {"a": 2, "b": 1})
    (tmp_path / "a" / "again").symlink_to(tmp_path / "a", target_is_directory=True)
    assert len(list(open_source(Data(source="folder", path=str(tmp_path))))) == 3


def test_an_unlabelled_split_of_a_hub_set_is_left_out_with_a_word(tmp_path: Path) -> None:
    import datasets

    data = a_saved_hub_set(tmp_path)
    both = datasets.load_from_disk(data.path)
    both["test"] = both["test"].remove_columns("label")
    both.save_to_disk(tmp_path / "other")
    source = open_source(data.model_copy(update={"path": str(tmp_path / "other")}))
    assert len(list(source)) == 8
    assert source.notes == ["splits without rows or target, ignored: test."]


def wrong(place: Path) -> list[tuple[dict[str, Any], str]]:
    fill(place / "splits" / "train", {"a": 1})
    fill(place / "splits" / "test", {"a": 1})
    (place / "empty").mkdir()
    fill(place / "hidden", {".a": 1, "b": 0})
    (place / "no.csv").write_text("")
    (place / "short.csv").write_text("image,label\na.png,x\nb.png\n")
    (place / "blank.csv").write_text('image,label\n\n\n"a\nb.png",x\nb.png\n')
    (place / "open.csv").write_text('image,label\na.png,x\n\nb.png,"x\nc.png,x\nd.png,x\n')
    (place / "after.csv").write_text('image,label\na.png,"x"y\n')
    (place / "twice.csv").write_text("image,label,label\na.png,x,y\n")
    pq.write_table(
        pa.Table.from_arrays([pa.array(["a.png"])] * 3, ["image", "label", "image"]), place / "twice.parquet"
    )
    (place / "latin.csv").write_bytes("image,label\nä.png,x\n".encode("latin-1"))
    (place / "bad.parquet").write_bytes(b"PAR1 and then nothing")
    (place / "table.xlsx").write_bytes(b"PK")
    pq.write_table(pa.table({"image": [1, 2], "label": ["a", "b"]}), place / "numbers.parquet")
    folder, table, hub = {"source": "folder"}, {"source": "table"}, {"source": "hub"}
    return [
        (folder, r"data\.path: is not set; folder needs a folder that holds one folder a class"),
        (folder | {"path": "emty"}, r"emty does not exist; did you mean 'empty'\?"),
        (folder | {"path": "none/none"}, r"none/none does not exist; nor is the folder none"),
        (folder | {"path": "empty"}, r"empty holds no sample in a class folder; known kinds: .*\.png"),
        (
            folder | {"path": "hidden"},
            r"hidden holds no sample .*classes without a sample, ignored: b.*hidden, ignored: \.a",
        ),
        (folder | {"path": "no.csv"}, r"no\.csv is a file; the source folder needs a folder"),
        (folder | {"path": "splits"}, r"\(test, train\) are splits, not classes.*data\.source: hub"),
        (folder | {"path": "splits", "group": "owner"}, r"data\.group: 'owner' names a column, and folder has none"),
        ({"source": "digits", "group": "owner"}, r"data\.group: 'owner' names a column, and digits has none"),
        (table | {"path": "table.xlsx"}, r"table\.xlsx is not a table that is known; it must be \.csv"),
        (table | {"path": "no.csv"}, r"no\.csv is empty; it needs a line of column names"),
        (table | {"path": "short.csv"}, r"short\.csv: line 3 has 1 values for 2 columns; mend the line"),
        (table | {"path": "blank.csv"}, r"blank\.csv: line 6 has 1 values for 2 columns; mend the line"),
        (table | {"path": "open.csv"}, r"open\.csv is no whole table \(unexpected end .*; mend the quotes of line 4"),
        (
            table | {"path": "after.csv"},
            r"after\.csv is no whole table \(.*expected after.*; mend the quotes of line 2",
        ),
        (table | {"path": "twice.csv"}, r"data\.target: twice\.csv has 2 columns 'label'; rename all but one of them"),
        (table | {"path": "twice.parquet"}, r"data\.image: twice\.parquet has 2 columns 'image'; rename all but one"),
        (table | {"path": "latin.csv"}, r"latin\.csv is not UTF-8 text"),
        (table | {"path": "n" * 300}, r"data\.path: n{119}…: cannot be used \(File name too long\); give it a shorter"),
        (table | {"path": "bad.parquet"}, r"bad\.parquet cannot be read as Parquet \(.*\); write it again\.$"),
        (
            table | {"path": "numbers.parquet"},
            r"data\.image: 'image' holds int values; it must hold file paths or bytes",
        ),
        (table | {"path": "short.csv", "target": []}, r"data\.target: is an empty list"),
        (table | {"path": "short.csv", "target": ["label", "label"]}, r"data\.target: 'label' is named twice"),
        (hub | {"path": "no.csv"}, r"no\.csv is a file; set data\.source: table"),
        (hub | {"path": "empty"}, r"empty is not a data set that `datasets` can read"),
        (hub | {"path": "nobody/nothing"}, r"there is no folder 'nobody/nothing'.*where there is no network"),
    ]


@pytest.mark.parametrize("number", range(26))
def test_what_is_wrong_with_a_source_is_one_sentence(folder: Path, number: int) -> None:
    cases = wrong(folder)
    assert len(cases) == 26
    settings, said = cases[number]
    with pytest.raises(InputError, match=said) as caught:
        list(open_source(Data(**settings)))
    assert len(caught.value.sentences) == 1 and os.linesep not in caught.value.sentences[0]


@pytest.mark.timeout(60, func_only=True)
def test_a_pipe_is_no_sample_and_never_a_wait(tmp_path: Path) -> None:
    fill(tmp_path / "set", {"cat": 1, "dog": 1})
    os.mkfifo(tmp_path / "set/cat/pipe.png")
    (tmp_path / "set/dog/gone.png").symlink_to("nowhere")
    source = open_source(Data(source="folder", path=str(tmp_path / "set")))
    assert source.notes == ["no regular files, ignored: cat/pipe.png."]
    assert [raw.name for raw in source] == ["cat/0.png", "dog/1.png", "dog/gone.png"]
    with pytest.raises(OSError, match="it is no regular file"):
        Raw("pipe", tmp_path / "set/cat/pipe.png", ("cat",)).read()


def test_names_that_are_no_utf8_are_read_and_can_be_written(tmp_path: Path) -> None:
    fill(tmp_path / "set", {"cat": 1, os.fsdecode(b"B\xe4r"): 1})
    (tmp_path / "set/cat/0.png").rename(tmp_path / "set/cat" / os.fsdecode(b"\xff.png"))
    (tmp_path / "set/cat" / os.fsdecode(b"\xfe.txt")).write_text("")
    source = open_source(Data(source="folder", path=str(tmp_path / "set")))
    found = list(source)
    assert {raw.name.encode() for raw in found} == {b"cat/\\xff.png", b"B\\xe4r/1.png"}
    assert list(source.labels()) == [raw.labels for raw in found]
    assert "\n".join(source.notes).encode() == b"of no known kind, ignored: cat/\\xfe.txt."
    assert all(decode(raw.read(), Data(image_size=16)) for raw in found)


def test_a_hub_folder_that_is_refused_leaves_no_cache_behind(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    caches, empty = tmp_path / "caches", tmp_path / "empty"
    caches.mkdir()
    empty.mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(caches))
    with pytest.raises(InputError, match="is not a data set that `datasets` can read"):
        open_source(Data(source="hub", path=str(empty)))
    assert [path for path in caches.iterdir() if path.name.startswith("assay-hub-")] == []


@pytest.mark.parametrize("kind", ["csv", "parquet"])
def test_a_row_without_a_picture_or_with_an_impossible_one_is_a_bad_sample(tmp_path: Path, kind: str) -> None:
    cells = {"image": ["", " ", "a\0b.png", None], "label": list("abab")}
    if kind == "csv":
        write_csv(tmp_path / "table.csv", cells)
    else:
        pq.write_table(pa.table(cells), tmp_path / "table.parquet")
    data = Data(source="table", path=str(tmp_path / f"table.{kind}"), image_size=16)
    found = [decode_one(raw, data) for raw in open_source(data)]
    empty, strange = ("it cannot be read (its cell of data.image is empty)", "(its name holds a NUL character)")
    assert [sample.reason for sample in found] == [empty, empty, f"it cannot be read {strange}", empty]
    first = {"csv": 2, "parquet": 1}[kind]
    at = [f"table.{kind} {'line' if kind == 'csv' else 'row'} {first + place}" for place in range(4)]
    assert [sample.raw.name for sample in found] == [*at[:2], "a\\x00b.png", at[3]]


def test_what_is_missing_in_a_group_column_is_no_group(tmp_path: Path) -> None:
    pictures = rows()[:4]
    names = write_files(tmp_path)[:4]
    write_csv(tmp_path / "table.csv", {"image": names, "label": list("abab"), "owner": ["o1", "", "nan", " "]})
    missing = {"owner": pa.array([1.0, None, float("nan"), float("nan")], from_pandas=False)}
    made = {"image": [row["image"] for row in pictures], "label": list("abab")}
    pq.write_table(pa.table(made | missing), tmp_path / "table.parquet")
    for kind, first in (("csv", "o1"), ("parquet", "1.0")):
        data = Data(source="table", path=str(tmp_path / f"table.{kind}"), group="owner")
        assert [raw.group for raw in open_source(data)] == [first, None, None, None], kind


def test_bytes_that_are_text_are_its_classes_and_groups(tmp_path: Path) -> None:
    made = {"image": ["a.png", "b.png"], "label": ["Bär".encode(), b"cat"], "owner": [b"o1", b"o2"]}
    pq.write_table(pa.table(made), tmp_path / "table.parquet")
    source = open_source(Data(source="table", path=str(tmp_path / "table.parquet"), group="owner"))
    assert list(source.labels()) == [("Bär",), ("cat",)]
    assert [(raw.labels, raw.group) for raw in source] == [(("Bär",), "o1"), (("cat",), "o2")]
