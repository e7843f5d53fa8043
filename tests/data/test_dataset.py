"""A prepared data set that was damaged is refused with a sentence that names the file."""

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from assay.data.dataset import open_prepared
from assay.errors import InputError
from prepared import write_train


def about(**values: object) -> Callable[[Path], object]:
    def damage(folder: Path) -> object:
        path = folder / "dataset.json"
        said = json.loads(path.read_text())
        said["spec"] |= values.pop("spec", {})  # type: ignore[operator]
        return path.write_text(json.dumps(said | values))

    return damage


def array(name: str, rows: object) -> Callable[[Path], object]:
    return lambda folder: np.save(folder / "train" / f"{name}.npy", np.asarray(rows))


DAMAGES: dict[str, Callable[[Path], object]] = {
    r"dataset\.json: is damaged \('utf-8'": lambda folder: (folder / "dataset.json").write_bytes(b"\xff\xfe"),
    r"dataset\.json: is damaged \(invalid literal": about(spec={"shape": ["one", 28, 28]}),
    r"dataset\.json: is damaged \(3 axes for a shape of 1\)": about(spec={"shape": [28]}),
    r"dataset\.json: is damaged \('clasification' is no task\)": about(task="clasification"),
    r"targets\.npy: is damaged \(float64 of shape \(3,\)\)": array("targets", [0.0, 1.0, 2.0]),
    r"samples\.npy: is damaged \(uint8 of shape \(3, 5\)\)": array("samples", np.zeros((3, 5), np.uint8)),
    r"lengths\.npy: is damaged \(it holds no rows\)": array("lengths", np.int32(3)),
    r"train: its arrays differ in length": array("lengths", np.zeros(2, np.int32)),
}


@pytest.mark.parametrize("said", DAMAGES)
def test_damage_is_one_sentence(said: str, tmp_path: Path) -> None:
    write_train(tmp_path, np.arange(3))
    open_prepared(tmp_path)
    DAMAGES[said](tmp_path)
    with pytest.raises(InputError, match=rf"{said}.*; run .* again"):
        open_prepared(tmp_path)
