"""Judges a trained model on the test split, once. Owns results/evaluate/; chooses nothing by what it sees.

metrics.json          figure → value, low, high
report.json           what could not be computed, what to know, train and validation beside test, samples of a slice
predictions.parquet   a row a test sample: key, name, true, said, probabilities
pictures/             what fits the task, see evaluation_pictures.py; of classification also
                      confusion.csv: actual, predicted, a row a test sample, for `dvc plots`

Everything is written into a folder beside its place and moved at the end: a full disk leaves the last verdict whole.
"""

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from assay.data.dataset import SPLITS, About, read_about, read_index, read_slices, read_split
from assay.device import deterministic, resolve_device
from assay.errors import InputError
from assay.intervals import DIGITS, Interval, wilson
from assay.judged import Judged, labels_of
from assay.outputs import outputs_of, probabilities
from assay.params import Evaluate
from assay.slices import judge_slices
from assay.verdict import Verdict, judge
from assay.whole import results_of

if TYPE_CHECKING:
    from assay.model_files import Trained

WRITTEN = ("report.json", "predictions.parquet", "pictures", "metrics.json")  # metrics last: they say that it is there
GAP_MOST = 10_000  # samples of train and of validation beside test: an interval of ±0.5 points at 95%


def evaluate(trained: "Trained", data: Path, how: Evaluate, out: Path) -> Verdict:
    """Judge `trained` on the test split of the prepared data set in `data` and write everything into `out`.

    Raises:
        InputError: the model is of other data than `data`, or that is damaged, or its test split is empty, or the
            disk is full; what was in `out` stays as it was then.
    """
    judged = look(trained, data, how)
    keys, names = read_index(data, "test", len(judged.split))  # the last of the inputs: from here on all are whole
    with results_of(out, WRITTEN) as partial:
        _write(judged, trained, keys, names, partial)
    return judged.verdicts["test"]


def _write(judged: Judged, trained: "Trained", keys: list[str], names: list[str], folder: Path) -> None:
    from assay.evaluation_pictures import draw_all

    (folder / "pictures").mkdir()
    figures, report = judged.verdicts["test"].figures, json.dumps(_report(judged), indent=1, ensure_ascii=False)
    (folder / "metrics.json").write_text(metrics_text(figures), encoding="utf-8")
    (folder / "report.json").write_text(report + "\n", encoding="utf-8")
    with (folder / "predictions.parquet").open("wb") as file:  # pyarrow's own would stay open where the disk is full
        pq.write_table(_predictions(judged, keys, names), file)
    if judged.about.task == "classification":
        _confusion(judged).to_csv(folder / "pictures" / "confusion.csv", index=False)
    draw_all(judged, trained.model, names, folder / "pictures")


def look(trained: "Trained", data: Path, how: Evaluate) -> Judged:
    """What the model says of the test split, and the verdict on it and on as many samples of the other splits.

    Raises:
        InputError: see `evaluate`.
    """
    about = read_about(data)
    refuse_strange(trained.about, about)
    names = about.classes if about.classes is not None else about.target_names
    splits = {name: read_split(data, name) for name in SPLITS}
    if len(splits["test"]) == 0:
        raise InputError(f"{data}: the test split is empty; raise data.splits.test or bring more samples.")
    columns = read_slices(data, "test", splits["test"].keys, how.slices)
    device = resolve_device(None)
    outputs, verdicts = {}, {}
    with deterministic(device):
        for name, split in splits.items():
            part, count = split.parts[0], len(split) if name == "test" else GAP_MOST
            outputs[name] = outputs_of(trained.model, part.samples[:count], part.lengths[:count], device)
            _refuse_infinite(outputs[name], name)
            if len(part):
                verdicts[name] = judge(about.task, outputs[name], part.targets[:count], names, how)
    said = probabilities(about.task, outputs["test"])
    sliced = judge_slices(about.task, outputs["test"], splits["test"].targets, names, how, columns)
    verdicts["test"].figures |= sliced.figures
    verdicts["test"].missing |= sliced.missing
    verdicts["test"].notes += sliced.notes
    return Judged(about, how, splits["test"], names, outputs["test"], said, verdicts, sliced)


def metrics_text(figures: Mapping[str, Interval]) -> str:
    """metrics.json: a line a figure, so that a diff is read line by line."""
    lines = (
        f" {json.dumps(name, ensure_ascii=False)}: {json.dumps(figure.rounded())}" for name, figure in figures.items()
    )
    return "{\n" + ",\n".join(lines) + "\n}\n"


def logged(figures: Mapping[str, Interval]) -> Iterator[tuple[str, float]]:
    """Keys and values for tracking: `test/accuracy`, `test/accuracy.low`, `test/accuracy.high`; parts without ends."""
    for name, figure in figures.items():
        yield f"test/{name}", figure.value
        if "/" not in name:
            yield f"test/{name}.low", figure.low
            yield f"test/{name}.high", figure.high


def refuse_strange(model: About, data: About) -> None:
    """Refuse to judge a model on data that it was not trained for.

    Raises:
        InputError: task, classes, targets or samples are others, or the data are of another version.
    """
    for what in ("task", "classes", "target_names", "spec"):
        there, here = getattr(model, what), getattr(data, what)
        if there != here:
            named = what.replace("_", " ")
            raise InputError(f"the model's {named} is {there}, the data's is {here}; run `assay train` again.")
    if model.originals != data.version:
        raise InputError(
            f"the model was trained on data of version {model.originals}, and the test split is of version "
            f"{data.version}, so the model may know it; run `assay train` again."
        )


def _refuse_infinite(outputs: NDArray[np.float32], split: str) -> None:
    if not np.isfinite(outputs).all():
        raise InputError(f"the model's outputs on the {split} split are not all finite; train it again, more gently.")


def _report(judged: Judged) -> dict[str, Any]:
    verdict = judged.verdicts["test"]
    return {
        "task": judged.about.task,
        "samples": len(judged.split),
        "data_version": judged.about.version,
        "headline": judged.headline,
        "confidence": judged.how.confidence,
        "base": _base(judged),
        "gap": {name: figure.rounded() for name, figure in judged.gap.items()},
        "slices": judged.sliced.counts,
        "missing": verdict.missing,
        "notes": verdict.notes,
    }


def _base(judged: Judged) -> dict[str, Any] | None:
    """What saying always the most frequent class is worth: the least that a model must beat."""
    if judged.about.task != "classification":
        return None
    counts = np.bincount(judged.targets, minlength=len(judged.names))
    share = wilson(int(counts.max()), int(counts.sum()), judged.how.confidence)
    return {"says": judged.names[int(counts.argmax())], "accuracy": share.rounded()}


def _predictions(judged: Judged, keys: list[str], samples: list[str]) -> pa.Table:
    columns: dict[str, Any] = {"key": keys, "name": samples}
    targets, said, names = judged.targets, judged.said, judged.names
    if judged.about.task == "classification":
        columns["true"] = [names[k] for k in targets]
        columns["said"] = [names[k] for k in said.argmax(1)]
    elif judged.about.task == "multilabel":
        columns["true"] = [labels_of(row > 0.5, names) for row in targets]
        columns["said"] = [labels_of(row > 0.5, names) for row in said]
    else:
        columns |= {f"true/{name}": column for name, column in zip(names, targets.reshape(said.shape).T, strict=True)}
    prefix = "said" if judged.about.task == "regression" else "probability"
    rounded = said.astype(np.float64).round(DIGITS) if prefix == "probability" else said
    columns |= {f"{prefix}/{name}": column for name, column in zip(names, rounded.T, strict=True)}
    return pa.table(columns)


def _confusion(judged: Judged) -> pd.DataFrame:
    """In order of the classes, not of the samples: a diff then shows what changed."""
    said = judged.said.argmax(1)
    order = np.lexsort((said, judged.targets))
    names = np.array(judged.names, dtype=object)
    return pd.DataFrame({"actual": names[judged.targets[order]], "predicted": names[said[order]]})
