"""A model that was really trained on a few real digits, and the prepared folder it came from, for every task."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import cache
from pathlib import Path

import numpy as np
import pandas as pd

from assay.data.dataset import SLICE, Dataset, Split, slices_of, write_about, write_slices
from assay.fit import State, fit
from assay.metric import resolve_metric
from assay.model_files import Trained
from assay.models import build_model
from assay.params import Data, Recipe, with_values
from samples import digits, split_of

NUM_TRAIN, NUM_VALIDATION, NUM_TEST = 256, 64, 120
DATA = Data(image_size=28, channels=1)


@cache
def trained(task: str) -> Trained:
    """A small perceptron after two epochs: it is right often, and not always."""
    data = _whole(task)[0]
    recipe = with_values(Recipe(), {"backbone": "mlp", "epochs": 2, "precision": "fp32", "optimizer.lr": 3e-3})
    state: State | None = None
    for epoch in fit(recipe, data, metric=resolve_metric("auto", task), device="cpu"):
        state = epoch.state()
    assert state is not None
    model = build_model(recipe, data.about.spec, data.about.num_outputs, None)
    weights = state.best_weights
    if task == "regression":
        model.scale_outputs(weights["output_mean"].numpy(), weights["output_std"].numpy())
    model.load_state_dict(weights)
    return Trained(model.eval(), recipe, data.about, DATA)


def write_prepared(task: str, folder: Path, test: int = NUM_TEST) -> Path:
    """The data set of `trained(task)`, as prepare writes it; `test` samples to judge by."""
    data, held_out = _whole(task)
    splits = {"train": data.train, "validation": data.validation, "test": first(held_out, test)}
    for name, split in splits.items():
        (folder / name).mkdir(parents=True)
        part, keys = split.parts[0], split.keys
        for kind in ("samples", "lengths", "targets"):
            np.save(folder / name / f"{kind}.npy", getattr(part, kind))
        np.save(folder / name / "keys.npy", keys)
        rows = [(key.tobytes().hex(), f"digit/{number:04d}", None) for number, key in enumerate(keys)]
        pd.DataFrame(rows, columns=["key", "name", "group"]).to_parquet(folder / name / "index.parquet", index=False)
    write_about(data.about, folder)
    return folder


def write_slices_of(folder: Path, columns: Mapping[str, Sequence[str | None]]) -> None:
    """Beside the data set in `folder`, columns of its test samples."""
    keys = [key.tobytes().hex() for key in np.load(folder / "test" / "keys.npy")]
    told = {SLICE + name: list(values) for name, values in columns.items()}
    write_slices(slices_of(folder), {"split": ["test"] * len(keys), "key": keys} | told)


def first(split: Split, count: int) -> Split:
    part = split.parts[0]
    kept = type(part)(part.samples[:count], part.lengths[:count], part.targets[:count])
    return Split((kept,), split.keys[:count])


@cache
def _whole(task: str) -> tuple[Dataset, Split]:
    more = digits(task, NUM_TRAIN, NUM_VALIDATION + NUM_TEST)
    part = more.validation.parts[0]
    held_out = split_of(part.samples[NUM_VALIDATION:], part.targets[NUM_VALIDATION:])
    counts = {"train": NUM_TRAIN, "validation": NUM_VALIDATION, "test": NUM_TEST}
    about = replace(more.about, counts=counts)
    return Dataset(about, more.train, first(more.validation, NUM_VALIDATION)), held_out
