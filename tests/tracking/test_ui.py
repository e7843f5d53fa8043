import os
import signal
import socket
import subprocess
import sys
import urllib.request
from pathlib import Path

import psutil
import pytest

from assay import terminal
from assay.errors import InputError
from assay.params import Tracking
from assay.tracking import serve_ui
from databases import free_port
from servers import Server
from waits import LIMIT_S

SERVE = """
import sys
from pathlib import Path
from assay.params import Tracking
from assay.tracking import serve_ui
serve_ui(Tracking(), Path(sys.argv[1]), int(sys.argv[2]))
"""


@pytest.mark.e2e
@pytest.mark.parametrize("sign", [signal.SIGINT, signal.SIGTERM])
def test_the_pages_say_their_link_and_leave_no_process(sign: signal.Signals, root: Path) -> None:
    port = free_port()
    serving = subprocess.Popen(
        [sys.executable, "-u", "-c", SERVE, str(root), str(port)], stdout=subprocess.PIPE, text=True
    )
    try:
        assert serving.stdout is not None
        said = serving.stdout.readline()
        assert said == f"MLflow is at http://127.0.0.1:{port} (Ctrl-C ends it)\n"
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/", timeout=LIMIT_S) as page:
            assert b"MLflow" in page.read()
        family = psutil.Process(serving.pid).children(recursive=True)
        assert family
    finally:
        os.kill(serving.pid, sign)
        serving.communicate()
    assert serving.returncode == 0
    assert psutil.wait_procs(family, timeout=10)[1] == []


def test_a_port_that_is_taken_is_a_sentence(root: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        with pytest.raises(InputError, match=rf"--port: {port} is taken"):
            serve_ui(Tracking(), root, port)


@pytest.mark.e2e
def test_of_a_server_elsewhere_only_the_link_is_said(
    server: Server, bare_root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    said: list[str] = []
    monkeypatch.setattr(terminal, "say", said.append)
    serve_ui(Tracking(uri=server.uri), bare_root)
    assert said == [f"MLflow is at {server.uri}"]
