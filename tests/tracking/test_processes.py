"""A run that several processes write, one after another or at once: killed, stopped, begun together."""

import fcntl
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from assay.tracking import store, ui_link, writer
from waits import LIMIT_S, until

from .conftest import Eyes, opened


def process(root: Path, does: str, *words: str) -> "subprocess.Popen[str]":
    """Another process that has a tracker on the same root."""
    script = (
        "import sys, time\nfrom pathlib import Path\nfrom assay.params import Tracking\n"
        "from assay.tracking import open_tracker\n"
        "tracker = open_tracker(Tracking(), Path(sys.argv[1]), {'study': 's1'})\n" + does
    )
    pipe = subprocess.PIPE
    return subprocess.Popen([sys.executable, "-c", script, str(root), *words], stdin=pipe, stdout=pipe, text=True)


def test_a_rerun_continues_the_run_it_finds(root: Path, eyes: Eyes) -> None:
    with opened(root) as tracker:
        trial = tracker.start("trial 007", kind="trial", tags={"trial": 7})
        trial.log({"val/loss": 3.0}, step=1)
        trial.log({"val/loss": 2.0}, step=2)
    with opened(root) as tracker:
        assert tracker.find(kind="trial", study="s1", trial=8) is None
        assert tracker.find(kind="trial", study="another", trial=7) is None
        found = tracker.find(kind="trial", study="s1", trial=7)
        assert found is not None
        assert found.status == "KILLED"
        found.log({"val/loss": 2.0}, step=2)  # the epoch that was logged before its state was saved
        found.log({"val/loss": 1.0}, step=3)
        found.end()
    assert [run.info.status for run in eyes.runs()] == ["FINISHED"]
    assert eyes.points("trial 007", "val/loss") == [(1, 3.0), (2, 2.0), (3, 1.0)]


def test_a_run_has_one_key_in_every_process_that_may_write_it(root: Path, eyes: Eyes) -> None:
    for again in (False, True, True):
        with opened(root) as tracker:
            run = tracker.start("trial 007", kind="trial", params={"lr": 0.1}, key="s1 trial 7", again=again)
            run.log({"val/loss": 1.0}, step=1)
            assert run.status == "RUNNING"
            run.end("FINISHED" if again else "KILLED")
    assert [run.info.status for run in eyes.runs()] == ["FINISHED"]
    assert eyes.points("trial 007", "val/loss") == [(1, 1.0)]
    assert eyes.run("trial 007").data.tags["assay.reason"] == "continued"


def test_a_run_that_has_ended_goes_on_in_the_same_process(root: Path, eyes: Eyes) -> None:
    with opened(root) as tracker:
        tracker.start("final", kind="final", key="s1 final 0").end("KILLED", "its worker died")
        assert ui_link(tracker.start("final", kind="final", key="s1 final 0", again=True))
        assert eyes.run("final").info.status == "RUNNING"
    assert [run.info.status for run in eyes.runs()] == ["KILLED"]


def test_a_key_of_a_run_that_never_came_begins_one(root: Path, eyes: Eyes) -> None:
    with opened(root) as tracker:
        tracker.start("trial 007", kind="trial", key="s1 trial 7", again=True).end()
    assert [run.info.status for run in eyes.runs()] == ["FINISHED"]
    assert "assay.reason" not in eyes.run("trial 007").data.tags


@pytest.mark.e2e
@pytest.mark.parametrize("flushed", [False, True], ids=["unknown to the store", "known to the store"])
def test_a_process_that_was_stopped_leaves_its_runs_to_who_went_on_with_them(
    root: Path, eyes: Eyes, *, flushed: bool
) -> None:
    does = """
from assay.tracking import ui_link, writer
writer.SLEPT_S = 0
run = tracker.start("trial 007", kind="trial", key="s1 trial 7")
run.log({"val/loss": 9.0}, step=1)
if sys.argv[2:]: ui_link(run)
run.log({"val/loss": 8.0}, step=2)
ended = tracker.start("trial 006", kind="trial", key="s1 trial 6")
ended.end()
print("logged", flush=True)
sys.stdin.readline()
run.log({"val/loss": 7.0}, step=3)
run.leave()
tracker.close()
"""
    stopped = process(root, does, *(["flushed"] if flushed else []))
    assert stopped.stdout is not None
    assert stopped.stdout.readline() == "logged\n"
    os.kill(stopped.pid, signal.SIGSTOP)
    overdue = time.monotonic() + writer.FLUSH_S
    with opened(root) as tracker:
        run = tracker.start("trial 007", kind="trial", key="s1 trial 7", again=True)
        for step in (1, 2):
            run.log({"val/loss": float(step)}, step)
        run.end()
    until(lambda: time.monotonic() > overdue)
    os.kill(stopped.pid, signal.SIGCONT)
    stopped.communicate("\n", timeout=LIMIT_S)
    assert stopped.returncode == 0
    assert sorted((run.info.run_name, run.info.status) for run in eyes.runs()) == [
        ("trial 006", "FINISHED"),
        ("trial 007", "FINISHED"),
    ]
    assert eyes.points("trial 007", "val/loss") == [(1, 9.0 if flushed else 1.0), (2, 2.0)]


@pytest.mark.usefixtures("hasty")
def test_a_process_that_is_stopped_while_it_opens_the_store_stops_no_other(
    root: Path, eyes: Eyes, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(store, "OPEN_S", 0)
    lock = root / ".assay" / "mlflow.lock"
    lock.parent.mkdir()
    with lock.open("w") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        with opened(root) as tracker, tracker.run("train", kind="stage"):
            pass
    assert "another process has been opening it" in capfd.readouterr().out
    assert eyes.runs() == []
    opened(root).close()
    assert eyes.run("train").info.status == "FINISHED"


@pytest.mark.e2e
def test_four_processes_that_begin_at_once_all_arrive(bare_root: Path, eyes: Eyes) -> None:
    does = "\nwith tracker, tracker.run(sys.argv[0] + str(time.time_ns()), kind='stage') as run: run.log({'a': 1}, 1)"
    started = [process(bare_root, does) for _ in range(4)]
    assert [one.wait(LIMIT_S) for one in started] == [0, 0, 0, 0]
    for one in started:
        one.communicate()
    assert [run.info.status for run in eyes.runs()] == ["FINISHED"] * 4


@pytest.mark.e2e
def test_kill_9_loses_less_than_ten_seconds_and_the_next_start_brings_even_those(root: Path, eyes: Eyes) -> None:
    does = """
run = tracker.start("train", kind="stage")
step = 0
while True:
    step += 1
    run.log({"val/loss": 1 / step}, step)
    print(step, time.time(), flush=True)
    time.sleep(0.05)
"""
    dying = process(root, does)
    until(lambda: bool(eyes.runs()) and len(eyes.points("train", "val/loss")) > 20)
    os.kill(dying.pid, signal.SIGKILL)
    killed = time.time()
    lines = dying.communicate()[0].split("\n")[:-1]  # the last one may be cut
    logged = {int(step): float(when) for step, when in (line.split() for line in lines)}
    arrived = {step for step, _ in eyes.points("train", "val/loss")}
    assert eyes.run("train").info.status == "RUNNING"
    assert all(killed - when < 10 for step, when in logged.items() if step not in arrived)
    opened(root).close()
    steps = [step for step, _ in eyes.points("train", "val/loss")]
    assert steps == list(range(1, len(steps) + 1))
    assert len(steps) >= max(logged)
    run: Any = eyes.run("train")
    assert (run.info.status, run.data.tags["assay.reason"]) == ("KILLED", "its process died")


def test_a_kill_while_the_database_is_made_spoils_no_later_start(tmp_path: Path) -> None:
    child = process(tmp_path, "tracker.start('first', kind='stage').end()")
    unfinished = tmp_path / "mlruns" / "mlflow.db.new"
    until(lambda: (unfinished.exists() and unfinished.stat().st_size > 0) or child.poll() is not None)
    child.kill()
    child.communicate()
    with opened(tmp_path) as tracker, tracker.run("second", kind="stage") as run:
        run.log({"val/loss": 1.0}, step=1)
    eyes = Eyes(f"sqlite:///{tmp_path}/mlruns/mlflow.db")
    assert eyes.points("second", "val/loss") == [(1, 1.0)]
    assert {run.info.status for run in eyes.runs()} == {"FINISHED"}
