"""What a model's outputs are worth on samples it never saw: every figure of a task, each with its interval.

Owns the figures' names and formulas; knows outputs and targets as arrays, and no model, file or picture.

Shapes: N samples, K outputs (classes, labels or targets), b resamples of one block (intervals.py).
"""

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_array
from scipy.special import log_softmax
from threadpoolctl import threadpool_limits

from assay.auroc import auroc
from assay.intervals import (
    Interval,
    Scores,
    Weights,
    below_one,
    bootstrap,
    jackknife,
    mean_of_positives,
    mean_of_proportions,
    mean_of_shares,
    share_of_deviation,
    wilson,
)
from assay.params import Evaluate
from assay.sums import Sums, class_f1_of, class_losses, label_f1_of, label_losses, r2_of, tally_of

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
    log_p = log_softmax(logits, axis=1)
    verdict.figures["ece"] = _calibration(log_p, said == true, true, verdict.figures["accuracy"], how)
    verdict.figures["log_loss"] = mean_of_positives(class_losses(logits, true), how.confidence)
    hits = np.bincount(true[said == true], minlength=len(names))[present]
    verdict.figures["balanced_accuracy"] = mean_of_proportions(hits, counts[present], how.confidence)
    perfect = mean_of_shares([wilson(int(counts[k]), int(counts[k]), how.confidence) for k in present])
    verdict.figures["macro_f1"] = _f1(class_f1_of(said, true, len(names), present), perfect, how)
    if len(present) > 1:
        areas = (auroc(log_p[:, k], true == k) for k in present)
        verdict.figures["auroc"] = _mean_area(areas, len(true), perfect, how)


def _f1(sums: Sums, perfect: Interval, how: Evaluate) -> Interval:
    without = sums.without_each()
    return share_of_deviation(sums.value, jackknife(without), len(without), how.confidence, perfect)


def _mean_area(areas: Iterable[tuple[float, Floats]], count: int, perfect: Interval, how: Evaluate) -> Interval:
    """The mean of areas with their terms; `count` of what their deviation was estimated from."""
    total, terms, number = 0.0, np.zeros(1), 0
    for area, each in areas:
        total, terms, number = total + area, terms + each, number + 1
    value, deviation = round(total / number, 12), math.sqrt(float((terms**2).sum())) / number  # ones have the mean 1
    return share_of_deviation(value, deviation, count, how.confidence, perfect)


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


def _calibration(log_p: Floats, right: NDArray[np.bool_], true: Ints, accuracy: Interval, how: Evaluate) -> Interval:
    """The expected calibration error."""
    confidence, count = np.exp(log_p.max(1)), len(true)
    off = tally_of(calibration_bins(confidence), confidence - right, BINS)
    found = bootstrap(lambda weights: {"ece": np.abs(off @ weights).sum(0) / count}, true, how.resamples, how.seed)
    error = found["ece"].distance_interval(count, how.confidence, _calibration_by_chance(confidence, how))
    unseen = float(confidence.mean()) - accuracy.low if right.all() else 0.0  # a resample makes no mistake first
    return Interval(error.value, error.low, max(error.high, unseen))


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
    count, confidence = len(true), how.confidence
    verdict.figures["log_loss"] = mean_of_positives(label_losses(logits, true), confidence)
    wrong, perfect = (said != true).mean(1), wilson(count, count, confidence)
    found = mean_of_positives(wrong, confidence) if wrong.any() else Interval(0.0, 0.0, 1 - perfect.low)
    verdict.figures["hamming_loss"] = Interval(found.value, found.low, min(1.0, found.high))
    if not judged:
        why_not = "no label has test samples both with and without it."
        verdict.missing |= dict.fromkeys(("auroc", "average_precision", "macro_f1", "micro_f1"), why_not)
        return
    perfects = {k: wilson(int(counts[k]), int(counts[k]), confidence) for k in judged}
    perfect = mean_of_shares(list(perfects.values()))
    verdict.figures["macro_f1"] = _f1(label_f1_of(said[:, judged], true[:, judged]), perfect, how)
    verdict.figures["micro_f1"] = _f1(label_f1_of(said, true, micro=True), perfect, how)
    areas = {k: auroc(logits[:, k], true[:, k]) for k in judged}
    rarer = {k: int(min(counts[k], count - counts[k])) for k in judged}
    verdict.figures["auroc"] = _mean_area(areas.values(), count, perfect, how)
    for k in judged:
        verdict.figures[f"auroc/{names[k]}"] = _mean_area([areas[k]], rarer[k], perfects[k], how)
    precisions = bootstrap(
        _precision_score(logits, true, judged, names), np.zeros(count, dtype=np.int64), how.resamples, how.seed
    )
    fewest = {f"average_precision/{names[k]}": (rarer[k], perfects[k]) for k in judged}
    fewest["average_precision"] = min(rarer.values()), perfect
    for name, resampled in precisions.items():
        of, sure = fewest[name]
        verdict.figures[name] = share_of_deviation(resampled.value, resampled.deviation(count), of, confidence, sure)


def _precision_score(
    logits: Floats, true: NDArray[np.bool_], judged: list[int], names: Sequence[str]
) -> Callable[[Weights], Scores]:
    """The average precision of each label; `average_precision` alone is their mean."""
    precisions = {f"average_precision/{names[k]}": _label_precision(logits[:, k], true[:, k]) for k in judged}

    def score(weights: Weights) -> Scores:
        with np.errstate(invalid="ignore", divide="ignore"):  # a resample without a label: NaN, left out by bootstrap
            each = {name: of(weights) for name, of in precisions.items()}
        return each | {"average_precision": np.mean(list(each.values()), axis=0)}

    return score


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
    if constant:
        verdict.missing["r2"] = f"{', '.join(constant)}: the same in every test sample."
    error = values - true
    for k, name in enumerate(names):
        part = "" if len(names) == 1 else f"/{name}"  # one target needs no name
        squared = mean_of_positives(error[:, k] ** 2, how.confidence)
        verdict.figures["rmse" + part] = Interval(*(math.sqrt(end) for end in vars(squared).values()))
        verdict.figures["mae" + part] = mean_of_positives(np.abs(error[:, k]), how.confidence)
        if part and name not in constant:
            verdict.figures["r2" + part] = _r2(r2_of(error[:, [k]], true[:, [k]]), how)
    if not constant:
        verdict.figures["r2"] = _r2(r2_of(error, true), how)


def _r2(sums: Sums, how: Evaluate) -> Interval:
    return below_one(sums.value, sums.without_each(), how.confidence)


_JUDGES: Mapping[str, Callable[[Verdict, Floats, Any, Sequence[str], Evaluate], None]] = {
    "classification": _classification,
    "multilabel": _multilabel,
    "regression": _regression,
}
