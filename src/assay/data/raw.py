"""What a source gives and what all kinds of source share. Owns the types; walks no source."""

import stat
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from assay.errors import InputError, gather, nearest, of_path

Labels = tuple[Any, ...]  # one value a target column, as the source holds it; None where it is missing


@dataclass(frozen=True)
class Raw:
    """One sample as it lies in its source, not yet decoded."""

    name: str  # relative to the source, the same on every machine
    content: bytes | Path | None  # the bytes, or the file that holds them; None where its row has neither
    labels: Labels
    group: str | None = None
    slices: tuple[str | None, ...] = ()  # one value a slice column, as text; None where it is missing

    def read(self) -> bytes:
        """The bytes of the sample.

        Raises:
            OSError: the file is gone, may not be read, or is no regular file; or there is none.
        """
        if self.content is None:
            raise OSError("its cell of data.image is empty")
        return read_regular(self.content) if isinstance(self.content, Path) else self.content


class Source(Protocol):
    """An ordered collection of samples. One contract suite runs over all kinds (tests/data/test_sources.py)."""

    target_names: tuple[str, ...]
    is_labelled_by_class: bool  # the source itself says that targets are classes (folders, class labels)
    notes: list[str]  # what was ignored, a sentence each

    def labels(self) -> Iterator[Labels]:
        """The targets of every sample, without its content."""

    def __iter__(self) -> Iterator[Raw]: ...


@dataclass(frozen=True)
class Columns:
    """What to read of a source that has columns."""

    image: str
    targets: tuple[str, ...]
    group: str | None
    slices: tuple[str, ...] = ()

    def check(self, known: Collection[str], where: str) -> None:
        """Raise for every column that is not there, or there twice.

        Raises:
            InputError: a sentence a column, with the nearest one that is there.
        """
        names = list(known)
        asked = [("data.image", self.image), *(("data.target", name) for name in self.targets)]
        asked += [] if self.group is None else [("data.group", self.group)]
        asked += [("evaluate.slices", name) for name in self.slices]
        gather(
            [
                InputError(f"{setting}: {where} has no column {name!r}; {nearest(name, known)}")
                for setting, name in asked
                if name not in names
            ]
            + [
                InputError(f"{setting}: {where} has {names.count(name)} columns {name!r}; rename all but one of them.")
                for setting, name in asked
                if names.count(name) > 1
            ]
        )


def existing(path: Path) -> Path:
    """`path`, where it is there.

    Raises:
        InputError: it is not, and what its folder holds instead.
    """
    try:
        if path.exists():
            return path
    except OSError as error:  # a name that is too long
        raise InputError(f"data.path: {of_path(error)}") from error
    beside = [entry.name for entry in path.parent.iterdir()] if path.parent.is_dir() else []
    hint = nearest(path.name, beside) if beside else f"nor is the folder {path.parent}."
    raise InputError(f"data.path: {path} does not exist; {hint}")


def read_regular(path: Path) -> bytes:
    """The bytes of a regular file; a pipe or a device is refused, since reading it may never end.

    Raises:
        OSError: there is none, or it cannot be read.
    """
    if "\0" in str(path):  # Python's own word for it is a ValueError
        raise OSError("its name holds a NUL character")
    if not stat.S_ISREG(path.stat().st_mode):
        raise OSError("it is no regular file")
    return path.read_bytes()
