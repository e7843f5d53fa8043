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
from assay.data.dataset import About, Split, read_about, read_split
from assay.device import deterministic, resolve_device
from assay.errors import InputError
from assay.outputs import outputs_of
from assay.paired import Compared, compare
from assay.registry.flavor import MODEL
from assay.registry.versions import Seen, Versions, read_seen

if TYPE_CHECKING:
    from assay.model_files import Trained

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

    @cached_property
    def about(self) -> About:
        return read_about(self.prepared)

    @cached_property
    def test(self) -> Split:
        return read_split(self.prepared, "test")

    def temperature(self) -> float:
        """Of the challenger's probabilities, by the samples of validation."""
        split = read_split(self.prepared, "validation")
        said = self._said(self.challenger, split, np.ones(len(split.keys), dtype=np.bool_))
        return fitted(self.about.task, said, split.parts[0].targets)

    def on_validation(self, champion: Contender, metric: str, confidence: float) -> Compared:
        """Both on the samples of validation that neither was taught."""
        split, counts = self._validation(champion)
        return self._compared(split, counts, champion, metric, confidence)

    def validation(self, champion: Contender) -> tuple[Split, NDArray[np.bool_], list[NDArray[np.float32]]]:
        """The validation split, which of it neither was taught, and what challenger and champion say of those."""
        split, counts = self._validation(champion)
        return split, counts, [self._said(one, split, counts) for one in (self.challenger, champion)]

    def _validation(self, champion: Contender) -> tuple[Split, NDArray[np.bool_]]:
        split = read_split(self.prepared, "validation")
        return split, _fresh(split, [one.seen.train for one in (self.challenger, champion)])

    def on_test(self, champion: Contender, metric: str, confidence: float) -> Compared:
        """Both on the samples of test that neither was taught or chosen by."""
        return self._compared(self.test, self.unseen(champion), champion, metric, confidence)

    def unseen(self, champion: Contender) -> NDArray[np.bool_]:
        """Which samples of test count."""
        seen = [each for one in (self.challenger, champion) for each in (one.seen.train, one.seen.validation)]
        return _fresh(self.test, seen)

    def _compared(
        self, split: Split, counts: NDArray[np.bool_], champion: Contender, metric: str, confidence: float
    ) -> Compared:
        if not counts.any():
            raise InputError(
                f"{self.prepared}: {champion.name} has learnt from every sample that the two would be compared on; "
                "`assay promote` decides by hand."
            )
        said = [self._said(one, split, counts) for one in (self.challenger, champion)]
        targets = split.parts[0].targets[counts]
        return compare(self.about.task, metric, said[0], said[1], targets, confidence=confidence)

    def _said(self, contender: Contender, split: Split, counts: NDArray[np.bool_]) -> NDArray[np.float32]:
        """Outputs in the order of the data's classes."""
        trained, device = contender.trained, resolve_device(None)
        self._refuse_other(contender)
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

    def _refuse_other(self, contender: Contender) -> None:
        theirs, ours = contender.trained.about, self.about
        for what in ("task", "spec", "target_names"):
            if getattr(theirs, what) != getattr(ours, what):
                raise InputError(
                    f"{contender.name}: its {what.replace('_', ' ')} is {getattr(theirs, what)}, the data's is "
                    f"{getattr(ours, what)}, so the two cannot be compared; `assay promote` decides by hand."
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
    return ~np.isin(_rows(split.keys), np.concatenate([_rows(keys) for keys in seen]))


def _rows(keys: NDArray[np.uint8]) -> NDArray[Any]:
    """Keys as one value each, to be looked for."""
    return np.ascontiguousarray(keys).view(np.dtype((np.void, keys.shape[1]))).ravel()
