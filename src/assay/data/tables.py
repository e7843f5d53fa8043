"""Tables of samples: a row a sample, its picture as path or bytes. Owns CSV and Parquet; holds a few rows at once."""

import csv
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from assay.data.raw import Columns, Labels, Raw, Source, existing
from assay.data.targets import is_missing
from assay.errors import InputError, printable

BATCH = 64  # rows of a Parquet file held at once
DELIMITERS = {".csv": ",", ".tsv": "\t"}


def open_table(path: Path, columns: Columns) -> Source:
    """The table at `path`, by its suffix.

    Raises:
        InputError: it is missing, damaged, of another kind, or lacks a column.
    """
    existing(path)
    suffix = path.suffix.lower()
    if suffix in DELIMITERS:
        return Csv(path, columns, DELIMITERS[suffix])
    if suffix == ".parquet":
        return Parquet(path, columns)
    raise InputError(f"data.path: {path} is not a table that is known; it must be .csv, .tsv or .parquet.")


class Csv:
    """A CSV file with a head line, in UTF-8. Every value is text here; `targets` sees what reads as a number."""

    is_labelled_by_class = False

    def __init__(self, path: Path, columns: Columns, delimiter: str) -> None:
        self._path, self._columns, self._delimiter = path, columns, delimiter
        self.notes: list[str] = []
        self.target_names = columns.targets
        if not path.is_file():
            raise InputError(f"data.path: {path} is a folder; the source table needs a file.")
        head = next(self._lines(), None)
        if head is None:
            raise InputError(f"data.path: {path} is empty; it needs a line of column names and a line a sample.")
        _, names = head
        self._places = {name: place for place, name in enumerate(names)}
        columns.check(names, path.name)

    def labels(self) -> Iterator[Labels]:
        return (self._of(row) for _, row in self._rows())

    def __iter__(self) -> Iterator[Raw]:
        folder = self._path.parent
        for number, row in self._rows():
            picture = row[self._places[self._columns.image]]
            name, content = f"{self._path.name} line {number}", None
            if picture.strip():
                name, content = _without_folder(picture, folder), folder / picture
            group = row[self._places[self._columns.group]] if self._columns.group else None
            slices = tuple(_group(row[self._places[name]]) for name in self._columns.slices)
            yield Raw(name, content, self._of(row), _group(group), slices)

    def _of(self, row: list[str]) -> Labels:
        return tuple(row[self._places[name]] or None for name in self._columns.targets)

    def _rows(self) -> Iterator[tuple[int, list[str]]]:
        """The line of a row in the file, and its values."""
        lines = self._lines()
        _, head = next(lines)
        for number, row in lines:
            if len(row) != len(head):
                raise InputError(
                    f"{self._path.name}: line {number} has {len(row)} values for {len(head)} columns; mend the line."
                )
            yield number, row

    def _lines(self) -> Iterator[tuple[int, list[str]]]:
        """Head and rows, each with the line that it begins in; empty lines are passed over."""
        number = 1
        try:
            with self._path.open(encoding="utf-8-sig", newline="") as stream:
                reader = csv.reader(stream, delimiter=self._delimiter, strict=True)
                for row in reader:
                    if row:
                        yield number, row
                    number = reader.line_num + 1
        except UnicodeDecodeError as error:
            raise InputError(f"data.path: {self._path} is not UTF-8 text ({error}); save it as such.") from error
        except csv.Error as error:  # a quote that is never closed, most often
            raise InputError(
                f"data.path: {self._path} is no whole table ({error}); mend the quotes of line {number}."
            ) from error


class Parquet:
    """A Parquet file. A picture is a path, bytes, or Hugging Face's pair of both."""

    is_labelled_by_class = False

    def __init__(self, path: Path, columns: Columns) -> None:
        from pyarrow import ArrowException
        from pyarrow.parquet import ParquetFile

        self._path, self._columns = path, columns
        self.notes: list[str] = []
        self.target_names = columns.targets
        try:
            with ParquetFile(path) as file:
                known = file.schema_arrow.names
        except (ArrowException, OSError) as error:
            said = str(error).splitlines()[0].rstrip(".")
            raise InputError(f"data.path: {path} cannot be read as Parquet ({said}); write it again.") from error
        columns.check(known, path.name)

    def labels(self) -> Iterator[Labels]:
        return (labels_of(row, self._columns) for row in self._rows(list(self._columns.targets)))

    def __iter__(self) -> Iterator[Raw]:
        group = [] if self._columns.group is None else [self._columns.group]
        wanted = list(dict.fromkeys([self._columns.image, *self._columns.targets, *group, *self._columns.slices]))
        for number, row in enumerate(self._rows(wanted), start=1):
            yield raw_of(row, self._columns, f"{self._path.name} row {number}", self._path.parent)

    def _rows(self, names: list[str]) -> Iterator[dict[str, Any]]:
        from pyarrow import ArrowException
        from pyarrow.parquet import ParquetFile

        try:
            with ParquetFile(self._path) as file:
                for batch in file.iter_batches(batch_size=BATCH, columns=names):
                    yield from batch.to_pylist()
        except (ArrowException, OSError) as error:
            said = str(error).splitlines()[0].rstrip(".")
            raise InputError(f"data.path: {self._path} is damaged ({said}); write it again.") from error


def raw_of(row: dict[str, Any], columns: Columns, name: str, folder: Path) -> Raw:
    """The sample of one row; `name` where the picture has none of its own, `folder` what its path is relative to."""
    picture = row[columns.image]
    content: bytes | Path | None = None
    if isinstance(picture, dict):
        name = picture.get("path") or name
        picture = picture.get("bytes") or picture.get("path")
    if isinstance(picture, str):
        if picture.strip():
            content, name = folder / picture, picture
    elif isinstance(picture, bytes):
        content = picture
    elif picture is not None:
        raise InputError(
            f"data.image: {columns.image!r} holds {type(picture).__name__} values; it must hold file paths or bytes."
        )
    group = None if columns.group is None else row[columns.group]
    slices = tuple(_group(row[name]) for name in columns.slices)
    return Raw(_without_folder(name, folder), content, labels_of(row, columns), _group(group), slices)


def labels_of(row: dict[str, Any], columns: Columns) -> Labels:
    """The targets of one row, as they stand."""
    return tuple(_text(row[name]) for name in columns.targets)


def _group(value: Any) -> str | None:
    value = _text(value)
    return None if is_missing(value) else str(value)


def _text(value: Any) -> Any:
    """Bytes that are UTF-8 as text: so some writers of Parquet store it without saying that it is."""
    try:
        return value.decode() if isinstance(value, bytes) else value
    except UnicodeDecodeError:
        return value


def _without_folder(name: str, folder: Path) -> str:
    """A name that is the same on every machine: relative to the data, or the file's name alone."""
    path = Path(printable(name).replace("\0", "\\x00"))
    if not path.is_absolute():
        return path.as_posix()
    absolute = folder.absolute()
    return path.relative_to(absolute).as_posix() if path.is_relative_to(absolute) else path.name
