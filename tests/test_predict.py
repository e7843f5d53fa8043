"""Raw files in, rows out: the answers are the model's own, and what cannot be read stops nothing."""

import csv
import io
import json
import os
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image

import judged
from assay.data.dataset import read_split
from assay.device import resolve_device
from assay.errors import InputError
from assay.model_files import save_model
from assay.outputs import outputs_of, probabilities
from assay.predict import ROWS, predict


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    folders = {}
    for task in ("classification", "multilabel", "regression"):
        folders[task], one = tmp_path_factory.mktemp(task) / "model", judged.trained(task)
        save_model(folders[task], one.model, one.recipe, one.about, one.data)
    return folders


@pytest.fixture(scope="module")
def digits(tmp_path_factory: pytest.TempPathFactory) -> np.ndarray:
    data = judged.write_prepared("classification", tmp_path_factory.mktemp("digits") / "data")
    return np.array(read_split(data, "test").parts[0].samples)


@pytest.fixture
def pictures(digits: np.ndarray, tmp_path: Path) -> Path:
    """Six digits as PNG in two folders, with what should be passed over."""
    folder = tmp_path / "Größe 1"
    (folder / "deep er").mkdir(parents=True)
    for number, digit in enumerate(digits[:6]):
        place = folder if number < 3 else folder / "deep er"
        Image.fromarray(digit[0]).save(place / f"ä {number}.png")
    (folder / ".hidden.png").write_bytes(b"")
    (folder / "notes.txt").write_text("no picture")
    return folder


def as_csv(model: Path, *paths: Path) -> list[dict[str, str]]:
    stream = io.StringIO()
    predict(model, paths, "csv", stream)
    return list(csv.DictReader(io.StringIO(stream.getvalue())))


def as_jsonl(model: Path, *paths: Path) -> list[dict]:
    stream = io.StringIO()
    predict(model, paths, "jsonl", stream)
    return [json.loads(line) for line in stream.getvalue().splitlines()]


def expected(task: str, samples: np.ndarray) -> np.ndarray:
    lengths = np.full(len(samples), 28, dtype=np.int32)
    return probabilities(task, outputs_of(judged.trained(task).model, samples, lengths, resolve_device(None)))


def test_a_folder_gives_the_models_own_probabilities(
    models: dict[str, Path], pictures: Path, digits: np.ndarray
) -> None:
    rows = as_csv(models["classification"], pictures)
    assert [Path(row["name"]).name for row in rows] == [f"ä {number}.png" for number in range(6)]
    said = np.array([[float(row[f"probability/{digit}"]) for digit in range(10)] for row in rows])
    assert said == pytest.approx(expected("classification", digits[:6]), abs=1e-5)
    assert [row["said"] for row in rows] == [str(best) for best in said.argmax(1)]
    assert {row["error"] for row in rows} == {""}


def test_json_lines_name_every_class(models: dict[str, Path], pictures: Path) -> None:
    first = as_jsonl(models["classification"], pictures)[0]
    assert set(first) == {"name", "said", "probabilities"}
    assert max(first["probabilities"], key=first["probabilities"].__getitem__) == first["said"]


def test_numbers_are_said_by_target(models: dict[str, Path], pictures: Path, digits: np.ndarray) -> None:
    rows = as_jsonl(models["regression"], pictures)
    said = [[row["said"]["hundreds"], row["said"]["half"]] for row in rows]
    assert np.array(said) == pytest.approx(expected("regression", digits[:6]), rel=1e-4, abs=1e-3)
    assert list(as_csv(models["regression"], pictures)[0]) == ["name", "said/hundreds", "said/half", "error"]


def test_labels_are_those_more_likely_than_not(models: dict[str, Path], pictures: Path) -> None:
    for row in as_csv(models["multilabel"], pictures):
        likely = [name for name in ("ones", "twos", "fours", "eights") if float(row[f"probability/{name}"]) > 0.5]
        assert row["said"] == ", ".join(likely)


def test_a_picture_of_another_size_and_colour_becomes_what_the_model_knows(
    models: dict[str, Path], digits: np.ndarray, tmp_path: Path
) -> None:
    big = Image.fromarray(digits[0, 0]).resize((112, 112), Image.Resampling.NEAREST).convert("RGB")
    big.save(tmp_path / "big.png")
    row = as_csv(models["classification"], tmp_path / "big.png")[0]
    said = np.array([float(row[f"probability/{digit}"]) for digit in range(10)])
    assert said == pytest.approx(expected("classification", digits[:1])[0], abs=0.1)


def test_a_model_prepared_in_the_pictures_own_size_still_fits_new_ones(
    digits: np.ndarray, pictures: Path, tmp_path: Path
) -> None:
    one = judged.trained("classification")
    save_model(tmp_path / "m", one.model, one.recipe, one.about, one.data.model_copy(update={"image_size": None}))
    Image.fromarray(digits[0, 0]).resize((56, 56)).save(tmp_path / "twice.png")
    assert as_csv(tmp_path / "m", tmp_path / "twice.png", pictures)[0]["error"] == ""


class TestTables:
    def test_of_paths_are_read_beside_the_table(self, models: dict[str, Path], pictures: Path) -> None:
        names = ["ä 0.png", "deep er/ä 4.png"]
        pd.DataFrame({"image": names, "other": 1}).to_csv(pictures / "t.csv", index=False)
        rows = as_csv(models["classification"], pictures / "t.csv")
        assert [row["name"] for row in rows] == names
        assert {row["error"] for row in rows} == {""}

    def test_of_bytes_are_read_row_by_row(self, models: dict[str, Path], pictures: Path, digits: np.ndarray) -> None:
        contents = [(pictures / f"ä {number}.png").read_bytes() for number in range(3)]
        pd.DataFrame({"image": contents}).to_parquet(pictures / "t.parquet")
        rows = as_csv(models["classification"], pictures / "t.parquet")
        said = np.array([[float(row[f"probability/{digit}"]) for digit in range(10)] for row in rows])
        assert said == pytest.approx(expected("classification", digits[:3]), abs=1e-5)

    def test_without_the_column_are_refused_before_any_answer(
        self, models: dict[str, Path], pictures: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        pd.DataFrame({"imgae": ["ä 0.png"]}).to_csv(pictures / "t.csv", index=False)
        with pytest.raises(InputError, match=r"t\.csv: has no column 'image'.*did you mean 'imgae'"):
            as_csv(models["classification"], pictures / "ä 0.png", pictures / "t.csv")
        assert capsys.readouterr().err == ""

    def test_that_are_no_tables_are_refused(self, models: dict[str, Path], tmp_path: Path) -> None:
        (tmp_path / "t.parquet").write_bytes(b"PAR1 not really")
        with pytest.raises(InputError, match=r"t\.parquet: it is no whole table \(.*[^.]\); write it again\.$"):
            as_csv(models["classification"], tmp_path / "t.parquet")

    @pytest.mark.parametrize("rest", [b'"never closed', b"\xff\xfe"], ids=["quote", "bytes"])
    def test_damaged_behind_their_head_answer_up_to_there(
        self, models: dict[str, Path], pictures: Path, rest: bytes
    ) -> None:
        (pictures / "t.csv").write_bytes(b"image\n" + "ä 0.png\n".encode() * ROWS + rest)
        stream = io.StringIO()
        with pytest.raises(InputError, match=rf"1 of {ROWS + 1} samples could not be read"):
            predict(models["classification"], [pictures / "t.csv"], "csv", stream)
        *_, last = csv.DictReader(io.StringIO(stream.getvalue()))
        assert last["name"].endswith(f"t.csv:{ROWS + 1}")
        assert last["error"].startswith("from here on it is no whole table (")
        assert last["error"].endswith("write it again, as text in UTF-8")

    def test_of_numbers_are_not_called_empty(self, models: dict[str, Path], pictures: Path) -> None:
        pd.DataFrame({"image": [1.5]}).to_parquet(pictures / "t.parquet")
        stream = io.StringIO()
        with pytest.raises(InputError, match="1 of 1 samples could not be read"):
            predict(models["classification"], [pictures / "t.parquet"], "csv", stream)
        assert "column 'image' holds float values; it must hold file paths or bytes" in stream.getvalue()

    def test_with_an_empty_cell_answer_for_the_others(self, models: dict[str, Path], pictures: Path) -> None:
        (pictures / "t.csv").write_text('image\nä 0.png\n""\nä 1.png\n', encoding="utf-8")
        stream = io.StringIO()
        with pytest.raises(InputError, match="1 of 3 samples could not be read"):
            predict(models["classification"], [pictures / "t.csv"], "csv", stream)
        errors = [row["error"] for row in csv.DictReader(io.StringIO(stream.getvalue()))]
        assert errors == ["", "column 'image' is empty there", ""]


def test_what_cannot_be_read_is_a_row_and_a_sentence_and_the_others_are_answered(
    models: dict[str, Path], pictures: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    whole = (pictures / "ä 0.png").read_bytes()
    (pictures / "a cut.png").write_bytes(whole[: len(whole) // 2])
    stream = io.StringIO()
    with pytest.raises(InputError, match="2 of 8 samples could not be read; their rows say why"):
        predict(models["classification"], [pictures, pictures / "gone.png"], "csv", stream)
    rows = {Path(row["name"]).name: row for row in csv.DictReader(io.StringIO(stream.getvalue()))}
    assert rows["gone.png"]["error"] == "No such file or directory"
    assert rows["a cut.png"]["said"] == ""
    assert sum(row["error"] == "" for row in rows.values()) == 6
    said = capsys.readouterr().err.splitlines()
    assert len(said) == 2
    assert all("cannot be read: " in line for line in said)


def test_a_folder_without_samples_says_so(models: dict[str, Path], tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    with pytest.raises(InputError, match="1 of 1 samples could not be read"):
        as_csv(models["classification"], tmp_path / "empty")


def test_without_a_model_there_is_one_sentence(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"holds no trained model .*run `assay train` first"):
        predict(tmp_path / "model", [tmp_path], "csv", io.StringIO())


def test_answers_come_while_later_samples_are_still_unread(models: dict[str, Path], digits: np.ndarray) -> None:
    from assay.model_files import load_model
    from assay.outputs import BATCH_MOST
    from assay.predict import Asked, answers

    png = io.BytesIO()
    Image.fromarray(digits[0, 0]).save(png, format="png")
    read = 0

    def endless() -> object:
        nonlocal read
        while True:
            read += 1
            yield Asked(str(read), png.getvalue())

    stream = answers(load_model(models["classification"]), endless())
    assert next(stream).name == "1"
    assert read <= BATCH_MOST
    stream.close()


@pytest.mark.timeout(60, func_only=True)  # not the models that its fixture trains
def test_odd_names_and_odd_files_are_rows_and_never_a_wait(
    models: dict[str, Path], pictures: Path, tmp_path: Path
) -> None:
    odd = Path(os.fsdecode(b"bad\xff.png"))
    (tmp_path / odd).write_bytes((pictures / "ä 0.png").read_bytes())
    os.mkfifo(tmp_path / "pipe.png")
    stream = io.StringIO()
    asked = [tmp_path / odd, tmp_path / "pipe.png", tmp_path / f"{'n' * 300}.png", tmp_path / f"{'n' * 300}.csv"]
    with pytest.raises(InputError, match="3 of 4 samples could not be read"):
        predict(models["classification"], asked, "csv", stream)
    rows = list(csv.DictReader(io.StringIO(stream.getvalue().encode().decode())))
    assert rows[0]["name"].endswith("bad\\xff.png")
    assert [row["error"] for row in rows] == ["", "it is no regular file", *["File name too long"] * 2]
