"""What a search loses where it is hit at a random moment and started again: nothing.

    python benchmarks/kill_test.py                              # 25 moments, half an hour on two cores
    python benchmarks/kill_test.py --moments 3 --kinds raylet disk
    python benchmarks/kill_test.py --seed 5                     # other moments

A search of six trials runs once undisturbed. Then, again and again from nothing, it is hit at a moment that is drawn
evenly over that time, and the same command is typed until it ends well:

    driver    kill -9 of the search itself
    worker    kill -9 of a process in which trials run
    raylet    kill -9 of Ray's process of this machine
    node      kill -9 of one node of a cluster of two, with all that runs there; the study in PostgreSQL
    stopped   SIGSTOP of the search until its lease has run out and another has ended it; then SIGCONT
    disk      a file that fills the disk on which study and runs lie
    server    kill -9 of the MLflow server, which comes back

Counted: trials lost, runs doubled, trials or runs left running, and whether trials.csv, report.json and the runs equal
those of the undisturbed search. Every search but that of the cluster has one worker. A kind that this machine does not
allow (a small disk takes the right to mount it, a cluster and a lease PostgreSQL) is left out, and said. The exit code
is 1 where anything was counted.
"""

import argparse
import json
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, suppress
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import psutil

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "tests"))
import searches
from clones import named
from clusters import cluster
from databases import postgresql, programs
from servers import mlflow_server
from waits import until

SEARCH: dict[str, Any] = {"epochs": 60}
STARTS, LONGEST_S, AWAY_S = 6, 300, 5
DISK, NODE = "96m", ("--num-cpus=1", "--num-gpus=0")
REFUSED = "is running already"
TAKEN = "has taken this search over; this one stops and leaves it as it is."


@dataclass
class Project:
    """A folder in which a search is typed, and how."""

    root: Path
    search: dict[str, Any] = field(default_factory=dict)
    workers: int = 1
    environment: dict[str, str] = field(default_factory=dict)
    tracking: str | None = None
    starts: int = 0

    @contextmanager
    def started(self) -> "Iterator[subprocess.Popen[str]]":
        """The command under way; whatever is left of it ends with the block."""
        self.starts += 1
        told = SEARCH | self.search | ({"tracking": self.tracking} if self.tracking else {})
        command = [sys.executable, searches.__file__, str(self.root), str(self.workers), json.dumps(told)]
        pipe, environment = subprocess.PIPE, os.environ | {"PYTHONWARNINGS": "ignore"} | self.environment
        with subprocess.Popen(command, stdout=pipe, stderr=subprocess.STDOUT, text=True, env=environment) as process:
            try:
                yield process
            finally:
                with suppress(ProcessLookupError):
                    process.send_signal(signal.SIGCONT)
                process.kill()

    def to_its_end(self) -> None:
        """Type the command until it ends well."""
        while True:
            with self.started() as process:
                said, _ = process.communicate(timeout=LONGEST_S)
            if process.returncode == 0:
                return
            if self.starts >= STARTS:
                raise RuntimeError(f"it does not end well:\n{said}")

    @property
    def runs(self) -> "Counter[tuple[str, str]]":
        return searches.statuses(self.root, self.tracking)


# A hit: what happens to a search under way. Afterwards the command is typed until it ends well.
Hit = Callable[["subprocess.Popen[str]"], None]


def driver(process: "subprocess.Popen[str]") -> None:
    process.kill()


def worker(process: "subprocess.Popen[str]") -> None:
    for each in below(process, searches.WORKER):
        each.kill()


def raylet(process: "subprocess.Popen[str]") -> None:
    for each in below(process, "raylet"):
        each.kill()


def stopped(project: Project, process: "subprocess.Popen[str]") -> None:
    """Another driver takes over, and the first one then finds itself superseded."""
    process.send_signal(signal.SIGSTOP)
    while True:
        with project.started() as other:
            said, _ = other.communicate(timeout=LONGEST_S)
        if REFUSED not in said:
            break
        time.sleep(AWAY_S)  # a refusal costs a start; the lease runs for a minute
    if other.returncode != 0:
        raise RuntimeError(f"who took over did not end well:\n{said}")
    process.send_signal(signal.SIGCONT)
    said, _ = process.communicate(timeout=LONGEST_S)
    if process.returncode != 0 and TAKEN not in said:
        raise RuntimeError(f"who was taken over said:\n{said}")


def disk(project: Project, process: "subprocess.Popen[str]") -> None:
    full = project.root / "full"
    with suppress(OSError), full.open("wb", buffering=0) as file:
        while file.write(b"x" * 65536):
            pass
    with suppress(subprocess.TimeoutExpired):  # it ends where it wants to write; it may have written all before
        process.wait(LONGEST_S)
    full.unlink()


def below(process: "subprocess.Popen[str]", name: str) -> list[psutil.Process]:
    """Its processes of that name; waits until there is one, or the search is over."""
    until(lambda: named(process, name) or process.poll() is not None, name)
    return named(process, name)


class Missing(Exception):
    """This machine does not allow a kind."""


@contextmanager
def on_its_own_disk(folder: Path) -> Iterator[tuple[Project, Hit]]:
    command = ["mount", "-t", "tmpfs", "-o", f"size={DISK}", "tmpfs", str(folder)]
    mounted = subprocess.run(command, capture_output=True, text=True, check=False)
    if mounted.returncode:
        raise Missing(f"the right to mount a small disk ({mounted.stderr.strip()})")
    try:
        project = Project(folder)
        yield project, partial(disk, project)
    finally:
        # Lazily: two idle agents of Ray outlive a search that was killed by a minute.
        subprocess.run(["umount", "--lazy", str(folder)], check=True)


@contextmanager
def database() -> Iterator[str]:
    if (found := programs()) is None:
        raise Missing("PostgreSQL")
    with postgresql(found) as address:
        yield address


@contextmanager
def with_a_lease(folder: Path) -> Iterator[tuple[Project, Hit]]:
    with database() as address:
        project = Project(folder, {"storage": address})
        yield project, partial(stopped, project)


@contextmanager
def on_a_cluster(folder: Path) -> Iterator[tuple[Project, Hit]]:
    with database() as address, cluster() as running:
        running.head(*NODE)
        second = running.node(*NODE)
        environment = running.credentials | {"RAY_ADDRESS": running.address}
        project = Project(folder, {"storage": address}, workers=2, environment=environment)
        yield project, lambda _: second.kill()


@contextmanager
def on_a_server(folder: Path) -> Iterator[tuple[Project, Hit]]:
    with tempfile.TemporaryDirectory() as place, mlflow_server(Path(place)) as server:

        def away(_process: "subprocess.Popen[str]") -> None:
            server.kill()
            time.sleep(AWAY_S)  # the outage
            server.start()

        yield Project(folder, tracking=server.uri), away


@contextmanager
def simple(folder: Path, hit: Hit) -> Iterator[tuple[Project, Hit]]:
    yield Project(folder), hit


KINDS: dict[str, Callable[[Path], AbstractContextManager[tuple[Project, Hit]]]] = {
    "driver": partial(simple, hit=driver),
    "worker": partial(simple, hit=worker),
    "raylet": partial(simple, hit=raylet),
    "node": on_a_cluster,
    "stopped": with_a_lease,
    "disk": on_its_own_disk,
    "server": on_a_server,
}


@dataclass(frozen=True)
class Undisturbed:
    """What the search finds where nothing happens, and how long it takes."""

    results: Any
    runs: Counter[tuple[str, str]]
    seconds: float


def undisturbed(folder: Path) -> Undisturbed:
    project, began = Project(folder), time.monotonic()
    project.to_its_end()
    return Undisturbed(searches.results(folder), project.runs, time.monotonic() - began)


@dataclass(frozen=True)
class Found:
    """What a moment cost."""

    kind: str
    at: float
    starts: int
    lost: int
    doubled: int
    running: int
    equal: bool

    @property
    def fine(self) -> bool:
        return self.equal and not (self.lost or self.doubled or self.running)

    def __str__(self) -> str:
        counted = f"{self.lost} lost, {self.doubled} doubled, {self.running} left running"
        counted += ", equal" if self.equal else ", NOT equal"
        return f"{self.kind} after {self.at:.1f} s, {self.starts} starts: {counted}"


def moment(kind: str, folder: Path, luck: random.Random, reference: Undisturbed) -> Found:
    with KINDS[kind](folder) as (project, hit):
        at = luck.uniform(0, reference.seconds)
        with project.started() as process:
            with suppress(subprocess.TimeoutExpired):
                process.wait(at)
            if process.poll() is None:
                hit(process)
            process.communicate(timeout=LONGEST_S)
        project.to_its_end()
        runs, (report, rows) = project.runs, searches.results(folder)
    names = Counter(name for name, _status in runs.elements())
    expected = {name for name, _status in reference.runs}
    return Found(
        kind,
        at,
        project.starts,
        lost=len(expected - names.keys()) + abs(len(rows) - searches.TRIALS),
        doubled=sum(count - 1 for count in names.values()),
        running=sum(count for (_name, status), count in runs.items() if status == "RUNNING")
        + sum(row["state"] not in ("complete", "pruned", "failed") for row in rows),
        equal=(report, rows) == reference.results and runs == reference.runs,
    )


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--moments", type=int, default=25)
    options.add_argument("--seed", type=int, default=0)
    options.add_argument("--kinds", nargs="*", default=list(KINDS), choices=list(KINDS))
    chosen = options.parse_args()
    with tempfile.TemporaryDirectory(prefix="kill-") as place:
        reference = undisturbed(made(place, "undisturbed"))
        print(f"undisturbed: {reference.seconds:.1f} s, {searches.TRIALS} trials; seed {chosen.seed}", flush=True)
        found, kinds = [], list(chosen.kinds)
        for number in range(chosen.moments):
            if not kinds:
                break
            kind = kinds[number % len(kinds)]
            luck = random.Random(f"{chosen.seed} {number}")
            try:
                found.append(moment(kind, made(place, str(number)), luck, reference))
            except Missing as missing:
                print(f"{number}: {kind} is left out, missing: {missing}", flush=True)
                kinds.remove(kind)
                continue
            print(f"{number}: {found[-1]}", flush=True)
    print_table(found)
    sys.exit(not found or not all(each.fine for each in found))


def made(place: str, name: str) -> Path:
    folder = Path(place) / name
    folder.mkdir()
    return folder


def print_table(found: list[Found]) -> None:
    print(f"\n{'':10}{'moments':>9}{'lost':>7}{'doubled':>9}{'running':>9}{'equal':>8}")
    for kind in KINDS:
        of_kind = [each for each in found if each.kind == kind]
        if of_kind:
            lost, doubled, running, equal = (
                sum(getattr(each, name) for each in of_kind) for name in ("lost", "doubled", "running", "equal")
            )
            print(f"{kind:10}{len(of_kind):9}{lost:7}{doubled:9}{running:9}{equal:8}")


if __name__ == "__main__":
    main()
