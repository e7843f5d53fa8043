"""A trained model as MLflow loads it: `mlflow.pyfunc.load_model("models:/NAME@champion").predict(…)`. Owns what it
takes and what it answers; MLflow finds this module by its name, where this package is installed.

Taken is a table with one column, or a list: bytes of a file, the same in base64 (as JSON has them), a path, or (in a
table) an array as the data set has it.
"""

import base64
import binascii
import json
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd

from assay.errors import InputError
from assay.modality import Spec
from assay.predict import Asked, answers, as_sample

if TYPE_CHECKING:
    from assay.model_files import Trained

MODEL, TEMPERATURE = "model", "temperature.json"  # within MLflow's folder: that of model_files.py, and calibration's
LONGEST_NAME = 4096  # of a path


class Flavor:
    """Answers for raw samples."""

    def __init__(self, trained: "Trained", temperature: float) -> None:
        self.trained, self.temperature = trained, temperature

    def predict(self, model_input: Any, params: Any = None) -> pd.DataFrame:
        """A row a sample: `said` and a calibrated probability of each class or label, or a number of each target.

        Raises:
            InputError: a sample cannot be read, or what was given are no samples.
        """
        about = self.trained.about
        listed = _listed(model_input)
        asked = (_asked(number, one, about.spec) for number, one in enumerate(listed, start=1))
        found = list(answers(self.trained, asked, self.temperature))
        wrong = [f"{answer.name}: cannot be read: {answer.error}." for answer in found if answer.error is not None]
        if wrong:
            raise InputError(*wrong)
        names = about.target_names if about.classes is None else about.classes
        columns = [f"{'said' if about.classes is None else 'probability'}/{name}" for name in names]
        table = pd.DataFrame([answer.values for answer in found], columns=columns)
        if about.classes is not None:
            table.insert(0, "said", [answer.said for answer in found])
        return table


def _load_pyfunc(path: str) -> Flavor:
    """What MLflow calls with the folder that holds `MODEL`."""
    from assay.model_files import load_model

    return Flavor(load_model(Path(path) / MODEL), read_temperature(Path(path)))


def read_temperature(folder: Path) -> float:
    """Of the version in this folder.

    Raises:
        InputError: the file is missing or damaged.
    """
    try:
        return float(json.loads((folder / TEMPERATURE).read_text(encoding="utf-8"))["temperature"])
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise InputError(f"{TEMPERATURE} of the registered model is missing or damaged ({error}).") from error


def _listed(given: Any) -> Sequence[Any]:
    if isinstance(given, pd.DataFrame):
        if given.shape[1] != 1:
            raise InputError(f"the table has {given.shape[1]} columns; it must have one, with a sample in each row.")
        return list(given.iloc[:, 0])
    if isinstance(given, list | tuple | pd.Series):
        return list(given)
    raise InputError(f"{type(given).__name__} holds no samples; give a table with one column, or a list.")


def _asked(number: int, given: Any, spec: Spec) -> Asked:
    name = f"sample {number}"
    if isinstance(given, str | Path):
        return Asked(name, _content(given))
    if isinstance(given, bytes | bytearray | memoryview):
        return Asked(name, bytes(given))
    return Asked(name, as_sample(given, spec))


def _content(given: str | Path) -> bytes | Path:
    """A path, or what base64 says."""
    if isinstance(given, str) and len(given) % 4 == 0:
        with suppress(binascii.Error, ValueError, OSError):  # OSError: too long for a name
            if len(given) > LONGEST_NAME or not Path(given).exists():
                return base64.b64decode(given, validate=True)
    return Path(given)
