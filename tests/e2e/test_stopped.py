"""Stages that are stopped in the middle, by kill -9 and by Ctrl-C: the same command again ends right."""

import json
import os
import re
import signal
import subprocess
from collections import Counter
from collections.abc import Callable
from typing import Any

import psutil
import pytest

from clones import STAGES, Clone, seen
from waits import LIMIT_S, gone

pytestmark = pytest.mark.e2e

STOPPED = re.compile(r"exited with (130|-2)\b")  # by the stage, or by a shell between that heard the signal itself
GO_ON = "Stopped; what is done is kept. Run the same command again to go on."
LONGER: dict[str, Any] = {  # long enough to be met in its middle
    "recipe.epochs": 25,
    "search.trials": 4,
    "search.epochs": 25,
    "search.space": {"optimizer.lr": {"low": 0.01, "high": 0.1}},
}
IN_THE_MIDDLE = {  # a stage → the file whose appearance says that it has begun to write and is not done
    "prepare": "prepare/.partial/data/train/samples.npy",
    "augment": "augment/.partial/data/version.txt",
    "evaluate": "evaluate/.partial/pictures/confusion.csv",
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
        gone(below)
    assert mark.exists(), "it was in the middle"
    copy.run(*command)
    assert copy.written(stage) == ran.clone.written(stage)
    assert copy.statuses() == {(stage, "KILLED"): 1, (stage, "FINISHED"): 1}
    assert list((copy.path / ".assay/spool").glob("*")) == []


def kill_search(process: "subprocess.Popen[str]") -> None:
    below = psutil.Process(process.pid).children(recursive=True)
    [driver] = [each for each in below if each.cmdline()[1:] == ["pipeline/search.py"]]
    driver.kill()


def press_ctrl_c(process: "subprocess.Popen[str]") -> None:
    os.killpg(process.pid, signal.SIGINT)  # as a terminal does: dvc, the stage and all below hear it


def stopped(clone: Clone, happened: Callable[[], Any], stop: Callable[["subprocess.Popen[str]"], None]) -> str:
    """What `dvc repro` says that is stopped once something happened; nothing of it is left running."""
    with clone.started("dvc", "repro") as process:
        below = seen(process, happened, "the stage is in its middle")
        stop(process)
        said, _ = process.communicate(timeout=LIMIT_S)
        assert process.returncode != 0
        gone(below)
    return said


ENDED, REPORTED = '"op_code":6', '"op_code":7'  # what Optuna's journal calls a trial's state and its value of an epoch


def noted(clone: Clone, former: str, what: str) -> int:
    """How often something stands in the journal of the study that is not the former one."""
    journals = [path for path in (clone.path / ".assay/studies").glob("*.journal") if path.stem != former]
    return journals[0].read_text(encoding="utf-8").count(what) if journals else 0


def test_a_pipeline_that_is_stopped_again_and_again_loses_and_doubles_nothing(copy: Clone) -> None:
    """kill -9 of the search's driver, Ctrl-C in the search, Ctrl-C in the training; `dvc repro` after each."""
    copy.edit(LONGER)
    former = json.loads((copy.results / "search/report.json").read_text())["study"]
    said = stopped(copy, lambda: noted(copy, former, ENDED) >= 1, kill_search)
    assert "failed to reproduce 'search'" in said
    before = noted(copy, former, REPORTED)
    said = stopped(copy, lambda: noted(copy, former, REPORTED) > before, press_ctrl_c)
    assert GO_ON in said and STOPPED.search(said) and "Traceback" not in said
    said = stopped(copy, lambda: any((copy.path / ".assay/checkpoints").glob("train-*.pt")), press_ctrl_c)
    assert GO_ON in said and STOPPED.search(said) and "Traceback" not in said
    said = copy.run("dvc", "repro").stdout
    assert [line for line in said.splitlines() if "skipping" in line] == [
        f"Stage '{stage}' didn't change, skipping" for stage in STAGES[:3]
    ]
    told, trials = copy.statuses(), [f"trial {number:03d}" for number in range(LONGER["search.trials"])]
    assert Counter(name for name, _status in told.elements()) == Counter([*STAGES[2:], *trials])
    assert {told[stage, "FINISHED"] for stage in STAGES[2:]} == {1}
    assert "RUNNING" not in {status for _name, status in told}
    assert (copy.results / "search/trials.csv").read_text().count("\n") == 1 + len(trials)
    assert (copy.results / "train/curves.csv").read_text().count("\n") == 1 + LONGER["recipe.epochs"]
    assert not list((copy.path / ".assay/checkpoints").iterdir())
    assert not list((copy.path / ".assay/spool").iterdir())
