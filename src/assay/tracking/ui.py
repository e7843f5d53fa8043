"""MLflow's pages, for a person. Owns the process that serves them and its end; writes no run."""

import contextlib
import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from types import FrameType
from typing import IO

from assay import terminal
from assay.errors import InputError
from assay.params import Tracking
from assay.tracking import address
from assay.tracking.address import Address
from assay.tracking.runs import Run

HOST = "127.0.0.1"  # runs are nobody else's business
FIRST_PORT = 5000  # MLflow's own
START_S = 120  # a loaded machine takes a while to import MLflow
END_S = 5  # from the polite signal to the last one


def serve_ui(tracking: Tracking, root: Path, port: int | None = None) -> None:
    """Serve the store of `tracking` on loopback until Ctrl-C; of a remote store only say the link.

    Raises:
        InputError: the port is taken, the store cannot be opened, or MLflow's server does not start.
    """
    found = address.resolve(tracking, root)
    address.reach(found)
    address.make_place(found)
    if found.remote:
        terminal.say(f"MLflow is at {found.shown}")
        return
    port = _free_port(port)
    with served(_command(found, port), port) as (link, process):
        terminal.say(f"MLflow is at {link} (Ctrl-C ends it)")
        with contextlib.suppress(KeyboardInterrupt):
            process.wait()


@contextlib.contextmanager
def served(command: list[str], port: int) -> Iterator[tuple[str, "subprocess.Popen[bytes]"]]:
    """MLflow's server, answering when the block begins, gone with all its children when it ends."""
    link = f"http://{HOST}:{port}"
    with tempfile.TemporaryFile() as words:  # a server speaks at length; only its end is worth hearing
        process = subprocess.Popen(
            command, env=_environment(), stdin=subprocess.DEVNULL, stdout=words, stderr=words, start_new_session=True
        )
        before = _on_sigterm(_interrupt)
        try:
            _wait_for(link, process, words)
            yield link, process
        finally:
            _end_group(process)
            _on_sigterm(before)


def ui_link(run: Run, base: str | None = None) -> str | None:
    """Where a person sees `run`: under `base`, or at its own server; None while the store does not have it."""
    run_id, experiment = run.place()
    found = run.address
    if run_id is None:
        return None
    base = base or (found.shown if found.remote else f"http://{HOST}:{FIRST_PORT}")
    return f"{base}/#/experiments/{experiment}/runs/{run_id}"


def _command(found: Address, port: int) -> list[str]:
    command = [sys.executable, "-m", "mlflow", "server", "--host", HOST, "--port", str(port), "--workers", "1"]
    command += ["--backend-store-uri", found.uri]
    return command + (["--default-artifact-root", found.artifacts] if found.artifacts else [])


def _environment() -> dict[str, str]:
    # Without the job runner the server starts in half the time; nothing here uses it.
    return os.environ | {
        "MLFLOW_DISABLE_TELEMETRY": "true",
        "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false",
        "MLFLOW_LOGGING_LEVEL": "ERROR",
    }


def _free_port(port: int | None) -> int:
    """The asked port; else MLflow's own, or any where that is taken."""
    for candidate in (FIRST_PORT, 0) if port is None else (port,):
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            with contextlib.suppress(OSError):
                probe.bind((HOST, candidate))
                return int(probe.getsockname()[1])
    raise InputError(f"--port: {port} is taken; name another, or none to take any free one.")


def _wait_for(link: str, process: "subprocess.Popen[bytes]", words: IO[bytes]) -> None:
    end = time.monotonic() + START_S
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))  # loopback goes through no proxy
    while time.monotonic() < end:
        if process.poll() is not None:
            raise InputError(f"MLflow's server ended at once (exit code {process.returncode}): {_last_line(words)}")
        with contextlib.suppress(OSError), opener.open(f"{link}/health", timeout=1):
            return
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(0.2)
    raise InputError(f"MLflow's server did not answer at {link} within {START_S} seconds: {_last_line(words)}")


def _last_line(words: IO[bytes]) -> str:
    words.seek(0)
    lines = words.read().decode(errors="replace").split("\n")
    return next((line.strip() for line in reversed(lines) if line.strip()), "it said nothing")


def _end_group(process: "subprocess.Popen[bytes]") -> None:
    """End the server and every child of its process group, politely first."""
    for sign in (signal.SIGTERM, signal.SIGKILL):
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, sign)
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(END_S)
    process.wait()


def _interrupt(_number: int, _frame: FrameType | None) -> None:
    raise KeyboardInterrupt


def _on_sigterm(does: object) -> object:
    """Set what SIGTERM does, where signals may be set (the main thread only); what it did before comes back."""
    with contextlib.suppress(ValueError):
        return signal.signal(signal.SIGTERM, does)  # type: ignore[arg-type]
    return signal.SIG_DFL
