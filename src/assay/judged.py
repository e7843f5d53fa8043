"""The test split with what a model says of it. Owns what is asked of the two together; judges and draws nothing."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from assay.data.dataset import About, Split
from assay.intervals import Interval
from assay.params import Evaluate
from assay.slices import Sliced
from assay.verdict import HEADLINES, Verdict

LABELS_APART = ", "  # between the labels of one sample in predictions.parquet and in what predict writes


@dataclass(frozen=True)
class Judged:
    """The test split with what the model says of it, and the verdicts; what the pictures are drawn from."""

    about: About
    how: Evaluate
    split: Split
    names: tuple[str, ...]  # of the outputs
    outputs: NDArray[np.float32]
    said: NDArray[np.float32]  # probabilities, or values
    verdicts: Mapping[str, Verdict]  # train, validation, test
    sliced: Sliced  # of test

    @property
    def targets(self) -> NDArray[Any]:
        return self.split.targets

    @property
    def headline(self) -> str:
        return HEADLINES[self.about.task]

    @property
    def gap(self) -> dict[str, Interval]:
        """The headline figure of each split that has it."""
        found = {name: verdict.figures.get(self.headline) for name, verdict in self.verdicts.items()}
        return {name: figure for name, figure in found.items() if figure is not None}


def worst(judged: Judged, count: int) -> NDArray[np.int64]:
    """Rows of the worst mistakes, worst first: by loss among the wrong; in regression by error in units of spread."""
    targets, said = judged.targets, judged.said.astype(np.float64)
    if judged.about.task == "classification":
        sure = said[np.arange(len(said)), targets]
        badness = np.where(said.argmax(1) == targets, -1.0, 1 - sure)
    elif judged.about.task == "multilabel":
        off = np.abs(said - targets)
        badness = np.where((off < 0.5).all(1), -1.0, off.max(1))
    else:
        true = targets.reshape(said.shape)
        badness = (np.abs(said - true) / np.maximum(true.std(0), np.finfo(np.float64).tiny)).max(1)
    order = np.argsort(-badness, kind="stable")
    chosen: NDArray[np.int64] = order[badness[order] > 0][:count]
    return chosen


def in_words(judged: Judged, row: int) -> tuple[str, str]:
    """What the model said of one test sample, and what was true."""
    task, said, true = judged.about.task, judged.said[row], judged.targets[row]
    if task == "classification":
        best = int(said.argmax())
        return f"{judged.names[best]} ({said[best]:.2f})", judged.names[int(true)]
    if task == "multilabel":
        return labels_of(said > 0.5, judged.names) or "none", labels_of(true > 0.5, judged.names) or "none"
    return _numbers(said), _numbers(true)


def _numbers(values: NDArray[Any]) -> str:
    return ", ".join(f"{value:.4g}" for value in np.atleast_1d(values))


def labels_of(on: NDArray[np.bool_], names: Sequence[str]) -> str:
    """The labels of one sample, in words."""
    return LABELS_APART.join(name for name, has in zip(names, on, strict=True) if has)
