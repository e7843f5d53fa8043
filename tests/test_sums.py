"""Metrics as sums, against scikit-learn's on all samples and on all but one."""

from collections.abc import Callable

import numpy as np
import pytest
from sklearn import metrics

from assay import sums as module
from assay.auroc import auroc
from assay.sums import Sums, balanced_accuracy_of, class_f1_of, label_f1_of, mean_of, r2_of, rmse_of

N, K = 50, 3
RNG = np.random.default_rng(0)
TRUE, SAID = RNG.integers(K, size=N), RNG.integers(K, size=N)
ON, ASKED = RNG.random((N, K)) < 0.4, RNG.random((N, K)) < 0.5
VALUES = RNG.normal(3, 2, size=(N, K))
OFF = RNG.normal(size=(N, K))
Rows = np.ndarray

CASES: dict[str, tuple[Callable[[Rows], Sums], Callable[[Rows], float]]] = {
    "mean": (lambda at: mean_of(OFF[at, 0]), lambda at: OFF[at, 0].mean()),
    "balanced accuracy": (
        lambda at: balanced_accuracy_of(SAID[at], TRUE[at], K),
        lambda at: metrics.balanced_accuracy_score(TRUE[at], SAID[at]),
    ),
    "f1": (
        lambda at: class_f1_of(SAID[at], TRUE[at], K),
        lambda at: metrics.f1_score(TRUE[at], SAID[at], average="macro"),
    ),
    "f1 of two classes": (
        lambda at: class_f1_of(SAID[at], TRUE[at], K, np.array([0, 2])),
        lambda at: metrics.f1_score(TRUE[at], SAID[at], average="macro", labels=[0, 2]),
    ),
    "f1 of labels": (
        lambda at: label_f1_of(ASKED[at], ON[at]),
        lambda at: metrics.f1_score(ON[at], ASKED[at], average="macro"),
    ),
    "f1 of all labels": (
        lambda at: label_f1_of(ASKED[at], ON[at], micro=True),
        lambda at: metrics.f1_score(ON[at], ASKED[at], average="micro"),
    ),
    "r2": (
        lambda at: r2_of(OFF[at], VALUES[at]),
        lambda at: metrics.r2_score(VALUES[at], VALUES[at] + OFF[at]),
    ),
    "rmse": (
        lambda at: rmse_of(OFF[at]),
        lambda at: float(np.mean(OFF[at] ** 2) ** 0.5),
    ),
}


@pytest.mark.parametrize("name", CASES)
def test_all_samples_and_all_but_one_give_the_figures_of_scikit_learn(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "HELD", 40)  # several parts
    ours, theirs = CASES[name]
    everyone = np.arange(N)
    assert ours(everyone).value == pytest.approx(theirs(everyone))
    assert ours(everyone).without_each() == pytest.approx([theirs(np.delete(everyone, row)) for row in range(N)])


def test_without_its_last_sample_a_spread_is_gone_and_that_is_no_number() -> None:
    true = np.array([1.0, 1.0, 2.0])[:, None]
    without = r2_of(np.ones((3, 1)), true).without_each()
    assert np.isnan(without[2]) and np.isfinite(without[:2]).all()


class TestAuroc:
    def test_is_scikit_learns_with_ties(self) -> None:
        scores = np.round(OFF[:, 0] + ON[:, 0], 1)
        area, _ = auroc(scores, ON[:, 0])
        assert area == pytest.approx(metrics.roc_auc_score(ON[:, 0], scores))

    def test_terms_have_the_unbiased_variance_of_delong(self) -> None:
        scores, positive = OFF[:, 0] + ON[:, 0], ON[:, 0]
        _, terms = auroc(scores, positive)
        apart = scores[positive][:, None] - scores[~positive][None]
        order = (apart > 0) + 0.5 * (apart == 0)
        of_positives, of_negatives = order.mean(1), order.mean(0)
        expected = of_positives.var(ddof=1) / len(of_positives) + of_negatives.var(ddof=1) / len(of_negatives)
        assert (terms**2).sum() == pytest.approx(expected)
        assert terms.sum() == pytest.approx(0)

    def test_of_one_kind_only_is_our_mistake(self) -> None:
        with pytest.raises(AssertionError, match="no pair"):
            auroc(np.arange(3.0), np.ones(3, dtype=bool))
