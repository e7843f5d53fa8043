"""Trains one recipe to its end, whatever interrupts it. Owns results/train/ and its checkpoint; chooses no setting."""

import json
from pathlib import Path
from typing import TYPE_CHECKING

import pandas as pd

from assay.errors import InputError
from assay.fit import State, fit, run_key
from assay.metric import resolve_metric
from assay.model_files import save_model
from assay.models import build_model
from assay.params import Data, Recipe, named
from assay.terminal import say
from assay.tracking import ending

if TYPE_CHECKING:
    from collections.abc import Iterator

    from assay.data.dataset import About, Dataset
    from assay.modality import Weights
    from assay.terminal import Progress
    from assay.tracking import Run, Tracker

DIGITS = 6  # of a figure in metrics.json and curves.csv: enough to compare, few enough to read


class Checkpoint:
    """The state of one run in `folder`, under the run's key: another recipe or data set never continues it."""

    def __init__(self, folder: Path, recipe: Recipe, data_version: str, metric: str) -> None:
        self.key = run_key(recipe, data_version, metric)
        self.path = folder / f"train-{self.key}.pt"

    def state(self) -> State | None:
        return State.load(self.path) if self.path.exists() else None

    def remove(self) -> None:
        self.path.unlink(missing_ok=True)


def train(
    recipe: Recipe,
    dataset: "Dataset",
    how: Data,
    *,
    metric: str,
    weights: "Weights | None",
    tracker: "Tracker",
    progress: "Progress",
    checkpoints: Path,
    out: Path,
) -> None:
    """Train `recipe` and write `out`: `model/`, `metrics.json`, `curves.csv`, `curves.png`.

    A killed run goes on after its last whole epoch, in the same MLflow run.

    Raises:
        InputError: the training diverged before it was better than nothing, or see `fit`.
    """
    metric = resolve_metric(metric, dataset.about.task)
    kept = Checkpoint(checkpoints, recipe, dataset.about.version, metric)
    state = kept.state()
    for notice in build_model(recipe, dataset.about.spec, dataset.about.num_outputs, weights).notices:
        say(f"train: {notice}")
    run = _run(tracker, recipe, kept.key, resumed=state is not None)
    with ending(run):
        for epoch in fit(recipe, dataset, metric=metric, resume=state, weights=weights):
            run.log(epoch.metrics, step=epoch.number)  # before saving: logged twice is harmless, never is not
            state = epoch.state()
            state.save(kept.path)
            progress.step(epoch.number, best=f"{metric} {epoch.best:.4f}", note=epoch.stopped or "")
        assert state is not None, "a recipe has at least one epoch"
        if state.payload["best"]["weights"] is None:
            raise InputError(f"training: {state.payload['stopped']}.")
        write_results(recipe, dataset.about, how, state, metric, out)
        run.picture(out / "curves.png")
        run.file(out / "metrics.json")
    kept.remove()


def _run(tracker: "Tracker", recipe: Recipe, key: str, *, resumed: bool) -> "Run":
    """The run that a kill left, or a new one."""
    found = tracker.find(kind="stage", stage="train", fit=key) if resumed else None
    if found is not None and found.status != "FINISHED":
        return found
    return tracker.start("train", kind="stage", params=named("recipe", recipe), tags={"stage": "train", "fit": key})


def write_results(recipe: Recipe, about: "About", how: Data, state: State, metric: str, out: Path) -> None:
    """The model of the best epoch, its figures and the curves."""
    out.mkdir(parents=True, exist_ok=True)
    model = build_model(recipe, about.spec, about.num_outputs, None)
    if about.task == "regression":  # the scale is among the weights
        model.scale_outputs(*(state.best_weights[name].cpu().numpy() for name in ("output_mean", "output_std")))
    model.load_state_dict(state.best_weights)
    save_model(out / "model", model, recipe, about, how)
    curves = pd.DataFrame(list(_rows(state.history)))
    curves.to_csv(out / "curves.csv", index=False)
    draw_curves(curves, state.payload["best"]["epoch"], metric, out / "curves.png")
    best = curves[curves["epoch"] == state.payload["best"]["epoch"]].iloc[0].to_dict()
    figures = {"best_epoch": int(best.pop("epoch")), "epochs": state.epoch, "metric": metric, **best}
    if state.payload["stopped"]:
        figures["stopped"] = state.payload["stopped"]
    (out / "metrics.json").write_text(json.dumps(figures, indent=1) + "\n", encoding="utf-8")


def _rows(history: list[dict[str, float]]) -> "Iterator[dict[str, float]]":
    """An epoch a row, without what differs from machine to machine."""
    for number, metrics in enumerate(history, start=1):
        yield {"epoch": number} | {
            name: round(value, DIGITS) for name, value in metrics.items() if not name.startswith("cost/")
        }


def draw_curves(curves: pd.DataFrame, best_epoch: int, metric: str, path: Path) -> None:
    """Losses, and the watched metric, an epoch a point; the epoch whose weights are kept is marked."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(9, 3.6), layout="constrained")
    FigureCanvasAgg(figure)
    left, right = figure.subplots(1, 2)
    left.plot(curves["epoch"], curves["train/loss"], label="train", color="#0072b2", marker="o", markersize=3)
    left.plot(curves["epoch"], curves["val/loss"], label="validation", color="#d55e00", marker="o", markersize=3)
    left.set(title="loss", xlabel="epoch", yscale="log")
    left.legend(frameon=False)
    right.plot(curves["epoch"], curves[f"val/{metric}"], color="#d55e00", marker="o", markersize=3)
    right.axvline(best_epoch, color="#999999", linestyle=":", label=f"kept: epoch {best_epoch}")
    right.set(title=f"validation {metric}", xlabel="epoch")
    right.legend(frameon=False)
    for axes in (left, right):
        axes.spines[["top", "right"]].set_visible(False)
        axes.xaxis.get_major_locator().set_params(integer=True)
    figure.savefig(path, dpi=120)
