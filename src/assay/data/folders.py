"""A folder of classes: each folder in it is a class, files at any depth under that are its samples. Owns the walk.

As torchvision's ImageFolder, but what is not a sample is ignored with a word, and ready-made splits are not taken for
classes.
"""

import os
from collections.abc import Iterator
from pathlib import Path

from assay.data.raw import Labels, Raw, existing
from assay.data.targets import natural
from assay.errors import InputError, printable

SPLIT_NAMES = frozenset({"train", "training", "val", "valid", "validation", "dev", "test", "testing"})
NAMED = 5  # ignored things that a sentence names


class Folder:
    """The source `folder`. Names are paths relative to it, with slashes; the order is that of the sorted names."""

    target_names: tuple[str, ...] = ("class",)
    is_labelled_by_class = True

    def __init__(self, path: Path, suffixes: frozenset[str]) -> None:
        self._path = existing(path)
        if not path.is_dir():
            raise InputError(f"data.path: {path} is a file; the source folder needs a folder that holds one a class.")
        self._suffixes = suffixes
        self.notes: list[str] = []
        self._files = self._walk()
        self._check()

    def labels(self) -> Iterator[Labels]:
        return ((printable(class_name),) for class_name, _ in self._files)

    def __iter__(self) -> Iterator[Raw]:
        for class_name, name in self._files:
            yield Raw(printable(name), self._path / name, (printable(class_name),))

    def _walk(self) -> list[tuple[str, str]]:
        """Pairs (class, name) of every sample; notes what is passed over."""
        kinds = ("hidden", "of no known kind", "no regular files", "outside a class folder")
        ignored: dict[str, list[str]] = {kind: [] for kind in kinds}
        files, empty = [], []
        for entry in sorted(os.scandir(self._path), key=lambda entry: natural(entry.name)):
            if entry.name.startswith("."):
                ignored["hidden"].append(entry.name)
            elif not entry.is_dir():
                ignored["outside a class folder"].append(entry.name)
            else:
                found = [(entry.name, name) for name in self._names(entry.name, ignored)]
                files += found
                empty += [] if found else [entry.name]
        if empty:
            self.notes.append(f"classes without a sample, ignored: {_named(empty)}.")
        self.notes += [f"{kind}, ignored: {_named(names)}." for kind, names in ignored.items() if names]
        return files

    def _names(self, class_name: str, ignored: dict[str, list[str]]) -> Iterator[str]:
        seen: set[tuple[int, int]] = set()
        for folder, folders, files in os.walk(self._path / class_name, followlinks=True):
            status = Path(folder).stat()
            if (status.st_dev, status.st_ino) in seen:  # a link that leads back
                folders.clear()
                continue
            seen.add((status.st_dev, status.st_ino))
            within = Path(folder).relative_to(self._path)
            ignored["hidden"] += [(within / name).as_posix() for name in folders if name.startswith(".")]
            folders[:] = sorted((name for name in folders if not name.startswith(".")), key=natural)
            for file in sorted(files, key=natural):
                name = (within / file).as_posix()
                if file.startswith("."):
                    ignored["hidden"].append(name)
                elif Path(file).suffix.lower() not in self._suffixes:
                    ignored["of no known kind"].append(name)
                elif _is_strange(self._path / name):
                    ignored["no regular files"].append(name)
                else:
                    yield name

    def _check(self) -> None:
        classes = {printable(class_name) for class_name, _ in self._files}
        if not classes:
            said = f" ({' '.join(self.notes)})" if self.notes else ""
            known = " ".join(sorted(self._suffixes))
            raise InputError(f"data.path: {self._path} holds no sample in a class folder{said}; known kinds: {known}.")
        if len(classes) > 1 and {name.lower() for name in classes} <= SPLIT_NAMES:
            raise InputError(
                f"data.path: the folders in {self._path} ({', '.join(sorted(classes))}) are splits, not classes; Assay "
                "splits by content: name one of them, put their classes together, or set data.source: hub, which does."
            )


def _named(names: list[str]) -> str:
    more = f" and {len(names) - NAMED} more" if len(names) > NAMED else ""
    return ", ".join(map(printable, names[:NAMED])) + more


def _is_strange(path: Path) -> bool:
    """A pipe, a socket or a device; a link that leads nowhere is a sample that cannot be read."""
    return path.exists() and not path.is_file()
