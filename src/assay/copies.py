"""Augmented copies of the training samples, on disk. Owns how many each sample gets, and results/augment/.

A copy follows from `augment.seed`, its sample's content and its own number: not from the order of the samples, nor from
what else is copied. Adding a sample, or asking for one copy more, changes no copy that was there.
"""

import json
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from hashlib import blake2b
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from assay import modality
from assay.augment import is_on, strengthened
from assay.data.arrays import GrowingArray
from assay.data.dataset import COPIED, About, Part, read_about, read_split
from assay.errors import InputError
from assay.params import Augment, Online, Policy
from assay.sheet import Cell, Row, draw_sheet, save
from assay.whole import results_of

if TYPE_CHECKING:
    from matplotlib.figure import Figure

SHEET_ROWS, SHEET_COPIES = 10, 7  # samples and copies on the sheet: as many as a person looks at
WRITTEN = ("report.json", "grid.png", "data")  # data last: with it the copies are there


@dataclass(frozen=True)
class Report:
    """What was added: samples by class (by target where there are no classes), before and after."""

    added: int
    before: dict[str, int]
    after: dict[str, int]
    notes: tuple[str, ...]


class _Originals:
    """The training samples and what is to be copied of them."""

    def __init__(self, prepared: Path, augment: Augment) -> None:
        self.about: About = read_about(prepared)
        split = read_split(prepared, "train")
        self.part: Part = split.parts[0]
        self.keys = [key.tobytes() for key in split.keys]
        self.seed = augment.seed
        self.numbers = numbers_of_copies(self.about, self.part.targets, self.keys, augment)

    def apply(self, policy: Policy) -> Callable[[int, int], Tensor]:
        """`(row, number) → copy`, without the batch's axis."""
        change = modality.of(self.about.spec.modality).augment(policy)

        def copy(row: int, number: int) -> Tensor:
            x = torch.from_numpy(np.array(self.part.samples[row : row + 1]))
            length = torch.tensor([int(self.part.lengths[row])])
            return change(x, length, generator(self.seed, self.keys[row], number))[0]

        return copy


def count_copies(prepared: Path, augment: Augment) -> int:
    """How many copies `write_copies` will write."""
    return int(_Originals(prepared, augment).numbers.sum())


def write_copies(
    prepared: Path, augment: Augment, online: Online, out: Path, on_progress: Callable[[int], None]
) -> Report:
    """Write the copies of the training samples of the data set `prepared`, a report and a sheet to look at.

    `out/data/{samples,lengths,targets,origin}.npy` (none of them where nothing is copied) and `out/data/version.txt`,
    `out/report.json`, `out/grid.png`: originals and their copies, or, where nothing is copied, what `online` makes of
    them in training.
    `on_progress` is told the number of copies written. Holds one copy at a time.

    Raises:
        InputError: no prepared data, classes to fill up where the task has none, or the disk is full; nothing is
            half-written then.
    """
    originals = _Originals(prepared, augment)
    with results_of(out, WRITTEN) as partial:
        return _write(originals, augment, online, partial, on_progress)


def _write(
    originals: _Originals, augment: Augment, online: Online, folder: Path, on_progress: Callable[[int], None]
) -> Report:
    (folder / "data").mkdir()
    if originals.numbers.sum():
        _write_arrays(originals, augment.policy, folder / "data", on_progress)
    (folder / "data/version.txt").write_text(_version(originals, augment) + "\n", encoding="utf-8")
    report = _report(originals, augment)
    save_report(report, augment, folder / "report.json")
    save(_sheet(originals, augment, online), folder / "grid.png")
    return report


def numbers_of_copies(
    about: About, targets: NDArray[Any], keys: Sequence[bytes], augment: Augment
) -> NDArray[np.int64]:
    """How many copies each training sample gets: N.

    To balance, each class is filled up to the largest, its samples evenly; which of them give one more
    follows from their content.

    Raises:
        InputError: `augment.balance` where the task has no classes.
    """
    numbers = np.full(len(keys), augment.copies, np.int64)
    if not augment.balance:
        return numbers
    if about.task != "classification":
        raise InputError(
            f"augment.balance: true needs classes to fill up, and the task is {about.task}; set it to false."
        )
    counts = np.bincount(targets, minlength=about.num_outputs)
    rank = {key: number for number, key in enumerate(sorted(keys, key=lambda key: _digest(augment.seed, key, -1)))}
    for label in np.flatnonzero(counts):
        missing = int(counts.max() - counts[label]) * (1 + augment.copies)
        each, more = divmod(missing, int(counts[label]))
        rows = sorted(np.flatnonzero(targets == label).tolist(), key=lambda row: rank[keys[row]])
        numbers[rows] += each
        numbers[rows[:more]] += 1
    return numbers


def generator(seed: int, key: bytes, number: int) -> torch.Generator:
    """The generator of one copy: of a sample by its content's hash, and of the copy by its number, from 0."""
    return torch.Generator().manual_seed(int.from_bytes(_digest(seed, key, number), "big"))


def _digest(seed: int, key: bytes, number: int) -> bytes:
    return blake2b(f"{seed} {number} ".encode() + key, digest_size=8).digest()


def _version(originals: _Originals, augment: Augment) -> str:
    """The originals', and a hash of what makes the copies what they are; alone where nothing is copied."""
    prepared = originals.about.version
    if not originals.numbers.sum():
        return prepared
    said = json.dumps(augment.model_dump(), sort_keys=True)
    return f"{prepared}{COPIED}{blake2b(said.encode(), digest_size=8).hexdigest()}"


def _write_arrays(originals: _Originals, policy: Policy, folder: Path, on_progress: Callable[[int], None]) -> None:
    copy, spec, part = originals.apply(policy), originals.about.spec, originals.part
    done = 0
    with GrowingArray(folder / "samples.npy", spec.shape, spec.dtype) as samples:
        for row, number in enumerate(originals.numbers.tolist()):
            for which in range(number):
                samples.append(copy(row, which).numpy())
            done += number
            on_progress(done)
        samples.finish()
    origin = np.repeat(np.arange(len(part), dtype=np.int64), originals.numbers)
    np.save(folder / "lengths.npy", part.lengths[origin])
    np.save(folder / "targets.npy", part.targets[origin])
    np.save(folder / "origin.npy", origin)


def _report(originals: _Originals, augment: Augment) -> Report:
    ones = np.ones(len(originals.part), np.int64)
    added, notes = int(originals.numbers.sum()), []
    if added and not is_on(augment.policy):
        notes.append("augment.policy changes nothing: the copies equal their originals.")
    before, after = (_counts(originals, weight) for weight in (ones, ones + originals.numbers))
    return Report(added, before, after, tuple(notes))


def _counts(originals: _Originals, weight: NDArray[np.int64]) -> dict[str, int]:
    about, targets = originals.about, originals.part.targets
    if about.classes is None:
        return {"samples": int(weight.sum())}
    if about.task == "classification":
        sums = np.bincount(targets, weights=weight, minlength=len(about.classes))
    else:
        sums = (targets * weight[:, None]).sum(0)
    return {name: int(total) for name, total in zip(about.classes, sums, strict=True)}


def save_report(report: Report, augment: Augment, path: Path) -> None:
    """Write `report` with the settings that led to it; the same settings and data give the same bytes."""
    said = {**asdict(report), "copies": augment.copies, "balance": augment.balance, "policy": _on(augment.policy)}
    path.write_text(json.dumps(said, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")


def _on(policy: Policy) -> dict[str, float]:
    return {name: strength for name in Policy.model_fields if (strength := getattr(policy, name)) > 0}


def _sheet(originals: _Originals, augment: Augment, online: Online) -> "Figure":
    policy, copied = augment.policy, bool(originals.numbers.sum())
    what = "copied beside the originals (augment)"
    if not copied:
        policy, what = (
            strengthened(online),
            "nothing is copied; so each batch of training is changed (recipe.augmentation)",
        )
        if not is_on(policy):
            what = "nothing is copied and nothing is changed: augment and recipe.augmentation are off"
    copy = originals.apply(policy)
    shown = SHEET_COPIES if is_on(policy) or copied else 0
    if copied:
        shown = min(SHEET_COPIES, int(originals.numbers.max()))
    rows = []
    for name, row in _shown(originals):
        here = min(shown, int(originals.numbers[row])) if copied else shown
        original = torch.from_numpy(np.array(originals.part.samples[row]))
        rows.append(Row(name, [Cell(original), *(Cell(copy(row, number)) for number in range(here))]))
    columns = ["original", *(f"copy {number + 1}" if copied else f"draw {number + 1}" for number in range(shown))]
    strengths = ", ".join(f"{name} {strength:g}" for name, strength in _on(policy).items())
    classes = len(originals.about.classes or ())
    of_all = (
        f" {len(rows)} of {classes} classes."
        if originals.about.task == "classification" and len(rows) < classes
        else ""
    )
    title = f"Training samples: {what}.{of_all}\n{strengths}".strip()
    return draw_sheet(originals.about.spec.modality, rows, columns, title)


def _shown(originals: _Originals) -> list[tuple[str, int]]:
    """Names and rows of the samples on the sheet: one a class, the most copied, else the first by content."""
    by_content = sorted(range(len(originals.keys)), key=lambda row: (-originals.numbers[row], originals.keys[row]))
    if originals.about.task != "classification":
        targets = originals.part.targets.reshape(len(originals.part), -1)
        return [(_words(originals.about, targets[row]), row) for row in by_content[:SHEET_ROWS]]
    assert originals.about.classes is not None, "classification has classes"
    first: dict[int, int] = {}
    for row in by_content:
        first.setdefault(int(originals.part.targets[row]), row)
    return [(originals.about.classes[label], first[label]) for label in sorted(first)[:SHEET_ROWS]]


def _words(about: About, target: NDArray[Any]) -> str:
    if about.classes is None:
        return "\n".join(f"{name} {value:g}" for name, value in zip(about.target_names, target, strict=True))
    return "\n".join(name for name, is_true in zip(about.classes, target, strict=True) if is_true) or "none"
