"""Whole searches: a real Ray, a real study, a real MLflow."""

import csv
import json
import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest

import searches
from assay.settings import read_recipe
from searches import journal, opened, params_of, results
from waits import LIMIT_S, until

PROGRAM = [sys.executable, str(Path(searches.__file__))]


def runs(root: Path) -> Iterator[Any]:
    from mlflow.tracking import MlflowClient

    client = MlflowClient(f"sqlite:///{root / 'mlruns/mlflow.db'}")
    experiments = [each.experiment_id for each in client.search_experiments()]
    yield from client.search_runs(experiments)


def rows(root: Path) -> list[dict[str, str]]:
    with (root / "out/trials.csv").open(newline="") as file:
        return list(csv.DictReader(file))


def test_nothing_to_try_writes_the_base_recipe_and_starts_no_ray(tmp_path: Path) -> None:
    code = f"""
import sys
sys.path.insert(0, {str(Path(searches.__file__).parent)!r})
from pathlib import Path
from searches import params_of, run
run(Path({str(tmp_path)!r}), params_of(0))
assert "ray" not in sys.modules
"""
    subprocess.run([sys.executable, "-c", code], check=True)
    assert read_recipe(tmp_path / "out/recipe.yaml") == params_of(0).recipe
    assert json.loads((tmp_path / "out/report.json").read_text())["winner"] is None
    assert {path.name for path in (tmp_path / "out").glob("*.png")} == {
        "history.png",
        "importance.png",
        "parallel.png",
        "slices.png",
        "curves.png",
        "pareto.png",
        "timeline.png",
    }


def test_a_search_writes_its_results_and_a_recipe_that_fails_costs_only_its_trial(tmp_path: Path) -> None:
    # a loss that does not fit the task fails at its first epoch
    space = {"loss": {"choices": ["auto", "mse"]}, "optimizer.lr": {"low": 1e-4, "high": 1e-1, "log": True}}
    ended = subprocess.run(
        [
            sys.executable,
            "-c",
            f"""
import sys
sys.path.insert(0, {str(Path(searches.__file__).parent)!r})
from pathlib import Path
from searches import params_of, run
run(Path({str(tmp_path)!r}), params_of(5, space={space!r}, recipe={{"backbone": "mlp"}}, seed=1))
""",
        ],
        check=True,
        capture_output=True,
        text=True,
    )
    noise = [line for line in ended.stderr.splitlines() if not line.startswith("search ")]
    assert noise == [], "Ray is quiet"
    table, report = rows(tmp_path), json.loads((tmp_path / "out/report.json").read_text())
    assert [int(row["number"]) for row in table] == list(range(5))
    failed = [row for row in table if row["state"] == "failed"]
    assert failed
    assert {row["loss"] for row in failed} == {"mse"}
    assert {row["loss"] for row in table if row["state"] != "failed"} == {"auto"}
    assert report["trials"]["failed"] == len(failed) == len(report["failures"])
    assert read_recipe(tmp_path / "out/recipe.yaml").epochs == 3
    page = (tmp_path / "out/report.html").read_text()
    assert "Of this search no times are kept" not in page
    assert len(re.findall('<rect class="stay ', page)) == len(table), "each trial stands in the row of its worker"
    workers = re.findall(r"<td>[^<]+/\d+</td>", page)
    assert len(workers) == len(table) and len(set(workers)) < len(table), "a worker stays for the next trial"
    told = {run.info.run_name.split(" ")[1] if " " in run.info.run_name else "search": run for run in runs(tmp_path)}
    assert len(told) == 6
    for row in table:
        run = told[f"{int(row['number']):03d}"]
        status = {"complete": "FINISHED", "pruned": "KILLED", "failed": "FAILED"}[row["state"]]
        assert run.info.status == status
        assert run.data.tags["mlflow.parentRunId"] == told["search"].info.run_id
        assert set(run.data.params) == {f"recipe.{name}" for name in space if row[name] != ""}
        if row["state"] == "complete":
            assert run.data.metrics["val/accuracy"] > 0
            assert "best/accuracy" in run.data.metrics


def finished(root: Path) -> int:
    return journal(root).count('"op_code":6')


@pytest.mark.e2e
@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGINT])
def test_a_driver_that_is_stopped_is_gone_with_its_ray_and_the_same_command_ends_as_one_worker_alone(
    tmp_path: Path, number: signal.Signals, undisturbed: Path
) -> None:
    command = [*PROGRAM, str(tmp_path), "2"]
    driver = subprocess.Popen(command, start_new_session=True, stderr=subprocess.PIPE, text=True)
    until(lambda: finished(tmp_path) >= 2, "two trials end", alive=driver)
    begun = {each: each.name() for each in psutil.Process(driver.pid).children(recursive=True)}
    if number == signal.SIGKILL:
        driver.kill()
    else:
        os.killpg(driver.pid, number)  # as a terminal does: the whole group hears Ctrl-C
    _, said = driver.communicate(timeout=LIMIT_S)
    assert driver.returncode == (-number if number == signal.SIGKILL else 130)
    if number == signal.SIGINT:
        assert "the same command" in said.lower() or "same command again" in said
    _, alive = psutil.wait_procs(list(begun), timeout=10)
    for agent in [each for each in alive if "Agent" in begun[each]]:
        agent.kill()  # idle, and would go by itself: it asks Ray's head for a minute whether it is there
    _, alive = psutil.wait_procs(alive, timeout=60)
    assert alive == [], "Ray's processes end with their driver"
    before = finished(tmp_path)
    subprocess.run(command, check=True, capture_output=True)
    assert results(tmp_path) == results(undisturbed), "and so with another number of workers"
    assert finished(tmp_path) >= before
    told = list(runs(tmp_path))
    assert {run.info.status for run in told} <= {"FINISHED", "KILLED"}
    assert len(told) == searches.TRIALS + 1, "a run a trial and one for the search: none doubled"


def test_a_search_that_is_over_is_read_from_its_study(tmp_path: Path) -> None:
    params = params_of(4, recipe={"backbone": "mlp"})
    from samples import digits

    data = digits(train=128, validation=64)
    with opened(tmp_path / ".assay/studies", 4, version=data.about.version, recipe={"backbone": "mlp"}) as study:
        searches.drive(study)
    searches.run(tmp_path, params)
    first = {path.name: path.read_bytes() for path in (tmp_path / "out").iterdir()}
    searches.run(tmp_path, params)
    assert {path.name: path.read_bytes() for path in (tmp_path / "out").iterdir()} == first


@pytest.mark.e2e
def test_a_grid_is_tried_once_and_that_it_ends_before_the_budget_is_said(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    space = {"dropout": {"choices": [0.0, 0.1]}}
    searches.run(tmp_path, params_of(9, space=space, recipe={"epochs": 1, "backbone": "mlp"}, sampler="grid"))
    assert [row["dropout"] for row in rows(tmp_path)] == ["0.0", "0.1"]
    assert (
        "search: the recipes to try are 2, with the base recipe; the search ends with the last of them, before "
        "search.trials, 9.\n"
    ) in capsys.readouterr().out
