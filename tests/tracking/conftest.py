"""A real MLflow server on loopback, and eyes of our own on a store."""

import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import pytest
from mlflow.entities import Run
from mlflow.tracking import MlflowClient

from assay.params import Tracking
from assay.tracking import Tracker, open_tracker, writer
from servers import Server, mlflow_server


@dataclass
class Eyes:
    """What stands in a store, seen by MLflow's own client."""

    uri: str
    experiment: str = "assay"

    @cached_property
    def client(self) -> MlflowClient:
        return MlflowClient(tracking_uri=self.uri)  # not before it is asked: it would create the database

    def runs(self) -> list[Run]:
        found = self.client.get_experiment_by_name(self.experiment)
        return list(self.client.search_runs([found.experiment_id], order_by=["start_time ASC"])) if found else []

    def run(self, name: str) -> Run:
        [found] = [run for run in self.runs() if run.info.run_name == name]
        return found

    def points(self, name: str, metric: str) -> list[tuple[int, float]]:
        history = self.client.get_metric_history(self.run(name).info.run_id, metric)
        return sorted((point.step, point.value) for point in history)

    def files(self, name: str, folder: str | None = None) -> list[str]:
        return [found.path for found in self.client.list_artifacts(self.run(name).info.run_id, folder)]


def opened(root: Path, **tags: object) -> Tracker:
    return open_tracker(Tracking(), root, {"study": "s1", "data_version": "d1"} | tags)


@pytest.fixture(scope="session")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with mlflow_server(tmp_path_factory.mktemp("server")) as running:
        yield running


@pytest.fixture
def hasty(monkeypatch: pytest.MonkeyPatch) -> None:
    """Minutes of a real run in a second of a test."""
    monkeypatch.setattr(writer, "FLUSH_S", 0.05)
    monkeypatch.setattr(writer, "RETRY_S", 0.05)


@pytest.fixture(scope="session")
def fresh_database(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An empty store; MLflow takes seconds to create one."""
    path = tmp_path_factory.mktemp("fresh") / "mlflow.db"
    MlflowClient(tracking_uri=f"sqlite:///{path}")
    return path


@pytest.fixture
def bare_root(tmp_path: Path) -> Path:
    """A project in a folder whose name has a blank and an umlaut, and no store yet."""
    folder = tmp_path / "ein Übungs projekt"
    folder.mkdir()
    return folder


@pytest.fixture
def root(bare_root: Path, fresh_database: Path) -> Path:
    """The same with a store in which nothing stands."""
    (bare_root / "mlruns").mkdir()
    shutil.copy(fresh_database, bare_root / "mlruns" / "mlflow.db")
    return bare_root


@pytest.fixture
def eyes(bare_root: Path) -> Eyes:
    return Eyes(f"sqlite:///{bare_root}/mlruns/mlflow.db")
