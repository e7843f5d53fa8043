"""Where a study lies: in a journal file of its own, or in the database that `search.storage` names. Owns how it is
opened and the lease of its one driver; knows nothing of what a study holds.
"""

import fcntl
import os
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import IO

import optuna
from optuna.storages import BaseStorage, JournalStorage, RDBStorage
from optuna.storages.journal import JournalFileBackend, JournalFileOpenLock

from assay.errors import InputError
from assay.tracking.address import masked

GLANCE_S = 0.5  # who only looks whether a lease is held holds it for far less


class Lease:
    """One driver a study: a lock that the kernel takes back when its process dies, however it dies."""

    def __init__(self, path: Path) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        end = time.monotonic() + GLANCE_S
        while (file := _locked(path)) is None:
            if time.monotonic() > end:
                raise InputError("this search is running already; wait for it, or end it with Ctrl-C.")
            time.sleep(GLANCE_S / 10)
        self._file = file

    def release(self) -> None:
        self._file.close()


def _locked(path: Path) -> IO[str] | None:
    """The file, locked; None where another holds it, or took it away while we came."""
    file = path.open("a+")
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        file.close()
        return None
    if os.fstat(file.fileno()).st_nlink == 0:
        file.close()
        return None
    return file


def is_held(lease: Path) -> bool:
    """Whether a driver holds this lease now."""
    if not lease.exists():
        return False
    with lease.open("r") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
    return False


class _Held(JournalFileOpenLock):
    """The journal's own lock: none, since the lease is held. (Optuna's would outlive a killed driver by 30 s.)"""

    def acquire(self) -> bool:
        return True

    def release(self) -> None:
        pass


def opened(address: str | None, name: str, journal: Path, direction: str) -> optuna.Study:
    """The study, to be written by who holds its lease; a new one where there is none.

    Raises:
        InputError: the journal is damaged or the database cannot be opened.
    """
    with translated(address, journal):
        if address is None:
            _cut_torn_line(journal)
        return optuna.create_study(
            storage=storage(address, journal),
            study_name=name,
            direction="maximize" if direction == "max" else "minimize",
            load_if_exists=True,
        )


def storage(address: str | None, journal: Path) -> BaseStorage:
    """The database at `address`; None: the journal, which is made where there is none."""
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    if address is not None:
        return RDBStorage(address)
    return JournalStorage(JournalFileBackend(str(journal), lock_obj=_Held(str(journal))))


@contextmanager
def translated(address: str | None, journal: Path) -> Iterator[None]:
    """What Optuna says of a store that cannot be opened, as a sentence."""
    try:
        yield
    except (OSError, InputError):
        raise  # the disk's own words; terminal.py makes a sentence of them
    except Exception as error:  # border to Optuna and to what it opens the database with
        what = f"search.storage is {masked(address)!r}; it" if address is not None else f"{journal}:"
        remedy = (
            "it must be a database that answers." if address is not None else "delete it to search from the beginning."
        )
        raise InputError(f"{what} cannot be opened ({first_line(str(error))}); {remedy}") from error


def _cut_torn_line(journal: Path) -> None:
    """Take away a last line that was not written to its end; Optuna refuses a file that goes on after one."""
    if not journal.exists():
        return
    with journal.open("rb+") as file:
        whole = file.read()
        kept = whole.rfind(b"\n") + 1
        if kept < len(whole):
            file.truncate(kept)


def first_line(reason: str) -> str:
    """A reason within a sentence: its first line, without a closing dot of its own."""
    lines: Sequence[str] = reason.strip().splitlines() or ["no reason was given"]
    return lines[0].rstrip(".")
