"""A prepared data set, opened. Owns its layout on disk; decodes nothing and changes nothing.

data/dataset.json                       spec, task, classes, target names, counts, version
data/<split>/samples.npy                N × spec.shape, memory-mapped
data/<split>/lengths.npy                N, int32
data/<split>/targets.npy                class: N int64 · multilabel: N × K float32 · regression: N × T float32
data/<split>/keys.npy                   N × 16 uint8, the content's hash
data/<split>/index.parquet              a row a sample: key (hex), name, group
augmented/{samples,lengths,targets}.npy copies of training samples, written by augment; origin.npy: N int64, the row
augmented/version.txt                   of the originals, and behind a + of their copies where there are any
slices.parquet                          a row a sample: split, key (hex), and a column for each of `evaluate.slices`;
                                        beside data/ and not in it, so that another slice makes no search stale
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from assay.errors import InputError, of_path
from assay.modality import Spec
from assay.params import LOSSES_OF_TASK

SPLITS = ("train", "validation", "test")
SLICE = "slice/"  # before a column of slices.parquet that a person has named
Slices = dict[str, list[str | None]]  # column → a value a sample
COPIED = "+"  # in a version: behind it stands that of copies


@dataclass(frozen=True)
class Part:
    """Samples that lie in one place."""

    samples: NDArray[Any]
    lengths: NDArray[np.int32]
    targets: NDArray[Any]

    def __len__(self) -> int:
        return len(self.samples)


@dataclass(frozen=True)
class Split:
    """One split: the originals, and for train the augmented copies as a second part."""

    parts: tuple[Part, ...]
    keys: NDArray[np.uint8]  # of the originals

    def __len__(self) -> int:
        return sum(len(part) for part in self.parts)

    @property
    def nbytes(self) -> int:
        return sum(part.samples.nbytes for part in self.parts)

    @property
    def targets(self) -> NDArray[Any]:
        return np.concatenate([part.targets for part in self.parts])


@dataclass(frozen=True)
class About:
    """What dataset.json says."""

    spec: Spec
    task: str
    target_names: tuple[str, ...]
    classes: tuple[str, ...] | None  # of classification and multilabel, in the order of the outputs
    counts: dict[str, int]
    version: str  # a hash of every sample, target and split, and of copies: equal data, equal version

    @classmethod
    def from_json(cls, said: Mapping[str, Any], version: str) -> Self:
        """From what `asdict` made of it, as JSON gives that back.

        Raises:
            KeyError, TypeError, ValueError: something is missing or of another kind.
        """
        spec, classes = said["spec"], said["classes"]
        shape, axes = tuple(map(int, spec["shape"])), tuple(spec["axes"])
        if len(shape) != len(axes):
            raise ValueError(f"{len(axes)} axes for a shape of {len(shape)}")
        if said["task"] not in LOSSES_OF_TASK:
            raise ValueError(f"{said['task']!r} is no task")
        return cls(
            spec=Spec(spec["modality"], shape, str(np.dtype(spec["dtype"])), axes),
            task=said["task"],
            target_names=tuple(said["target_names"]),
            classes=None if classes is None else tuple(classes),
            counts=said["counts"],
            version=version,
        )

    @property
    def originals(self) -> str:
        """The version of what was prepared, without the copies."""
        return self.version.partition(COPIED)[0]

    @property
    def num_outputs(self) -> int:
        return len(self.classes) if self.classes is not None else len(self.target_names)


@dataclass(frozen=True)
class Dataset:
    """What search and train see: the data that teaches and the data that chooses. Never test."""

    about: About
    train: Split
    validation: Split


def write_about(about: About, folder: Path) -> None:
    """Write dataset.json; the last file of a prepared data set, so that a half-written one is not opened."""
    (folder / "dataset.json").write_text(json.dumps(asdict(about), indent=1, sort_keys=True) + "\n", encoding="utf-8")


def read_about(folder: Path) -> About:
    """Read dataset.json.

    Raises:
        InputError: it is missing or damaged.
    """
    path = folder / "dataset.json"
    try:
        said = json.loads(path.read_text(encoding="utf-8"))
        return About.from_json(said, said["version"])
    except FileNotFoundError as error:
        raise InputError(f"{path}: there is no prepared data set; run `assay prepare` first.") from error
    except (ValueError, KeyError, TypeError) as error:
        raise InputError(f"{path}: is damaged ({error}); run `assay prepare` again.") from error
    except OSError as error:
        raise InputError(of_path(error)) from error


def read_split(folder: Path, name: str, augmented: Path | None = None) -> Split:
    """Open one split, memory-mapped; with `augmented`, the copies follow the originals as a second part.

    Raises:
        InputError: an array is missing, cut short, or does not fit the others or dataset.json.
    """
    about = read_about(folder)
    parts = [_part(folder / name, about)]
    if augmented is not None and (augmented / "samples.npy").exists():
        parts.append(_part(augmented, about))
    keys = _array(folder / name / "keys.npy")
    if len(keys) != len(parts[0]):
        raise InputError(f"{folder / name}: {len(keys)} keys for {len(parts[0])} samples; run `assay prepare` again.")
    return Split(tuple(parts), keys)


def read_index(folder: Path, name: str, count: int) -> tuple[list[str], list[str]]:
    """Keys (hex) and names of the `count` samples of a split.

    Raises:
        InputError: index.parquet is missing, damaged, or of other samples.
    """
    keys, names = _index(folder, name, count, ["key", "name"])
    return keys, names


def read_groups(folder: Path, name: str, count: int) -> list[str]:
    """What keeps each of the `count` samples of a split in one split with others: its group, or else its own key.

    Raises:
        InputError: see `read_index`.
    """
    keys, groups = _index(folder, name, count, ["key", "group"])
    return [f"key {key}" if group is None else f"group {group}" for key, group in zip(keys, groups, strict=True)]


def write_slices(path: Path, columns: Mapping[str, Sequence[str | None]]) -> None:
    """Write slices.parquet: `split`, `key`, and under `SLICE` + its name each slice column."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    pq.write_table(pa.table({name: pa.array(values, pa.string()) for name, values in columns.items()}), path)


def sliced_by(folder: Path) -> frozenset[str]:
    """The columns that prepare kept to slice by; none where it kept no file of them.

    Raises:
        InputError: slices.parquet is damaged.
    """
    from pyarrow import ArrowException
    from pyarrow.parquet import read_schema

    path = slices_of(folder)
    try:
        names = read_schema(path).names
    except FileNotFoundError:
        return frozenset()
    except (ArrowException, OSError) as error:
        raise InputError(f"{path}: is damaged ({str(error).splitlines()[0]}); run `assay prepare` again.") from error
    return frozenset(name.removeprefix(SLICE) for name in names if name.startswith(SLICE))


def read_slices(folder: Path, name: str, keys: NDArray[np.uint8], columns: Sequence[str]) -> Slices:
    """For each of `columns` its value of every sample of a split, as text; None where it is missing.

    Args:
        keys: of the split's samples.

    Raises:
        InputError: prepare kept no such column, or of other samples.
    """
    from pyarrow.parquet import read_table

    path, known = slices_of(folder), sliced_by(folder)
    for column in columns:
        if column not in known:
            raise InputError(f"evaluate.slices: {folder} was prepared without {column!r}; run `assay prepare` again.")
    if not columns:
        return {}
    table = read_table(path, filters=[("split", "=", name)])
    if table["key"].to_pylist() != [key.tobytes().hex() for key in keys]:
        raise InputError(f"{path}: is of other samples than {folder}; run `assay prepare` again.")
    return {column: table[SLICE + column].to_pylist() for column in columns}


def slices_of(folder: Path) -> Path:
    """Where the slices of a prepared data set lie."""
    return folder.with_name("slices.parquet")


def read_origin(augmented: Path, count: int) -> NDArray[np.int64]:
    """The row of the originals that each of the `count` copies was made of.

    Raises:
        InputError: origin.npy is missing, damaged, or of other copies.
    """
    origin = _array(augmented / "origin.npy")
    if origin.shape != (count,) or origin.dtype != np.int64:
        raise InputError(f"{augmented / 'origin.npy'}: does not fit its {count} copies; run `assay augment` again.")
    return origin


def _index(folder: Path, name: str, count: int, columns: list[str]) -> list[list[Any]]:
    from pyarrow import ArrowException
    from pyarrow.parquet import read_table

    path = folder / name / "index.parquet"
    try:
        table = read_table(path, columns=columns)
    except (ArrowException, OSError) as error:
        said = str(error).splitlines()[0]
        raise InputError(f"{path}: is missing or damaged ({said}); run `assay prepare` again.") from error
    if len(table) != count:
        raise InputError(f"{path}: has {len(table)} rows for {count} samples; run `assay prepare` again.")
    return [table[column].to_pylist() for column in columns]


def open_prepared(folder: Path, augmented: Path | None = None) -> Dataset:
    """Open what prepare wrote, and what augment added, for training: train and validation.

    Raises:
        InputError: see `read_about` and `read_split`; or augment was not run on these originals.
    """
    about = read_about(folder)
    if augmented is not None:
        about = replace(about, version=_version(about.version, augmented))
    return Dataset(about, read_split(folder, "train", augmented), read_split(folder, "validation"))


def _version(prepared: str, augmented: Path) -> str:
    """Other copies are other data to learn from: the version of the originals and their copies."""
    path = augmented / "version.txt"
    try:
        version = path.read_text(encoding="utf-8").strip()
    except FileNotFoundError as error:
        raise InputError(f"{path}: augment has not run; run `assay augment` first.") from error
    except (OSError, ValueError) as error:
        raise InputError(f"{path}: cannot be read ({error}); run `assay augment` again.") from error
    if version.partition(COPIED)[0] != prepared:
        raise InputError(f"{path}: its copies are of other data than {prepared}; run `assay augment` again.")
    return version


def _part(folder: Path, about: About) -> Part:
    labelled = about.task == "classification"
    wanted = {  # what each array has a row of
        "samples": (about.spec.shape, np.dtype(about.spec.dtype)),
        "lengths": ((), np.dtype(np.int32)),
        "targets": (() if labelled else (about.num_outputs,), np.dtype(np.int64 if labelled else np.float32)),
    }
    arrays = {name: _array(folder / f"{name}.npy") for name in wanted}
    for name, (shape, dtype) in wanted.items():
        rows = arrays[name]
        if rows.shape[1:] != shape or rows.dtype != dtype:
            found = f"{rows.dtype} of shape {rows.shape}"
            raise InputError(f"{folder / name}.npy: is damaged ({found}); run the stage that writes it again.")
    part = Part(*arrays.values())
    if not len(part.samples) == len(part.lengths) == len(part.targets):
        raise InputError(f"{folder}: its arrays differ in length; run the stage that wrote it again.")
    return part


def _array(path: Path) -> NDArray[Any]:
    try:
        array: Any = np.load(path, mmap_mode="r", allow_pickle=False)
        if not isinstance(array, np.ndarray) or not array.ndim:  # an archive, or a single number
            raise ValueError("it holds no rows")
    except FileNotFoundError as error:
        raise InputError(f"{path}: is missing; run the stage that writes it again.") from error
    except (ValueError, EOFError, OSError) as error:
        raise InputError(f"{path}: is damaged ({error}); run the stage that writes it again.") from error
    return array
