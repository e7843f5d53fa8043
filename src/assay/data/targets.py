"""What is predicted: the task, its classes, and targets as numbers. Owns their encoding; sees labels, never samples.

Nothing is guessed: where the labels could mean two tasks, the settings must name one.
"""

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from functools import cached_property
from numbers import Real
from typing import Any

import numpy as np
from numpy.typing import NDArray

from assay.data.raw import Labels, Source
from assay.errors import InputError
from assay.modality import Unreadable
from assay.params import Data, Task

FEW = 20  # whole numbers with at most so many values are classes without being asked
LARGEST = float(np.finfo(np.float32).max)  # of an amount: beyond it float32 knows infinity alone
OFTEN = 5  # whole numbers that repeat less often than this on average are no classes


@dataclass(frozen=True)
class Targets:
    """How labels become arrays: class: int64 scalar · multilabel: float32 K · regression: float32 T."""

    task: Task
    names: tuple[str, ...]
    classes: tuple[str, ...] | None
    num_samples: int  # that were looked at, with a target or without

    @property
    def dtype(self) -> str:
        return "int64" if self.task == "classification" else "float32"

    @property
    def shape(self) -> tuple[int, ...]:
        """Of one sample's target."""
        return () if self.task == "classification" else (len(self.names),)

    def encode(self, labels: Labels) -> NDArray[Any]:
        """The array of one sample.

        Raises:
            Unreadable: a label is missing.
        """
        for name, value in zip(self.names, labels, strict=True):
            if is_missing(value):
                raise Unreadable(f"its target {name!r} is missing")
        if self.task == "classification":
            return np.asarray(self._places[as_class(labels[0])], dtype=np.int64)
        return np.asarray([as_number(value) for value in labels], dtype=np.float32)

    @cached_property
    def _places(self) -> dict[str, int]:
        return {name: place for place, name in enumerate(self.classes or ())}


@dataclass
class _Column:
    """What one pass over a column of labels has shown."""

    name: str
    seen: int = 0
    missing: int = 0
    values: set[str] = field(default_factory=set)
    not_a_number: tuple[int, Any] | None = None  # the first: its sample, counted from 1, and its value
    too_large: tuple[int, Any] | None = None  # likewise the first
    not_a_label: Any = None  # the first value that is neither 0 nor 1
    is_whole: bool = True

    def add(self, number: int, value: Any) -> None:
        if isinstance(value, list | tuple | dict | set | np.ndarray):
            raise InputError(f"data.target: {self.name!r} of sample {number} is a list; make it one column a value.")
        if isinstance(value, bytes):
            raise InputError(
                f"data.target: {self.name!r} of sample {number} is bytes that are no UTF-8; save it as text or number."
            )
        if is_missing(value):
            self.missing += 1
            return
        self.seen += 1
        self.values.add(as_class(value))
        amount = as_number(value)
        if amount not in (0.0, 1.0) and self.not_a_label is None:
            self.not_a_label = value
        if amount is None or not math.isfinite(amount):
            self.not_a_number = self.not_a_number or (number, value)
        elif abs(amount) > LARGEST:
            self.too_large = self.too_large or (number, value)
        elif amount != int(amount):
            self.is_whole = False

    @property
    def num_samples(self) -> int:
        return self.seen + self.missing


def resolve(source: Source, data: Data) -> Targets:
    """The task, target names and classes, from one cheap pass over the labels and from `data.task`.

    Raises:
        InputError: no samples, one class only, labels that do not fit the task, or a task that must be named.
    """
    columns = [_Column(name) for name in source.target_names]
    for number, labels in enumerate(source.labels(), start=1):
        for column, value in zip(columns, labels, strict=True):
            column.add(number, value)
    for column in columns:
        if not column.seen:
            said = f"all {column.missing} values are missing" if column.missing else "there is no sample"
            raise InputError(f"data.target: {column.name!r}: {said}.")
    task = _task(columns, source, data)
    check = {"classification": _as_classification, "multilabel": _as_multilabel, "regression": _as_regression}
    return check[task](columns)


def natural(name: str) -> tuple[Any, ...]:
    """The key that sorts names as people do: numbers by size (`2` before `10`, `img2` before `img10`), then text."""
    if (number := as_number(name)) is not None and math.isfinite(number):
        return (0, number, name)
    parts = re.split(r"(\d+)", name)
    keys = [(part.casefold(), 0) if place % 2 == 0 else ("", int(part)) for place, part in enumerate(parts)]
    return (1, *keys, (name, 0))


def as_class(value: Any) -> str:
    """The name of a class: text as it is, whole numbers without a point."""
    if isinstance(value, float | np.floating | Decimal) and math.isfinite(value) and value == int(value):
        return str(int(value))
    return str(value)


def as_number(value: Any) -> float | None:
    """The value as a number, None where it is none; text that reads as a number is one."""
    if isinstance(value, Real | Decimal | np.bool_):
        return float(value)
    try:
        return float(value) if isinstance(value, str) and "_" not in value else None
    except ValueError:
        return None


def is_missing(value: Any) -> bool:
    """None, NaN, or nothing but blanks."""
    if value is None or (isinstance(value, float | np.floating) and math.isnan(value)):
        return True
    return isinstance(value, str) and value.strip().lower() in ("", "nan")


def _task(columns: Sequence[_Column], source: Source, data: Data) -> Task:
    if data.task != "auto":
        return data.task
    if source.is_labelled_by_class:
        return "classification"
    if len(columns) > 1:
        return _task_of_many(columns)
    column = columns[0]
    if column.not_a_number is not None:
        return "classification"
    distinct = len(column.values)
    if column.is_whole and distinct <= FEW:
        return "classification"
    if distinct > FEW and (not column.is_whole or column.seen / distinct < OFTEN):
        return "regression"
    kind = "whole numbers" if column.is_whole else "numbers with fractions"
    raise InputError(
        f"data.task: {column.name!r} holds {distinct} different {kind}, which may be classes or amounts; "
        "set data.task to classification or regression."
    )


def _task_of_many(columns: Sequence[_Column]) -> Task:
    if all(column.not_a_label is None for column in columns):
        return "multilabel"
    text = [column.name for column in columns if column.not_a_number is not None]
    if not text:
        return "regression"
    raise InputError(
        f"data.task: several targets are labels of 0 and 1, or numbers, but {text[0]!r} holds "
        f"{_shown(columns, text[0])!r}; name one column to predict its classes, or columns of numbers."
    )


def _shown(columns: Sequence[_Column], name: str) -> Any:
    return next(column.not_a_number[1] for column in columns if column.name == name and column.not_a_number)


def _as_classification(columns: Sequence[_Column]) -> Targets:
    if len(columns) > 1:
        raise InputError(f"data.target: classification predicts one column, not {len(columns)}; name one.")
    classes = tuple(sorted(columns[0].values, key=natural))
    if len(classes) < 2:
        raise InputError(f"data.target: every sample is {classes[0]!r}; a classifier needs at least two classes.")
    return Targets("classification", (columns[0].name,), classes, columns[0].num_samples)


def _as_multilabel(columns: Sequence[_Column]) -> Targets:
    for column in columns:
        if column.not_a_label is not None:
            raise InputError(
                f"data.target: {column.name!r} holds {column.not_a_label!r}; labels of a multilabel task are 0 or 1."
            )
        if len(column.values) < 2:
            raise InputError(
                f"data.target: {column.name!r} is {min(column.values)} everywhere; leave it out, or add other samples."
            )
    names = tuple(column.name for column in columns)
    return Targets("multilabel", names, names, columns[0].num_samples)


def _as_regression(columns: Sequence[_Column]) -> Targets:
    for column in columns:
        if column.not_a_number is not None:
            number, value = column.not_a_number
            raise InputError(
                f"data.target: {column.name!r} of sample {number} is {value!r}, not a finite number; "
                "regression predicts numbers: mend the column or set data.task: classification."
            )
        if column.too_large is not None:
            number, value = column.too_large
            raise InputError(
                f"data.target: {column.name!r} of sample {number} is {value!r}, beyond what float32 holds "
                f"({LARGEST:.1e}); give the column in a larger unit."
            )
        if len(column.values) < 2:
            raise InputError(f"data.target: {column.name!r} is {min(column.values)} everywhere; nothing to learn.")
    return Targets("regression", tuple(column.name for column in columns), None, columns[0].num_samples)
