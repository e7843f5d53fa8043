"""Data sets of Hugging Face's `datasets`: a folder, or a name where there is a network. Owns that border.

Ready-made splits are put together, since Assay splits by content; so are labels that the set names as classes.
"""

import shutil
import tempfile
import weakref
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from assay.data.raw import Columns, Labels, Raw
from assay.data.tables import labels_of, raw_of
from assay.errors import InputError

if TYPE_CHECKING:
    from datasets import Dataset

SAVED = ("state.json", "dataset_dict.json")  # what save_to_disk leaves in a folder


def open_hub(path: str, columns: Columns) -> "Hub":
    """The data set in the folder `path`, or of that name.

    Raises:
        InputError: there is no such folder and no such name, no network, nothing in it, or a column is missing.
    """
    folder = Path(path)
    if not folder.exists():
        return Hub(path, _by_name(path), columns, Path())
    if not folder.is_dir():
        raise InputError(f"data.path: {path} is a file; set data.source: table, or name the folder that it lies in.")
    # What is converted on the way goes to a folder of our own: a home may be read-only, and a cache may be stale.
    cache = tempfile.mkdtemp(prefix="assay-hub-")
    try:
        source = Hub(path, _from_folder(folder, cache), columns, folder)
    except BaseException:  # nobody is left who would take it away
        shutil.rmtree(cache, ignore_errors=True)
        raise
    weakref.finalize(source, shutil.rmtree, cache, ignore_errors=True)
    return source


class Hub:
    """Rows of a `datasets.Dataset`, pictures as bytes or paths, class labels by their names."""

    def __init__(self, path: str, splits: "dict[str, Dataset]", columns: Columns, folder: Path) -> None:
        from datasets import ClassLabel, Image

        self.notes: list[str] = []
        self.target_names = columns.targets
        self._columns, self._folder = columns, folder
        self._splits = _with_columns(splits, columns, path, self.notes)
        first = next(iter(self._splits.values()))
        self._names = {
            name: first.features[name].names for name in columns.targets if isinstance(first.features[name], ClassLabel)
        }
        self.is_labelled_by_class = set(self._names) == set(columns.targets)
        for split, rows in self._splits.items():
            if isinstance(rows.features[columns.image], Image):
                self._splits[split] = rows.cast_column(columns.image, Image(decode=False))

    def labels(self) -> Iterator[Labels]:
        for rows in self._splits.values():
            for row in rows.select_columns(list(self._columns.targets)):
                yield self._named(labels_of(row, self._columns))

    def __iter__(self) -> Iterator[Raw]:
        for split, rows in self._splits.items():
            for number, row in enumerate(rows, start=1):
                raw = raw_of(row, self._columns, f"{split} row {number}", self._folder)
                yield replace(raw, labels=self._named(raw.labels))

    def _named(self, labels: Labels) -> Labels:
        """Class numbers by their names; -1 is how `datasets` says that there is none."""
        return tuple(
            (None if value is None or value < 0 else self._names[name][value]) if name in self._names else value
            for name, value in zip(self._columns.targets, labels, strict=True)
        )


def _from_folder(folder: Path, cache: str) -> "dict[str, Dataset]":
    import datasets

    datasets.disable_progress_bars()
    try:
        if any((folder / name).exists() for name in SAVED):
            loaded = datasets.load_from_disk(str(folder))
        else:
            kind = "parquet" if any(folder.rglob("*.parquet")) else "imagefolder"
            loaded = datasets.load_dataset(kind, data_dir=str(folder), cache_dir=cache)
    except Exception as error:  # the border: what `datasets` raises here is of many families
        raise InputError(
            f"data.path: {folder} is not a data set that `datasets` can read ({_first_line(error)})."
        ) from error
    return dict(loaded) if isinstance(loaded, dict) else {"all": loaded}


def _by_name(name: str) -> "dict[str, Dataset]":
    import datasets

    datasets.disable_progress_bars()
    try:
        loaded = datasets.load_dataset(name)
    except Exception as error:  # the border: no network, no such name and a damaged cache all come as they like
        raise InputError(
            f"data.path: there is no folder {name!r}, and it cannot be had as a data set by that name "
            f"({_first_line(error)}); where there is no network, download it elsewhere and name its folder."
        ) from error
    return dict(loaded)


def _with_columns(splits: "dict[str, Dataset]", columns: Columns, path: str, notes: list[str]) -> "dict[str, Dataset]":
    """The splits that have every column; a split without the target (an unlabelled test) is left out with a word."""
    fit = {name: rows for name, rows in splits.items() if set(columns.targets) <= set(rows.column_names) and len(rows)}
    if not fit:
        known = sorted({name for rows in splits.values() for name in rows.column_names})
        columns.check(known, path)
        raise InputError(f"data.path: {path} holds no rows.")
    for rows in fit.values():
        columns.check(rows.column_names, path)
    left = sorted(set(splits) - set(fit))
    if left:
        notes.append(f"splits without rows or target, ignored: {', '.join(left)}.")
    if len(fit) > 1:
        notes.append(f"splits put together: {', '.join(fit)}.")
    return fit


def _first_line(error: Exception) -> str:
    lines = str(error).strip().splitlines()
    return lines[0].rstrip(".") if lines else type(error).__name__
