"""What a model's outputs are worth on samples it never saw: every figure of a task, each with its interval.

Owns the figures' names and formulas; knows outputs and targets as arrays, and no model, file or picture.

Shapes: N samples, K outputs (classes, labels or targets), b resamples of one block (intervals.py).
"""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_array
from scipy.special import log_softmax
from scipy.stats import rankdata
from threadpoolctl import threadpool_limits

from assay.intervals import Interval, Scores, Weights, bootstrap, mean_of_shares, tally_of, wilson
from assay.params import Evaluate

HEADLINES: Mapping[str, str] = {"classification": "accuracy", "multilabel": "macro_f1", "regression": "r2"}
FEWEST = 10  # test samples of a class below which its figures are called unsure; DESIGN: said, not guessed
BINS = 15  # of the calibration error: Guo et al., On Calibration of Modern Neural Networks, ICML 2017

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]


@dataclass
class Verdict:
    """Figures with intervals; what could not be computed and why; what a reader should know."""

    figures: dict[str, Interval] = field(default_factory=dict)
    missing: dict[str, str] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)


def judge(task: str, outputs: NDArray[Any], targets: NDArray[Any], names: Sequence[str], how: Evaluate) -> Verdict:
    """Every figure of `task`.

    Args:
        outputs: N × K: logits of classification and multilabel, values of regression.
        targets: N class numbers, N × K zeros and ones, or N × K values.
        names: K classes, labels or targets.
    """
    assert len(outputs) == len(targets), f"{len(outputs)} outputs for {len(targets)} targets"
    assert outputs.ndim == 2 and outputs.shape[1] == len(names), f"outputs {outputs.shape} for {len(names)} names"
    verdict = Verdict()
    if len(targets) == 0:
        verdict.missing["all"] = "there are no samples."
        return verdict
    with threadpool_limits(1, user_api="blas"):  # a block's products gain nothing from more, least on a busy machine
        _JUDGES[task](verdict, outputs.astype(np.float64), np.asarray(targets), names, how)
    verdict.figures = {name: verdict.figures[name] for name in sorted(verdict.figures, key=_order)}
    verdict.missing = dict(sorted(verdict.missing.items(), key=lambda item: _order(item[0])))
    return verdict


def calibration_bins(confidence: Floats) -> Ints:
    """The bin, 0…BINS-1, of each confidence in 0…1; equal widths."""
    return np.minimum((confidence * BINS).astype(np.int64), BINS - 1)


def calibration_error(outputs: NDArray[Any], targets: Ints) -> float:
    """The expected calibration error of logits, N × K: how far a model's confidence lies from how often it is right."""
    log_p = log_softmax(outputs.astype(np.float64), axis=1)
    confidence, right = np.exp(log_p.max(1)), log_p.argmax(1) == targets
    off = np.bincount(calibration_bins(confidence), confidence - right, minlength=BINS)
    return float(np.abs(off).sum() / len(targets))


def _order(name: str) -> tuple[bool, str, str]:
    figure, _, part = name.partition("/")
    return bool(part), figure, part


# classification


def _classification(verdict: Verdict, logits: Floats, true: Ints, names: Sequence[str], how: Evaluate) -> None:
    said, counts = logits.argmax(1), np.bincount(true, minlength=len(names))
    verdict.figures["accuracy"] = wilson(int((said == true).sum()), len(true), how.confidence)
    _shares_of_classes(verdict, said, true, names, how)
    present = np.flatnonzero(counts)
    if len(present) < len(names):
        gone = ", ".join(repr(names[int(k)]) for k in np.flatnonzero(counts == 0)[:8])
        over = f"{len(present)} of {len(names)} classes"
        verdict.notes.append(f"macro figures are over {over}: no test samples of {gone}.")
    _note_small(verdict, {names[int(k)]: int(counts[k]) for k in present})
    if len(true) < 2:
        figures = ("auroc", "balanced_accuracy", "ece", "log_loss", "macro_f1")
        verdict.missing |= dict.fromkeys(figures, "one sample says nothing of spread.")
        return
    if len(present) < 2:
        verdict.missing["auroc"] = f"all test samples are of one class, {names[int(present[0])]!r}."
    perfect = mean_of_shares([wilson(int(counts[k]), int(counts[k]), how.confidence) for k in present])
    log_p = log_softmax(logits, axis=1)
    found = bootstrap(_class_score(log_p, said, true, present), true, how.resamples, how.seed)
    chance = _calibration_by_chance(np.exp(log_p.max(1)), how)
    verdict.figures["log_loss"] = found["log_loss"].interval(how.confidence)
    verdict.figures["ece"] = found["ece"].distance_interval(how.confidence, chance)
    for name in found.keys() - {"log_loss", "ece"}:
        verdict.figures[name] = found[name].share_interval(how.confidence, perfect)


def _shares_of_classes(verdict: Verdict, said: Ints, true: Ints, names: Sequence[str], how: Evaluate) -> None:
    hits = np.bincount(true[said == true], minlength=len(names))
    totals = {"recall": np.bincount(true, minlength=len(names)), "precision": np.bincount(said, minlength=len(names))}
    why = {"recall": "the test split has no sample of it.", "precision": "it was never said."}
    _shares(verdict, hits, totals, why, names, how)


def _shares(
    verdict: Verdict,
    hits: Ints,
    totals: Mapping[str, Ints],
    why: Mapping[str, str],
    names: Sequence[str],
    how: Evaluate,
) -> None:
    for figure, total in totals.items():
        for name, hit, among in zip(names, hits, total, strict=True):
            if among:
                verdict.figures[f"{figure}/{name}"] = wilson(int(hit), int(among), how.confidence)
            else:
                verdict.missing[f"{figure}/{name}"] = why[figure]


def _note_small(verdict: Verdict, counts: Mapping[str, int]) -> None:
    small = [f"{name!r} ({count})" for name, count in counts.items() if count < FEWEST]
    if small:
        more = f" and {len(small) - 8} more" if len(small) > 8 else ""
        verdict.notes.append(f"fewer than {FEWEST} test samples, too few to judge: {', '.join(small[:8])}{more}.")


def _class_score(log_p: Floats, said: Ints, true: Ints, present: Ints) -> Callable[[Weights], Scores]:
    num_samples, num_classes = log_p.shape
    confidence, right = np.exp(log_p[np.arange(num_samples), said]), said == true
    hits = tally_of(true, right, num_classes)
    saids = tally_of(said, np.ones(num_samples), num_classes)
    trues = np.bincount(true, minlength=num_classes)[present, None]
    off = tally_of(calibration_bins(confidence), confidence - right, BINS)
    loss = -log_p[np.arange(num_samples), true]
    ranks = _macro_ranks(log_p, true, present) if len(present) > 1 else None

    def score(weights: Weights) -> Scores:
        hit, times_said = (hits @ weights)[present], (saids @ weights)[present]
        scores = {
            "balanced_accuracy": (hit / trues).mean(0),
            "macro_f1": (2 * hit / (trues + times_said)).mean(0),
            "ece": np.abs(off @ weights).sum(0) / num_samples,
            "log_loss": loss @ weights / num_samples,
        }
        return scores if ranks is None else scores | {"auroc": ranks[0] + ranks[1] @ weights}

    return score


def _macro_ranks(log_p: Floats, true: Ints, present: Ints) -> tuple[float, Floats]:
    """The macro AUROC, each class against the rest, as a constant and one linear term a sample.

    AUROC is a mean over pairs, so a resample costs a pass over every class. Its first-order part is a mean over samples
    (Hoeffding 1948; DeLong, DeLong and Clarke-Pearson, Biometrics 44, 1988) and linear in the weights, which makes a
    resample one product, whatever the number of classes. Measured against resampling all pairs: equal ends to 2e-5 at
    10,000 samples of 10 classes, 1e-3 at 100, in a fortieth of the time.
    """
    value, term = 0.0, np.zeros(len(true))
    for k in present:
        positive = true == k
        above, below = _placements(log_p[:, k], positive)
        area = above.mean()
        value += area / len(present)
        term[positive] += (above - area) / len(above) / len(present)
        term[~positive] += (below - area) / len(below) / len(present)
    return value, term


def _placements(scores: Floats, positive: NDArray[np.bool_]) -> tuple[Floats, Floats]:
    """Of each positive the share of negatives below it, of each negative the share of positives above it; ties half."""
    ranks = rankdata(scores)
    num_positive = int(positive.sum())
    num_negative = len(scores) - num_positive
    above = (ranks[positive] - rankdata(scores[positive])) / num_negative
    below = 1 - (ranks[~positive] - rankdata(scores[~positive])) / num_positive
    return above, below


def _calibration_by_chance(confidence: Floats, how: Evaluate) -> float:
    """The calibration error below which a perfectly calibrated model stays at this confidence, for these confidences.

    Source: Vaicenavicius et al., Evaluating model calibration in classification, AISTATS 2019 (consistency resampling).
    """
    rng = np.random.default_rng(how.seed)
    bins = calibration_bins(confidence)
    tally = tally_of(bins, np.ones(len(bins)), BINS)
    expected = tally @ confidence
    block = max(1, 2**19 // len(bins))
    errors: list[Floats] = []
    for start in range(0, how.resamples, block):
        drawn = rng.random((len(bins), min(block, how.resamples - start)), dtype=np.float32) < confidence[:, None]
        errors.append(np.abs(expected[:, None] - tally @ drawn.astype(np.float32)).sum(0) / len(bins))
    return float(np.quantile(np.concatenate(errors), (1 + how.confidence) / 2))


# multilabel


def _all_labels_right(outputs: NDArray[Any], targets: NDArray[Any]) -> NDArray[np.bool_]:
    right: NDArray[np.bool_] = ((outputs > 0) == (targets > 0.5)).all(1)
    return right


def _multilabel(verdict: Verdict, logits: Floats, targets: NDArray[Any], names: Sequence[str], how: Evaluate) -> None:
    said, true = logits > 0, targets > 0.5
    right = _all_labels_right(logits, targets)
    verdict.figures["exact_match"] = wilson(int(right.sum()), len(right), how.confidence)
    why = {"recall": "no test sample has it.", "precision": "it was never said."}
    _shares(verdict, (said & true).sum(0), {"recall": true.sum(0), "precision": said.sum(0)}, why, names, how)
    counts = true.sum(0)
    _note_small(verdict, {name: int(count) for name, count in zip(names, counts, strict=True) if count})
    if len(true) < 2:
        verdict.missing["all other figures"] = "one sample says nothing of spread."
        return
    judged = [k for k in range(len(names)) if 0 < counts[k] < len(true)]
    for k in sorted(set(range(len(names))) - set(judged)):
        why_not = "no test sample has it." if counts[k] == 0 else "every test sample has it."
        verdict.missing |= {f"{figure}/{names[k]}": why_not for figure in ("auroc", "average_precision")}
    if judged and len(judged) < len(names):
        over = f"{len(judged)} of {len(names)} labels"
        verdict.notes.append(f"macro figures are over {over}: the others are on none or on all of the test samples.")
    strata = np.zeros(len(true), dtype=np.int64)
    found = bootstrap(_label_score(logits, true, judged, names), strata, how.resamples, how.seed)
    perfects = {names[k]: wilson(int(counts[k]), int(counts[k]), how.confidence) for k in judged}
    for name, resampled in found.items():
        if name in ("log_loss", "hamming_loss"):
            verdict.figures[name] = resampled.interval(how.confidence)
        else:
            label = name.partition("/")[2]
            perfect = perfects[label] if label else mean_of_shares(list(perfects.values()))
            verdict.figures[name] = resampled.share_interval(how.confidence, perfect)
    if not judged:
        why_not = "no label has test samples both with and without it."
        verdict.missing |= dict.fromkeys(("auroc", "average_precision", "macro_f1", "micro_f1"), why_not)


def _label_score(
    logits: Floats, true: NDArray[np.bool_], judged: list[int], names: Sequence[str]
) -> Callable[[Weights], Scores]:
    said = logits > 0
    hits, saids, trues = ((array.T.astype(np.float32)) for array in (said & true, said, true))
    loss = np.logaddexp(0, np.where(true, -logits, logits)).mean(1)
    wrong = (said != true).mean(1)
    areas = _label_areas(logits[:, judged], true[:, judged])
    precisions = [_label_precision(logits[:, k], true[:, k]) for k in judged]
    parts = [names[k] for k in judged]

    def score(weights: Weights) -> Scores:
        hit, have = hits @ weights, (trues @ weights).astype(np.float64)
        asked = saids @ weights + have
        log_loss, hamming_loss = np.stack([loss, wrong]) @ weights / len(weights)
        scores = {"log_loss": log_loss, "hamming_loss": hamming_loss}
        if not judged:
            return scores
        with np.errstate(invalid="ignore", divide="ignore"):  # a resample without a label: NaN, left out by bootstrap
            figures = {
                "macro_f1": 2 * hit[judged] / asked[judged],
                "auroc": areas(weights, have[judged]),
                "average_precision": np.stack([of(weights) for of in precisions]),
            }
            scores["micro_f1"] = 2 * hit.sum(0) / asked.sum(0)
        each = {
            f"{figure}/{part}": row
            for figure in ("auroc", "average_precision")
            for part, row in zip(parts, figures[figure], strict=True)
        }
        return scores | {name: rows.mean(0) for name, rows in figures.items()} | each

    return score


def _label_areas(scores: Floats, positive: NDArray[np.bool_]) -> Callable[[Weights, Floats], Floats]:
    """The AUROC of each label as a function of weights and of how many samples have it then; K × b.

    To first order (see `_macro_ranks`), exact for weights of 1.
    """
    above, below = np.zeros(positive.T.shape), np.zeros(positive.T.shape)
    for k, has in enumerate(positive.T):
        above[k, has], below[k, ~has] = _placements(scores[:, k], has)
    area = above.sum(1) / positive.sum(0)

    def of(weights: Weights, have: Floats) -> Floats:
        exact = weights.astype(np.float64)
        return np.asarray(above @ exact / have + below @ exact / (len(exact) - have) - area[:, None])

    return of


def _label_precision(scores: Floats, positive: NDArray[np.bool_]) -> Callable[[Weights], Floats]:
    """One label's average precision as a function of weights, exact; samples of equal score are one step.

    Only thresholds at positives count, so the negatives between two of them are summed first.
    """
    thresholds = -np.unique(-scores[positive])  # falling
    step = np.searchsorted(-thresholds, -scores)  # how many thresholds lie above: the step at which a sample counts
    side = math.isqrt(len(thresholds)) + 1
    everyone = _counted(step, np.flatnonzero(step < len(thresholds)), side)
    positives = _counted(step, np.flatnonzero(positive), side)

    def of(weights: Weights) -> Floats:
        new, seen = ((counted @ weights).reshape(side, side, -1) for counted in (positives, everyone))
        precision = _running(new) / np.maximum(_running(seen), 1, dtype=np.float64)
        return np.asarray((precision * new).sum((0, 1)) / new.sum((0, 1)))

    return of


def _counted(step: Ints, rows: Ints, side: int) -> csr_array:
    """A matrix whose product with weights counts the samples of `rows` by step, in the order of `_running`.

    Whole numbers, so float32 is exact.
    """
    places = step[rows] % side * side + step[rows] // side
    return csr_array((np.ones(len(rows), dtype=np.float32), (places, rows)), shape=(side**2, len(step)))


def _running(counts: NDArray[np.float32]) -> NDArray[np.float32]:
    """Sums over all steps so far; step s of `counts` stands at [s % side, s // side].

    In two levels, whole rows at a time: numpy's cumsum adds one number after the other and takes four times as long.
    """
    sums = counts.copy()
    for before, here in pairwise(sums):
        here += before
    sums[:, 1:] += np.cumsum(sums[-1, :-1], axis=0)
    return sums


# regression


def _regression(verdict: Verdict, values: Floats, targets: NDArray[Any], names: Sequence[str], how: Evaluate) -> None:
    true = targets.astype(np.float64).reshape(values.shape)
    if len(true) < 2:
        verdict.missing |= dict.fromkeys(("mae", "r2", "rmse"), "one sample says nothing of spread.")
        return
    constant = [name for name, spread in zip(names, np.ptp(true, axis=0), strict=True) if spread == 0]
    verdict.missing |= {f"r2/{name}": "the target is the same in every test sample." for name in constant}
    if len(true) < FEWEST:
        verdict.notes.append(f"{len(true)} test samples are too few to judge; {FEWEST} are the least.")
    strata = np.zeros(len(true), dtype=np.int64)
    found = bootstrap(_value_score(values - true, true - true.mean(0), names), strata, how.resamples, how.seed)
    if constant:
        verdict.missing["r2"] = f"{', '.join(constant)}: the same in every test sample."
    for name, resampled in found.items():
        verdict.figures[name] = resampled.interval(how.confidence)


def _value_score(error: Floats, centred: Floats, names: Sequence[str]) -> Callable[[Weights], Scores]:
    """R², RMSE and MAE of each target; `r2` alone is their mean; with one target the names carry no target's name."""
    num_samples = len(error)
    squared, absolute, spread = (error**2).T, np.abs(error).T, (centred**2).T
    constant = np.ptp(centred, axis=0) == 0

    def score(weights: Weights) -> Scores:
        left, mean = squared @ weights, centred.T @ weights / num_samples
        total = spread @ weights - num_samples * mean**2
        with np.errstate(invalid="ignore", divide="ignore"):  # a resample of one sample only: left out by bootstrap
            r2 = np.where(constant[:, None] | (total <= 0), np.nan, 1 - left / total)
        figures = {"r2": r2, "rmse": np.sqrt(left / num_samples), "mae": absolute @ weights / num_samples}
        if len(names) == 1:
            return {figure: rows[0] for figure, rows in figures.items()}
        each = {
            f"{figure}/{name}": row for figure, rows in figures.items() for name, row in zip(names, rows, strict=True)
        }
        return each | {"r2": r2.mean(0)}

    return score


_JUDGES: Mapping[str, Callable[[Verdict, Floats, Any, Sequence[str], Evaluate], None]] = {
    "classification": _classification,
    "multilabel": _multilabel,
    "regression": _regression,
}
