"""Faults for real: a full disk, a killed run, killed workers. Nothing half-written, nothing left running."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

from assay.data.dataset import read_about
from assay.data.prepare import prepare
from assay.data.workers import WorkerDied, Workers
from assay.errors import InputError
from assay.params import Data
from disks import small_disk
from photographs import fill

PROGRAM = """
import sys
from pathlib import Path
from assay.data.prepare import prepare
from assay.params import Data
def told(done):
    print(done, flush=True)
    if done == 100 and sys.argv[3] == "wait":
        sys.stdin.read()
prepare(Data(source="folder", path=sys.argv[1], image_size=16, workers=2), Path(sys.argv[2]), told)
"""


@pytest.fixture
def animals(tmp_path: Path) -> Path:
    return fill(tmp_path / "animals", {"cat": 100, "dog": 100})


def test_a_full_disk_is_one_sentence_and_leaves_nothing(animals: Path, tmp_path: Path) -> None:
    data, out = Data(source="folder", path=str(animals), image_size=32), tmp_path / "disk" / "out"
    with small_disk(out.parent):
        with pytest.raises(InputError, match=r"out: the disk is full; free some space and run the same") as caught:
            prepare(data, out, lambda _done: None)
        assert len(caught.value.sentences) == 1
        assert list(out.iterdir()) == []


def start(animals: Path, out: Path, how: str) -> "subprocess.Popen[str]":
    return subprocess.Popen(
        [sys.executable, "-c", PROGRAM, str(animals), str(out), how],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
        env=os.environ | {"PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
    )  # fmt: skip


def test_a_run_killed_in_the_middle_leaves_no_data_set_and_no_process_and_a_rerun_ends_right(
    animals: Path, tmp_path: Path
) -> None:
    killed = start(animals, tmp_path / "out", "wait")
    assert killed.stdin and killed.stdout
    assert "100" in (line.strip() for line in killed.stdout)
    workers = psutil.Process(killed.pid).children(recursive=True)
    assert len(workers) == 2
    killed.send_signal(signal.SIGKILL)
    killed.wait()
    for pipe in (killed.stdin, killed.stdout):
        pipe.close()
    _gone, alive = psutil.wait_procs(workers, timeout=30)
    assert not alive
    assert (tmp_path / "out" / ".partial").is_dir() and not (tmp_path / "out" / "data").exists()

    again = start(animals, tmp_path / "out", "on")
    assert again.stdin and again.communicate()[0] and again.returncode == 0
    written = {path.name for path in (tmp_path / "out").iterdir()}
    assert written == {"data", "report.json", "samples.html", "slices.parquet"}
    assert sum(read_about(tmp_path / "out" / "data").counts.values()) == 200


def test_workers_answer_in_order_and_end_with_their_block() -> None:
    with Workers(2, time.strftime) as workers:  # type: ignore[arg-type]
        years = list(workers.map((f"{number}",) for number in range(40)))
        children = psutil.Process().children()
    assert years == [str(number) for number in range(40)]
    assert not [child for child in children if child.is_running() and "serve(" in " ".join(child.cmdline())]


def test_what_a_worker_raises_is_raised_here() -> None:
    with pytest.raises(ZeroDivisionError, match="division"), Workers(1, divmod) as workers:  # type: ignore[arg-type]
        list(workers.map([(1, 0)]))


def test_a_worker_that_was_killed_is_noticed() -> None:
    with Workers(1, os.kill) as workers:  # type: ignore[arg-type]
        (child,) = [child for child in psutil.Process().children() if "serve(" in " ".join(child.cmdline())]
        with pytest.raises(WorkerDied, match="in the middle of a task"):
            list(workers.map([(child.pid, int(signal.SIGKILL))]))
