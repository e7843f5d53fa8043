"""Every decision on who is champion, in the order they were made: a table to which rows are only added. Owns where it
lies and that two who decide at once cannot both; MLflow's aliases follow it and keep no history themselves.
"""

import json
import socket
import time
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from sqlalchemy import Column, Float, Integer, MetaData, String, Table, Text

from assay.promotion import Budget, Rules
from assay.registry.book import Book
from assay.tracking.address import Address
from assay.tracking.source import user

FILE = "decisions.db"  # beside a sqlite store of MLflow, and where that is a server
PROMOTED = ("first", "promoted", "by hand", "rolled back", "found")  # kinds of decision that change the champion
DECISIONS = Table(
    "assay_decisions",
    MetaData(),
    Column("model", String(200), primary_key=True),
    Column("number", Integer, primary_key=True, autoincrement=False),  # from 1; that two write one cannot be
    Column("at", Float(53), nullable=False),  # seconds since 1970
    Column("who", String(255), nullable=False),
    Column("kind", String(32), nullable=False),
    Column("version", Integer, nullable=False),  # that it is about
    Column("champion", Integer, nullable=False),  # after it
    Column("previous", Integer, nullable=True),  # the champion that a rollback goes back to
    Column("reason", Text, nullable=False),
    Column("evidence", Text, nullable=False),  # JSON
)


@dataclass(frozen=True)
class Decision:
    """One row.

    Attributes:
        kind: `first`, `refused` (over a limit that needs no test sample; asked again, it is measured again), `screened`
            (the validation split said enough), `look` (the test split is about to be looked at), `promoted`, `kept`,
            `by hand`, `rolled back`, or `found` (somebody moved MLflow's alias).
        previous: the champion before, where there is one to go back to.
        evidence: figures, and under `budget` what the test split has left.
    """

    number: int
    at: float
    who: str
    kind: str
    version: int
    champion: int
    previous: int | None
    reason: str
    evidence: Mapping[str, Any]

    @property
    def budget(self) -> Budget | None:
        """What the test split has left after it; None before the first."""
        told = self.evidence.get("budget")
        if told is None:
            return None
        return Budget(**{**told, "rules": Rules(**told["rules"]), "sketch": tuple(told["sketch"])})


class Ledger(Book):
    """The decisions on one registered model. Give it back with `close`."""

    def __init__(self, where: str, model: str) -> None:
        """Open it, a new one where there is none.

        Raises:
            InputError: the database does not open.
        """
        super().__init__(where, model, DECISIONS)

    def deciding(self) -> AbstractContextManager[str | None]:
        """Around a block that decides; see `owned`."""
        return self.owned("registry", "promotion")

    def decisions(self) -> list[Decision]:
        """All, oldest first."""
        return [_decision(row._mapping) for row in self.rows()]

    def last(self) -> Decision | None:
        """The newest."""
        return next(reversed(self.decisions()), None)

    def add(
        self,
        after: Decision | None,
        kind: str,
        version: int,
        champion: int,
        previous: int | None,
        reason: str,
        evidence: Mapping[str, Any],
        budget: Budget | None,
    ) -> Decision:
        """Add a decision that was made in the knowledge of all up to `after`.

        Raises:
            Overtaken: there is one behind that by now.
        """
        told = json.dumps(dict(evidence) | ({} if budget is None else {"budget": asdict(budget)}))
        number = 1 if after is None else after.number + 1
        row = Decision(number, time.time(), who(), kind, version, champion, previous, reason, json.loads(told))
        self.write(vars(row) | {"evidence": told})
        return row


def place(asked: str | None, store: Address, root: Path) -> str:
    """Where the decisions lie: where they were asked to, else in MLflow's database, else in a file beside it.

    Of an MLflow server's database nothing is known here, so the file is the project's; who decides on several machines
    names a database.
    """
    if asked is not None:
        return asked
    if store.database is not None:
        return f"sqlite:///{store.database.parent / FILE}"
    if store.scheme in ("postgresql", "mysql"):
        return store.uri
    return f"sqlite:///{root.resolve() / 'mlruns' / FILE}"


def history(decisions: Sequence[Decision]) -> list[Decision]:
    """Those that made somebody champion, oldest first."""
    return [one for one in decisions if one.kind in PROMOTED]


def _decision(row: Any) -> Decision:
    told = {name: row[name] for name in Decision.__dataclass_fields__}
    return Decision(**told | {"evidence": json.loads(row["evidence"])})


def who() -> str:
    """Whoever runs this, and where."""
    return f"{user() or 'somebody'}@{socket.gethostname()}"[:255]
