"""Which process may write what lies in a database, where it may be reached from many machines. Owns the table
`assay_leases`, a row a study and a registered model, and the check of every write against it; knows nothing of what is
written.

A lease has an epoch, which grows with each driver that takes it. Each transaction that writes renews the lease in its
first statement, on condition that the epoch is still its own: the row stays locked until the transaction ends, so no
other driver can take over between the check and the write, and one that was stopped and wakes up late writes nothing.
"""

import os
import socket
import threading
import time
from contextlib import suppress
from functools import cache
from pathlib import Path
from typing import Any

import psutil
import sqlalchemy
from sqlalchemy import Column, Connection, Engine, Float, Integer, MetaData, Row, String, Table, event, select
from sqlalchemy.exc import DBAPIError, IntegrityError

from assay.errors import InputError

LEASE_S = 60.0  # without a sign of its driver, after which another may take over: many times a pause of the network
RENEWALS = 6  # while it lasts
SAME_S = 2.0  # the system's clock may be set while a process lives: so far its beginning seems to move
WRITES = ("INSERT", "UPDATE", "DELETE")
FENCED = "assay_fenced"  # the transaction of a connection that has renewed the lease
LEASES = Table(
    "assay_leases",
    MetaData(),
    Column("study", String(64), primary_key=True),
    Column("epoch", Integer, nullable=False),
    Column("host", String(255), nullable=False),
    Column("process", Integer, nullable=False),
    Column("began", Float(53), nullable=False),  # the process, in seconds since 1970
    Column("place", String(255), nullable=False),  # where a process number means this process
    Column("expiry", Float(53), nullable=False),  # seconds since 1970, by the database's clock
)


class Held(InputError):
    """Another process is at work."""


class Superseded(InputError):
    """Another process has taken over: this one writes nothing more."""


class DatabaseLease:
    """The lease of one study, held and renewed by this process; its writes through `engine` are checked by it."""

    def __init__(self, engine: Engine, study: str, subject: str = "search") -> None:
        """Take it, once nobody holds it: it has run out, or its driver was on this machine and is dead.

        Args:
            study: what is leased.
            subject: what a person calls the work that holds it.

        Raises:
            Held: another driver has it.
        """
        self._engine, self._study, self._subject = engine, study, subject
        self._over, self.lost = threading.Event(), False
        self.left_by: str | None = None  # the process that had it and did not give it back
        _make_table(engine)
        while (epoch := self._taken()) is None:
            pass
        self._epoch = epoch
        event.listen(engine, "before_cursor_execute", self._fence)
        self._thread = threading.Thread(target=self._keep, name="lease", daemon=True)
        self._thread.start()

    def holds(self) -> bool:
        """Whether it is still ours."""
        with self._engine.connect() as connection:
            row = _row(connection, self._study)
            return row is not None and row.epoch == self._epoch

    def superseded(self) -> Superseded:
        """What is to be said where it is not."""
        with suppress(DBAPIError), self._engine.connect() as connection:
            row = _row(connection, self._study)
            if row is not None:
                return self._superseded(f"on {row.host} (process {row.process})")
        return self._superseded("elsewhere")

    def release(self) -> None:
        """Give it back, and the database's connections. The row stays, so that an epoch never comes a second time."""
        self._over.set()
        self._thread.join()
        if event.contains(self._engine, "before_cursor_execute", self._fence):
            event.remove(self._engine, "before_cursor_execute", self._fence)
        with suppress(DBAPIError), self._engine.begin() as connection:  # where it is away, the lease runs out
            connection.execute(LEASES.update().where(self._ours()).values(expiry=0.0))
        self._engine.dispose()

    def _taken(self) -> int | None:
        """The epoch with which it was taken; None where another was faster."""
        with suppress(IntegrityError), self._engine.begin() as connection:
            row, now = _row(connection, self._study, locked=True), _now(connection)
            mine = _this_process() | {"expiry": now + LEASE_S}
            if row is None:
                connection.execute(LEASES.insert().values(study=self._study, epoch=1, **mine))
                return 1
            if row.expiry > now and not _is_dead(row):
                raise Held(
                    f"this {self._subject} is running already on {row.host} (process {row.process}); wait for it, or "
                    f"end it with Ctrl-C. Without a sign of it another may go on in {row.expiry - now:.0f} s."
                )
            seen = (LEASES.c.study == self._study) & (LEASES.c.epoch == row.epoch) & (LEASES.c.expiry == row.expiry)
            epoch = int(row.epoch) + 1
            self.left_by = f"process {row.process} on {row.host}" if row.expiry else None
            if connection.execute(LEASES.update().where(seen).values(epoch=epoch, **mine)).rowcount:
                return epoch
        return None

    def _fence(
        self, connection: Connection, cursor: Any, statement: str, parameters: Any, context: Any, executemany: bool
    ) -> None:
        """Before each statement: a transaction that writes renews the lease first, or does not write."""
        if not statement.lstrip().upper().startswith(WRITES) or LEASES.name in statement:
            return
        transaction = connection.get_transaction()
        if connection.info.get(FENCED) is transaction and transaction is not None:
            return
        if not self._renewed(connection):
            self.lost = True
            raise self._superseded(_holder(connection, self._study))
        connection.info[FENCED] = transaction

    def _renewed(self, connection: Connection) -> bool:
        expiry = _clock(connection) + LEASE_S
        return connection.execute(LEASES.update().where(self._ours()).values(expiry=expiry)).rowcount == 1

    def _keep(self) -> None:
        while not self._over.wait(LEASE_S / RENEWALS):
            with suppress(DBAPIError), self._engine.begin() as connection:  # away: its writes will say so
                if not self._renewed(connection):
                    self.lost = True
                    return

    def _superseded(self, where: str) -> Superseded:
        return Superseded(
            f"{self._subject}: another driver {where} has taken this {self._subject} over; this one stops and leaves "
            "it as it is."
        )

    def _ours(self) -> Any:
        return (LEASES.c.study == self._study) & (LEASES.c.epoch == self._epoch)


def connecting(address: str) -> dict[str, Any]:
    """How a driver connects: PostgreSQL ends a transaction whose driver stands still for as long as a lease lasts. A
    process that is stopped within one would otherwise keep the lease's row locked, and nobody could take over."""
    if sqlalchemy.make_url(address).get_backend_name() != "postgresql":
        return {}
    return {"options": f"-c idle_in_transaction_session_timeout={int(LEASE_S * 1000)}"}


def is_leased(engine: Engine, study: str) -> bool:
    """Whether a driver holds the study's lease now."""
    if not sqlalchemy.inspect(engine).has_table(LEASES.name):
        return False
    with engine.connect() as connection:
        row = _row(connection, study)
        return row is not None and row.expiry > _now(connection) and not _is_dead(row)


def _make_table(engine: Engine) -> None:
    try:
        LEASES.create(engine, checkfirst=True)
    except DBAPIError:  # another driver makes it now
        if not sqlalchemy.inspect(engine).has_table(LEASES.name):
            raise


def _row(connection: Connection, study: str, locked: bool = False) -> Row[Any] | None:
    found = select(LEASES).where(LEASES.c.study == study)
    return connection.execute(found.with_for_update() if locked else found).one_or_none()


def _holder(connection: Connection, study: str) -> str:
    row = _row(connection, study)
    return "elsewhere" if row is None else f"on {row.host} (process {row.process})"


def _clock(connection: Connection) -> Any:
    """Seconds since 1970 by the database, for a statement; sqlite is on this machine, and so is its clock."""
    clocks = {"postgresql": "extract(epoch from clock_timestamp())", "mysql": "unix_timestamp(now(6))"}
    said = clocks.get(connection.dialect.name)
    return sqlalchemy.literal(time.time()) if said is None else sqlalchemy.literal_column(said, Float(53))


def _now(connection: Connection) -> float:
    return float(connection.execute(select(_clock(connection))).scalar_one())


def _this_process() -> dict[str, Any]:
    process = psutil.Process()
    return {
        "host": socket.gethostname()[:255],
        "process": process.pid,
        "began": process.create_time(),
        "place": _place(),
    }


def _is_dead(row: Row[Any]) -> bool:
    """Whether a lease's process is no more; of one elsewhere nobody knows."""
    if row.place != _place():
        return False
    try:
        process = psutil.Process(row.process)
        return abs(process.create_time() - row.began) > SAME_S or process.status() == psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return True


@cache
def _place() -> str:
    """Of this machine, since it was started, and of its container: two of these may have one name."""
    boot, space = Path("/proc/sys/kernel/random/boot_id"), Path("/proc/self/ns/pid")
    try:
        return f"{boot.read_text().strip()} {os.readlink(space)}"  # noqa: PTH115  # no path: pid:[4026531836]
    except OSError:  # not Linux
        return f"{socket.gethostname()} {psutil.boot_time():.0f}"[:255]
