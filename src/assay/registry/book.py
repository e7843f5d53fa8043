"""A table in the database of the decisions, to which rows are only added. Owns how it is opened, who may write in it,
and what is said where it does not do as asked; what a row means is for those that have one.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import sqlalchemy
from sqlalchemy import Engine, Row, Table, select
from sqlalchemy.exc import DBAPIError, IntegrityError, SQLAlchemyError

from assay.errors import InputError
from assay.lease import DatabaseLease, connecting
from assay.tracking.address import masked


class Overtaken(InputError):
    """Another has written meanwhile."""


class Book:
    """The rows about one registered model. Give it back with `close`."""

    def __init__(self, where: str, model: str, table: Table) -> None:
        """Open it, a new one where there is none.

        Raises:
            InputError: the database does not open.
        """
        self._where, self.model, self._table = where, model, table
        with self._translated():
            self._engine = _engine(where)
            try:
                table.create(self._engine, checkfirst=True)
            except DBAPIError:  # another process makes it now
                if not sqlalchemy.inspect(self._engine).has_table(table.name):
                    raise

    def rows(self) -> list[Row[Any]]:
        """All, in the order of their numbers."""
        keys = self._table.primary_key.columns.values()
        chosen = select(self._table).where(self._table.c.model == self.model).order_by(*keys)
        with self._translated(), self._engine.connect() as connection:
            return list(connection.execute(chosen).all())

    def write(self, values: dict[str, Any]) -> None:
        """Add a row.

        Raises:
            Overtaken: there is one of this number by now.
        """
        try:
            with self._engine.begin() as connection:
                connection.execute(self._table.insert().values(**values, model=self.model))
        except IntegrityError as error:
            raise Overtaken(f"{self.model}: another has decided meanwhile; run the same command again.") from error
        except SQLAlchemyError as error:
            raise self._sentence(error) from error

    @contextmanager
    def owned(self, what: str, subject: str) -> Iterator[str | None]:
        """Around a block that writes: nobody else is within such a block. Gives the process that left its lease behind,
        where one died in it.

        Args:
            what: is leased of this model.
            subject: what a person calls it.

        Raises:
            Held: another is.
        """
        with self._translated():
            lease = DatabaseLease(self._engine, f"{what} {self.model}"[:64], subject)
        try:
            yield lease.left_by
        finally:
            lease.release()

    def close(self) -> None:
        """Give the database's connections back."""
        self._engine.dispose()

    @contextmanager
    def _translated(self) -> Iterator[None]:
        try:
            yield
        except SQLAlchemyError as error:
            raise self._sentence(error) from error

    def _sentence(self, error: SQLAlchemyError) -> InputError:
        return _refused(self._where, error)


def reach(where: str, patience_s: int) -> None:
    """Look whether the database answers; a file of sqlite that is not there yet is made when it is needed.

    Raises:
        InputError: it does not.
    """
    try:
        url = sqlalchemy.make_url(where)
        backend = url.get_backend_name()
        _refuse_fleeting(where, url)
        if backend == "sqlite" and not Path(str(url.database)).exists():
            return
        limit = {"connect_timeout": patience_s} if backend in ("postgresql", "mysql") else {}
        engine = sqlalchemy.create_engine(url, connect_args=limit)
        with engine.connect() as connection:
            sqlalchemy.inspect(connection).get_table_names()
        engine.dispose()
    except (SQLAlchemyError, ImportError) as error:  # ImportError: a driver that is not installed
        raise _refused(where, error) from error


def _refuse_fleeting(where: str, url: sqlalchemy.URL) -> None:
    if url.get_backend_name() == "sqlite" and url.database in (None, "", ":memory:"):
        raise InputError(f"promote.storage is {where!r}, which names no file, so the decisions would be gone with it.")


def _refused(where: str, error: Exception) -> InputError:
    said = str(error.orig if isinstance(error, DBAPIError) else error).strip().splitlines()[0]
    return InputError(f"promote.storage is {masked(where)!r}, which cannot be used ({said.rstrip('.')}).")


def _engine(where: str) -> Engine:
    url = sqlalchemy.make_url(where)
    _refuse_fleeting(where, url)
    if url.get_backend_name() == "sqlite":
        Path(str(url.database)).parent.mkdir(parents=True, exist_ok=True)
    return sqlalchemy.create_engine(where, pool_pre_ping=True, connect_args=connecting(where))
