"""The champion's watch: whether what comes in is still like what it was chosen by. Owns which samples are compared and
that each look is counted once, whoever looks; a finding is a reason to retrain, and promotes nobody.

Old are samples of validation that the champion was chosen by and never taught: a model is surer of what it was taught,
so those would differ from anything new. The test split is not looked at.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from hashlib import blake2b
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from torch import Tensor, nn

from assay import modality
from assay.championship import Championship
from assay.data.dataset import Split, read_about, read_index, read_split
from assay.data.raw import read_regular
from assay.data.splits import content_key
from assay.device import deterministic, resolve_device
from assay.drift import Answers, Drift, alpha_of_look, detect
from assay.errors import InputError
from assay.match import Contender, among, refuse_other
from assay.modality import Sample, Unreadable
from assay.outputs import batch_size, outputs_of, probabilities
from assay.params import Params
from assay.predict import Asked, decode, list_samples
from assay.registry.drifts import Look, Looks
from assay.terminal import note, numbered

if TYPE_CHECKING:
    from assay.models import Model


def answers_and_features(
    model: "Model", samples: NDArray[Any], lengths: NDArray[np.int32]
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """N × K outputs, and N × F features that the head made them from, in one pass."""
    kept: list[NDArray[np.float32]] = []

    def keep(_head: nn.Module, given: tuple[Tensor, ...]) -> None:
        kept.append(given[0].float().cpu().numpy())

    device = resolve_device(None)
    hook = model.head.register_forward_pre_hook(keep)
    try:
        with deterministic(device):
            outputs = outputs_of(model, samples, lengths, device)
    finally:
        hook.remove()
    return outputs, np.concatenate(kept)


class TooFew(InputError):
    """There are not enough samples to look at."""


@dataclass(frozen=True)
class Unseen:
    """New samples as the champion has them, without those that it was taught or chosen by."""

    names: tuple[str, ...]
    keys: NDArray[np.uint8]  # N × 16
    answers: Answers
    unread: int = 0  # that could not be read
    known: int = 0  # that were left out: seen by the champion, or there twice


class Watch:
    """The champion of a project, and the looks that were made under it. Give it back with its `with`."""

    def __init__(self, params: Params, house: Championship) -> None:
        """Fetch the champion.

        Raises:
            InputError: there is none, or the registry does not answer.
        """
        self._params, self.version = params, house.history()[-1].champion
        self.champion = house.contender(self.version)
        self._looks = Looks(house.database, house.name)

    def __enter__(self) -> "Watch":
        return self

    def __exit__(self, *_: object) -> None:
        self._looks.close()

    def at_prepared(self, prepared: Path) -> Look:
        """Look at what is new in a prepared data set, for a retraining: of train and validation, what the champion has
        not seen. A sample's split follows its content alone, so what is new is there as it came.

        Raises:
            TooFew: there are fewer such samples than `drift.fewest`.
            InputError: the data are not of the champion's kind.
        """
        self._refuse_other(prepared)
        return self._look(prepared, str(prepared), _new_in(prepared, self.champion))

    def at_paths(self, prepared: Path, paths: Sequence[Path]) -> Look:
        """Look at files, folders or tables, beside what of `prepared` the champion was chosen by.

        Raises:
            TooFew, InputError: see `at_prepared`; or a table lacks its column.
        """
        self._refuse_other(prepared)
        found = _read(paths, self.champion)
        for count, why in (
            (found.unread, "could not be read"),
            (found.known, "the champion has seen, or that came twice"),
        ):
            if count:
                note(f"left out: {numbered(count, 'sample')} that {why}.")
        return self._look(prepared, ", ".join(map(str, paths)), found)

    def _refuse_other(self, prepared: Path) -> None:
        refuse_other(
            self.champion,
            read_about(prepared),
            f"the champion cannot be asked about {prepared}; prepare the data as it was trained on",
        )

    def _look(self, prepared: Path, source: str, new: Unseen) -> Look:
        keys, old = chosen_by(prepared, self.champion)
        fewest = self._params.drift.fewest
        _refuse_few(len(new.keys), "new samples", fewest)
        _refuse_few(len(keys), f"samples of validation in {prepared} that the champion was chosen by", fewest)
        digest = blake2b(digest_size=16)
        for each in (keys, new.keys):
            digest.update(each[np.lexsort(each.T)].tobytes() + b"|")

        def judge(number: int) -> Drift:
            how, about = self._params.drift, self.champion.trained.about
            return detect(
                old,
                new.answers,
                about.classes or about.target_names,
                new.names,
                alpha=alpha_of_look(how.alpha, number),
                permutations=how.permutations,
                confidence=self._params.evaluate.confidence,
                resamples=self._params.evaluate.resamples,
                seed=how.seed,
            )

        return self._looks.look(self.version, source, digest.hexdigest(), judge)


def chosen_by(prepared: Path, champion: Contender) -> tuple[NDArray[np.uint8], Answers]:
    """Keys and answers of the validation samples that the champion was chosen by, and not taught."""
    split, seen = read_split(prepared, "validation"), champion.seen
    rows = np.flatnonzero(among(split.keys, seen.validation) & ~among(split.keys, seen.train))
    found = _answers(champion, split, rows)
    trained, classes = champion.trained, read_about(prepared).classes
    if trained.about.task != "classification" or classes is None:
        return split.keys[rows], found
    places = {name: place for place, name in enumerate(trained.about.classes or ())}
    ours = np.array([places.get(name, -1) for name in classes])
    targets = ours[np.asarray(split.parts[0].targets)[rows]]
    return split.keys[rows], Answers(found.said, found.features, targets)


def _new_in(prepared: Path, champion: Contender) -> Unseen:
    names: list[str] = []
    keys, parts = [], []
    for name in ("train", "validation"):
        split = read_split(prepared, name)
        seen = among(split.keys, champion.seen.train) | among(split.keys, champion.seen.validation)
        rows = np.flatnonzero(~seen)
        listed = read_index(prepared, name, len(split.keys))[1]
        names += [listed[row] for row in rows]
        keys.append(split.keys[rows])
        parts.append(_answers(champion, split, rows))
    return Unseen(tuple(names), np.concatenate(keys), _joined(parts))


def _answers(champion: Contender, split: Split, rows: NDArray[np.int64]) -> Answers:
    """Of some rows of a split, which may be larger than memory."""
    part, size = split.parts[0], batch_size(split.parts[0].samples.shape[1:])
    starts = range(0, max(1, len(rows)), size)
    blocks = (rows[start : start + size] for start in starts)
    return _joined([_said(champion, part.samples[block], part.lengths[block]) for block in blocks])


def _said(champion: Contender, samples: NDArray[Any], lengths: NDArray[np.int32]) -> Answers:
    trained = champion.trained
    if not len(samples):
        return Answers(np.empty((0, trained.about.num_outputs)), np.empty((0, trained.model.head.in_features)))
    outputs, features = answers_and_features(trained.model, samples, lengths)
    if not (np.isfinite(outputs).all() and np.isfinite(features).all()):
        raise InputError(f"{champion.name}: its outputs are not all finite; train it again, more gently.")
    said = probabilities(trained.about.task, outputs)
    return Answers(said.astype(np.float64), features.astype(np.float64))


def _joined(parts: Sequence[Answers]) -> Answers:
    return Answers(np.concatenate([part.said for part in parts]), np.concatenate([part.features for part in parts]))


def _read(paths: Sequence[Path], champion: Contender) -> Unseen:
    """Everything under `paths`, each sample once."""
    trained = champion.trained
    spec = trained.about.spec
    passed = {key.tobytes() for side in (champion.seen.train, champion.seen.validation) for key in side}
    names: list[str] = []
    keys: list[bytes] = []
    parts = [_said(champion, modality.empty(spec, 0), np.empty(0, np.int32))]
    unread = known = 0
    asked = list_samples(paths, trained.data, modality.of(spec.modality).suffixes)
    for batch in _batches(asked, batch_size(spec.shape)):
        kept = []
        for name, content in batch:
            sample = decode(content, spec, trained.data)
            if isinstance(sample, Unreadable) or isinstance(content, Unreadable):
                unread += 1
                note(f"{name}: cannot be read: {sample}.")
            elif (key := _key(content)) in passed:
                known += 1
            else:
                passed.add(key)
                keys.append(key)
                names.append(name)
                kept.append(sample)
        if kept:
            lengths = np.array([sample.length for sample in kept], np.int32)
            parts.append(_said(champion, np.stack([sample.array for sample in kept]), lengths))
    found = np.frombuffer(b"".join(keys), np.uint8).reshape(len(keys), -1) if keys else np.empty((0, 16), np.uint8)
    return Unseen(tuple(names), found, _joined(parts), unread, known)


def _batches(asked: Iterable[Asked], size: int) -> Iterator[list[tuple[str, bytes | Sample | Unreadable]]]:
    waiting = iter(asked)
    while batch := list(islice(waiting, size)):
        yield [(one.name, _whole(one.content)) for one in batch]


def _whole(content: bytes | Path | Sample | Unreadable) -> bytes | Sample | Unreadable:
    """A file read, since its key is of its bytes."""
    if not isinstance(content, Path):
        return content
    try:
        return read_regular(content)
    except OSError as error:
        return Unreadable(error.strerror or str(error))


def _key(content: bytes | Sample) -> bytes:
    return content_key(content if isinstance(content, bytes) else content.array.tobytes())


def _refuse_few(count: int, what: str, fewest: int) -> None:
    if count < fewest:
        raise TooFew(f"drift.fewest: {count} {what} are too few to see drift by; it takes {fewest}. No look was spent.")
