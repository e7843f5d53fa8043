"""Writes runs into MLflow. Owns names, tags, states and limits of a run; never reads a result back for a decision."""

import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from assay.params import Tracking

os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")

FINISHED, KILLED, FAILED = "FINISHED", "KILLED", "FAILED"


class Run:
    """One run; every method returns at once."""

    def __init__(self, tracker: "Tracker", run_id: str) -> None:
        self.tracker, self.run_id = tracker, run_id

    def log(self, metrics: Mapping[str, float], step: int) -> None:
        for key, value in metrics.items():
            self.tracker.client.log_metric(self.run_id, key, float(value), step=step)

    def tag(self, name: str, value: str) -> None:
        self.tracker.client.set_tag(self.run_id, name, str(value))

    def picture(self, path: Path) -> None:
        self.tracker.client.log_artifact(self.run_id, str(path))

    def file(self, path: Path) -> None:
        self.tracker.client.log_artifact(self.run_id, str(path))

    def end(self, status: str = FINISHED, reason: str | None = None) -> None:
        if reason is not None:
            self.tag("assay.reason", reason)
        self.tag("assay.state", status.lower())
        self.tracker.client.set_terminated(self.run_id, status)


class Tracker:
    """The open store; give it back with `close`, or use it in a `with`."""

    def __init__(self, uri: str, artifacts: str, experiment: str, tags: Mapping[str, str]) -> None:
        from mlflow.tracking import MlflowClient

        self.uri, self.tags, self.client = uri, dict(tags), MlflowClient(tracking_uri=uri)
        found = self.client.get_experiment_by_name(experiment)
        self.experiment = found.experiment_id if found else self.client.create_experiment(experiment, artifacts)

    def start(self, name: str, *, kind: str, params: Mapping[str, Any] | None = None,
              tags: Mapping[str, str] | None = None, parent: Run | None = None) -> Run:
        told = self.tags | {"assay.kind": kind, "assay.state": "running"} | dict(tags or {})
        if parent is not None:
            told["mlflow.parentRunId"] = parent.run_id
        run = Run(self, self.client.create_run(self.experiment, tags=told, run_name=name).info.run_id)
        for key, value in (params or {}).items():
            self.client.log_param(run.run_id, key, value)
        return run

    @contextmanager
    def run(self, name: str, *, kind: str, params: Mapping[str, Any] | None = None,
            tags: Mapping[str, str] | None = None, parent: Run | None = None) -> Iterator[Run]:
        run = self.start(name, kind=kind, params=params, tags=tags, parent=parent)
        try:
            yield run
        except KeyboardInterrupt:
            run.end(KILLED, "stopped by hand")
            raise
        except BaseException as error:
            run.end(FAILED, f"{type(error).__name__}: {error}")
            raise
        run.end(FINISHED)

    def find(self, *, kind: str, **tags: str | int) -> Run | None:
        wanted = {"kind": kind} | tags
        asked = " and ".join(f"tags.`assay.{name}` = '{value}'" for name, value in wanted.items())
        found = self.client.search_runs([self.experiment], asked, max_results=1)
        return Run(self, found[0].info.run_id) if found else None

    def close(self) -> None:
        pass

    def __enter__(self) -> "Tracker":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def open_tracker(tracking: Tracking, root: Path, tags: Mapping[str, str]) -> Tracker:
    """The store of `tracking`; null is sqlite in `<root>/mlruns/`."""
    store = root.resolve() / "mlruns"
    store.mkdir(parents=True, exist_ok=True)
    uri = tracking.uri or f"sqlite:///{store / 'mlflow.db'}"
    return Tracker(uri, (store / "artifacts").as_uri(), tracking.experiment, tags)
