"""What was logged but is not yet in the store. Owns `.assay/spool/`; knows nothing of MLflow or of what an entry means.

A process has one spool, `<id>.jsonl`, from its start to its end, held by a lock; an entry stands in it from the moment
it is logged until the store has it. So a spool without a lock belongs to a process that died, and says what it still
had to tell. Files that were logged lie in `<id>/` as they were at that moment.
"""

import fcntl
import json
import os
import shutil
import time
import uuid
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, BinaryIO

Entry = Mapping[str, Any]


class Spool:
    """One process's entries, in order, on disk."""

    def __init__(self, path: Path, file: BinaryIO) -> None:
        self._path, self._file = path, file

    @property
    def id(self) -> str:
        return self._path.stem

    @property
    def path(self) -> Path:
        return self._path

    def append(self, entry: Entry) -> None:
        """Write one entry. It outlives the process at once, the machine's fall only once the kernel has written it.

        Raises:
            OSError: no room on the disk.
        """
        self._file.write(json.dumps(entry).encode() + b"\n")

    def settle(self, num_left: int) -> None:
        """All but the last `num_left` entries are in the store; where none is left the file is emptied."""
        if num_left:
            self.append({"settled_but": num_left})
            return
        self._file.truncate(0)
        shutil.rmtree(self._folder, ignore_errors=True)

    def keep(self, path: Path) -> Path:
        """A copy of the file or folder `path` as it is now; it lives until the store has it."""
        folder = self._folder / uuid.uuid4().hex[:8]
        folder.mkdir(parents=True)
        if path.is_dir():
            return Path(shutil.copytree(path, folder / path.name))
        return Path(shutil.copyfile(path, folder / path.name))

    def entries(self) -> list[Entry]:
        """What the store does not have yet, in order. A last line that was cut by a kill is left out."""
        left: list[Entry] = []
        for line in self._path.read_bytes().split(b"\n"):
            try:
                entry = json.loads(line)
            except ValueError:
                continue
            if "settled_but" in entry:
                left = left[len(left) - entry["settled_but"] :]
            else:
                left.append(entry)
        return left

    def release(self) -> None:
        """Let go of the lock; the entries stay for the next process of this root."""
        self._file.close()

    def remove(self) -> None:
        """All is in the store: nothing stays."""
        shutil.rmtree(self._folder, ignore_errors=True)
        self._path.unlink(missing_ok=True)
        self._file.close()

    @property
    def _folder(self) -> Path:
        return self._path.with_suffix("")


def open_spool(folder: Path, store: str) -> Spool:
    """A new, empty spool for entries that belong to `store` (a short name of it, which its own begins with)."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{store}-{int(time.time() * 1000):013d}-{uuid.uuid4().hex[:8]}.jsonl"
    new = path.with_suffix(".new")
    file = _open(new)
    fcntl.flock(file, fcntl.LOCK_EX)
    new.rename(path)  # locked before it can be seen, so that nobody takes it for a dead process's
    return Spool(path, file)


def younger(one: str, other: str) -> bool:
    """Whether the process of spool `one` began after that of `other`."""
    return one.partition("-")[2] > other.partition("-")[2]


def abandoned(folder: Path, store: str) -> Iterator[Spool]:
    """The spools of `store` whose process is dead, oldest first, each held by us now; remove or release each."""
    for path in sorted(folder.glob(f"{store}-*.jsonl"), key=_age):
        try:
            file = path.open("r+b", buffering=0)
        except FileNotFoundError:
            continue
        if _held(file, path):
            yield Spool(path, file)
        else:
            file.close()


def _open(path: Path) -> BinaryIO:
    # Unbuffered and appending: a line is in the kernel when append returns. 0600: parameters may be confidential.
    return os.fdopen(os.open(path, os.O_CREAT | os.O_RDWR | os.O_APPEND | os.O_CLOEXEC, 0o600), "r+b", buffering=0)


def _held(file: BinaryIO, path: Path) -> bool:
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        return os.fstat(file.fileno()).st_ino == path.stat().st_ino  # else another process was first and removed it
    except (BlockingIOError, FileNotFoundError):
        return False


def _age(path: Path) -> float:
    try:
        return path.stat().st_mtime
    except FileNotFoundError:
        return 0.0
