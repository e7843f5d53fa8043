"""A source becomes a prepared data set. Owns the order of the steps and what moves into place; each step has its file.

Everything is written into a folder beside its place and moved at the end, so that a stage that was killed leaves
nothing that could be taken for a data set.
"""

import json
import math
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from assay.data.dataset import SLICE, SPLITS, About, Slices, slices_of, write_about, write_slices
from assay.data.decoding import Decoded, decode_all
from assay.data.leaks import find_leaks
from assay.data.page import write_page
from assay.data.raw import Source
from assay.data.report import Findings, Report, class_counts, data_version, find_copies, name_leaks, summarize
from assay.data.sizes import same_size
from assay.data.sources import open_source
from assay.data.splits import check_splits, split_of
from assay.data.targets import Targets, resolve
from assay.data.writing import OpenSplits, Row
from assay.errors import InputError
from assay.modality import Spec, Unreadable, of
from assay.params import Data
from assay.whole import results_of

OnProgress = Callable[[int], object]  # samples done
WRITTEN = ("report.json", "samples.html", "slices.parquet", "data")  # data last: with it the data set is there
UNREADABLE = Path(".assay/unreadable.json")  # of a run that is refused for them; its `out` stays as it was
GUESS_BYTES = 1 << 20  # of a decoded sample, before the size of the pictures is known
TOLD = 50  # samples between two words of progress
SHOWN = 5  # classes or files that a sentence names


@dataclass(frozen=True)
class Plan:
    """A source that was opened and whose labels make sense; nothing is decoded and nothing written yet."""

    data: Data
    source: Source
    targets: Targets
    slices: tuple[str, ...]  # columns that each sample brings beside its target

    @property
    def num_samples(self) -> int:
        return self.targets.num_samples

    def write(self, out: Path, on_progress: OnProgress) -> Report:
        """See `prepare`."""
        with results_of(out, WRITTEN) as partial:
            return _write(self, partial, on_progress)


def plan(data: Data, slices: Sequence[str] = ()) -> Plan:
    """Open the source and settle the task, before anything is decoded.

    Args:
        slices: columns whose values are kept beside each sample, for `evaluate`.

    Raises:
        InputError: the settings and the source do not fit.
    """
    check_splits(data.splits)
    source = open_source(data, slices)
    return Plan(data, source, resolve(source, data), tuple(slices))


def prepare(data: Data, out: Path, on_progress: OnProgress, slices: Sequence[str] = ()) -> Report:
    """Decode, check, split and write everything that `data` names.

    Writes `out/data/` and `out/slices.parquet` (layout: assay.data.dataset), `out/report.json` and `out/samples.html`,
    all or none of them.
    Where more samples are unreadable than a sentence can name, the list of them goes to UNREADABLE.
    `on_progress` hears the number of samples done.

    Raises:
        InputError: settings, source or samples do not make a data set; or the disk is full.
    """
    return plan(data, slices).write(out, on_progress)


def _write(planned: Plan, folder: Path, on_progress: OnProgress) -> Report:
    data, source, targets = planned.data, planned.source, planned.targets
    stream, spec = _decoded(source, data)
    findings = Findings()
    with OpenSplits(folder / "data", spec) as splits:
        for decoded in stream:
            findings.seen += 1
            _keep(decoded, targets, data, findings, splits)
            if findings.seen % TOLD == 0:
                on_progress(findings.seen)
        on_progress(findings.seen)
        _check_readable(findings, data)
        copies = find_copies(splits)
        leaks = find_leaks(splits)
        named = name_leaks(leaks, splits)
        for name in SPLITS:
            splits[name].drop({leak.row for leak in leaks if leak.split == name})
        _check_classes(targets, splits)
        about = _about(spec, targets, data, splits)
        report = summarize(about, data, findings, copies, splits, named, source.notes)
        report.write(folder / "report.json")
        write_page(about, splits["train"], folder / "samples.html")
        for name in SPLITS:
            splits[name].finish(targets)
        write_slices(slices_of(folder / "data"), _sliced(splits, planned.slices))
    write_about(about, folder / "data")
    return report


def _sliced(splits: OpenSplits, columns: Sequence[str]) -> Slices:
    rows = [(name, row) for name in SPLITS for row in splits[name].rows]
    found: Slices = {"split": [name for name, _ in rows], "key": [row.key.hex() for _, row in rows]}
    return found | {SLICE + column: [row.slices[at] for _, row in rows] for at, column in enumerate(columns)}


def _decoded(source: Source, data: Data) -> tuple[Iterator[Decoded], Spec]:
    """The decoded samples, and the spec that they share; their own size where the settings name none."""
    room = of(data.modality)
    if data.image_size is not None:
        spec = room.spec(data)
        return decode_all(source, data, math.prod(spec.shape) * np.dtype(spec.dtype).itemsize), spec
    side, stream = same_size(decode_all(source, data, GUESS_BYTES))
    return stream, room.spec(data.model_copy(update={"image_size": side}))


def _keep(decoded: Decoded, targets: Targets, data: Data, findings: Findings, splits: OpenSplits) -> None:
    if decoded.sample is None:
        findings.note_unreadable(decoded, decoded.reason or "")
        return
    try:
        target = targets.encode(decoded.raw.labels)
    except Unreadable as error:
        findings.note_unreadable(decoded, str(error))
        return
    findings.note(decoded)
    raw, sample = decoded.raw, decoded.sample
    split = split_of(decoded.key, raw.group, data.splits, data.split_key)
    row = Row(raw.name, decoded.key, raw.group, target, sample.length, decoded.fingerprint, raw.slices)
    splits[split].append(row, sample.array)


def _check_readable(findings: Findings, data: Data) -> None:
    bad = len(findings.unreadable)
    if bad == 0 or (bad < findings.seen and bad <= data.max_bad * findings.seen):
        return
    named = "; ".join(f"{entry['name']}: {entry['reason']}" for entry in findings.unreadable[:SHOWN])
    if bad > SHOWN:
        UNREADABLE.parent.mkdir(exist_ok=True)
        UNREADABLE.write_text(json.dumps(findings.unreadable, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
        named += f"; and {bad - SHOWN} more, all of them in {UNREADABLE}"
    if bad == findings.seen:
        raise InputError(f"data: none of {bad} samples can be read: {named}.")
    raise InputError(
        f"data.max_bad: {bad} of {findings.seen} samples cannot be used, more than the share of {data.max_bad:g}: "
        f"{named}; mend or remove them, or set data.max_bad higher."
    )


def _check_classes(targets: Targets, splits: OpenSplits) -> None:
    for name in SPLITS:
        if not splits[name].rows:
            raise InputError(f"data.splits.{name}: no sample fell into {name}; add samples or give it a larger share.")
    classes = targets.classes or ()
    totals: Counter[str] = Counter()
    missing: dict[str, list[str]] = {}
    for split in SPLITS:
        for class_name, count in zip(classes, class_counts(targets.task, splits[split], len(classes)), strict=True):
            totals[class_name] += count
            if count == 0:
                missing.setdefault(class_name, []).append(split)
    if missing:
        said = [f"{name!r} ({totals[name]} samples) has none in {' and '.join(at)}" for name, at in missing.items()]
        more = f" and {len(said) - SHOWN} more classes" if len(said) > SHOWN else ""
        raise InputError(
            f"data.target: class {', '.join(said[:SHOWN])}{more}; add samples of it, leave it out, "
            "or set another data.split_key or larger data.splits."
        )


def _about(spec: Spec, targets: Targets, data: Data, splits: OpenSplits) -> About:
    counts = {name: len(splits[name].rows) for name in SPLITS}
    version = data_version(data, (spec, targets.task, targets.names, targets.classes), splits, targets)
    return About(spec, targets.task, targets.names, targets.classes, counts, version)
