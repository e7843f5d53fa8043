"""Every look for drift under a champion, in the order they were made: a table to which rows are only added. Owns that
looks are numbered without a gap, whoever looks, and that nobody pays twice for the same samples; it computes nothing.
"""

import json
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

from sqlalchemy import Column, Float, Integer, MetaData, String, Table, Text

from assay.drift import Drift
from assay.registry.book import Book, Overtaken
from assay.registry.ledger import who

LOOKS = Table(
    "assay_drift",
    MetaData(),
    Column("model", String(200), primary_key=True),
    Column("version", Integer, primary_key=True, autoincrement=False),
    Column("number", Integer, primary_key=True, autoincrement=False),  # from 1 a version; that two take one cannot be
    Column("at", Float(53), nullable=False),  # seconds since 1970
    Column("who", String(255), nullable=False),
    Column("source", Text, nullable=False),
    Column("data", String(64), nullable=False),  # a hash of the keys that were compared
    Column("count", Integer, nullable=False),  # of new samples
    Column("p", Float(53), nullable=False),  # the smallest
    Column("alpha", Float(53), nullable=False),  # of this look
    Column("found", Integer, nullable=False),  # 1: drift
    Column("evidence", Text, nullable=False),  # JSON
)

COLUMNS = ("version", "number", "at", "who", "source", "data")  # that stand in a look as they are


@dataclass(frozen=True)
class Look:
    """One row.

    Attributes:
        source: where the new samples came from, in words.
        again: whether these samples were looked at before: this is what was found then, and nothing was spent.
    """

    version: int
    number: int
    at: float
    who: str
    source: str
    data: str
    drift: Drift
    again: bool = False


class Looks(Book):
    """The looks under the champions of one registered model. Give it back with `close`."""

    def __init__(self, where: str, model: str) -> None:
        """Open them in the database of the decisions, a new table where there is none.

        Raises:
            InputError: the database does not open.
        """
        super().__init__(where, model, LOOKS)

    def of(self, version: int) -> list[Look]:
        """All under one version, oldest first."""
        return [_look(row._mapping) for row in self.rows() if row.version == version]

    def look(self, version: int, source: str, data: str, judge: Callable[[int], Drift]) -> Look:
        """The look at these samples: what was found before, or what `judge` finds as the look of the next number.

        Nobody sees a finding that is not written: where another took the number meanwhile, it is judged anew by the
        next.
        """
        while True:
            made = self.of(version)
            for one in made:
                if one.data == data:
                    return replace(one, again=True)
            number = len(made) + 1
            look = Look(version, number, time.time(), who(), source, data, judge(number))
            if self._added(look):
                return look

    def _added(self, look: Look) -> bool:
        drift = look.drift
        values: dict[str, Any] = {name: getattr(look, name) for name in COLUMNS}
        values |= {"count": drift.new, "alpha": drift.alpha, "found": int(drift.found)}
        values |= {"p": min(drift.worst.p, drift.features.p), "evidence": json.dumps(drift.as_json())}
        try:
            self.write(values)
        except Overtaken:
            return False
        return True


def _look(row: Any) -> Look:
    told = {name: row[name] for name in COLUMNS}
    return Look(**told, drift=Drift.from_json(json.loads(row["evidence"])))
