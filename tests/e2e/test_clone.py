"""From a bare clone to a judged model with the commands of the README, and what they leave behind."""

import csv
import io
import json
import shutil
import urllib.parse
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from ruamel.yaml import YAML

from clones import STAGES, Clone
from samples import mnist

pytestmark = pytest.mark.e2e

LEFT = {
    "prepare": ("data/dataset.json", "report.json", "samples.html"),
    "augment": ("data/samples.npy", "report.json", "grid.png"),
    "search": (
        "recipe.yaml",
        "report.json",
        "trials.csv",
        "history.png",
        "importance.png",
        "parallel.png",
        "slices.png",
        "curves.png",
        "pareto.png",
    ),
    "train": ("model/recipe.yaml", "metrics.json", "curves.csv", "curves.png"),
    "evaluate": (
        "metrics.json",
        "report.json",
        "predictions.parquet",
        "pictures/confusion.csv",
        "pictures/mistakes.png",
    ),
}
STATUS = {"complete": "FINISHED", "pruned": "KILLED", "failed": "FAILED"}
STATE = {"FINISHED": "finished", "KILLED": "pruned", "FAILED": "failed"}
FIGURES = {"accuracy", "balanced_accuracy", "macro_f1", "log_loss", "auroc", "ece"}


def trials(clone: Clone) -> list[dict[str, str]]:
    with (clone.results / "search/trials.csv").open(newline="") as file:
        return list(csv.DictReader(file))


def lock(clone: Clone) -> dict[str, Any]:
    read: dict[str, Any] = YAML(typ="safe", pure=True).load(clone.path / "dvc.lock")
    return read


def test_a_bare_clone_runs_through_all_stages_and_each_leaves_its_results(ran: Any) -> None:
    assert [line for line in ran.said.splitlines() if line.startswith("Running stage")] == [
        f"Running stage '{stage}':" for stage in STAGES
    ]
    for stage, names in LEFT.items():
        assert not set(names) - set(ran.clone.written(stage)), stage
    assert set(lock(ran.clone)["stages"]) == set(STAGES)


def test_every_figure_of_the_model_has_its_interval(ran: Any) -> None:
    figures = json.loads((ran.clone.results / "evaluate/metrics.json").read_text())
    parts = {f"{what}/{digit}" for what in ("precision", "recall") for digit in range(10)}
    assert set(figures) == FIGURES | parts
    for name, figure in figures.items():
        assert set(figure) == {"value", "low", "high"}, name
        assert figure["low"] <= figure["value"] <= figure["high"], name
    assert figures["accuracy"]["low"] > 0.5, "it has learnt to read digits"
    assert json.loads((ran.clone.results / "train/metrics.json").read_text())["epochs"] == 3


def test_mlflow_holds_a_run_a_stage_and_every_trial_under_its_search_with_how_it_ended(ran: Any) -> None:
    states = {f"trial {int(row['number']):03d}": STATUS[row["state"]] for row in trials(ran.clone)}
    assert len(states) == 4
    assert set(states.values()) == {"FINISHED", "KILLED", "FAILED"}
    assert ran.clone.statuses() == Counter([*((stage, "FINISHED") for stage in STAGES), *states.items()])
    runs = {" ".join(run.info.run_name.split(" ")[:2]): run for run in ran.clone.tracked()}
    for name in states:
        assert runs[name].data.tags["mlflow.parentRunId"] == runs["search"].info.run_id
    assert "diverged" in next(run for run in runs.values() if run.info.status == "FAILED").data.tags["assay.reason"]


def test_every_run_says_what_it_is_and_where_it_came_from(ran: Any) -> None:
    commit = ran.clone.git("rev-parse", "HEAD").strip()
    study = json.loads((ran.clone.results / "search/report.json").read_text())["study"]
    kinds = dict.fromkeys(STAGES, "stage") | {"search": "search"}
    for run in ran.clone.tracked():
        name, tags = run.info.run_name, run.data.tags
        assert tags["assay.kind"] == kinds.get(name, "trial")
        assert tags["assay.study"] == ("none" if name in ("prepare", "augment") else study)
        assert tags["assay.state"] == STATE[run.info.status]
        assert tags["assay.data_version"]
        assert tags["mlflow.source.git.commit"] == commit
        assert tags["assay.git_dirty"] == "true", "params.yaml was edited"


def test_a_second_repro_has_nothing_to_do_and_changes_nothing(ran: Any) -> None:
    status, runs = ran.clone.git("status", "--porcelain"), len(ran.clone.tracked())
    said = ran.clone.run("dvc", "repro").stdout.splitlines()
    assert said == [
        *(f"Stage '{stage}' didn't change, skipping" for stage in STAGES),
        "Data and pipelines are up to date.",
    ]
    assert ran.clone.git("status", "--porcelain") == status
    assert len(ran.clone.tracked()) == runs


def test_one_worker_finds_anew_what_two_have_found(ran: Any, copy: Clone) -> None:
    shutil.rmtree(copy.path / ".assay/studies")
    copy.edit({"search.workers": 1})
    copy.run("python", "pipeline/search.py")
    found, before = copy.written("search"), ran.clone.written("search")
    assert len(trials(copy)) == len(trials(ran.clone))
    for timed in ("trials.csv", "report.html", "timeline.png"):  # neither is kept by git or DVC
        del found[timed], before[timed]
    assert found == before


def test_nothing_that_git_or_dvc_keeps_names_the_place_of_the_clone(ran: Any) -> None:
    kept = {
        ran.clone.path / name for name in ran.clone.git("ls-files", "-coz", "--exclude-standard").split("\0") if name
    }
    for stage in lock(ran.clone)["stages"].values():
        for entry in stage["deps"] + stage["outs"]:
            path = ran.clone.path / entry["path"]
            kept |= {path} if path.is_file() else {inside for inside in path.rglob("*") if inside.is_file()}
    assert any("results/evaluate" in path.as_posix() for path in kept)
    place = str(ran.clone.path.parent)  # its name has the umlaut, which every format writes in its own way
    for path in kept:
        assert place.encode() not in path.read_bytes(), path
        assert urllib.parse.quote(ran.clone.path.name).encode() not in path.read_bytes(), path


def test_results_are_told_in_a_table(ran: Any) -> None:
    said = ran.clone.run("assay", "results").stdout
    figure = json.loads((ran.clone.results / "evaluate/metrics.json").read_text())["accuracy"]["value"]
    assert f"{figure:.4f}" in said
    assert "4 trials" in said


@pytest.fixture
def pictures(tmp_path: Path) -> Path:
    """A picture file of each digit, named after it."""
    from PIL import Image

    images, labels = mnist()
    folder = tmp_path / "neue Bilder ä"
    folder.mkdir()
    for digit in range(10):
        Image.fromarray(images[np.flatnonzero(labels == digit)[0]]).save(folder / f"{digit}.png")
    return folder


def test_the_model_reads_new_pictures(ran: Any, pictures: Path) -> None:
    rows = list(csv.DictReader(io.StringIO(ran.clone.run("assay", "predict", pictures).stdout)))
    assert [Path(row["name"]).stem for row in rows] == list("0123456789")
    assert sum(row["said"] == Path(row["name"]).stem for row in rows) >= 7
    for row in rows:
        assert row["error"] == ""
        assert sum(float(row[f"probability/{digit}"]) for digit in range(10)) == pytest.approx(1, abs=1e-4)


def test_the_model_is_exported_and_names_no_machine(ran: Any, tmp_path: Path) -> None:
    path = tmp_path / "digits.onnx"
    said = ran.clone.run("assay", "export", "--format", "onnx", "--out", path).stdout
    assert said.startswith(f"{path} (checked on 64 samples; ")
    assert ran.clone.path.name.encode() not in path.read_bytes()


def test_an_experiment_changes_figures_and_settings_and_dvc_tells_them_apart(copy: Clone, tmp_path: Path) -> None:
    copy.git("add", "--all")
    copy.git("commit", "--quiet", "--message", "a run")
    said = copy.run("dvc", "exp", "run", "-S", "recipe.optimizer.lr=0.01", "-S", "search.trials=0").stdout
    assert "Ran experiment" in said
    assert json.loads((copy.results / "search/report.json").read_text())["winner"] is None
    metrics = json.loads(copy.run("dvc", "metrics", "diff", "--json").stdout)
    assert metrics["results/evaluate/metrics.json"]["log_loss.value"]["diff"] != 0
    params = json.loads(copy.run("dvc", "params", "diff", "--json").stdout)["params.yaml"]
    assert {name: (change["old"], change["new"]) for name, change in params.items()} == {
        "recipe.optimizer.lr": (0.05, 0.01),
        "search.trials": (4, 0),
    }
    copy.run("dvc", "plots", "show", "--out", tmp_path / "plots")
    page = (tmp_path / "plots/index.html").read_text()
    assert "confusion" in page and "train/loss" in page
    assert {status for _name, status in copy.statuses()} == {"FINISHED"}
