"""Labels become a task and numbers, or a sentence that says what to name."""

from collections.abc import Iterator, Sequence
from decimal import Decimal
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from assay.data.raw import Labels, Raw
from assay.data.targets import natural, resolve
from assay.errors import InputError
from assay.modality import Unreadable
from assay.params import Data


class Columns:
    """A source of labels without samples."""

    is_labelled_by_class = False

    def __init__(self, **columns: Sequence[Any]) -> None:
        self.target_names = tuple(columns)
        self.notes: list[str] = []
        self._rows = list(zip(*columns.values(), strict=True))

    def labels(self) -> Iterator[Labels]:
        return iter(self._rows)

    def __iter__(self) -> Iterator[Raw]:
        return iter(())


AUTO = [
    ("text is classes", {"kind": ["b", "a", "b"]}, "classification", ("a", "b")),
    ("a few whole numbers are classes", {"digit": [10, 2, 1] * 3}, "classification", ("1", "2", "10")),
    ("so are those of a CSV file", {"digit": ["10", "2", "1"]}, "classification", ("1", "2", "10")),
    ("and whole numbers stored as floats", {"digit": [1.0, 0.0, 2.0]}, "classification", ("0", "1", "2")),
    ("truth values are classes", {"sick": [True, False]}, "classification", ("False", "True")),
    ("many fractions are amounts", {"size": [number / 7 for number in range(50)]}, "regression", None),
    ("so are they as text", {"size": [f"{number}.5" for number in range(50)]}, "regression", None),
    ("whole numbers that hardly repeat are amounts", {"age": list(range(60))}, "regression", None),
    ("exact decimals are amounts", {"size": [Decimal(number) / 8 for number in range(50)]}, "regression", None),
    ("whole decimals are classes", {"digit": [Decimal("1.00"), Decimal("10.00")]}, "classification", ("1", "10")),
    ("columns of 0 and 1 are labels", {"cat": [0, 1, 1], "dog": ["1", "1", "0"]}, "multilabel", ("cat", "dog")),
    ("columns of numbers are amounts", {"x": [0.5, 1, 2], "y": [3, 4, 5]}, "regression", None),
]


@pytest.mark.parametrize(("columns", "task", "classes"), [case[1:] for case in AUTO], ids=[case[0] for case in AUTO])
def test_the_task_is_seen_from_the_labels(
    columns: dict[str, list[Any]], task: str, classes: tuple[str, ...] | None
) -> None:
    targets = resolve(Columns(**columns), Data())
    assert (targets.task, targets.classes) == (task, classes)
    rows = [targets.encode(labels) for labels in Columns(**columns).labels()]
    assert {(row.dtype.name, row.shape) for row in rows} == {(targets.dtype, targets.shape)}


def test_a_class_is_the_place_of_its_name_and_numbers_are_themselves() -> None:
    digits = resolve(Columns(digit=["10", "2"]), Data())
    assert [int(digits.encode((name,))) for name in ("2", "10")] == [0, 1]
    amounts = resolve(Columns(x=["0.25", "3"], y=[1.5, 2]), Data())
    assert np.array_equal(amounts.encode(("0.25", 1.5)), np.array([0.25, 1.5], np.float32))


def test_a_missing_label_is_a_bad_sample_and_no_class() -> None:
    targets = resolve(Columns(kind=["a", None, "", "b", float("nan")]), Data())
    assert targets.classes == ("a", "b")
    for value in (None, " ", float("nan")):
        with pytest.raises(Unreadable, match="its target 'kind' is missing"):
            targets.encode((value,))


WRONG = [
    (
        {"age": [number % 30 for number in range(300)]},
        {},
        r"data\.task: 'age' holds 30 different whole numbers.*set data\.task",
    ),
    (
        {"stars": [0.5, 1.0, 1.5] * 9},
        {},
        r"'stars' holds 3 different numbers with fractions.*classification or regression",
    ),
    ({"kind": ["a", "a"]}, {}, r"every sample is 'a'; a classifier needs at least two classes"),
    ({"kind": []}, {}, r"'kind': there is no sample"),
    ({"kind": [None, ""]}, {}, r"'kind': all 2 values are missing"),
    ({"size": [1.5, "old", 2]}, {"task": "regression"}, r"'size' of sample 2 is 'old', not a finite number"),
    ({"size": [1.5, "inf"]}, {"task": "regression"}, r"'size' of sample 2 is 'inf', not a finite number"),
    ({"size": [2, 2]}, {"task": "regression"}, r"'size' is 2 everywhere; nothing to learn"),
    (
        {"cat": [0, 2], "dog": [1, 1]},
        {"task": "multilabel"},
        r"'cat' holds 2; labels of a multilabel task are 0 or 1",
    ),
    ({"x": ["a", "b"], "y": [1, 2]}, {}, r"'x' holds 'a'; name one column"),
    ({"x": [0, 1], "y": [1, 0]}, {"task": "classification"}, r"classification predicts one column, not 2"),
    ({"x": [[1, 2], [3]]}, {}, r"data\.target: 'x' of sample 1 is a list; make it one column a value"),
    ({"x": ["a", b"\xff"]}, {}, r"data\.target: 'x' of sample 2 is bytes that are no UTF-8; save it as text"),
    ({"cat": [0, 1], "dog": [1, 1]}, {}, r"data\.target: 'dog' is 1 everywhere; leave it out"),
    (
        {"y": [1.5, -1e39]},
        {"task": "regression"},
        r"'y' of sample 2 is -1e\+39, beyond .* float32 holds \(3\.4e\+38\)",
    ),
    ({"y": [f"{number + 0.5}e39" for number in range(50)]}, {}, r"'y' of sample 1 is '0\.5e39', beyond what float32"),
]


@pytest.mark.parametrize(("columns", "how", "said"), WRONG)
def test_labels_that_fit_no_task_are_refused_with_the_remedy(
    columns: dict[str, list[Any]], how: dict[str, Any], said: str
) -> None:
    with pytest.raises(InputError, match=said):
        resolve(Columns(**columns), Data(**how))


@pytest.mark.parametrize(("task", "classes"), [("classification", 30), ("regression", None)])
def test_what_is_ambiguous_is_settled_by_name(task: Any, classes: int | None) -> None:
    targets = resolve(Columns(age=[number % 30 for number in range(300)]), Data(task=task))
    assert targets.task == task and (targets.classes and len(targets.classes)) == classes


def test_the_largest_amount_of_float32_is_one() -> None:
    largest = float(np.finfo(np.float32).max)
    targets = resolve(Columns(y=[largest, -largest]), Data(task="regression"))
    assert [float(targets.encode((value,))[0]) for value in (largest, -largest)] == [largest, -largest]


def test_names_sort_as_people_do() -> None:
    names = ["img10", "b", "10", "-1", "2", "img2", "B", "a", "2.5"]
    assert sorted(names, key=natural) == ["-1", "2", "2.5", "10", "a", "B", "b", "img2", "img10"]


@given(names=st.lists(st.text() | st.integers().map(str), unique=True), data=st.data())
def test_any_names_have_one_order(names: list[str], data: st.DataObject) -> None:
    shuffled = data.draw(st.permutations(names))
    assert sorted(names, key=natural) == sorted(shuffled, key=natural)
