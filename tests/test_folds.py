"""Who may change sides between train and validation: laws of dealing anew."""

import itertools
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pyarrow import parquet

from assay.data.dataset import Dataset, Part, Split, open_prepared
from assay.errors import InputError
from assay.folds import SMALL, Kin, kin_of, refolded
from prepared import write_train
from samples import digits

dealt = st.tuples(
    st.lists(st.integers(0, 12), min_size=8, max_size=40),  # a sample's group
    st.integers(1, 4),  # classes
    st.floats(0.1, 0.5),  # share of validation
    st.integers(0, 2**32 - 1),
)


def dataset(groups: list[int], classes: int, share: float, copies: int = 3) -> tuple[Dataset, Kin]:
    """Samples whose one pixel is their row, copies whose pixel is their original's; the class is the group's."""
    total = len(groups)
    cut = max(1, min(total - 1, round(total * (1 - share))))
    rows, targets = np.arange(total, dtype=np.int32), np.array(groups) % classes
    keys = np.zeros((total, 16), np.uint8)
    keys[:, 0] = rows
    origin = np.arange(copies, dtype=np.int64) % cut

    def part(which: np.ndarray) -> Part:
        return Part(rows[which].reshape(-1, 1), rows[which], targets[which])

    train = Split((part(np.arange(cut)), part(origin)), keys[:cut])
    whole = Dataset(digits().about, train, Split((part(np.arange(cut, total)),), keys[cut:]))
    return whole, Kin(np.array(groups, np.int64), origin)


@given(dealt)
def test_nobody_is_lost_or_doubled_and_who_belongs_together_stays_together(
    case: tuple[list[int], int, float, int],
) -> None:
    groups, classes, share, seed = case
    data, kin = dataset(groups, classes, share)
    new = refolded(data, kin, seed)
    originals, copies = new.train.parts
    train, validation = originals.samples[:, 0], new.validation.parts[0].samples[:, 0]
    assert sorted([*train, *validation]) == list(range(len(groups)))
    assert not {groups[row] for row in train} & {groups[row] for row in validation}
    assert [*new.train.keys[:, 0]] == [*train]
    assert [*new.validation.keys[:, 0]] == [*validation]
    assert [*originals.targets] == [groups[row] % classes for row in train], "a sample keeps its target"
    kept = set(train)
    assert [*copies.samples[:, 0]] == [row for row in kin.origin if row in kept], "a copy goes with its original"


@given(st.integers(20, 200), st.integers(1, 5), st.integers(0, 2**32 - 1))
def test_every_class_has_its_share_to_a_sample(total: int, classes: int, seed: int) -> None:
    data, kin = dataset(list(range(total)), classes, share=0.25, copies=0)
    new = refolded(data, kin, seed)
    share = len(data.validation) / total
    assert abs(len(new.validation) - len(data.validation)) <= 1
    for label in range(classes):
        members = sum(number % classes == label for number in range(total))
        assert abs(int((new.validation.targets == label).sum()) - members * share) <= 1 + 1e-9


def test_a_seed_deals_always_alike_and_another_otherwise() -> None:
    data, kin = dataset(list(range(60)), 3, share=0.3)
    first, again, other = (refolded(data, kin, seed).validation.keys for seed in (1, 1, 2))
    assert np.array_equal(first, again)
    assert not np.array_equal(first, other)


def test_several_targets_are_strata_too() -> None:
    for task in ("multilabel", "regression"):
        data = digits(task)
        kin = Kin(np.arange(len(data.train) + len(data.validation)), np.empty(0, np.int64))
        new = refolded(data, kin, 0)
        assert new.train.targets.shape[1] == data.train.targets.shape[1]
        assert abs(len(new.validation) - len(data.validation)) <= 1


def test_kin_is_read_from_what_prepare_and_augment_wrote(tmp_path: Path) -> None:
    prepared, augmented = tmp_path / "data", tmp_path / "augmented"
    about = write_train(prepared, np.arange(6))
    groups = {"train": ["a", "b", "a", None, None, "b"], "validation": [None] * 7 + ["c"]}
    for name, column in groups.items():
        keys = [f"{name}{row}" for row in range(len(column))]
        table = pa.table({"key": keys, "name": keys, "group": pa.array(column, pa.string())})
        parquet.write_table(table, prepared / name / "index.parquet")
    augmented.mkdir()
    (augmented / "version.txt").write_text(about.version)
    for array in ("samples", "lengths", "targets"):
        np.save(augmented / f"{array}.npy", np.load(prepared / f"train/{array}.npy")[:2])
    np.save(augmented / "origin.npy", np.array([4, 5]))
    data = open_prepared(prepared, augmented)
    kin = kin_of(data, prepared, augmented)
    assert kin is not None
    told = [*groups["train"], *groups["validation"]]
    for one, other in itertools.combinations(range(len(told)), 2):
        together = told[one] is not None and told[one] == told[other]
        assert (kin.groups[one] == kin.groups[other]) == together
    assert [*kin.origin] == [4, 5]
    np.save(augmented / "origin.npy", np.array([4]))
    with pytest.raises(InputError, match=r"origin\.npy: does not fit its 2 copies; run `assay augment` again"):
        kin_of(data, prepared, augmented)


def test_of_large_data_nobody_asks_who_belongs_to_whom(tmp_path: Path) -> None:
    rows = np.zeros((SMALL, 1), np.uint8)
    split = Split((Part(rows, np.zeros(SMALL, np.int32), np.zeros(SMALL, np.int64)),), np.zeros((SMALL, 16), np.uint8))
    assert kin_of(Dataset(digits().about, split, digits().validation), tmp_path, tmp_path) is None
