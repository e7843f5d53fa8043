"""The split folders of a prepared data set, while they are written. Owns their files; decides no split."""

from collections.abc import Collection
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, NamedTuple, Self

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from assay.data.arrays import GrowingArray
from assay.data.dataset import SPLITS
from assay.data.splits import KEY_BYTES
from assay.data.targets import Targets
from assay.modality import Spec


class Row(NamedTuple):
    """What is held in memory of a sample that is on disk."""

    name: str
    key: bytes
    group: str | None
    target: NDArray[Any]
    length: int
    fingerprint: bytes
    slices: tuple[str | None, ...] = ()


@dataclass
class OpenSplit:
    """One split while it is written: its samples on disk, the rest of each row in memory."""

    folder: Path
    samples: GrowingArray
    rows: list[Row]

    def append(self, row: Row, sample: NDArray[Any]) -> None:
        self.samples.append(sample)
        self.rows.append(row)

    def drop(self, places: Collection[int]) -> None:
        """Leave out the rows at `places`; the others keep their order."""
        left_out = set(places)
        self.samples.drop(left_out)
        self.rows = [row for place, row in enumerate(self.rows) if place not in left_out]

    def targets(self, targets: Targets) -> NDArray[Any]:
        """N × the shape of a target."""
        stacked = [row.target for row in self.rows]
        return np.stack(stacked) if stacked else np.empty((0, *targets.shape), targets.dtype)

    def keys(self) -> NDArray[np.uint8]:
        """N × 16."""
        return np.frombuffer(b"".join(row.key for row in self.rows), np.uint8).reshape(-1, KEY_BYTES)

    def finish(self, targets: Targets) -> None:
        """Write everything that is not written yet."""
        self.samples.finish()
        np.save(self.folder / "lengths.npy", np.array([row.length for row in self.rows], np.int32))
        np.save(self.folder / "targets.npy", self.targets(targets))
        np.save(self.folder / "keys.npy", self.keys())
        index = {
            "key": pa.array([row.key.hex() for row in self.rows], pa.string()),
            "name": pa.array([row.name for row in self.rows], pa.string()),
            "group": pa.array([row.group for row in self.rows], pa.string()),
        }
        pq.write_table(pa.table(index), self.folder / "index.parquet")


class OpenSplits:
    """All three splits; a context manager that closes the files however it is left."""

    def __init__(self, folder: Path, spec: Spec) -> None:
        self._stack = ExitStack()
        self.splits: dict[str, OpenSplit] = {}
        for name in SPLITS:
            (folder / name).mkdir(parents=True)
            array = self._stack.enter_context(GrowingArray(folder / name / "samples.npy", spec.shape, spec.dtype))
            self.splits[name] = OpenSplit(folder / name, array, [])

    def __getitem__(self, name: str) -> OpenSplit:
        return self.splits[name]

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, _kind: type[BaseException] | None, _error: BaseException | None, _: TracebackType | None
    ) -> None:
        self._stack.close()
