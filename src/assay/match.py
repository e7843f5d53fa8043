"""One challenger against the champion: the same samples, first of validation, then of test. Owns which samples count
and what both say of them; when a gain is enough is promotion.py's, what follows from it championship.py's.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from assay.calibration import fitted
from assay.data.dataset import About, Slices, Split, read_about, read_slices, read_split
from assay.device import deterministic, resolve_device
from assay.errors import InputError
from assay.intervals import Interval
from assay.outputs import outputs_of
from assay.paired import Compared, compare
from assay.params import Evaluate
from assay.registry.flavor import MODEL
from assay.registry.versions import Seen, Versions, read_seen
from assay.slices import parts_of
from assay.verdict import judge

if TYPE_CHECKING:
    from assay.model_files import Trained

LEAST = 100  # samples of a slice that has a say
UNKNOWN = -30.0  # logit of a class that a model does not know: it never says it


@dataclass(frozen=True)
class Contender:
    """A model with what it has learnt from."""

    name: str
    trained: "Trained"
    seen: Seen


@dataclass(frozen=True)
class Match:
    """Two models and the prepared data that they meet on."""

    challenger: Contender
    prepared: Path
    how: Evaluate

    @cached_property
    def about(self) -> About:
        return read_about(self.prepared)

    @cached_property
    def test(self) -> Split:
        return read_split(self.prepared, "test")

    @cached_property
    def validation(self) -> Split:
        return read_split(self.prepared, "validation")

    @cached_property
    def columns(self) -> Slices:
        """Of the test samples, what they are sliced by.

        Raises:
            InputError: prepare did not keep it.
        """
        return read_slices(self.prepared, "test", self.test.keys, self.how.slices)

    def temperature(self) -> float:
        """Of the challenger's probabilities, by the samples of validation."""
        said = self._said(self.challenger, self.validation, np.ones(len(self.validation.keys), dtype=np.bool_))
        return fitted(self.about.task, said, self.validation.parts[0].targets)

    def on_validation(self, champion: Contender, metric: str, confidence: float) -> Compared:
        """Both on the samples of validation that neither was taught."""
        return self._compared(self.validation, self.untaught(champion), champion, metric, confidence)

    def said_of_validation(self, champion: Contender) -> list[NDArray[np.float32]]:
        """What challenger and champion say of those."""
        counts = self.untaught(champion)
        return [self._said(one, self.validation, counts) for one in (self.challenger, champion)]

    def on_test(self, champion: Contender, metric: str, confidence: float) -> Compared:
        """Both on the samples of test that neither was taught or chosen by."""
        return self._compared(self.test, self.unseen(champion), champion, metric, confidence)

    def on_slices(self, champion: Contender, metric: str, confidence: float) -> dict[str, Compared]:
        """On each slice that has enough samples: the champion beside the challenger, so that p is of a loss."""
        if not self.columns:
            return {}
        counts, task = self.unseen(champion), self.about.task
        said = [self._said(one, self.test, counts) for one in (champion, self.challenger)]
        targets = self.test.parts[0].targets[counts]
        columns = {name: list(np.array(values, dtype=object)[counts]) for name, values in self.columns.items()}
        return {
            part: compare(task, metric, said[0][rows], said[1][rows], targets[rows], confidence=confidence)
            for part, rows in parts_of(columns).items()
            if len(rows) >= LEAST and not _untellable(metric, targets[rows])
        }

    def answers(self, champion: Contender) -> tuple[NDArray[np.float32], NDArray[Any]]:
        """The challenger's outputs on the samples of test that count, and their targets."""
        counts = self.unseen(champion)
        return self._said(self.challenger, self.test, counts), self.test.parts[0].targets[counts]

    def figures(self, split: Split, counts: NDArray[np.bool_]) -> dict[str, Interval]:
        """What the challenger is worth on the samples of a split that count; none of a class or a label."""
        if not counts.any():
            return {}
        about, outputs = self.about, self._said(self.challenger, split, counts)
        names = about.classes if about.classes is not None else about.target_names
        verdict = judge(about.task, outputs, split.parts[0].targets[counts], names, self.how)
        return {name: figure for name, figure in verdict.figures.items() if "/" not in name}

    def unseen(self, champion: Contender | None) -> NDArray[np.bool_]:
        """Which samples of test count; of the challenger alone where nobody is champion."""
        both = [self.challenger, *(() if champion is None else (champion,))]
        return _fresh(self.test, [each for one in both for each in (one.seen.train, one.seen.validation)])

    def untaught(self, champion: Contender) -> NDArray[np.bool_]:
        """Which samples of validation count."""
        return _fresh(self.validation, [one.seen.train for one in (self.challenger, champion)])

    def _compared(
        self, split: Split, counts: NDArray[np.bool_], champion: Contender, metric: str, confidence: float
    ) -> Compared:
        if not counts.any():
            raise InputError(
                f"{self.prepared}: {champion.name} has learnt from every sample that the two would be compared on; "
                "`assay promote` decides by hand."
            )
        targets = split.parts[0].targets[counts]
        if _untellable(metric, targets):
            raise InputError(
                f"{self.prepared}: promote.metric is r2, and a target is the same in all {len(targets)} samples that "
                "the two would be compared on; set it to rmse or mae, or get samples that differ."
            )
        said = [self._said(one, split, counts) for one in (self.challenger, champion)]
        return compare(self.about.task, metric, said[0], said[1], targets, confidence=confidence)

    def _said(self, contender: Contender, split: Split, counts: NDArray[np.bool_]) -> NDArray[np.float32]:
        """Outputs in the order of the data's classes."""
        trained, device = contender.trained, resolve_device(None)
        refuse_other(contender, self.about, "the two cannot be compared; `assay promote` decides by hand")
        samples, lengths = (np.asarray(array)[counts] for array in (split.parts[0].samples, split.parts[0].lengths))
        with deterministic(device):
            found = outputs_of(trained.model, samples, lengths, device)
        if not np.isfinite(found).all():
            raise InputError(f"{contender.name}: its outputs are not all finite; train it again, more gently.")
        if self.about.classes is None or trained.about.classes == self.about.classes:
            return found
        known = {name: column for column, name in enumerate(trained.about.classes or ())}
        aligned = np.full((len(found), len(self.about.classes)), UNKNOWN, dtype=np.float32)
        for column, name in enumerate(self.about.classes):
            if name in known:
                aligned[:, column] = found[:, known[name]]
        return aligned


def _untellable(metric: str, targets: NDArray[Any]) -> bool:
    """Whether the metric has no value: R² of a target that does not vary."""
    return metric == "r2" and bool((np.ptp(targets, axis=0) == 0).any())


def refuse_other(contender: Contender, about: About, so: str) -> None:
    """Refuse data that a model was not made for; `so` says what follows and what would be right.

    Raises:
        InputError: it was not.
    """
    theirs = contender.trained.about
    for what in ("task", "spec", "target_names"):
        if getattr(theirs, what) != getattr(about, what):
            raise InputError(
                f"{contender.name}: its {what.replace('_', ' ')} is {getattr(theirs, what)}, the data's is "
                f"{getattr(about, what)}, so {so}."
            )


def registered(versions: Versions, number: int) -> Contender:
    """A version of the registry as a contender.

    Raises:
        InputError: it cannot be fetched, or is no model of Assay.
    """
    from assay.model_files import load_model

    with versions.fetched(number) as folder:
        return Contender(f"{versions.name} version {number}", load_model(folder / MODEL), read_seen(folder))


def _fresh(split: Split, seen: Sequence[NDArray[np.uint8]]) -> NDArray[np.bool_]:
    return ~among(split.keys, np.concatenate(list(seen)))


def among(keys: NDArray[np.uint8], known: NDArray[np.uint8]) -> NDArray[np.bool_]:
    """Which of the keys, N × 16, are known."""
    return np.isin(_rows(keys), _rows(known))


def _rows(keys: NDArray[np.uint8]) -> NDArray[Any]:
    """Keys as one value each, to be looked for."""
    return np.ascontiguousarray(keys).view(np.dtype((np.void, keys.shape[1]))).ravel()
