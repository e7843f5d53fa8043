"""Stages that are stopped in the middle, by kill -9 and by Ctrl-C: the same command again ends right."""

import os
import signal
import subprocess
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psutil
import pytest

from clones import STAGES, Clone, all_gone, seen

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(900)]

GO_ON = "Stopped; what is done is kept. Run the same command again to go on."
TRIALS = 5
IN_THE_MIDDLE = {  # a stage → the file whose appearance says that it has begun to write and is not done
    "prepare": "prepare/.partial/data/train/samples.npy",
    "augment": "augment/.data.part/version.txt",
    "evaluate": "evaluate/confusion.csv",
}


@pytest.mark.parametrize("stage", IN_THE_MIDDLE)
def test_a_stage_killed_while_it_writes_leaves_no_process_and_ends_the_same_the_second_time(
    stage: str, ran: Any, copy: Clone
) -> None:
    command = ("python", f"pipeline/{stage}.py")
    mark = copy.results / IN_THE_MIDDLE[stage]
    mark.unlink(missing_ok=True)
    with copy.started(*command) as process:
        below = seen(process, mark.exists, f"{mark.name} of {stage}")
        process.kill()
        assert process.wait() == -signal.SIGKILL
        all_gone(below)
    assert mark.exists(), "it was in the middle"
    copy.run(*command)
    assert copy.written(stage) == ran.clone.written(stage)
    assert copy.statuses() == {(stage, "KILLED"): 1, (stage, "FINISHED"): 1}
    assert list((copy.path / ".assay/spool").glob("*")) == []


def trials_ended(clone: Clone) -> int:
    """Trials that have ended in the newest study."""
    journals = sorted((clone.path / ".assay/studies").glob("*.journal"), key=lambda path: path.stat().st_mtime)
    return journals[-1].read_text(encoding="utf-8").count('"op_code":6') if journals else 0


def stage_below(process: "subprocess.Popen[str]", stage: str) -> psutil.Process:
    """The stage that a `dvc repro` under way is running."""
    below = psutil.Process(process.pid).children(recursive=True)
    [found] = [each for each in below if each.cmdline()[-1:] == [f"pipeline/{stage}.py"] and "python" in each.name()]
    return found


def kill(process: "subprocess.Popen[str]") -> None:
    stage_below(process, "search").kill()


def press_ctrl_c(process: "subprocess.Popen[str]") -> None:
    os.killpg(process.pid, signal.SIGINT)  # as a terminal does: dvc, the stage and all below hear it


def stopped(clone: Clone, happened: Callable[[], Any], stop: Callable[["subprocess.Popen[str]"], None]) -> str:
    """What `dvc repro` says that is stopped once something happened; nothing of it is left running."""
    with clone.started("dvc", "repro") as process:
        below = seen(process, happened, "the stage is in its middle")
        stop(process)
        said, _ = process.communicate(timeout=300)
        assert process.returncode != 0
        all_gone(below)
    return said


def test_a_pipeline_that_is_stopped_again_and_again_loses_and_doubles_nothing(copy: Clone) -> None:
    """kill -9 of the search's driver, Ctrl-C in the search, Ctrl-C in the training; `dvc repro` after each."""
    copy.edit({"search.seed": 1, "search.trials": TRIALS, "search.epochs": 60, "recipe.epochs": 60})
    copy.edit({"search.space": {"optimizer.lr": {"low": 0.01, "high": 0.1}}, "search.reduction": 2})
    (copy.results / "search/report.json").unlink()
    old = {path.name for path in (copy.path / ".assay/studies").iterdir()}

    said = stopped(copy, lambda: ended_now(copy, old) >= 1, kill)
    assert "failed to reproduce 'search'" in said
    before = ended_now(copy, old)
    said = stopped(copy, lambda: ended_now(copy, old) > before + 1, press_ctrl_c)
    assert GO_ON in said and "exited with 130" in said and "Traceback" not in said

    said = stopped(copy, lambda: list((copy.path / ".assay/checkpoints").glob("train-*.pt")), press_ctrl_c)
    assert GO_ON in said and "exited with 130" in said and "Traceback" not in said

    said = copy.run("dvc", "repro").stdout
    assert [line for line in said.splitlines() if "Stage" in line] == [
        f"Stage '{stage}' didn't change, skipping" for stage in STAGES[:3]
    ]
    told = copy.statuses()
    assert Counter(name for name, _status in told.elements()) == Counter(
        ["search", "train", "evaluate", *(f"trial {number:03d}" for number in range(TRIALS))]
    )
    assert {told[name, "FINISHED"] for name in ("search", "train", "evaluate")} == {1}
    assert (copy.results / "search/trials.csv").read_text().count("\n") == 1 + TRIALS
    assert (copy.results / "train/curves.csv").read_text().count("\n") == 1 + 60
    assert list((copy.path / ".assay/checkpoints").iterdir()) == []


def ended_now(clone: Clone, old: set[str]) -> int:
    journals = [path for path in (clone.path / ".assay/studies").glob("*.journal") if path.name not in old]
    return journals[0].read_text(encoding="utf-8").count('"op_code":6') if journals else 0
