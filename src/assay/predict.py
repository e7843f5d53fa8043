"""Answers of a trained model for raw samples: files, folders, tables. Owns what is read and how an answer is written.

Samples are decoded as the model's own data set was, a batch at a time, so that memory does not grow with their number.
One that cannot be read is an answer too, with its reason; it never ends the work.
"""

import csv
import json
import os
import sys
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import chain, islice
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, TextIO

import numpy as np
from numpy.typing import NDArray

from assay import modality
from assay.device import resolve_device
from assay.errors import InputError, nearest
from assay.intervals import DIGITS
from assay.judged import labels_of
from assay.modality import Sample, Spec, Unreadable
from assay.outputs import batch_size, outputs_of, probabilities
from assay.params import Data

if TYPE_CHECKING:
    from assay.model_files import Trained

Form = Literal["csv", "jsonl"]
DELIMITERS = {".csv": ",", ".tsv": "\t"}
TABLES = (*DELIMITERS, ".parquet")
ROWS = 256  # of a table read at once; bytes columns hold whole pictures


@dataclass(frozen=True)
class Asked:
    """One sample to answer for: how a person calls it, and its bytes, or the file or the reason there are none."""

    name: str
    content: bytes | Path | Unreadable


@dataclass(frozen=True)
class Answer:
    """`said` and one value an output (a probability, or a number of regression); or the reason there is none."""

    name: str
    said: str | None
    values: NDArray[np.float32] | None
    error: str | None


def predict(model: Path, paths: Sequence[Path], form: Form, stream: TextIO) -> None:
    """Answer for everything under `paths` by the model in the folder `model`: CSV or JSON lines, written to `stream`.

    Each sample that cannot be read is said on stderr at once, and the others are answered.

    Raises:
        InputError: a table lacks the column or the model is not there, before anything is answered; or, at the end, how
            many samples could not be read.
    """
    from assay.model_files import load_model

    trained = load_model(model)
    asked = list_samples(paths, trained.data, modality.of(trained.about.spec.modality).suffixes)
    write = (_CsvLines if form == "csv" else _JsonLines)(stream, trained)
    count = failed = 0
    for answer in answers(trained, asked):
        write(answer)
        count += 1
        if answer.error is not None:
            failed += 1
            print(f"{answer.name}: cannot be read: {answer.error}.", file=sys.stderr, flush=True)
    stream.flush()
    if failed:
        raise InputError(f"{failed} of {count} samples could not be read; their rows say why.")


def answers(trained: "Trained", asked: Iterable[Asked]) -> Iterator[Answer]:
    """An answer a sample, in order."""
    spec, device = trained.about.spec, resolve_device(None)
    waiting = iter(asked)
    with ThreadPoolExecutor(min(8, os.cpu_count() or 1)) as pool:  # decoders let go of the interpreter's lock
        while batch := list(islice(waiting, batch_size(spec.shape))):
            decoded = list(pool.map(lambda one: decode(one.content, spec, trained.data), batch))
            samples = [sample for sample in decoded if isinstance(sample, Sample)]
            arrays = np.stack([sample.array for sample in samples]) if samples else modality.empty(spec, 0)
            lengths = np.array([sample.length for sample in samples], dtype=np.int32)
            outputs = outputs_of(trained.model, arrays, lengths, device)
            values = iter(list(probabilities(trained.about.task, outputs)) if samples else [])
            for one, sample in zip(batch, decoded, strict=True):
                if isinstance(sample, Unreadable):
                    yield Answer(one.name, None, None, str(sample))
                else:
                    said = next(values)
                    yield Answer(one.name, in_a_word(trained, said), said, None)


def in_a_word(trained: "Trained", values: NDArray[np.float32]) -> str | None:
    """The class that was said, or the labels; None for numbers, which are said by themselves."""
    names = trained.about.classes
    if trained.about.task == "regression" or names is None:
        return None
    if trained.about.task == "classification":
        return names[int(values.argmax())]
    return labels_of(values > 0.5, names)


def decode(content: bytes | Path | Unreadable, spec: Spec, how: Data) -> Sample | Unreadable:
    """A sample as the model's data set has it, or why not."""
    if isinstance(content, Unreadable):
        return content
    if how.image_size is None and "width" in spec.axes:  # prepared in the pictures' own size: a new one must fit that
        how = how.model_copy(update={"image_size": spec.shape[spec.axes.index("width")]})
    try:
        sample = modality.of(spec.modality).decode(content if isinstance(content, bytes) else content.read_bytes(), how)
    except Unreadable as error:
        return error
    except OSError as error:
        return Unreadable(error.strerror or type(error).__name__)
    if sample.array.shape != spec.shape:
        return Unreadable(f"its shape is {sample.array.shape}, the model's {spec.shape}")
    return sample


def list_samples(paths: Sequence[Path], how: Data, suffixes: frozenset[str]) -> Iterator[Asked]:
    """Everything under `paths` in order: files as they are, folders by their files' names, tables row by row.

    In a folder only files of this kind of sample count, and hidden ones do not. What is named but not there is asked
    for too, so that it gets its answer.

    Raises:
        InputError: a table lacks the column `data.image`, or is damaged; before anything is answered.
    """
    tables = [path for path in paths if path.suffix.lower() in TABLES and path.is_file()]
    for table in tables:
        _columns(table, how.image)
    return chain.from_iterable(_under(path, how.image, suffixes) for path in paths)


def _under(path: Path, column: str, suffixes: frozenset[str]) -> Iterator[Asked]:
    if path.is_dir():
        found = False
        for file in _files(path):
            if file.suffix.lower() in suffixes:
                found = True
                yield Asked(str(file), file)
        if not found:
            yield Asked(str(path), Unreadable("the folder holds no sample that could be read"))
    elif path.suffix.lower() in TABLES and path.is_file():
        yield from _rows(path, column)
    else:
        yield Asked(str(path), path)


def _files(folder: Path) -> Iterator[Path]:
    for parent, folders, files in os.walk(folder):
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        yield from (Path(parent) / name for name in sorted(files) if not name.startswith("."))


def _columns(table: Path, column: str) -> None:
    import pandas as pd
    import pyarrow.parquet as pq

    try:
        sep = DELIMITERS.get(table.suffix.lower())
        columns = pq.read_schema(table).names if sep is None else pd.read_csv(table, nrows=0, sep=sep)
        known = [str(name) for name in columns]
    except (ValueError, OSError) as error:
        raise InputError(f"{table}: is no whole table ({str(error).splitlines()[0]}).") from error
    if column not in known:
        raise InputError(f"{table}: has no column {column!r}, which the model was trained by; {nearest(column, known)}")


def _rows(table: Path, column: str) -> Iterator[Asked]:
    for number, cell in enumerate(_cells(table, column), start=1):
        if isinstance(cell, dict):  # a picture of Hugging Face's datasets: bytes, or a path
            cell = cell.get("bytes") or cell.get("path")
        if isinstance(cell, bytes):
            yield Asked(f"{table}:{number}", cell)
        elif isinstance(cell, str) and cell:
            yield Asked(cell, table.parent / cell)
        else:
            yield Asked(f"{table}:{number}", Unreadable(f"column {column!r} is empty there"))


def _cells(table: Path, column: str) -> Iterator[Any]:
    import pandas as pd
    import pyarrow.parquet as pq

    sep = DELIMITERS.get(table.suffix.lower())
    if sep is None:
        with pq.ParquetFile(table) as file:
            for batch in file.iter_batches(ROWS, columns=[column]):
                yield from batch.column(0).to_pylist()
    else:
        with pd.read_csv(table, usecols=[column], dtype=str, chunksize=ROWS, sep=sep) as chunks:
            for chunk in chunks:
                yield from chunk[column]


class _CsvLines:
    """`name, said, probability/<class>…, error`; for numbers `name, said/<target>…, error`."""

    def __init__(self, stream: TextIO, trained: "Trained") -> None:
        about = trained.about
        self.numbers = about.classes is None
        names = about.target_names if about.classes is None else about.classes
        self.columns = [f"said/{name}" if self.numbers else f"probability/{name}" for name in names]
        self.writer = csv.writer(stream, lineterminator="\n")
        self.writer.writerow(["name", *([] if self.numbers else ["said"]), *self.columns, "error"])

    def __call__(self, answer: Answer) -> None:
        values = [""] * len(self.columns) if answer.values is None else [_rounded(value) for value in answer.values]
        self.writer.writerow([answer.name, *([] if self.numbers else [answer.said or ""]), *values, answer.error or ""])


class _JsonLines:
    """`name`, `said` and `probabilities` by class; for numbers `name` and `said` by target; or `name` and `error`."""

    def __init__(self, stream: TextIO, trained: "Trained") -> None:
        self.stream, self.about = stream, trained.about

    def __call__(self, answer: Answer) -> None:
        said: dict[str, Any] = {"name": answer.name}
        if answer.values is None:
            said["error"] = answer.error
        elif self.about.classes is None:
            said["said"] = self._named(self.about.target_names, answer.values)
        else:
            said["said"] = answer.said
            said["probabilities"] = self._named(self.about.classes, answer.values)
        self.stream.write(json.dumps(said, ensure_ascii=False) + "\n")

    @staticmethod
    def _named(names: Sequence[str], values: NDArray[np.float32]) -> dict[str, float]:
        return {name: _rounded(value) for name, value in zip(names, values, strict=True)}


def _rounded(value: np.float32) -> float:
    return round(float(value), DIGITS)
