"""What every retraining did, step by step: a table to which rows are only added. Owns the states of a retraining and
what a process finds that goes on with one; what the steps are is steps.py's.
"""

import json
import time
from collections.abc import Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Column, Float, Integer, MetaData, String, Table, Text

from assay.registry.book import Book
from assay.registry.ledger import who

PLANNED, TRAINED, JUDGED, DECIDED = "planned", "trained", "judged", "decided"
NOTHING_NEW, GIVEN_UP, FAILED = "nothing new", "given up", "failed"
STATES = (PLANNED, TRAINED, JUDGED, DECIDED)  # in their order; each is written before what follows it begins
OVER = (DECIDED, NOTHING_NEW, GIVEN_UP)
RETRAININGS = Table(
    "assay_retrainings",
    MetaData(),
    Column("model", String(200), primary_key=True),
    Column("number", Integer, primary_key=True, autoincrement=False),  # from 1, a row each
    Column("retraining", Integer, nullable=False),  # from 1; those that found nothing new have the next one's
    Column("key", String(64), nullable=False),  # a hash of data, settings and code
    Column("state", String(32), nullable=False),
    Column("at", Float(53), nullable=False),  # seconds since 1970
    Column("who", String(255), nullable=False),
    Column("told", Text, nullable=False),  # JSON
)


@dataclass(frozen=True)
class Step:
    """One row.

    Attributes:
        state: `planned` (there is reason), `trained` (a model lies in the workspace), `judged` (it was challenger),
            `decided` (all is told); `nothing new`; `given up` (for newer data); `failed` (the next start goes on).
    """

    number: int
    retraining: int
    key: str
    state: str
    at: float
    who: str
    told: Mapping[str, Any]


class Account(Book):
    """The retrainings of one registered model. Give it back with `close`."""

    def __init__(self, where: str, model: str) -> None:
        """Open it, a new one where there is none.

        Raises:
            InputError: the database does not open.
        """
        super().__init__(where, model, RETRAININGS)

    def retraining(self) -> AbstractContextManager[str | None]:
        """Around a retraining; see `owned`."""
        return self.owned("retrain", "retraining")

    def steps(self) -> list[Step]:
        """All, oldest first."""
        named = [{name: row._mapping[name] for name in Step.__dataclass_fields__} for row in self.rows()]
        return [Step(**told | {"told": json.loads(told["told"])}) for told in named]

    def add(self, retraining: int, key: str, state: str, told: Mapping[str, Any]) -> Step:
        """Write down that a retraining has come so far.

        Raises:
            Superseded: another process does this retraining by now.
        """
        said = json.dumps(dict(told))
        number = 1 + max((step.number for step in self.steps()), default=0)
        step = Step(number, retraining, key, state, time.time(), who(), json.loads(said))
        self.write(vars(step) | {"told": said})
        return step


@dataclass(frozen=True)
class Past:
    """What the steps so far say."""

    steps: tuple[Step, ...]

    @property
    def open(self) -> tuple[Step, ...]:
        """The steps of the retraining that was not ended; none where the last one was."""
        done = [step for step in self.steps if step.state != FAILED]
        if not done or done[-1].state in OVER:
            return ()
        return tuple(step for step in done if step.retraining == done[-1].retraining and step.state in STATES)

    @property
    def next(self) -> int:
        """The number of a retraining that begins now."""
        return 1 + max((step.retraining for step in self.steps if step.state == PLANNED), default=0)

    def decided(self, key: str) -> Step | None:
        """How a retraining with this key ended; None where none did."""
        return next((step for step in reversed(self.steps) if step.key == key and step.state == DECIDED), None)

    def last(self, *states: str) -> Step | None:
        """The newest step in one of these states."""
        return next((step for step in reversed(self.steps) if step.state in states), None)
