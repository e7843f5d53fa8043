"""A registry with two versions, and a server of it, made once for all tests of serving."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from contests import write_registry
from serving import Served, serving


@pytest.fixture(scope="package")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Version 2 is champion, and version 1 was before."""
    root = tmp_path_factory.mktemp("serve")
    write_registry(root)
    (root / "params.yaml").write_text("serve: {poll_s: 0.1}\n")
    return root


@pytest.fixture(scope="package")
def server(project: Path) -> Iterator[Served]:
    with serving(project) as served:
        yield served
