"""A Ray cluster of several nodes on loopback and a PostgreSQL, each as a person starts them; to be killed in tests."""

import contextlib
import os
import secrets
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import psutil

from databases import free_port
from waits import until

HOST = "127.0.0.1"
SUBMIT = ("ray", "job", "submit", "--working-dir", ".", "--", "python", "pipeline/search.py")
MARK = "ASSAY_TEST_NODE"  # in the environment of whatever a node began
STORE_BYTES = 100_000_000  # of a node's objects
NO_ADDRESS = ("RAY_", "MLFLOW_", "PYTHONPATH")


@dataclass(frozen=True)
class Node:
    """One raylet with its agents and workers, known by a mark in their environment."""

    mark: str

    def processes(self) -> list[psutil.Process]:
        return [each for each in psutil.process_iter() if _marked(each, self.mark)]

    def kill(self) -> None:
        """kill -9 of all of it, as when its machine loses power; `ray start` first, since it would tidy up."""
        for each in sorted(self.processes(), key=lambda process: "start" not in _words(process)):
            with contextlib.suppress(psutil.NoSuchProcess):
                each.kill()
        until(lambda: not any(each.status() != psutil.STATUS_ZOMBIE for each in self.processes()), "a node's end")


def _marked(process: psutil.Process, mark: str) -> bool:
    try:
        return process.environ().get(MARK) == mark
    except psutil.Error:
        return False


def _words(process: psutil.Process) -> list[str]:
    try:
        return process.cmdline()
    except psutil.Error:
        return []


@dataclass
class Cluster:
    """A head that runs no trials and nodes that do; whoever has no token is refused."""

    folder: Path  # short: Ray's sockets lie below it
    port: int = field(default_factory=free_port)
    jobs_port: int = field(default_factory=free_port)
    token: str = field(default_factory=lambda: secrets.token_hex(32))
    nodes: list[Node] = field(default_factory=list)
    _life: contextlib.ExitStack = field(default_factory=contextlib.ExitStack)

    @property
    def address(self) -> str:
        """Where a driver joins."""
        return f"{HOST}:{self.port}"

    @property
    def jobs(self) -> str:
        """Where jobs are submitted."""
        return f"http://{HOST}:{self.jobs_port}"

    @property
    def credentials(self) -> dict[str, str]:
        return {"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": self.token, "RAY_USAGE_STATS_ENABLED": "0"}

    def head(self, *options: str) -> Node:
        serving = ["--head", f"--port={self.port}", f"--dashboard-port={self.jobs_port}", f"--dashboard-host={HOST}"]
        serving += ["--include-dashboard=true", f"--ray-client-server-port={free_port()}"]
        return self._start(*serving, *options)

    def node(self, *options: str) -> Node:
        return self._start(f"--address={self.address}", *options)

    def _start(self, *options: str) -> Node:
        node = Node(secrets.token_hex(4))
        environment = {name: value for name, value in os.environ.items() if not name.startswith(NO_ADDRESS)}
        python = self._python()
        environment["PATH"] = os.pathsep.join([str(python.parent), environment["PATH"]])  # a job types `python`
        command: list[str | Path] = [python, "-m", "ray.scripts.scripts", "start", "--block", "--disable-usage-stats"]
        command += [f"--node-ip-address={HOST}", f"--object-store-memory={STORE_BYTES}"]
        command += [f"--dashboard-agent-listen-port={free_port()}", *options]
        place = self.folder / node.mark  # of its own, as each machine has: there Ray unpacks what travels
        place.mkdir()
        command += [f"--temp-dir={place}"]
        log = self._life.enter_context((place / "start.log").open("w"))
        process = subprocess.Popen(
            command,
            env=environment | self.credentials | {MARK: node.mark},
            stdout=log,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
        self._life.callback(process.wait)
        self._life.callback(node.kill)
        said = Path(log.name)
        until(lambda: "forever" in said.read_text() or process.poll() is not None, "a node that is up")
        assert process.poll() is None, said.read_text()
        self.nodes.append(node)
        return node

    def _python(self) -> Path:
        """This Python by a path without a blank, which `ray start` would not quote."""
        environment = self.folder / "python"
        if not environment.exists():
            environment.symlink_to(sys.prefix)
        return environment / Path(sys.executable).relative_to(sys.prefix)

    def stop(self) -> None:
        self._life.close()


@contextlib.contextmanager
def cluster() -> Iterator[Cluster]:
    """An empty cluster; what is started in it ends with the block."""
    with tempfile.TemporaryDirectory(prefix="r", dir="/tmp", ignore_cleanup_errors=True) as folder:
        running = Cluster(Path(folder))
        try:
            yield running
        finally:
            running.stop()
