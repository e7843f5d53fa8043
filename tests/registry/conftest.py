"""The databases in which decisions and looks may lie."""

import pytest


@pytest.fixture(scope="module", params=["sqlite", "postgresql"])
def where(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> str:
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path_factory.mktemp('decisions') / 'decisions.db'}"
    return str(request.getfixturevalue("postgres"))
