"""Near duplicates that fell into different splits. Owns how near is near; removes nothing itself.

A pair is near when its fingerprints agree but for a few bits and its arrays, after the best gain and offset, but for a
small rest. Fingerprints find candidates among millions; arrays decide. Limits: measured on crops of photographs of 128
pixels and more (JPEG quality 70, resized by 20%, 10% brighter, all three at once: 95 to 100% found), against the
5,000 MNIST digits, of whose 12.5 million pairs 2 are taken for near.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import chain, groupby, islice

import numpy as np
from numpy.typing import NDArray

from assay.data.dataset import SPLITS
from assay.data.writing import OpenSplit, OpenSplits

BANDS = 4  # of 16 bits of the leading 64: two prints that differ in at most 7 bits differ in at most 1 in some band
LEAD_BITS = 7  # that may differ among the leading 64, which is what four bands with one flip can promise
REST_SHARE = 1 / 3  # of the bits behind them that may differ
REST_OF_SPREAD = 0.2  # what may be left of an array's standard deviation after the fit, i.e. correlation 0.98
NOISE = 6.0  # or so much of 255 in uint8 arrays: coding noise where there is hardly any contrast
GAIN = 1.5  # largest ratio of contrasts
SHIFT = 40.0  # largest difference of the means, of 255
TRIES = 64  # nearest candidates whose arrays are compared
PAIRS = 1_000_000  # held at once


@dataclass(frozen=True)
class Leak:
    """A sample of a lower split that is left out, and the near duplicate of it that stays in a higher one."""

    split: str
    row: int
    kept_split: str
    kept_row: int


def find_leaks(splits: OpenSplits) -> list[Leak]:
    """What to leave out so that no near duplicate spans two splits: train gives way to validation, both to test.

    A validation sample that is left out protects nothing: only what stays is compared with train.
    """
    leaks: list[Leak] = []
    for place in reversed(range(len(SPLITS) - 1)):
        for upper in reversed(SPLITS[place + 1 :]):
            leaks += _between(splits, SPLITS[place], upper, {(leak.split, leak.row) for leak in leaks})
    return leaks


def _between(splits: OpenSplits, lower: str, upper: str, gone: set[tuple[str, int]]) -> list[Leak]:
    below, above = splits[lower], splits[upper]
    ours, theirs = _by_print(below, lower, gone), _by_print(above, upper, gone)
    our_rows, their_rows = list(ours.values()), list(theirs.values())
    found = []
    for place, near in _candidates(_array(ours), _array(theirs)):
        candidates = list(islice(chain.from_iterable(their_rows[other] for other in near), TRIES))
        for row in our_rows[place]:
            match = next((candidate for candidate in candidates if _is_close(below, row, above, candidate)), None)
            if match is not None:
                found.append(Leak(lower, row, upper, match))
    return sorted(found, key=lambda leak: leak.row)


def _by_print(split: OpenSplit, name: str, gone: set[tuple[str, int]]) -> dict[bytes, list[int]]:
    """Fingerprint → the rows that have it; a thousand blank pages are one fingerprint."""
    rows: dict[bytes, list[int]] = {}
    for row, held in enumerate(split.rows):
        if (name, row) not in gone:
            rows.setdefault(held.fingerprint, []).append(row)
    return rows


def _array(prints: dict[bytes, list[int]]) -> NDArray[np.uint8]:
    return np.frombuffer(b"".join(prints), np.uint8).reshape(len(prints), -1 if prints else 0)


def _is_close(below: OpenSplit, row: int, above: OpenSplit, candidate: int) -> bool:
    if below.rows[row].key == above.rows[candidate].key:
        return True
    return are_near(below.samples.take([row])[0], above.samples.take([candidate])[0])


def are_near(one: NDArray[np.generic], other: NDArray[np.generic]) -> bool:
    """Whether two arrays of one shape agree up to gain and offset, but for a small rest."""
    a, b = one.astype(np.float64).ravel(), other.astype(np.float64).ravel()
    noise, most = (NOISE, SHIFT) if one.dtype == np.uint8 else (0.0, np.inf)
    shift = abs(a.mean() - b.mean())
    a -= a.mean()
    b -= b.mean()
    small, large = sorted((a.std(), b.std()))
    if large <= noise:  # hardly any contrast: only brightness and noise could tell them apart
        return bool(shift <= noise and np.sqrt(np.mean((a - b) ** 2)) <= noise)
    if shift > most or large > GAIN * small:
        return False
    correlation = float(np.mean(a * b) / (small * large))
    rest = large * np.sqrt(max(0.0, 1 - correlation**2))
    return bool(correlation > 0 and rest <= max(noise, REST_OF_SPREAD * large))


def _candidates(lower: NDArray[np.uint8], upper: NDArray[np.uint8]) -> Iterator[tuple[int, list[int]]]:
    """For each row of `lower` that has any: the rows of `upper` with nearly its fingerprint, the nearest first."""
    if not len(lower) or not len(upper):
        return
    tables = [_Table(_band(upper, band)) for band in range(BANDS)]
    block = max(1, PAIRS // len(upper))
    for start in range(0, len(lower), block):
        part = lower[start : start + block]
        joined = [pairs for band, table in enumerate(tables) for pairs in table.near(_band(part, band))]
        ours, theirs = np.divmod(np.unique(np.concatenate(joined)), len(upper))
        distance, is_near = _distances(part[ours], upper[theirs])
        ours, theirs, distance = ours[is_near], theirs[is_near], distance[is_near]
        order = np.lexsort((theirs, distance, ours))
        for row, places in groupby(order, key=lambda place: int(ours[place])):
            yield start + row, [int(theirs[place]) for place in places]


class _Table:
    """The rows of a split sorted by one band of their fingerprints."""

    def __init__(self, bands: NDArray[np.uint16]) -> None:
        self._order = np.argsort(bands, kind="stable")
        self._sorted = bands[self._order]

    def near(self, bands: NDArray[np.uint16]) -> Iterator[NDArray[np.int64]]:
        """Pairs whose band agrees or differs in one bit, as numbers: row of `bands` × size of the table + row in it."""
        for flip in (0, *(1 << bit for bit in range(16))):
            wanted = bands ^ np.uint16(flip)
            low = np.searchsorted(self._sorted, wanted, "left")
            counts = np.searchsorted(self._sorted, wanted, "right") - low
            ours = np.repeat(np.arange(len(bands)), counts)
            within = np.arange(len(ours)) - np.repeat(np.cumsum(counts) - counts, counts)
            yield ours * len(self._order) + self._order[np.repeat(low, counts) + within]


def _band(prints: NDArray[np.uint8], band: int) -> NDArray[np.uint16]:
    return np.ascontiguousarray(prints[:, 2 * band : 2 * band + 2]).view(np.uint16).ravel()


def _distances(ours: NDArray[np.uint8], theirs: NDArray[np.uint8]) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
    """Bits that differ, of all, and whether they are few enough among the leading ones and among the rest."""
    bits = np.bitwise_count(ours ^ theirs).astype(np.int64)
    lead, rest = bits[:, :8].sum(axis=1), bits[:, 8:].sum(axis=1)
    most = REST_SHARE * 8 * max(0, ours.shape[1] - 8)
    return lead + rest, (lead <= LEAD_BITS) & (rest <= most)
