"""What prepare found, for report.json. Owns its words and figures; no times, paths of a machine, or chance in it."""

import json
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, field
from hashlib import blake2b
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from assay.data.dataset import SPLITS, About
from assay.data.decoding import Decoded
from assay.data.leaks import Leak
from assay.data.targets import Targets
from assay.data.writing import OpenSplit, OpenSplits, Row
from assay.params import Data

LISTED = 1000  # entries of any one list; the count beside it is of all
SIZES = 20  # commonest sizes on arrival
TO_JUDGE = 10  # samples of a class in test below which its figures say nothing
LOOKED_AT = 1000  # training samples that the channel statistics come from, evenly spread


@dataclass
class Findings:
    """What is noted while samples are decoded."""

    seen: int = 0
    unreadable: list[dict[str, str]] = field(default_factory=list)
    odd: dict[str, list[dict[str, str]]] = field(default_factory=lambda: defaultdict(list))
    odd_counts: Counter[str] = field(default_factory=Counter)
    sizes: Counter[tuple[int, ...]] = field(default_factory=Counter)

    def note_unreadable(self, decoded: Decoded, reason: str) -> None:
        self.unreadable.append({"name": decoded.raw.name, "reason": reason})

    def note(self, decoded: Decoded) -> None:
        """Note the size and the oddities of a readable sample."""
        assert decoded.sample is not None
        self.sizes[decoded.sample.size] += 1
        for finding in decoded.findings:
            self.odd_counts[finding.kind] += 1
            if len(self.odd[finding.kind]) < LISTED:
                self.odd[finding.kind].append({"name": decoded.raw.name, "why": finding.why})


@dataclass(frozen=True)
class Report:
    """What prepare wrote and found."""

    about: About
    figures: dict[str, Any]  # what report.json holds

    def write(self, path: Path) -> None:
        text = json.dumps(self.figures, indent=1, ensure_ascii=False)
        path.write_text(text + "\n", encoding="utf-8")

    def sentences(self) -> list[str]:
        """What a person should read at the terminal: the outcome first, then what deserves a look."""
        figures = self.figures
        kept = ", ".join(f"{name} {count}" for name, count in figures["counts"].items())
        said = [f"{figures['samples']} samples: {kept}; {figures['task']}."]
        if figures["unreadable"]["count"]:
            first = figures["unreadable"]["list"][0]
            said.append(f"{figures['unreadable']['count']} unreadable, e.g. {first['name']}: {first['reason']}.")
        if figures["near_duplicates"]["count"]:
            said.append(f"{figures['near_duplicates']['count']} left out: near duplicates in a higher split.")
        if figures["conflicts"]["count"]:
            example = " and ".join(figures["conflicts"]["list"][0][:2])
            said.append(f"{figures['conflicts']['count']} contents carry different targets, e.g. {example}.")
        for name in figures["too_small_to_judge"]:
            said.append(f"class {name!r} has fewer than {TO_JUDGE} samples in test: too few to judge it.")
        return [*said, *figures["notes"]]


def summarize(
    about: About,
    data: Data,
    findings: Findings,
    copies: "Copies",
    splits: OpenSplits,
    leaks: Sequence["NamedLeak"],
    notes: Sequence[str],
) -> Report:
    """Gather the figures; `splits` after the leaks were taken out, `copies` from all samples."""
    classes = _class_counts(about, splits)
    figures = {
        "source": data.source,
        "version": about.version,
        "task": about.task,
        "targets": list(about.target_names),
        "samples": findings.seen,
        "counts": about.counts,
        "classes": classes,
        "too_small_to_judge": [name for name, counts in classes.items() if counts["test"] < TO_JUDGE],
        "shape": dict(zip(about.spec.axes, about.spec.shape, strict=True)),
        "unreadable": _list(findings.unreadable),
        "exact_duplicates": copies.duplicates,
        "conflicts": copies.conflicts,
        "near_duplicates": _list([asdict(leak) for leak in leaks])
        | {"left_out": {name: sum(leak.split == name for leak in leaks) for name in SPLITS[:2]}},
        "odd": {kind: {"count": findings.odd_counts[kind], "list": odd} for kind, odd in sorted(findings.odd.items())},
        "sizes": _sizes(findings.sizes),
        "channels": _channel_statistics(about, splits["train"]),
        "notes": list(notes),
    }
    if about.task == "regression":
        figures["target_statistics"] = _target_statistics(about, splits)
    return Report(about, figures)


@dataclass(frozen=True)
class NamedLeak:
    """A leak by the names of its samples."""

    name: str
    split: str
    near: str
    near_split: str


def name_leaks(leaks: Iterable[Leak], splits: OpenSplits) -> list[NamedLeak]:
    """Names for rows, while the rows are still there."""
    return [
        NamedLeak(
            splits[leak.split].rows[leak.row].name, leak.split,
            splits[leak.kept_split].rows[leak.kept_row].name, leak.kept_split,
        )
        for leak in leaks
    ]  # fmt: skip


@dataclass(frozen=True)
class Copies:
    """Samples of equal content: how many, and those that carry different targets."""

    duplicates: dict[str, Any]
    conflicts: dict[str, Any]


def find_copies(splits: OpenSplits) -> Copies:
    """Exact duplicates stay, since a set may repeat a sample on purpose; they are always in one split or one group."""
    by_key: dict[bytes, list[Row]] = defaultdict(list)
    for name in SPLITS:
        for row in splits[name].rows:
            by_key[row.key].append(row)
    repeated = [rows for rows in by_key.values() if len(rows) > 1]
    differing = [rows for rows in repeated if any(not np.array_equal(row.target, rows[0].target) for row in rows)]
    duplicates = _list([[row.name for row in rows] for rows in repeated])
    duplicates["samples"] = sum(len(rows) - 1 for rows in repeated)
    return Copies(duplicates, _list([[row.name for row in rows] for rows in differing]))


def data_version(data: Data, about_parts: tuple[Any, ...], splits: OpenSplits, targets: Targets) -> str:
    """A hash of every key, target and split, of the shape and of how samples are sized: equal data, equal version."""
    digest = blake2b(digest_size=8)
    digest.update(json.dumps([about_parts, data.resize], default=str).encode())
    for name in SPLITS:
        digest.update(name.encode())
        digest.update(splits[name].keys().tobytes())
        digest.update(splits[name].targets(targets).tobytes())
    return digest.hexdigest()


def _list(found: list[Any]) -> dict[str, Any]:
    return {"count": len(found), "list": found[:LISTED]}


def _class_counts(about: About, splits: OpenSplits) -> dict[str, dict[str, int]]:
    """Class → split → samples; of a multilabel task the samples that carry the label."""
    counts = {name: dict.fromkeys(SPLITS, 0) for name in about.classes or ()}
    for split in SPLITS:
        for place, count in enumerate(class_counts(about.task, splits[split], len(counts))):
            counts[(about.classes or ())[place]][split] = int(count)
    return counts


def class_counts(task: str, split: OpenSplit, num_classes: int) -> list[int]:
    """Samples of each class in a split, none for a regression."""
    if not num_classes or not split.rows:
        return [0] * num_classes
    stacked = np.stack([row.target for row in split.rows])
    counted = np.bincount(stacked, minlength=num_classes) if task == "classification" else stacked.sum(axis=0)
    return [int(count) for count in counted]


def _sizes(sizes: Counter[tuple[int, ...]]) -> dict[str, Any]:
    commonest = sorted(sizes.items(), key=lambda item: (-item[1], item[0]))
    listed = {"×".join(map(str, reversed(size))): count for size, count in commonest[:SIZES]}
    return {"different": len(sizes), "commonest": listed}


def _channel_statistics(about: About, train: OpenSplit) -> dict[str, Any]:
    """Mean and standard deviation of each channel over at most LOOKED_AT training samples; test is never looked at."""
    axis = about.spec.axes.index("channel") if "channel" in about.spec.axes else None
    if axis is None or not train.rows:
        return {}
    rows = np.unique(np.linspace(0, len(train.rows) - 1, LOOKED_AT).astype(int))
    total = np.zeros(about.spec.shape[axis])
    squares = np.zeros_like(total)
    for row in rows:
        planes = np.moveaxis(train.samples.take([int(row)])[0], axis, 0).reshape(len(total), -1).astype(np.float64)
        total += planes.mean(axis=1)
        squares += np.square(planes).mean(axis=1)
    mean = total / len(rows)
    spread = np.sqrt(np.maximum(0, squares / len(rows) - mean**2))
    return {"samples": len(rows), "mean": _rounded(mean), "std": _rounded(spread)}


def _rounded(values: NDArray[np.float64]) -> list[float]:
    return [round(float(value), 3) for value in values]


def _target_statistics(about: About, splits: OpenSplits) -> dict[str, Any]:
    said: dict[str, Any] = {}
    for place, name in enumerate(about.target_names):
        said[name] = {}
        for split in SPLITS:
            values = np.array([row.target[place] for row in splits[split].rows], np.float64)
            said[name][split] = {
                "mean": round(float(values.mean()), 6), "std": round(float(values.std()), 6),
                "min": float(values.min()), "max": float(values.max()),
            }  # fmt: skip
    return said
