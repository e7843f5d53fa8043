"""Decisions in a real database: only added, in order, never two for one place, by nobody while another decides."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from assay.errors import InputError
from assay.params import Tracking
from assay.promotion import Budget, Rules
from assay.registry.book import Overtaken
from assay.registry.ledger import Decision, Ledger, history, place
from assay.tracking.address import Address, resolve

BUDGET = Budget(Rules("accuracy"), began=12.5, count=100, sketch=("ab", "cd"), looks=3, spent=0.002)


@pytest.fixture
def ledger(where: str, request: pytest.FixtureRequest) -> Iterator[Ledger]:
    found = Ledger(where, request.node.name[:200])
    yield found
    found.close()


def added(ledger: Ledger, after: Decision | None, kind: str = "first", champion: int = 1) -> Decision:
    return ledger.add(after, kind, champion, champion, None, "since it is so", {"data": "v1"}, BUDGET)


class TestLedger:
    def test_gives_back_what_was_added(self, ledger: Ledger, where: str) -> None:
        first = added(ledger, None)
        second = ledger.add(first, "kept", 2, 1, None, "no better", {}, None)
        assert ledger.decisions() == [first, second]
        assert first.budget == BUDGET and second.budget is None
        assert ledger.last() == second

    def test_two_cannot_both_decide(self, ledger: Ledger, where: str, request: pytest.FixtureRequest) -> None:
        first, other = added(ledger, None), Ledger(where, request.node.name[:200])
        try:
            added(other, other.last(), "promoted", 2)
            with pytest.raises(Overtaken, match="another has decided meanwhile"):
                added(ledger, first, "promoted", 3)
            assert [one.champion for one in ledger.decisions()] == [1, 2]
        finally:
            other.close()

    def test_while_one_decides_another_is_told_so(
        self, ledger: Ledger, where: str, request: pytest.FixtureRequest
    ) -> None:
        other = Ledger(where, request.node.name[:200])
        try:
            with ledger.deciding():
                with pytest.raises(InputError, match="this promotion is running already"), other.deciding():
                    pass
                added(ledger, None)
            with other.deciding():
                added(other, other.last(), "promoted", 2)
        finally:
            other.close()

    def test_models_have_accounts_of_their_own(self, ledger: Ledger, where: str) -> None:
        other = Ledger(where, "another model of the same store")
        try:
            added(ledger, None)
            assert other.decisions() == []
        finally:
            other.close()

    def test_a_database_that_is_none_is_a_sentence(self, tmp_path: Path) -> None:
        (tmp_path / "file.db").write_text("this is a text and no database, however one looks at it")
        with pytest.raises(InputError, match=r"promote\.storage is .*which cannot be used"):
            Ledger(f"sqlite:///{tmp_path / 'file.db'}", "model")

    def test_a_driver_that_is_none_is_a_sentence(self) -> None:
        with pytest.raises(InputError, match=r"promote\.storage is 'nothing://here'"):
            Ledger("nothing://here", "model")


class TestPlace:
    def test_is_beside_mlflows_sqlite(self, tmp_path: Path) -> None:
        assert place(None, resolve(Tracking(), tmp_path), tmp_path) == f"sqlite:///{tmp_path}/mlruns/decisions.db"

    def test_is_mlflows_own_database(self, tmp_path: Path) -> None:
        store = Address("postgresql://db/mlflow", None, "assay")
        assert place(None, store, tmp_path) == "postgresql://db/mlflow"

    def test_of_a_server_is_the_projects(self, tmp_path: Path) -> None:
        store = Address("http://127.0.0.1:5000", None, "assay")
        assert place(None, store, tmp_path) == f"sqlite:///{tmp_path}/mlruns/decisions.db"

    def test_is_what_a_person_says(self, tmp_path: Path) -> None:
        assert place("postgresql://db/mine", resolve(Tracking(), tmp_path), tmp_path) == "postgresql://db/mine"


def test_history_has_who_became_champion() -> None:
    one = Decision(1, 0.0, "me", "first", 1, 1, None, "", {})
    rows = [one, replace(one, number=2, kind="look"), replace(one, number=3, kind="rolled back")]
    assert [each.number for each in history(rows)] == [1, 3]
