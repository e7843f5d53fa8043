"""A clone of this repository, as a person has one after `git clone`, made small enough to be run in a test."""

import contextlib
import hashlib
import os
import shutil
import signal
import subprocess
import sys
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import psutil
from ruamel.yaml import YAML

from imports import ROOT
from waits import until

if TYPE_CHECKING:
    from mlflow.entities import Run

STAGES = ("prepare", "augment", "search", "train", "evaluate")
SMALL: dict[str, Any] = {  # as shipped, but for the time it takes
    "recipe.backbone": "mlp",
    "recipe.optimizer": {"name": "momentum", "lr": 0.05, "momentum": 0.9, "weight_decay": 0.01, "layer_decay": None},
    "recipe.schedule.name": "constant",
    "recipe.precision": "fp32",
    "recipe.epochs": 3,
    "search.trials": 4,
    "search.epochs": 3,
    "search.workers": 2,
    # Beside the base recipe trials that learn nothing and are stopped, and trials that diverge: of the second and third
    # point of a Sobol sequence each axis has one in either half, whatever the seed.
    "search.space": {
        "activation": {"choices": ["relu", "leaky_relu"]},
        "optimizer.lr": {"choices": [1e-6, 100.0]},
        "dropout": {"low": 0.0, "high": 0.3},
    },
    "evaluate.resamples": 200,
    "evaluate.mistakes": 4,
}


@dataclass(frozen=True)
class Clone:
    """A project in its folder, and the commands a person types there."""

    path: Path

    @property
    def results(self) -> Path:
        return self.path / "results"

    @property
    def environment(self) -> dict[str, str]:
        """The environment of this Python, entered, with the clone's own code and nothing written outside the clone."""
        place = Path(sys.executable).parent
        own = {
            "PATH": os.pathsep.join([str(place), os.environ["PATH"]]),
            "PYTHONPATH": str(self.path / "src"),
            "DVC_NO_ANALYTICS": "1",
            "DVC_SITE_CACHE_DIR": str(self.path / ".assay" / "dvc"),
        }
        foreign = ("MLFLOW_TRACKING", "MLFLOW_EXPERIMENT", "MLFLOW_RUN", "RAY_ADDRESS", "DVC_", "GIT_", "VIRTUAL_ENV")
        return {name: value for name, value in os.environ.items() if not name.startswith(foreign)} | own

    def run(self, *command: str | Path, code: int = 0) -> "subprocess.CompletedProcess[str]":
        """Type a command and see it end with `code`."""
        ended = subprocess.run(
            [str(word) for word in command],
            cwd=self.path,
            env=self.environment,
            capture_output=True,
            text=True,
            check=False,
        )
        assert ended.returncode == code, f"{command} ended with {ended.returncode}:\n{ended.stdout}\n{ended.stderr}"
        return ended

    def git(self, *words: str) -> str:
        return self.run("git", *words).stdout

    @contextlib.contextmanager
    def started(self, *command: str) -> Iterator["subprocess.Popen[str]"]:
        """A command under way, in a process group of its own as in a terminal; whatever is left of it ends with the
        block."""
        with subprocess.Popen(
            command,
            cwd=self.path,
            env=self.environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        ) as process:
            try:
                yield process
            finally:
                with contextlib.suppress(ProcessLookupError):
                    os.killpg(process.pid, signal.SIGKILL)

    def edit(self, values: Mapping[str, Any]) -> None:
        """Edit params.yaml by dotted names, a whole section where the value is one."""
        writer = YAML()
        path = self.path / "params.yaml"
        tree = writer.load(path)
        for name, value in values.items():
            *around, leaf = name.split(".")
            section = tree
            for part in around:
                section = section[part]
            section[leaf] = value
        with path.open("w", encoding="utf-8") as file:
            writer.dump(tree, file)

    def tracked(self) -> "list[Run]":
        """Every run in the clone's MLflow store."""
        from mlflow.tracking import MlflowClient

        client = MlflowClient(f"sqlite:///{self.path / 'mlruns/mlflow.db'}")
        return list(client.search_runs([each.experiment_id for each in client.search_experiments()]))

    def statuses(self) -> Counter[tuple[str, str]]:
        """How often each name and status is among the runs; a trial by its number."""
        return Counter((" ".join(run.info.run_name.split(" ")[:2]), run.info.status) for run in self.tracked())

    def written(self, stage: str) -> dict[str, str]:
        """What lies in a stage's results, by content."""
        folder = self.results / stage
        return {
            path.relative_to(folder).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest()
            for path in sorted(folder.rglob("*"))
            if path.is_file()
        }

    def copy(self, path: Path) -> "Clone":
        """The same project in another folder, with no runs recorded: MLflow's store knows the place of its files."""
        left_out = shutil.ignore_patterns("mlflow.db", "artifacts", "spool", "dvc")
        shutil.copytree(self.path, path, symlinks=True, ignore=left_out)
        return Clone(path)


def cloned(path: Path) -> Clone:
    """What git holds of this repository, with the edits of this working tree committed on top."""
    subprocess.run(["git", "clone", "--quiet", str(ROOT), str(path)], check=True, capture_output=True)
    edits = subprocess.run(["git", "diff", "--binary", "HEAD"], cwd=ROOT, check=True, capture_output=True).stdout
    clone = Clone(path)
    clone.git("config", "user.name", "Assay")
    clone.git("config", "user.email", "assay@localhost")
    if edits:
        subprocess.run(["git", "apply", "--index"], cwd=path, input=edits, check=True, capture_output=True)
        clone.git("commit", "--quiet", "--message", "edits")
    return clone


def seen(process: "subprocess.Popen[str]", happened: Callable[[], Any], what: str) -> "list[psutil.Process]":
    """Wait for a state of a process under way; the processes below it at that moment."""
    until(happened, what, alive=process)
    assert process.poll() is None, f"ended with {what}"
    return psutil.Process(process.pid).children(recursive=True)


def named(process: "psutil.Process | subprocess.Popen[Any]", name: str) -> "list[psutil.Process]":
    """The processes below one whose name begins so."""
    found = []
    with contextlib.suppress(psutil.NoSuchProcess):
        for each in psutil.Process(process.pid).children(recursive=True):
            with contextlib.suppress(psutil.NoSuchProcess):
                found += [each] if each.name().startswith(name) else []
    return found
