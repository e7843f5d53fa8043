"""An array that grows on disk is an ordinary .npy file at the end."""

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from assay.data import arrays
from assay.data.arrays import GrowingArray


@given(count=st.integers(0, 40), gone=st.sets(st.integers(0, 39)), block=st.integers(1, 100))
def test_what_was_appended_and_not_dropped_is_there_in_its_order(
    tmp_path: Path, count: int, gone: set[int], block: int
) -> None:
    rows = np.arange(count * 6, dtype=np.int16).reshape(count, 2, 3)
    gone = {row for row in gone if row < count}
    with pytest.MonkeyPatch.context() as patch, GrowingArray(tmp_path / "a.npy", (2, 3), "int16") as array:
        patch.setattr(arrays, "BLOCK_BYTES", block)
        for row in rows:
            array.append(row)
        array.drop(gone)
        left = np.delete(rows, sorted(gone), axis=0)
        assert len(array) == len(left)
        assert np.array_equal(array.take(range(len(left))[::-1]), left[::-1])
        array.finish()
    assert np.array_equal(np.load(tmp_path / "a.npy", mmap_mode="r"), left)


def test_rows_may_follow_a_look_and_a_removal(tmp_path: Path) -> None:
    with GrowingArray(tmp_path / "a.npy", (), "int64") as array:
        for value in range(5):
            array.append(np.asarray(value))
        array.take([0])
        array.append(np.asarray(5))
        array.drop({0, 3})
        array.append(np.asarray(6))
        array.finish()
    assert np.load(tmp_path / "a.npy").tolist() == [1, 2, 4, 5, 6]
