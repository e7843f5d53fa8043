"""A database, and one search that nothing disturbs, for every test here to hold its own against."""

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import searches
from databases import postgresql, programs


@pytest.fixture(scope="session")
def postgres() -> Iterator[str]:
    """The address of a PostgreSQL of our own."""
    pytest.importorskip("psycopg", reason="psycopg, which speaks with PostgreSQL, is absent")
    if (below := programs()) is None:
        pytest.skip("postgres is absent")
    with postgresql(below) as address:
        yield address


@pytest.fixture(scope="session")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("undisturbed")
    subprocess.run([sys.executable, str(Path(searches.__file__)), str(root), "1"], check=True, capture_output=True)
    return root
