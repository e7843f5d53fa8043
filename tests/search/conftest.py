"""One search that nothing disturbs, for every test here to hold its own against."""

import subprocess
import sys
from pathlib import Path

import pytest

import searches


@pytest.fixture(scope="session")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("undisturbed")
    subprocess.run([sys.executable, str(Path(searches.__file__)), str(root), "1"], check=True, capture_output=True)
    return root
