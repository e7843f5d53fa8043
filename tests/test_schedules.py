"""The files of deploy/schedule/: each is what its scheduler reads, and what changes nothing is no failure."""

import os
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
from ruamel.yaml import YAML

from assay.crontab import problem
from imports import ROOT

FOLDER = ROOT / "deploy" / "schedule"
SCRIPT = "sh deploy/schedule/assay-retrain.sh"


def read(name: str) -> dict[str, Any]:
    found: dict[str, Any] = YAML(typ="safe", pure=True).load(FOLDER / name)
    return found


@pytest.mark.parametrize(
    "code, seen", [(0, 0), (10, 0), (11, 0), (12, 0), (1, 1), (2, 2), (13, 13), (130, 130), (143, 143)]
)
def test_only_a_failure_is_one_to_a_scheduler(code: int, seen: int, tmp_path: Path) -> None:
    program = tmp_path / "assay"
    program.write_text(f'#!/bin/sh\n[ "$*" = "retrain --force" ] || exit 99\nexit {code}\n')
    program.chmod(0o755)
    path = f"{tmp_path}{os.pathsep}{os.environ['PATH']}"
    command = ["sh", str(FOLDER / "assay-retrain.sh"), "--force"]
    assert subprocess.run(command, env={"PATH": path}, check=False).returncode == seen


def test_the_unit_and_its_timer_are_what_systemd_reads(tmp_path: Path) -> None:
    verify = shutil.which("systemd-analyze")
    if verify is None:
        pytest.skip("systemd-analyze is not here")
    for name in ("assay-retrain.service", "assay-retrain.timer"):
        text = (FOLDER / name).read_text()
        (tmp_path / name).write_text(
            text.replace("/srv/assay/.venv/bin/assay", "/bin/true").replace("/srv/assay", "/tmp")
        )
    units = [str(tmp_path / name) for name in ("assay-retrain.service", "assay-retrain.timer")]
    ended = subprocess.run([verify, "verify", "--man=no", *units], capture_output=True, text=True, check=False)
    ours = [line for line in ended.stderr.splitlines() if "assay-retrain" in line]
    assert ours == []
    calendar = re.search(r"^OnCalendar=(.*)$", (FOLDER / "assay-retrain.timer").read_text(), re.MULTILINE)
    assert calendar is not None
    subprocess.run([verify, "calendar", calendar[1]], check=True, capture_output=True)


def test_systemd_takes_the_same_codes_for_success_and_makes_up_for_what_was_missed() -> None:
    assert "\nSuccessExitStatus=10 11 12\n" in (FOLDER / "assay-retrain.service").read_text()
    assert "\nPersistent=true\n" in (FOLDER / "assay-retrain.timer").read_text()


def test_the_line_of_cron_is_one() -> None:
    (line,) = [line for line in (FOLDER / "crontab").read_text().splitlines() if not line.startswith("#")]
    *fields, command = line.split(maxsplit=5)
    assert problem(" ".join(fields)) is None
    assert SCRIPT in command
    assert "%" not in command, "to cron it is the end of a line"
    assert subprocess.run(["sh", "-n", "-c", command], check=False).returncode == 0


def test_the_cronjob_runs_one_at_a_time_and_retries_no_failure() -> None:
    job = read("cronjob.yaml")
    assert (job["apiVersion"], job["kind"]) == ("batch/v1", "CronJob")
    assert job["spec"]["concurrencyPolicy"] == "Forbid"
    assert problem(job["spec"]["schedule"]) is None
    inner = job["spec"]["jobTemplate"]["spec"]
    pod = inner["template"]["spec"]
    assert pod["restartPolicy"] == "Never"
    (rule,) = inner["podFailurePolicy"]["rules"]
    assert (rule["action"], rule["onExitCodes"]["values"]) == ("FailJob", [1, 2])
    (container,) = pod["containers"]
    assert rule["onExitCodes"]["containerName"] == container["name"]
    assert " ".join(container["command"]) == SCRIPT


def test_the_raycronjob_begins_no_second_driver() -> None:
    job = read("raycronjob.yaml")
    assert (job["apiVersion"], job["kind"]) == ("ray.io/v1", "RayCronJob")
    assert problem(job["spec"]["schedule"]) is None
    inner = job["spec"]["jobTemplate"]
    assert inner["backoffLimit"] == 0
    assert inner["shutdownAfterJobFinishes"] is True
    assert SCRIPT in inner["entrypoint"]
    assert inner["rayClusterSpec"]["rayVersion"] in (ROOT / "pyproject.toml").read_text()


def test_the_workflow_calls_the_same_script_one_at_a_time() -> None:
    flow = read("github-actions.yaml")
    (schedule,) = flow["on"]["schedule"]
    assert problem(schedule["cron"]) is None
    assert flow["concurrency"]["cancel-in-progress"] is False
    assert SCRIPT in [step.get("run") for step in flow["jobs"]["retrain"]["steps"]]


def test_every_file_is_in_the_table() -> None:
    text = (FOLDER / "README.md").read_text(encoding="utf-8")
    for path in FOLDER.iterdir():
        assert path.name == "README.md" or f"`{path.name}`" in text, path.name
