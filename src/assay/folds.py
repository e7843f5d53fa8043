"""Train and validation dealt anew, for small data, where a recipe may be the best of many by the luck of one split.
Owns who may change sides: whole groups, strata in their shares, a copy with its original. Test takes no part.

Shapes: N originals of train and validation together, C augmented copies.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from assay.data.dataset import Dataset, Part, Split, read_groups, read_origin

SMALL = 10_000  # N: of more the split adds little luck to a seed's, and dealing copies the arrays

Ints = NDArray[np.int64]


@dataclass(frozen=True)
class Kin:
    """What must stay together."""

    groups: Ints  # N, train first: equal numbers stay in one split
    origin: Ints  # C: the row of train's originals that a copy was made of


def kin_of(data: Dataset, prepared: Path, augmented: Path) -> Kin | None:
    """Who belongs to whom; None where the data is not small.

    Raises:
        InputError: index.parquet or origin.npy is missing, damaged, or of other samples.
    """
    counts = {"train": len(data.train.parts[0]), "validation": len(data.validation)}
    if sum(counts.values()) > SMALL:
        return None
    names = [name for split, count in counts.items() for name in read_groups(prepared, split, count)]
    groups = np.unique(names, return_inverse=True)[1].astype(np.int64)
    copies = sum(len(part) for part in data.train.parts[1:])
    return Kin(groups, read_origin(augmented, copies) if copies else np.empty(0, np.int64))


def refolded(data: Dataset, kin: Kin, seed: int) -> Dataset:
    """`data` with other samples in train and in validation, about as many of each; equal seeds deal equally.

    Copies go with their originals while these are in train, and are left out where not; who comes into train has none.
    """
    train, validation = data.train.parts[0], data.validation.parts[0]
    both = Part(*(np.concatenate(pair) for pair in zip(_arrays(train), _arrays(validation), strict=True)))
    keys = np.concatenate([data.train.keys, data.validation.keys])
    held = _dealt(kin.groups, _strata(both.targets), len(validation) / len(both), seed)
    parts = [_rows(both, ~held)]
    if len(data.train.parts) > 1:
        parts.append(_rows(data.train.parts[1], ~held[kin.origin]))
    return Dataset(data.about, Split(tuple(parts), keys[~held]), Split((_rows(both, held),), keys[held]))


def _dealt(groups: Ints, strata: Ints, share: float, seed: int) -> NDArray[np.bool_]:
    """N: who is held out. Of the groups, in the order of their strata and at random within, every (1 / share)-th, so
    that every stratum has its share (systematic sampling: Madow and Madow 1944)."""
    rng = np.random.default_rng(seed)
    names, first = np.unique(groups, return_index=True)
    order = np.lexsort((rng.random(len(names)), strata[first]))
    steps = np.floor(np.arange(len(names) + 1) * share - rng.random())
    chosen = names[order[np.diff(steps) > 0]]
    return np.isin(groups, chosen)


def _strata(targets: NDArray[Any]) -> Ints:
    """N: equal targets are equal, near numbers near; of several targets the first counts most."""
    if targets.ndim == 1:
        return targets.astype(np.int64)
    places: Ints = np.unique(targets, axis=0, return_inverse=True)[1].astype(np.int64).reshape(-1)
    return places


def _rows(part: Part, mask: NDArray[np.bool_]) -> Part:
    return Part(*(array[mask] for array in _arrays(part)))


def _arrays(part: Part) -> tuple[NDArray[Any], ...]:
    return part.samples, part.lengths, part.targets
