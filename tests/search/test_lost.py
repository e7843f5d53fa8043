"""Workers that hang and workers that die: what that costs, with a real Ray."""

import json
import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import psutil
import pytest

import searches
from assay.search.study import WORKER_LOST
from clones import named
from databases import postgres
from searches import WORKER, journal, results, statuses
from waits import LIMIT_S, until

pytestmark = pytest.mark.e2e

PROGRAM = [sys.executable, str(Path(searches.__file__))]
WATCH_S = 20  # between two looks at memory; a worker is up within it
SILENT_S = 60  # of a trial; a loaded machine takes its time to begin one


@contextmanager
def searching(
    root: Path, workers: int, environment: Mapping[str, str] | None = None, **search: Any
) -> Iterator["subprocess.Popen[str]"]:
    """A search in a process of its own; gone with the block."""
    command = [*PROGRAM, str(root), str(workers), json.dumps(search)]
    pipe, around = subprocess.PIPE, os.environ | (environment or {})
    with subprocess.Popen(command, stdout=pipe, stderr=pipe, text=True, start_new_session=True, env=around) as driver:
        try:
            yield driver
        finally:
            if driver.poll() is None:
                driver.kill()


def workers_of(driver: "subprocess.Popen[str]") -> list[psutil.Process]:
    """Processes in which trials run."""
    return named(driver, WORKER)


def reported(root: Path) -> int:
    return journal(root).count('"op_code":7')


def ended(driver: "subprocess.Popen[str]") -> str:
    said, wrong = driver.communicate(timeout=LIMIT_S)
    assert driver.returncode == 0, wrong
    assert all(line.startswith("search ") for line in wrong.splitlines()), wrong  # the progress, and no word of Ray's
    return said


def worker_of(driver: "subprocess.Popen[str]", before: psutil.Process | None = None) -> psutil.Process:
    """The one process in which trials run, another than the one before."""
    return until(lambda: next((each for each in workers_of(driver) if each != before), None), alive=driver)


# The first trial, of the base recipe, is never stopped: the others may be over before a test has looked.


def failures(root: Path) -> dict[str, str]:
    return dict(json.loads((root / "out/report.json").read_text())["failures"])


def test_a_trial_that_hangs_costs_itself_alone_and_its_worker_is_ended(tmp_path: Path) -> None:
    with searching(tmp_path, 1, trial_timeout=SILENT_S) as driver:
        until(lambda: reported(tmp_path) > 3, alive=driver)
        worker = worker_of(driver)
        worker.send_signal(signal.SIGSTOP)
        said = ended(driver)
        assert not worker.is_running()
    [(number, reason)] = failures(tmp_path).items()
    assert number == "0"
    assert reason == f"it told nothing for {SILENT_S} s (search.trial_timeout)"
    assert f"search: trial 0 failed: {reason}" in said
    told = statuses(tmp_path)
    assert told.pop(("trial 000", "FAILED")) == 1
    assert set(told.values()) == {1}
    assert {status for _name, status in told} <= {"FINISHED", "KILLED"}
    assert len(told) == searches.TRIALS, "the other trials and the search"


def test_a_trial_whose_worker_is_killed_begins_anew_and_the_search_ends_as_if_nothing_had_been(
    tmp_path: Path, undisturbed: Path
) -> None:
    with searching(tmp_path, 1) as driver:
        until(lambda: reported(tmp_path) > 3, alive=driver)
        worker_of(driver).kill()
        said = ended(driver)
    assert len(re.findall("search: trial 0 begins anew: its worker died", said)) == 1
    assert results(tmp_path) == results(undisturbed)
    assert statuses(tmp_path) == statuses(undisturbed)


def test_a_trial_whose_worker_is_killed_twice_fails_even_where_its_driver_dies_in_between(tmp_path: Path) -> None:
    with searching(tmp_path, 1) as driver:
        until(lambda: reported(tmp_path) > 3, alive=driver)
        worker_of(driver).kill()
        until(lambda: WORKER_LOST in journal(tmp_path), alive=driver)
        driver.kill()
    with searching(tmp_path, 1) as driver:
        before = reported(tmp_path)
        until(lambda: reported(tmp_path) > before, alive=driver)
        worker_of(driver).kill()
        said = ended(driver)
    [(number, reason)] = failures(tmp_path).items()
    assert reason.startswith("its worker died: ")
    assert f"search: trial {number} failed: {reason}" in said
    assert number == "0"
    assert {status for _name, status in statuses(tmp_path)} == {"FINISHED", "KILLED", "FAILED"}


def test_where_memory_is_short_the_search_does_not_end(tmp_path: Path, undisturbed: Path) -> None:
    environment = os.environ | {"RAY_memory_usage_threshold": "0.01"}  # Ray's own watch would kill each worker at once
    ended = subprocess.run([*PROGRAM, str(tmp_path), "2"], env=environment, capture_output=True, text=True, check=False)
    assert ended.returncode == 0, ended.stderr
    assert results(tmp_path) == results(undisturbed)


def test_a_worker_that_rays_own_watch_over_memory_kills_costs_its_trial_alone(tmp_path: Path) -> None:
    """The watch is off in a Ray of ours and on in a cluster; with this share it kills whatever runs, each so often."""
    watch = {"RAY_memory_monitor_refresh_ms": str(1000 * WATCH_S), "RAY_memory_usage_threshold": "0.01"}
    with searching(tmp_path, 1, watch, epochs=100_000) as driver:
        until(lambda: reported(tmp_path) > 3, alive=driver)
        before = journal(tmp_path).count(WORKER_LOST)
        until(lambda: journal(tmp_path).count(WORKER_LOST) > before, alive=driver)
        before = reported(tmp_path)
        until(lambda: reported(tmp_path) > before, alive=driver)
        driver.terminate()
        said, wrong = driver.communicate(timeout=LIMIT_S)
    assert driver.returncode == 128 + signal.SIGTERM, wrong
    assert re.search(r"trial \d (begins anew|failed): its worker died: Ray killed it, since memory on its node", said)


def test_sigterm_is_one_sentence_and_leaves_no_run_running(tmp_path: Path) -> None:
    with searching(tmp_path, 1, epochs=100_000) as driver:
        until(lambda: reported(tmp_path) > 3, alive=driver)
        driver.terminate()
        _, wrong = driver.communicate(timeout=LIMIT_S)
    assert driver.returncode == 128 + signal.SIGTERM, wrong
    assert [line for line in wrong.splitlines() if not line.startswith("search ")] == [
        "Stopped from outside; what is done is kept. Run the same command again to go on."
    ]
    assert statuses(tmp_path) == {("search", "KILLED"): 1, ("trial 000", "KILLED"): 1}


def test_where_the_studys_database_goes_away_it_is_said(tmp_path: Path) -> None:
    store = tmp_path / "mlruns/mlflow.db"
    with ExitStack() as life:
        with postgres() as address:
            driver = life.enter_context(searching(tmp_path, 1, epochs=100_000, storage=address))
            until(lambda: store.exists() and ("trial 000", "RUNNING") in statuses(tmp_path), alive=driver)
        _, wrong = driver.communicate(timeout=LIMIT_S)
    assert driver.returncode == 2, wrong
    assert re.search(
        r"search\.storage is '\S+'; it does not answer any more \(.*\); what is done is kept\. Run the", wrong
    )
    assert "Traceback" not in wrong
    assert "RUNNING" not in {status for _name, status in statuses(tmp_path)}


def test_where_the_ray_of_this_machine_dies_it_is_said_and_the_same_command_goes_on(
    tmp_path: Path, undisturbed: Path
) -> None:
    with searching(tmp_path, 1) as driver:
        until(lambda: reported(tmp_path) > 3, alive=driver)
        raylet, *_ = named(driver, "raylet")
        raylet.kill()
        _, said = driver.communicate(timeout=LIMIT_S)
        assert driver.returncode == 2, said
        assert "search: Ray's process on this machine (raylet) died" in said
        assert "Traceback" not in said
    assert "RUNNING" not in {status for _name, status in statuses(tmp_path)}
    with searching(tmp_path, 1) as driver:
        ended(driver)
    assert results(tmp_path) == results(undisturbed)
    assert statuses(tmp_path) == statuses(undisturbed)


def test_a_driver_that_dies_before_its_first_trial_leaves_its_run_to_the_next_one(
    tmp_path: Path, undisturbed: Path
) -> None:
    store = tmp_path / "mlruns/mlflow.db"
    with searching(tmp_path, 1) as driver:
        until(lambda: store.exists() and statuses(tmp_path), alive=driver)  # Ray comes up meanwhile
        driver.kill()
    with searching(tmp_path, 1) as driver:
        ended(driver)
    assert statuses(tmp_path) == statuses(undisturbed)
