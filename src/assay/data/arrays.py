"""Arrays that grow on disk, as `.npy` files. Owns their bytes until they are finished; holds a block at most.

Rows are written, not mapped: a mapped page counts as memory of the process, a written one does not.
"""

from collections.abc import Collection, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

BLOCK_BYTES = 8 << 20  # what is held while rows move


class GrowingArray:
    """An `.npy` file of rows of one shape whose number is known at the end; a context manager that closes the file."""

    def __init__(self, path: Path, shape: tuple[int, ...], dtype: str) -> None:
        self._shape, self._dtype = shape, np.dtype(dtype)
        self._row_bytes = int(np.prod(shape, dtype=np.int64)) * self._dtype.itemsize
        self._rows = 0
        self._file = path.open("w+b")
        self._write_header()
        self._start = self._file.tell()

    def __len__(self) -> int:
        return self._rows

    def append(self, row: NDArray[Any]) -> None:
        """Write one row at the end."""
        assert row.shape == self._shape and row.dtype == self._dtype, f"{row.shape} {row.dtype} is not a row"
        self._file.write(np.ascontiguousarray(row).data)
        self._rows += 1

    def drop(self, rows: Collection[int]) -> None:
        """Take out `rows`; those behind move up, so that the order stays."""
        if not rows:
            return
        keep = np.setdiff1d(np.arange(self._rows), np.fromiter(rows, dtype=np.int64))
        first = int(min(rows))
        written = first
        block = max(1, BLOCK_BYTES // max(1, self._row_bytes))
        for start in range(first, self._rows, block):
            kept = keep[(keep >= start) & (keep < start + block)] - start
            held = self._read(start, min(block, self._rows - start))[kept]
            self._file.seek(self._start + written * self._row_bytes)
            self._file.write(held.tobytes())
            written += len(held)
        self._rows = written
        self._file.seek(self._start + written * self._row_bytes)
        self._file.truncate()

    def take(self, rows: Sequence[int]) -> NDArray[Any]:
        """Copies of a few rows, in their order."""
        here = self._file.tell()
        taken = np.concatenate([self._read(row, 1) for row in rows]) if len(rows) else self._read(0, 0)
        self._file.seek(here)
        return taken

    def finish(self) -> None:
        """Write the true number of rows into the head of the file and close it."""
        self._file.seek(0)
        self._write_header()
        assert self._file.tell() == self._start, "numpy leaves room in the head for any number of rows"
        self._file.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, _kind: type[BaseException] | None, _error: BaseException | None, _: TracebackType | None
    ) -> None:
        if not self._file.closed:
            self._file.close()

    def _read(self, start: int, count: int) -> NDArray[Any]:
        self._file.seek(self._start + start * self._row_bytes)
        held = self._file.read(count * self._row_bytes)
        return np.frombuffer(held, dtype=self._dtype).reshape((count, *self._shape))

    def _write_header(self) -> None:
        said = {"descr": self._dtype.str, "fortran_order": False, "shape": (self._rows, *self._shape)}
        np.lib.format.write_array_header_1_0(self._file, said)
