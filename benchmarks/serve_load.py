"""Requests a second of `assay serve` and of `mlflow models serve`, with the same model, pictures and clients, in turn;
then a promotion and a rollback under load, and the memory of many requests.

    python benchmarks/serve_load.py [--seconds 8] [--clients 16] [--requests 20000] [--out FILE.md]

A request carries one PNG in base64, which both take, and each answer is looked at. All runs on this machine and on
loopback, clients too: they are processes of their own, so that what is measured is the servers.
"""

import argparse
import base64
import http.client
import importlib.metadata
import io
import json
import os
import shutil
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import chain
from multiprocessing import get_context
from multiprocessing.queues import Queue
from pathlib import Path
from typing import Any

import psutil

NAME, PROCESSES = "assay", 2  # of clients; each has its share of connections, a thread each
ASSAY = [sys.executable, "-c", "from assay.cli import main; main()", "serve", "--port"]
MLFLOW = [sys.executable, "-m", "mlflow", "models", "serve", "-m", f"models:/{NAME}@champion", "--env-manager", "local"]


@dataclass(frozen=True)
class Heard:
    """What one client heard, from when to when."""

    seconds: tuple[float, ...]
    failed: int
    versions: frozenset[int]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=8)
    parser.add_argument("--clients", type=int, default=16)
    parser.add_argument("--requests", type=int, default=20_000)
    parser.add_argument("--out", type=Path)
    how = parser.parse_args()
    folder = Path(tempfile.mkdtemp(prefix="serve-load-"))
    try:
        lines = list(report(folder, how))
    finally:
        shutil.rmtree(folder)
    if how.out is not None:
        how.out.write_text("\n".join(["# assay serve beside mlflow models serve", "", *lines]) + "\n")


def report(folder: Path, how: argparse.Namespace) -> Iterator[str]:
    pictures = write_registry(folder)
    for line in chain(measured(folder, pictures, how), lived(folder, pictures, how)):
        print(line, flush=True)
        yield line


def measured(folder: Path, pictures: list[str], how: argparse.Namespace) -> Iterator[str]:
    """Both servers, in turn: A, B, A, B, so that a machine that does other things meanwhile does them to both."""
    versions = {name: importlib.metadata.version(name) for name in ("mlflow", "fastapi", "uvicorn", "torch")}
    yield f"{os.cpu_count()} cores, load {os.getloadavg()[0]:.1f} at the beginning; {versions}"
    yield f"{how.clients} clients, {how.seconds:g} s a round after a second to warm up; one PNG of 28 × 28 a request"
    yield ""
    yield "| server | requests a second, each round | median ms | 99% ms | failed |"
    yield "| --- | --- | --- | --- | --- |"
    rates: dict[str, list[float]] = {}
    with assay_server(folder) as ours, mlflow_server(folder) as theirs:
        sides = {"assay serve": (ours, assay_body), "mlflow models serve": (theirs, mlflow_body)}
        heard: dict[str, list[float]] = {name: [] for name in sides}
        failed = dict.fromkeys(sides, 0)
        for _ in range(2):
            for name, (server, body) in sides.items():
                bodies = [body(one) for one in pictures]
                load(server.port, bodies, how.clients, seconds=1)
                found = load(server.port, bodies, how.clients, seconds=how.seconds)
                seconds = [one for client in found for one in client.seconds]
                rates.setdefault(name, []).append(len(seconds) / how.seconds)
                heard[name] += seconds
                failed[name] += sum(client.failed for client in found)
    for name in sides:
        ms = [1e3 * one for one in sorted(heard[name])]
        rounds = ", ".join(f"{rate:,.0f}" for rate in rates[name])
        late = ms[int(0.99 * len(ms))]
        yield f"| `{name}` | {rounds} | {statistics.median(ms):.1f} | {late:.1f} | {failed[name]} |"
    one, other = (statistics.mean(rates[name]) for name in sides)
    yield ""
    yield f"{one / other:.1f} times as many, of the means."


def lived(folder: Path, pictures: list[str], how: argparse.Namespace) -> Iterator[str]:
    """Many requests with a promotion and a rollback among them; the memory after a tenth of them and at the end."""
    from assay.championship import Championship
    from assay.params import Params

    bodies = [assay_body(one) for one in pictures]
    with assay_server(folder) as server:
        process, done = psutil.Process(server.process.pid), []
        for share in range(10):
            if share in (3, 6):
                with Championship(Params(), folder) as house:
                    house.promote(1, "to see it") if share == 3 else house.rollback("as before")
            done += load(server.port, bodies, how.clients, requests=how.requests // 10)
            if share == 0:
                first = process.memory_info().rss
        last = process.memory_info().rss
    count, failed = sum(len(one.seconds) for one in done), sum(one.failed for one in done)
    seen = sorted(frozenset().union(*(one.versions for one in done)))
    yield ""
    yield (
        f"{count:,} requests with a promotion and a rollback among them: {failed} failed, answered by versions {seen}; "
        f"memory {first / 2**20:.0f} MiB after a tenth of them, {last / 2**20:.0f} MiB at the end."
    )


@dataclass(frozen=True)
class Server:
    port: int
    process: "subprocess.Popen[bytes]"


@contextmanager
def assay_server(folder: Path) -> Iterator[Server]:
    (folder / "params.yaml").write_text("serve: {poll_s: 0.2}\n")
    with running([*ASSAY, str(port := free_port())], folder, port, "/ready") as server:
        yield server


@contextmanager
def mlflow_server(folder: Path) -> Iterator[Server]:
    port = free_port()
    with running([*MLFLOW, "--port", str(port)], folder, port, "/ping") as server:
        yield server


@contextmanager
def running(command: list[str], folder: Path, port: int, path: str) -> Iterator[Server]:
    """A server with all that it starts, answering at `path`; gone with the block."""
    store = f"sqlite:///{folder}/mlruns/mlflow.db"
    words = (folder / f"{port}.txt").open("wb")
    environment = os.environ | {"MLFLOW_TRACKING_URI": store, "MLFLOW_DISABLE_TELEMETRY": "true"}
    process = subprocess.Popen(command, cwd=folder, stdout=words, stderr=words, env=environment, start_new_session=True)
    try:
        while not answers(port, path):
            if process.poll() is not None:
                raise SystemExit((folder / f"{port}.txt").read_text())
            time.sleep(0.2)
        yield Server(port, process)
    finally:
        os.killpg(process.pid, signal.SIGTERM)
        process.wait()
        words.close()


def answers(port: int, path: str) -> bool:
    line = http.client.HTTPConnection("127.0.0.1", port, timeout=5)
    try:
        line.request("GET", path)
        return line.getresponse().status == 200
    except OSError:
        return False
    finally:
        line.close()


def load(
    port: int, bodies: list[tuple[str, bytes]], clients: int, seconds: float = 1e9, requests: int = 10**9
) -> list[Heard]:
    """Clients that ask without a pause, for so long or so often in sum."""
    context = get_context("fork")
    found: Queue[list[Heard]] = context.Queue()
    share = clients // PROCESSES
    asked = (port, bodies, share, seconds, requests // (share * PROCESSES), found)
    processes = [context.Process(target=clients_of, args=asked) for _ in range(PROCESSES)]
    for one in processes:
        one.start()
    heard = [client for _ in processes for client in found.get()]
    for one in processes:
        one.join()
    return heard


def clients_of(
    port: int, bodies: list[tuple[str, bytes]], share: int, seconds: float, most: int, found: "Queue[list[Heard]]"
) -> None:
    from concurrent.futures import ThreadPoolExecutor

    with ThreadPoolExecutor(share) as pool:
        asked = [pool.submit(client, port, bodies, seconds, most) for _ in range(share)]
        found.put([one.result() for one in asked])


def client(port: int, bodies: list[tuple[str, bytes]], seconds: float, most: int) -> Heard:
    line = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
    line.connect()
    line.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    taken: list[float] = []
    failed, versions, end = 0, set(), time.monotonic() + seconds
    while time.monotonic() < end and len(taken) < most:
        path, body = bodies[len(taken) % len(bodies)]
        began = time.perf_counter()
        line.request("POST", path, body, {"Content-Type": "application/json"})
        answer = line.getresponse()
        told = answer.read()
        taken.append(time.perf_counter() - began)
        said = json.loads(told) if answer.status == 200 else {}
        failed += len(said.get("answers", said.get("predictions", ()))) != 1
        versions |= {said["version"]} if "version" in said else set()
    line.close()
    return Heard(tuple(taken), failed, frozenset(versions))


def assay_body(picture: str) -> tuple[str, bytes]:
    return "/predict", json.dumps([picture]).encode()


def mlflow_body(picture: str) -> tuple[str, bytes]:
    told: dict[str, Any] = {"dataframe_split": {"columns": ["sample"], "data": [[picture]]}}
    return "/invocations", json.dumps(told).encode()


def write_registry(folder: Path) -> list[str]:
    """Two versions of a small network on digits; the second is champion. Digits in base64, to ask for."""
    sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))
    import numpy as np
    from PIL import Image

    import contests

    contests.write_registry(folder)
    said = []
    for one in np.load(folder / "data" / "test" / "samples.npy")[:50]:
        stream = io.BytesIO()
        Image.fromarray(one[0]).save(stream, "PNG")
        said.append(base64.b64encode(stream.getvalue()).decode())
    return said


def free_port() -> int:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return int(found.getsockname()[1])


if __name__ == "__main__":
    main()
