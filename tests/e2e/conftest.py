"""One real run of the whole pipeline, for every test here to look at or to copy."""

from dataclasses import dataclass
from pathlib import Path

import pytest

from clones import SMALL, Clone, cloned

PLACE = "Müllers Ziffern"  # a blank and an umlaut, as people's folders have


@dataclass(frozen=True)
class Ran:
    """A clone whose pipeline has run, and what `dvc repro` said. To be looked at, not changed."""

    clone: Clone
    said: str


@pytest.fixture(scope="session")
def ran(tmp_path_factory: pytest.TempPathFactory) -> Ran:
    clone = cloned(tmp_path_factory.mktemp("clone") / PLACE)
    clone.edit(SMALL)
    return Ran(clone, clone.run("dvc", "repro").stdout)


@pytest.fixture
def copy(ran: Ran, tmp_path: Path) -> Clone:
    """A copy of that clone that a test may change."""
    return ran.clone.copy(tmp_path / PLACE)
