"""Whether new samples can be told from old ones by their features. Owns the classifier and its permutation test; knows
arrays, and neither a model nor what hangs on the answer.

The classifier is linear and cross-fitted: each sample is scored by what was learnt without its fold. Least squares with
a penalty have a closed form, so that every permutation of the labels is fitted anew, exactly, in some microseconds.

Shapes: N samples of both sides, F features, b permutations of one block.

Source: Lopez-Paz and Oquab, Revisiting classifier two-sample tests, ICLR 2017.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.stats import rankdata

FOLDS = 5
MOST = 2000  # samples of a side that are looked at; more change the answer little and the time much
AXES = 128  # of the features, those along which the samples differ most; as many as a small network has
PENALTY = 0.01  # of a sample, beside standardised features; of digits in other light 0.1 and 1 tell less well
ENOUGH = 10  # permutations as good as what was found, after which no more are asked
BLOCK = 4096  # permutations at once

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Apart:
    """How well new samples are told from old ones.

    Attributes:
        p: of a classifier as good as this one where there is nothing to tell.
        auc: probability that a new sample is scored above an old one; 0.5 is chance.
        rows: the new samples that were looked at, the one that differs most first.
    """

    p: float
    auc: float
    rows: NDArray[np.int64]


def told_apart(old: Floats, new: Floats, *, permutations: int, seed: int) -> Apart:
    """Tell `new` from `old`, each N × F and at least `FOLDS` samples.

    Args:
        permutations: at most; where chance does as well `ENOUGH` times, fewer (p is as sure as it need be then).
        seed: of folds and permutations; equal arguments give equal answers.
    """
    assert min(len(old), len(new)) >= FOLDS, f"{len(old)} old and {len(new)} new samples for {FOLDS} folds"
    rng = np.random.default_rng(seed)
    rows = [rng.permutation(len(side))[:MOST] for side in (old, new)]
    placed = _axes(np.concatenate([old[rows[0]], new[rows[1]]]))
    is_new = np.arange(len(placed)) >= len(rows[0])
    fold = np.concatenate([np.arange(len(each)) % FOLDS for each in rows])  # the rows are in random order already
    parts = [placed[fold == number] for number in range(FOLDS)]
    sides = [is_new[fold == number] for number in range(FOLDS)]
    solved = _solved(parts)
    sums = [_codes(side)[None] @ part for side, part in zip(sides, parts, strict=True)]
    found = float(_separation(sums, solved)[0])
    total = sum(sums)
    scores = [part @ (inverse @ (total - own)[0]) for part, inverse, own in zip(parts, solved, sums, strict=True)]
    auc = float(np.mean([_auc(score, side) for score, side in zip(scores, sides, strict=True)]))
    every = np.empty(len(placed))
    for number, score in enumerate(scores):
        every[fold == number] = score
    least = found - abs(found) * 1e-9  # equal ones, computed in another order
    p = p_of_permutations(lambda count: _drawn(rng, sides, parts, solved, count) >= least, permutations)
    return Apart(p, auc, rows[1][np.argsort(-every[is_new], kind="stable")])


def p_of_permutations(as_good: Callable[[int], NDArray[np.bool_]], most: int) -> float:
    """p by as few permutations as it takes; exact whether it stops early or not.

    Source: Besag and Clifford, Sequential Monte Carlo p-values, Biometrika 78 (1991).

    Args:
        as_good: whether chance did as well, in so many more permutations.
    """
    done = hits = 0
    block = 32
    while done < most:
        found = as_good(min(block, most - done))
        counted = hits + np.cumsum(found)
        if counted[-1] >= ENOUGH:
            return ENOUGH / (done + 1 + int(np.argmax(counted >= ENOUGH)))
        done, hits, block = done + len(found), int(counted[-1]), min(2 * block, BLOCK)
    return (hits + 1) / (most + 1)


def _axes(features: Floats) -> Floats:
    """Standardised over both sides, along the axes on which they differ most; who is new is not looked at."""
    centred = features - features.mean(0)
    spread = centred.std(0)
    varied = spread > 1e-9 * max(1.0, float(spread.max(initial=0.0)))
    scaled = centred[:, varied] / spread[varied]
    if scaled.shape[1] <= AXES:
        return np.asarray(scaled, np.float64)
    _, axes = np.linalg.eigh(scaled.T @ scaled)
    placed: Floats = scaled @ axes[:, -AXES:]
    return placed


def _solved(parts: list[Floats]) -> list[Floats]:
    """F × F a fold: what makes weights of the sums of all other folds."""
    squares = [part.T @ part for part in parts]
    total, count = sum(squares), sum(map(len, parts))
    penalty = PENALTY * count * np.eye(parts[0].shape[1])
    return [np.asarray(np.linalg.inv(total - own + penalty), np.float64) for own in squares]


def _codes(side: NDArray[np.bool_]) -> Floats:
    """Of a fold: 1 for new and 0 for old, less their mean."""
    return side.astype(np.float64) - float(side.mean())


def _separation(sums: list[Floats], solved: list[Floats]) -> Floats:
    """b: how scores go with being new, over all folds, each scored by what the others taught."""
    total = sum(sums)
    parts = [((total - own) @ inverse * own).sum(1) for own, inverse in zip(sums, solved, strict=True)]
    separation: Floats = np.sum(parts, axis=0)
    return separation


def _drawn(
    rng: np.random.Generator, sides: list[NDArray[np.bool_]], parts: list[Floats], solved: list[Floats], count: int
) -> Floats:
    """The separations of `count` permutations, each within the folds, so that those keep their numbers of new ones."""
    codes = [rng.permuted(np.tile(_codes(side), (count, 1)), axis=1) for side in sides]
    return _separation([code @ part for code, part in zip(codes, parts, strict=True)], solved)


def _auc(scores: Floats, side: NDArray[np.bool_]) -> float:
    new = int(side.sum())
    above = float(rankdata(scores)[side].sum()) - new * (new + 1) / 2
    return above / (new * (len(side) - new))
