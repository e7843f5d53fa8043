"""A database that is away for a moment, while it is asked or while it commits."""

from pathlib import Path
from typing import Any

import pytest

from assay.errors import InputError
from assay.search import steady, store
from assay.search.steady import Steady
from assay.search.study import Study
from searches import drive, opened


class Blips:
    """Every so many commits one fails, by turns before the database has it and after."""

    def __init__(self, study: Study, every: int = 3) -> None:
        self.every, self.count = every, 0
        self.dialect = study._study._storage._backend.engine.dialect  # type: ignore[attr-defined]
        self.commit, self.dialect.do_commit = self.dialect.do_commit, self.blipping

    def blipping(self, connection: Any) -> None:
        self.count += 1
        fails, late = self.count % self.every == 0, self.count % (2 * self.every) == 0
        if not fails or late:
            self.commit(connection)
        if fails:
            raise self.dialect.dbapi.OperationalError("server closed the connection unexpectedly")


@pytest.fixture(params=["sqlite", "postgresql"])
def address(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.setattr(steady, "PAUSE_S", 0.0)
    monkeypatch.setattr("optuna.storages._rdb.storage.random.random", lambda: 0.0)  # its own pause
    if request.param == "sqlite":
        monkeypatch.setattr(store, "RDBStorage", Steady)
        return f"sqlite:///{tmp_path / 'studies.db'}"
    found: str = request.getfixturevalue("postgres")
    return found


def test_a_search_goes_on_over_blips_as_if_there_were_none_and_writes_nothing_twice(
    address: str, tmp_path: Path
) -> None:
    search: dict[str, Any] = {"storage": address, "seed": abs(hash(str(tmp_path))) % 2**31}
    with opened(tmp_path / "journal", 8, **search | {"storage": None}) as undisturbed:
        drive(undisturbed)
        expected = [(each.number, each.state, each.drawn, each.curve) for each in undisturbed.tried()]
    with opened(tmp_path, 8, **search) as study:
        blips = Blips(study)
        drive(study)
        blips.dialect.do_commit = blips.commit
        assert blips.count > 60
        assert [(each.number, each.state, each.drawn, each.curve) for each in study.tried()] == expected
        assert len(study._study.get_trials()) == 8


def test_a_database_that_stays_away_is_a_sentence_once_the_lease_has_run_out(
    address: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    search: dict[str, Any] = {"storage": address, "seed": abs(hash(str(tmp_path))) % 2**31}
    monkeypatch.setattr(steady, "LEASE_S", 0.5)
    with opened(tmp_path, **search) as study:
        blips = Blips(study, every=1)
        with (
            pytest.raises(InputError, match=r"it does not answer any more \(.*server closed"),
            store.answering(address),
        ):
            drive(study)
        blips.dialect.do_commit = blips.commit
        assert blips.count > 5
