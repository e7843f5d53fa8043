"""A real MLflow server for tests, on loopback, which may go away and come back at the same address."""

import contextlib
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

from assay.tracking import ui
from databases import free_port


class Server:
    """`mlflow server`, with its files in `folder`."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.port = folder, free_port()
        self.uri = f"http://{ui.HOST}:{self.port}"
        self._life = contextlib.ExitStack()
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        command = [sys.executable, "-m", "mlflow", "server", "--host", ui.HOST, "--port", str(self.port)]
        command += ["--workers", "1", "--backend-store-uri", f"sqlite:///{self.folder / 'server.db'}"]
        command += ["--artifacts-destination", str(self.folder / "files")]
        _link, self._process = self._life.enter_context(ui.served(command, self.port))

    def stop(self) -> None:
        self._life.close()

    def kill(self) -> None:
        """kill -9 of it and of all that it began."""
        assert self._process is not None, "it was started"
        os.killpg(self._process.pid, signal.SIGKILL)
        self.stop()


@contextlib.contextmanager
def mlflow_server(folder: Path) -> Iterator[Server]:
    """A server that runs; gone with the block."""
    server = Server(folder)
    server.start()
    try:
        yield server
    finally:
        server.stop()
