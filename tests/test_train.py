"""The train stage's promises: the best epoch's model, figures that repeat, and a kill that costs one epoch at most."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest

from assay.errors import InputError
from assay.fit import fit
from assay.model_files import load_model
from assay.params import Data, Recipe, Tracking, with_values
from assay.terminal import Progress
from assay.tracking import open_tracker
from assay.train import Checkpoint, train
from samples import digits
from waits import LIMIT_S

RECIPE = with_values(Recipe(), {"epochs": 4, "batch_size": 64, "precision": "fp32", "optimizer.lr": 3e-3})
HOW = Data(image_size=28, channels=1)


def run(root: Path, recipe: Recipe = RECIPE, task: str = "classification") -> None:
    with (
        open_tracker(Tracking(), root, {"data_version": "tests"}) as tracker,
        Progress("train", recipe.epochs) as progress,
    ):
        train(
            recipe,
            digits(task),
            HOW,
            metric="auto",
            weights=None,
            tracker=tracker,
            progress=progress,
            checkpoints=root / ".assay/checkpoints",
            out=root / "results/train",
        )


def tracked(root: Path) -> list[tuple[str, str, list[int]]]:
    """Name, status and logged epochs of every run in the store."""
    from mlflow.tracking import MlflowClient

    client = MlflowClient(f"sqlite:///{root}/mlruns/mlflow.db")
    runs = client.search_runs([client.get_experiment_by_name("assay").experiment_id])
    steps = {run.info.run_id: client.get_metric_history(run.info.run_id, "val/loss") for run in runs}
    return [(run.info.run_name, run.info.status, [point.step for point in steps[run.info.run_id]]) for run in runs]


def outputs(root: Path) -> dict[str, bytes]:
    folder = root / "results/train"
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_a_killed_training_goes_on_and_ends_as_if_nothing_had_been(tmp_path: Path) -> None:
    whole, killed = tmp_path / "whole", tmp_path / "killed"
    whole.mkdir()
    killed.mkdir()
    run(whole)
    assert kill_after_epoch(2, killed) == -signal.SIGKILL
    assert list((killed / ".assay/checkpoints").iterdir())
    run(killed)
    assert outputs(killed) == outputs(whole)
    assert tracked(killed) == tracked(whole) == [("train", "FINISHED", [1, 2, 3, 4])]
    assert not list((killed / ".assay/checkpoints").iterdir())


def kill_after_epoch(number: int, root: Path) -> int:
    """Train in another process and end it with SIGKILL as soon as that epoch's checkpoint is written."""
    code = (
        "import os, signal, sys; from pathlib import Path\n"
        f"sys.path.insert(0, {str(Path(__file__).parent)!r})\n"
        "import torch; torch.set_num_threads(1)\n"
        "import test_train; from assay.fit import State; save = State.save\n"
        "def last_words(state, path):\n"
        f"    save(state, path)\n    if state.epoch == {number}: os.kill(os.getpid(), signal.SIGKILL)\n"
        "State.save = last_words\n"
        f"test_train.run(Path({str(root)!r}))\n"
    )
    return subprocess.run([sys.executable, "-c", code], env=os.environ, timeout=LIMIT_S).returncode


def test_the_model_that_is_kept_is_the_best_epochs(tmp_path: Path) -> None:
    recipe = with_values(RECIPE, {"optimizer.lr": 0.02, "schedule.name": "constant", "epochs": 6})
    run(tmp_path, recipe)
    figures = json.loads((tmp_path / "results/train/metrics.json").read_text())
    curves = pd.read_csv(tmp_path / "results/train/curves.csv")
    assert figures["val/accuracy"] == curves["val/accuracy"].max()
    assert figures["best_epoch"] == curves["val/accuracy"].idxmax() + 1
    kept = load_model(tmp_path / "results/train/model").model.state_dict()
    *_, last = fit(recipe, digits(), metric="accuracy")
    assert all((kept[name] == value).all() for name, value in last.state().best_weights.items())


def test_a_regressions_model_answers_in_the_targets_units(tmp_path: Path) -> None:
    run(tmp_path, task="regression")
    trained = load_model(tmp_path / "results/train/model")
    assert trained.model.output_mean is not None
    assert 300 < float(trained.model.output_mean[0]) < 600  # digits × 100 + 3


def test_training_that_diverges_is_one_sentence_and_writes_nothing(tmp_path: Path) -> None:
    recipe = with_values(RECIPE, {"optimizer.name": "sgd", "optimizer.lr": 100.0, "schedule.name": "constant"})
    with pytest.raises(
        InputError, match=r"training: the loss diverged in epoch 1; .* recipe\.optimizer\.lr \(now 100\)"
    ):
        run(tmp_path, recipe)
    assert not (tmp_path / "results").exists()
    assert [status for _name, status, _epochs in tracked(tmp_path)] == ["FAILED"]


def test_another_recipe_never_continues_a_checkpoint(tmp_path: Path) -> None:
    one, other = (with_values(RECIPE, {"dropout": share}) for share in (0.1, 0.2))
    kept = Checkpoint(tmp_path, one, "v", "accuracy")
    next(fit(one, digits(), metric="accuracy")).state().save(kept.path)
    assert kept.state() is not None
    assert Checkpoint(tmp_path, other, "v", "accuracy").state() is None
