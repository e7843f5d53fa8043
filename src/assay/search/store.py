"""Where a study lies: in a journal file of its own, or in the database that `search.storage` names. Owns how it is
opened and the lease of its one driver on a journal (lease.py has a database's); knows nothing of what a study holds.
"""

import fcntl
import os
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import IO

import optuna
from optuna.storages import BaseStorage, JournalStorage, RDBStorage
from optuna.storages.journal import JournalFileBackend, JournalFileOpenLock
from sqlalchemy import make_url

from assay.errors import InputError
from assay.lease import DatabaseLease, Held, Superseded, connecting, is_leased
from assay.search.mounts import network_file_system
from assay.search.steady import Steady, unanswered
from assay.terminal import GO_ON
from assay.tracking.address import masked

GLANCE_S = 0.5  # who only looks whether a lease is held holds it for far less


class Lease:
    """One driver a study: a lock that the kernel takes back when its process dies, however it dies."""

    def __init__(self, path: Path) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        end = time.monotonic() + GLANCE_S
        while (file := _locked(path)) is None:
            if time.monotonic() > end:
                raise Held("this search is running already; wait for it, or end it with Ctrl-C.")
            time.sleep(GLANCE_S / 10)
        self._file = file

    lost = False  # while the process lives, nobody can take it

    def holds(self) -> bool:
        return not self._file.closed

    def superseded(self) -> Superseded:
        return Superseded("search: its lease was given back.")

    def release(self) -> None:
        self._file.close()


AnyLease = Lease | DatabaseLease


def held(database: RDBStorage | None, folder: Path, name: str) -> AnyLease:
    """The lease of a study, taken: in its database, or of its journal in `folder`.

    Raises:
        InputError: another driver holds it.
    """
    return Lease(_lock_of(folder, name)) if database is None else DatabaseLease(database.engine, name)


def is_held(database: RDBStorage | None, folder: Path, name: str) -> bool:
    """Whether a driver holds a study's lease now."""
    return _is_locked(_lock_of(folder, name)) if database is None else is_leased(database.engine, name)


def forget_lease(folder: Path, name: str) -> None:
    """Take away what a study's lease leaves on disk, by who holds it."""
    _lock_of(folder, name).unlink(missing_ok=True)


def _lock_of(folder: Path, name: str) -> Path:
    return folder / f"{name}.lock"


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


def _is_locked(lease: Path) -> bool:
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


def opened(address: str | None, name: str, folder: Path, direction: str) -> tuple[optuna.Study, AnyLease]:
    """The study, a new one where there is none, and its lease, taken: give it back.

    Raises:
        InputError: another driver holds the lease, the journal is damaged or the database cannot be opened.
    """
    journal = folder / f"{name}.journal"
    with translated(address, journal), ExitStack() as undo:
        base = None if address is None else database(address)
        if base is not None:
            undo.callback(base.engine.dispose)
        lease = held(base, folder, name)
        undo.callback(lease.release)
        if base is None:
            _cut_torn_line(journal)
        study = optuna.create_study(
            storage=base or storage(None, journal),
            study_name=name,
            direction="maximize" if direction == "max" else "minimize",
            load_if_exists=True,
        )
        undo.pop_all()
        return study, lease


def storage(address: str | None, journal: Path) -> BaseStorage:
    """The database at `address`; None: the journal, which is made where there is none."""
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    if address is not None:
        return database(address)
    return JournalStorage(JournalFileBackend(str(journal), lock_obj=_Held(str(journal))))


def database(address: str) -> RDBStorage:
    """The database at `address`.

    Raises:
        InputError: it is sqlite on a network file system or in memory.
    """
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    refuse_place(address)
    kind = RDBStorage if make_url(address).get_backend_name() == "sqlite" else Steady
    return kind(address, engine_kwargs={"pool_pre_ping": True, "connect_args": connecting(address)})


def refuse_place(address: str) -> None:
    """Refuse sqlite on a network file system: its locks do not hold there, and two machines would damage it. Refuse it
    in memory too, where it ends with its driver.

    Raises:
        InputError: it is.
    """
    url = make_url(address)
    if url.get_backend_name() != "sqlite":
        return
    if url.database in (None, "", ":memory:"):
        raise InputError(
            f"search.storage is {masked(address)!r}, which names no file, so its study would be forgotten; it must be "
            "a database that lasts, as sqlite:///study.db, or null."
        )
    if (kind := network_file_system(Path(url.database))) is not None:
        raise InputError(
            f"search.storage is {masked(address)!r}; {url.database} is on a network file system ({kind}), which "
            "damages sqlite; name a place on this machine, or a PostgreSQL database."
        )


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


@contextmanager
def answering(address: str | None) -> Iterator[None]:
    """Around a search on a study that was opened: a database that goes away meanwhile is a sentence.

    Raises:
        InputError: it went away, or takes nothing more, as sqlite on a full disk.
    """
    try:
        yield
    except Exception as error:  # border to Optuna and to Tune, which make errors of their own of the database's
        below = unanswered(error)
        if address is None or below is None:
            raise
        raise InputError(
            f"search.storage is {masked(address)!r}; it does not answer any more ({first_line(str(below))}); {GO_ON}"
        ) from error


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
