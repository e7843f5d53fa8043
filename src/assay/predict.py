"""Answers of a trained model for raw samples: files, folders, tables. Owns what is read and how an answer is written.

Samples are decoded as the model's own data set was, a batch at a time, so that memory does not grow with their number.
One that cannot be read is an answer too, with its reason; it never ends the work.
"""

import csv
import json
import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import nullcontext
from dataclasses import dataclass
from itertools import chain, islice
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, TextIO

import numpy as np
from numpy.typing import NDArray

from assay import modality
from assay.calibration import NONE
from assay.data.dataset import About
from assay.data.raw import read_regular
from assay.device import resolve_device
from assay.errors import InputError, nearest, of_path, printable
from assay.intervals import DIGITS
from assay.judged import labels_of
from assay.modality import Sample, Spec, Unreadable
from assay.outputs import batch_size, outputs_of, probabilities
from assay.params import Data
from assay.terminal import Progress, note

if TYPE_CHECKING:
    from assay.model_files import Trained

Form = Literal["csv", "jsonl"]
DELIMITERS = {".csv": ",", ".tsv": "\t"}
TABLES = (*DELIMITERS, ".parquet")
ROWS = 256  # of a table read at once; bytes columns hold whole pictures


@dataclass(frozen=True)
class Asked:
    """One sample to answer for: how a person calls it, and its bytes, its file, itself, or the reason there is none."""

    name: str
    content: bytes | Path | Sample | Unreadable


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
    with Progress("predict", None) if not stream.isatty() else nullcontext() as progress:
        for answer in answers(trained, asked):
            write(answer)
            count += 1
            if answer.error is not None:
                failed += 1
                note(f"{answer.name}: cannot be read: {answer.error}.")
            if progress is not None:  # at a terminal the answers themselves tell how far it is
                progress.step(count)
    stream.flush()
    if failed:
        raise InputError(f"{failed} of {count} samples could not be read; their rows say why.")


def answers(trained: "Trained", asked: Iterable[Asked], temperature: float = NONE) -> Iterator[Answer]:
    """An answer a sample, in order; probabilities at the model's `temperature` where it has one."""
    spec, device = trained.about.spec, resolve_device(None)
    waiting = iter(asked)
    with ThreadPoolExecutor(min(8, os.cpu_count() or 1)) as pool:  # decoders let go of the interpreter's lock
        while batch := list(islice(waiting, batch_size(spec.shape))):
            decoded = list(pool.map(lambda one: decode(one.content, spec, trained.data), batch))
            samples = [sample for sample in decoded if isinstance(sample, Sample)]
            arrays = np.stack([sample.array for sample in samples]) if samples else modality.empty(spec, 0)
            lengths = np.array([sample.length for sample in samples], dtype=np.int32)
            outputs = outputs_of(trained.model, arrays, lengths, device)
            values = iter(list(probabilities(trained.about.task, outputs / temperature)) if samples else [])
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


def decode(content: bytes | Path | Sample | Unreadable, spec: Spec, how: Data) -> Sample | Unreadable:
    """A sample as the model's data set has it, or why not."""
    if isinstance(content, Sample | Unreadable):
        return content
    if how.image_size is None and "width" in spec.axes:  # prepared in the pictures' own size: a new one must fit that
        how = how.model_copy(update={"image_size": spec.shape[spec.axes.index("width")]})
    try:
        sample = modality.of(spec.modality).decode(
            content if isinstance(content, bytes) else read_regular(content), how
        )
    except Unreadable as error:
        return error
    except OSError as error:
        return Unreadable(error.strerror or str(error))
    if sample.array.shape != spec.shape:
        return Unreadable(f"its shape is {sample.array.shape}, the model's {spec.shape}")
    return sample


def as_sample(given: Any, spec: Spec) -> Sample | Unreadable:
    """An array, or the lists that JSON has for one, as a data set has it; axes of length 1 may be left out."""
    try:
        array = np.asarray(given)
    except ValueError:  # lists of unequal lengths
        array = np.empty(0, dtype=object)
    if array.dtype.kind in "iuf" and _without_ones(array.shape) == _without_ones(spec.shape):
        with np.errstate(invalid="ignore"):  # of numbers that the type does not hold
            typed = array.astype(spec.dtype)
        if (typed == array).all():
            return Sample(typed.reshape(spec.shape), spec.shape[-1], array.shape)
    shape = " × ".join(map(str, spec.shape))
    found = f"{array.dtype} of shape {array.shape}" if array.dtype.kind != "O" else "no array of numbers"
    return Unreadable(f"it is {found}; an array must be {spec.dtype} of shape {shape}")


def _without_ones(shape: Sequence[int]) -> list[int]:
    """H × W is enough where there is one channel."""
    return [length for length in shape if length != 1]


def list_samples(paths: Sequence[Path], how: Data, suffixes: frozenset[str]) -> Iterator[Asked]:
    """Everything under `paths` in order: files as they are, folders by their files' names, tables row by row.

    In a folder only files of this kind of sample count, and hidden ones do not. What is named but not there is asked
    for too, so that it gets its answer.

    Raises:
        InputError: a table lacks the column `data.image`, or is damaged; before anything is answered.
    """
    for table in filter(_is_table, paths):
        _columns(table, how.image)
    return chain.from_iterable(_under(path, how.image, suffixes) for path in paths)


def _is_table(path: Path) -> bool:
    return path.suffix.lower() in TABLES and _is_there(path.is_file)


def _is_there(look: Callable[[], bool]) -> bool:
    try:
        return look()
    except OSError:  # a name that is too long; it gets its answer where it is read
        return False


def _under(path: Path, column: str, suffixes: frozenset[str]) -> Iterator[Asked]:
    name = printable(str(path))
    if _is_there(path.is_dir):
        found = False
        for file in _files(path):
            if file.suffix.lower() in suffixes:
                found = True
                yield Asked(printable(str(file)), file)
        if not found:
            yield Asked(name, Unreadable("the folder holds no sample that could be read"))
    elif _is_table(path):
        yield from _rows(path, column)
    else:
        yield Asked(name, path)


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
    except OSError as error:
        raise InputError(of_path(error, table) if error.errno else f"{table}: {_torn(table, error)}.") from error
    except ValueError as error:  # pandas' and pyarrow's
        raise InputError(f"{table}: {_torn(table, error)}.") from error
    if column not in known:
        raise InputError(f"{table}: has no column {column!r}, which the model was trained by; {nearest(column, known)}")


def _torn(table: Path, error: Exception) -> str:
    said = (str(error).strip() or type(error).__name__).splitlines()[0].rstrip(".")
    text = ", as text in UTF-8" if table.suffix.lower() in DELIMITERS else ""
    return f"it is no whole table ({said}); write it again{text}"


def _rows(table: Path, column: str) -> Iterator[Asked]:
    """Row by row; where a table is damaged, what is behind that place is one answer, with the reason."""
    number = 0
    try:
        for number, cell in enumerate(_cells(table, column), start=1):
            yield _asked(table, number, column, cell)
    except (ValueError, OSError) as error:  # pandas' and pyarrow's too
        yield Asked(printable(f"{table}:{number + 1}"), Unreadable(f"from here on {_torn(table, error)}"))


def _asked(table: Path, number: int, column: str, cell: Any) -> Asked:
    name = printable(f"{table}:{number}")
    if cell is None or cell == "" or cell != cell:  # NaN, which is how pandas says that nothing is there
        return Asked(name, Unreadable(f"column {column!r} is empty there"))
    found = cell
    if isinstance(cell, dict):  # a picture of Hugging Face's datasets: bytes, or a path
        found = cell.get("bytes") or cell.get("path")
    if isinstance(found, bytes):
        return Asked(name, found)
    if isinstance(found, str):
        return Asked(printable(found), table.parent / found)
    held = type(cell).__name__
    return Asked(name, Unreadable(f"column {column!r} holds {held} values; it must hold file paths or bytes"))


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
    """An object a line."""

    def __init__(self, stream: TextIO, trained: "Trained") -> None:
        self.stream, self.about = stream, trained.about

    def __call__(self, answer: Answer) -> None:
        self.stream.write(json.dumps(as_json(self.about, answer), ensure_ascii=False) + "\n")


def as_json(about: About, answer: Answer) -> dict[str, Any]:
    """`name`, `said` and `probabilities` by class; for numbers `name` and `said` by target; or `name` and `error`."""
    if answer.values is None:
        return {"name": answer.name, "error": answer.error}
    if about.classes is None:
        return {"name": answer.name, "said": _named(about.target_names, answer.values)}
    return {"name": answer.name, "said": answer.said, "probabilities": _named(about.classes, answer.values)}


def _named(names: Sequence[str], values: NDArray[np.float32]) -> dict[str, float]:
    return {name: _rounded(value) for name, value in zip(names, values, strict=True)}


def _rounded(value: np.float32) -> float:
    return round(float(value), DIGITS)
