"""A search on a cluster of two nodes, by plain submission, with a study in PostgreSQL and runs on an MLflow server; one
node is killed in the middle."""

import contextlib
import csv
import json
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psycopg
import pytest

from clones import SMALL, Clone, cloned
from clusters import SUBMIT, Cluster, cluster
from databases import postgres
from servers import mlflow_server
from waits import until

pytestmark = pytest.mark.e2e

TRIALS, EPOCHS = 6, 12
EACH_NODE = ("--num-cpus=1", "--num-gpus=1")  # one trial at once; there is no such card, so it trains on its core
SEARCH: dict[str, Any] = {
    "search.trials": TRIALS,
    "search.epochs": EPOCHS,
    "search.workers": "auto",
    "search.resources": {"cpu": 1, "gpu": 0.25},
    "search.pruner": "none",  # each trial can be the winner, whichever dies with its node
    "search.space": {"optimizer.lr": {"low": 0.01, "high": 0.1}, "dropout": {"low": 0.0, "high": 0.3}},
}


@dataclass(frozen=True)
class Submitted:
    """A project whose search was submitted and is over; to be looked at."""

    clone: Clone
    cluster: Cluster
    database: psycopg.Connection
    server: str
    said: str


def typed(project: Clone, running: Cluster, address: str, *command: str) -> "subprocess.Popen[str]":
    """A command in a shell that has the cluster's token and address."""
    environment = project.environment | running.credentials | {"RAY_ADDRESS": address}
    return subprocess.Popen(
        command, cwd=project.path, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )


ROWS = """
    SELECT state, (SELECT count(*) FROM trial_intermediate_values AS told WHERE told.trial_id = trials.trial_id),
        (SELECT value_json FROM trial_user_attributes AS said WHERE said.trial_id = trials.trial_id AND key = 'number')
    FROM trials ORDER BY trial_id
"""


def trials(database: psycopg.Connection) -> list[tuple[str, int, int]]:
    """Every trial in Optuna's tables, read without it since it would make them: state, epochs reported, number."""
    try:
        return [(state, epochs, int(number)) for state, epochs, number in database.execute(ROWS).fetchall()]
    except psycopg.errors.UndefinedTable:
        return []


def in_the_middle(database: psycopg.Connection) -> bool:
    """Whether a trial trains on either node."""
    return sum(state == "RUNNING" and 0 < epochs < EPOCHS - 2 for state, epochs, _number in trials(database)) == 2


def prepared(folder: Path) -> Clone:
    project = cloned(folder / "ein Projekt")
    project.edit(SMALL | SEARCH)
    project.run("dvc", "repro", "augment")
    return project


@pytest.fixture(scope="module")
def submitted(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Submitted]:
    folder = tmp_path_factory.mktemp("cluster")
    with contextlib.ExitStack() as life, ThreadPoolExecutor() as others:
        address = life.enter_context(postgres())
        database = life.enter_context(psycopg.connect(address, autocommit=True))
        waiting = others.submit(prepared, folder)
        running = life.enter_context(cluster())
        running.head(*EACH_NODE)
        second = running.node(*EACH_NODE)
        server = life.enter_context(mlflow_server(folder)).uri
        project = waiting.result()
        project.edit({"search.storage": address, "tracking.uri": server})
        with typed(project, running, running.jobs, *SUBMIT) as job:
            until(lambda: in_the_middle(database) or job.poll() is not None, "a trial on either node")
            second.kill()
            said, _ = job.communicate()
        assert job.returncode == 0, said
        yield Submitted(project, running, database, server, said)


def runs(server: str) -> Counter[tuple[str, str]]:
    from mlflow.tracking import MlflowClient

    client = MlflowClient(server)
    found = client.search_runs([each.experiment_id for each in client.search_experiments()])
    return Counter((" ".join(run.info.run_name.split(" ")[:2]), run.info.status) for run in found)


def test_a_search_whose_second_node_is_killed_ends_with_its_whole_budget(submitted: Submitted) -> None:
    kept = trials(submitted.database)
    assert {number for _state, _epochs, number in kept} == set(range(TRIALS))
    assert {state for state, _epochs, _number in kept} <= {"COMPLETE", "PRUNED", "FAIL"}
    assert f"search {TRIALS}/{TRIALS}" in submitted.said
    assert "Traceback" not in submitted.said


def test_every_trial_has_one_run_on_the_server_and_none_is_left_running(submitted: Submitted) -> None:
    told = runs(submitted.server)
    names = Counter(name for name, _status in told.elements() if name == "search" or name.startswith("trial"))
    assert names == Counter(["search", *(f"trial {number:03d}" for number in range(TRIALS))])
    assert {status for _name, status in told} <= {"FINISHED", "KILLED", "FAILED"}


def test_a_card_that_is_promised_and_not_there_is_said_once(submitted: Submitted) -> None:
    assert submitted.said.count("search.resources.gpu is 0.25, but torch finds no GPU on ") == 1


def test_at_home_the_same_project_takes_over_what_the_cluster_found(submitted: Submitted) -> None:
    before = runs(submitted.server)
    said = submitted.clone.run("dvc", "repro", "search").stdout
    assert "Running stage 'search'" in said
    with (submitted.clone.results / "search/trials.csv").open(newline="") as file:
        assert len(list(csv.DictReader(file))) == TRIALS
    report = json.loads((submitted.clone.results / "search/report.json").read_text())
    assert report["winner"]["value"] > 0.8
    assert runs(submitted.server) == before, "nothing is run again"
    assert "didn't change, skipping" in submitted.clone.run("dvc", "repro", "search").stdout


def test_a_job_takes_along_code_settings_and_prepared_data_but_no_test_split(submitted: Submitted) -> None:
    sessions = submitted.cluster.folder.glob("*/session_2*/runtime_resources/working_dir_files")
    packages = [path for place in sessions for path in place.iterdir() if path.is_dir()]
    assert len(packages) == 2, "one on each node"
    written = {".assay"}  # by the search itself, as results/search
    for package in packages:
        assert {path.name for path in package.iterdir()} - written == {
            "params.yaml",
            "pipeline",
            "src",
            "weights",
            "results",
        }
        assert {path.name for path in (package / "results/prepare").iterdir()} == {"data"}
        assert {path.name for path in (package / "results/prepare/data").iterdir()} == {
            "dataset.json",
            "train",
            "validation",
        }
        assert (package / "results/augment/data/samples.npy").exists()
        assert {path.suffix for path in (package / "src/assay").rglob("*.*") if "__pycache__" not in path.parts} == {
            ".py",
            ".css",
            ".js",
            ".typed",
        }


WHERE = """
import ray
from assay.params import Search
from assay.search.machine import Machine

def place():
    import assay
    return assay.__file__

with Machine(Search()) as machine:
    machine.wait()
    print(machine.workers(), ray.get(ray.remote(place).remote()))
"""

REFUSED = """
from assay.params import Search
from assay.search.machine import Machine
from assay.terminal import stage

def main():
    with Machine(Search()) as machine:
        machine.wait()

stage(main)
"""


def test_a_driver_on_a_machine_of_the_cluster_joins_and_workers_get_its_code(submitted: Submitted) -> None:
    joined = typed(submitted.clone, submitted.cluster, submitted.cluster.address, sys.executable, "-c", WHERE)
    said, _ = joined.communicate()
    assert joined.returncode == 0, said
    workers, place = said.splitlines()[-1].split(" ", 1)
    assert workers == "1", "the other node is dead"
    assert "py_modules_files" in place


def test_a_driver_with_another_token_is_one_sentence(submitted: Submitted) -> None:
    stranger = Cluster(submitted.cluster.folder)
    joined = typed(submitted.clone, stranger, submitted.cluster.address, sys.executable, "-c", REFUSED)
    said, _ = joined.communicate()
    assert joined.returncode == 2, said
    assert "RAY_AUTH_MODE and RAY_AUTH_TOKEN must be those of the cluster." in said
    assert "Traceback" not in said
