"""A real PostgreSQL for tests, on loopback, started here and gone with its block."""

import os
import shutil
import signal
import socket
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from waits import LIMIT_S, until

NOBODY = "nobody"  # PostgreSQL does not run as root


def programs() -> Path | None:
    """The folder of `initdb` and `postgres`; None where there is none."""
    found = shutil.which("postgres")
    if found is not None:
        return Path(found).resolve().parent
    versions = [path.parent for path in Path("/usr/lib/postgresql").glob("*/bin/postgres")]
    return max(versions, key=lambda path: float(path.parent.name), default=None)


@contextmanager
def postgresql(below: Path) -> Iterator[str]:
    """Its address for `search.storage`; `below` is where its programs lie."""
    user = NOBODY if os.geteuid() == 0 else None
    with tempfile.TemporaryDirectory(prefix="pg", dir="/tmp") as folder:
        if user is not None:
            shutil.chown(folder, user)
        data, port = Path(folder) / "data", free_port()
        made: list[str | Path] = [below / "initdb", "-D", data, "-U", "assay", "-A", "trust", "--no-sync", "-E", "UTF8"]
        subprocess.run(made, check=True, capture_output=True, user=user, cwd=folder)
        command: list[str | Path] = [below / "postgres", "-D", data, "-h", "127.0.0.1", "-p", str(port)]
        command += ["-k", folder, "-F"]
        quiet = subprocess.DEVNULL
        asked: list[str | Path] = [below / "pg_isready", "-q", "-h", "127.0.0.1", "-p", str(port)]
        with subprocess.Popen(command, stdout=quiet, stderr=quiet, user=user, cwd=folder) as server:
            try:
                until(lambda: subprocess.run(asked, check=False).returncode == 0, "its first answer", alive=server)
                yield f"postgresql://assay@127.0.0.1:{port}/postgres"
            finally:
                server.send_signal(signal.SIGINT)  # SIGTERM would wait for those who are still connected
                server.wait(LIMIT_S)


@contextmanager
def postgres() -> Iterator[str]:
    """As `postgresql`; a skip where there is none on this machine."""
    pytest.importorskip("psycopg", reason="psycopg, which speaks with PostgreSQL, is absent")
    if (below := programs()) is None:
        pytest.skip("there is no PostgreSQL on this machine")
    with postgresql(below) as address:
        yield address


def free_port() -> int:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return int(found.getsockname()[1])
