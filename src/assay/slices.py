"""What a model is worth on parts of a split, as on the pictures of one camera. Owns which samples a part has and its
name; the figures are the verdict's, and what hangs on them is decided elsewhere.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from assay.intervals import Interval, wilson
from assay.params import Evaluate
from assay.verdict import FEWEST, HEADLINES, judge

NAMED = 5  # parts that a sentence names

Rows = NDArray[np.int64]


@dataclass
class Sliced:
    """The headline figure of each part that can be judged; what a reader should know of the others."""

    figures: dict[str, Interval] = field(default_factory=dict)  # `accuracy/camera=left`
    counts: dict[str, int] = field(default_factory=dict)  # part → its samples, of all parts: `camera=left`
    missing: dict[str, str] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)


def parts_of(columns: Mapping[str, Sequence[str | None]]) -> dict[str, Rows]:
    """Each value of each column as `column=value`, with its rows; a missing value is no part.

    >>> {name: rows.tolist() for name, rows in parts_of({"camera": ["left", "right", None, "left"]}).items()}
    {'camera=left': [0, 3], 'camera=right': [1]}
    """
    found: dict[str, Rows] = {}
    for column, values in columns.items():
        named = np.array(["" if value is None else value for value in values], dtype=object)
        told = np.array([value is not None for value in values], dtype=bool)
        for value in sorted(set(named[told])):
            found[f"{column}={value}"] = np.flatnonzero(told & (named == value))
    return found


def judge_slices(
    task: str,
    outputs: NDArray[Any],
    targets: NDArray[Any],
    names: Sequence[str],
    how: Evaluate,
    columns: Mapping[str, Sequence[str | None]],
) -> Sliced:
    """The headline figure of `task` on each part.

    Args:
        outputs, targets, names, how: as `judge` takes them.
        columns: slice column → N values.
    """
    sliced = Sliced()
    for part, rows in parts_of(columns).items():
        sliced.counts[part] = len(rows)
        if len(rows) >= FEWEST:
            _judge_part(sliced, task, part, outputs[rows], targets[rows], names, how)
    small = [f"{part} ({count})" for part, count in sliced.counts.items() if count < FEWEST]
    if small:
        more = f" and {len(small) - NAMED} more" if len(small) > NAMED else ""
        told = ", ".join(small[:NAMED]) + more
        sliced.notes.append(f"slices of fewer than {FEWEST} test samples, counted and not judged: {told}.")
    return sliced


def _judge_part(
    sliced: Sliced,
    task: str,
    part: str,
    outputs: NDArray[Any],
    targets: NDArray[Any],
    names: Sequence[str],
    how: Evaluate,
) -> None:
    headline = HEADLINES[task]
    name = f"{headline}/{part}"
    if task == "classification":  # the share alone: all other figures would cost a bootstrap a part
        right = outputs.argmax(1) == targets
        sliced.figures[name] = wilson(int(right.sum()), len(right), how.confidence)
        return
    verdict = judge(task, outputs, targets, names, how)
    if headline in verdict.figures:
        sliced.figures[name] = verdict.figures[headline]
    else:
        sliced.missing[name] = verdict.missing.get(headline, "these samples cannot say.")
