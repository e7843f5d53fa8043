"""`assay serve` as a real process of a real project, on a free port of this machine."""

import contextlib
import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any

import requests

from waits import LIMIT_S, until

PROGRAM = "import sys; from assay.cli import main; sys.argv[0] = 'assay'; main()"


class Served:
    """The process, its address, and what it said."""

    def __init__(self, process: "subprocess.Popen[str]", said: Path) -> None:
        self.process, self._said = process, said
        self.session = requests.Session()
        self.session.trust_env = False  # loopback goes through no proxy
        self.url = until(self._link, "its address", alive=process)

    def _link(self) -> str | None:
        found = re.search(r"answers at (http://\S+)", self.said)
        return found and found[1]

    @property
    def said(self) -> str:
        return self._said.read_text()

    def get(self, path: str, **more: Any) -> requests.Response:
        return self.session.get(self.url + path, timeout=LIMIT_S, **more)

    def predict(self, **more: Any) -> requests.Response:
        return self.session.post(f"{self.url}/predict", timeout=LIMIT_S, **more)

    def ends(self, sign: signal.Signals) -> int:
        self.process.send_signal(sign)
        return self.process.wait(LIMIT_S)


@contextlib.contextmanager
def serving(project: Path, **environment: str) -> Iterator[Served]:
    """It answers when the block begins, and is gone when it ends."""
    words = project / "said.txt"
    with words.open("w") as said, started(project, said, environment) as process:
        served = Served(process, words)
        try:
            yield served
        finally:
            served.session.close()
            process.kill()


def started(project: Path, said: IO[str], environment: dict[str, str]) -> "subprocess.Popen[str]":
    command = [sys.executable, "-c", PROGRAM, "serve", "--port", "0"]
    return subprocess.Popen(command, cwd=project, stdout=said, stderr=said, text=True, env=os.environ | environment)
