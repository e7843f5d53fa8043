"""Two models on the same samples: figures against the scores of validation, tests and intervals against their word."""

from itertools import product

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import binomtest

from assay.paired import compare, gain_of_shares, mcnemar
from assay.params import METRICS_OF_TASK, SMALLER_IS_BETTER
from assay.scores import scores_of

EACH = [(task, metric) for task, metrics in METRICS_OF_TASK.items() for metric in metrics]
N, K = 60, 3


def drawn(task: str, seed: int, quality: float = 1.0, other: int = 1) -> tuple[np.ndarray, np.ndarray]:
    """Targets, and outputs that know them as well as `quality` says."""
    rng, noise = np.random.default_rng(seed), np.random.default_rng([seed, other]).normal(size=(N, K))
    if task == "classification":
        targets = rng.integers(K, size=N)
        return targets, noise + quality * np.eye(K)[targets]
    if task == "multilabel":
        labels = (rng.random((N, K)) < 0.4).astype(np.float32)
        return labels, noise + quality * (2 * labels - 1)
    values = rng.normal(size=(N, K)).astype(np.float32)
    return values, values + noise / quality


def gain(task: str, metric: str, one: np.ndarray, other: np.ndarray, targets: np.ndarray, **how: int) -> object:
    return compare(task, metric, one, other, targets, confidence=0.95, **({"resamples": 300} | how))


class TestMcNemar:
    @given(gained=st.integers(0, 200), lost=st.integers(0, 200))
    def test_is_the_exact_test_less_half_of_what_was_seen(self, gained: int, lost: int) -> None:
        apart = gained + lost
        if apart == 0:
            assert mcnemar(gained, lost) == 0.5
            return
        at_least = binomtest(gained, apart, alternative="greater").pvalue
        more = binomtest(gained + 1, apart, alternative="greater").pvalue if gained < apart else 0.0
        assert mcnemar(gained, lost) == pytest.approx((at_least + more) / 2)

    def test_rejects_about_as_often_as_it_says(self) -> None:
        rng = np.random.default_rng(0)
        gained, apart = rng.binomial(40, 0.5, size=20_000), 40
        assert 0.035 < np.mean(mcnemar(gained, apart - gained) <= 0.05) < 0.055


class TestGainOfShares:
    @given(st.integers(0, 30), st.integers(0, 30), st.integers(60, 5000), st.floats(0.5, 0.999))
    def test_holds_its_value(self, gained: int, lost: int, total: int, confidence: float) -> None:
        found = gain_of_shares(gained, lost, total, confidence)
        assert -1 <= found.low <= found.value <= found.high <= 1

    def test_covers_the_truth_as_often_as_it_says(self) -> None:
        rng, total, shares = np.random.default_rng(0), 300, [0.03, 0.015, 0.955]
        cells = rng.multinomial(total, shares, size=4000)
        found = [gain_of_shares(int(up), int(down), total, 0.95) for up, down, _ in cells]
        assert 0.93 < np.mean([each.low <= 0.015 <= each.high for each in found]) < 0.975

    def test_two_that_agree_on_few_samples_are_not_shown_to_be_equal(self) -> None:
        found = gain_of_shares(0, 0, 50, 0.95)
        assert found.low < -0.03 and found.high > 0.03


class TestCompare:
    @pytest.mark.parametrize("task, metric", EACH)
    def test_figures_are_those_of_validation(self, task: str, metric: str) -> None:
        targets, outputs = drawn(task, 3)
        found = gain(task, metric, outputs, outputs, targets)
        if metric != "loss":
            kind = torch.int64 if task == "classification" else torch.float64
            expected = scores_of(task, torch.from_numpy(outputs), torch.from_numpy(targets).to(kind))[metric]
            assert found.challenger == pytest.approx(expected)
        assert found.challenger == found.champion

    @pytest.mark.parametrize("task, metric", EACH)
    def test_a_model_is_no_better_than_itself(self, task: str, metric: str) -> None:
        targets, outputs = drawn(task, 5)
        found = gain(task, metric, outputs, outputs.copy(), targets)
        assert found.gain.value == 0
        assert found.p >= 0.5

    @pytest.mark.parametrize("task, metric", EACH)
    def test_a_clearly_better_one_is_shown_and_the_other_way_round_not(self, task: str, metric: str) -> None:
        targets, good = drawn(task, 7, quality=4.0)
        _, bad = drawn(task, 7, quality=0.3, other=2)
        up, down = gain(task, metric, good, bad, targets), gain(task, metric, bad, good, targets)
        assert up.p < 0.01 and up.gain.low > 0
        assert down.p > 0.99 and down.gain.high < 0
        assert (up.challenger < up.champion) == (metric in SMALLER_IS_BETTER)
        assert up.gain.value == pytest.approx(-down.gain.value)

    @pytest.mark.parametrize("task, metric", [each for each in EACH if each != ("classification", "accuracy")])
    def test_equal_models_are_called_better_no_more_often_than_p_says(self, task: str, metric: str) -> None:
        found = []
        for seed in range(120):
            targets, one = drawn(task, seed)
            _, other = drawn(task, seed, other=2)
            found.append(gain(task, metric, one, other, targets, resamples=99).p)
        assert np.mean(np.array(found) <= 0.2) < 0.32  # 0.2 + 3.3 standard deviations
        assert np.mean(np.array(found) <= 0.5) > 0.35

    def test_swapping_every_way_gives_the_exact_p(self) -> None:
        targets, off, further = np.arange(5.0)[:, None], [0.1, 0.2, 0.1, 0.3, 0.2], [0.5, 0.1, 0.6, 0.9, 0.25]
        one, other = (targets + np.array(error)[:, None] for error in (off, further))
        better = np.subtract(further, off)
        exact = np.mean([np.dot(signs, better) >= better.sum() - 1e-12 for signs in product([1, -1], repeat=5)])
        found = gain("regression", "mae", one, other, targets, resamples=20_000)
        assert found.p == pytest.approx(exact, abs=0.01)

    @pytest.mark.parametrize("task, metric", [("classification", "accuracy"), ("regression", "mae")])
    def test_spread_says_how_the_interval_shrinks_with_more_samples(self, task: str, metric: str) -> None:
        targets, one = drawn(task, 11)
        _, other = drawn(task, 11, other=2)
        found = gain(task, metric, one, other, targets, resamples=4000)
        assert found.gain.high - found.gain.low == pytest.approx(2 * 1.96 * found.spread / N**0.5, rel=0.1)

    @pytest.mark.parametrize("task, metric", EACH)
    def test_one_sample_shows_nothing(self, task: str, metric: str) -> None:
        targets, one = (array[:1] for array in drawn(task, 2))
        other = drawn(task, 2, other=2)[1][:1]
        assert gain(task, metric, one, other, targets).p >= 0.25

    def test_repeats_under_its_seed(self) -> None:
        targets, one = drawn("multilabel", 2)
        _, other = drawn("multilabel", 2, other=2)
        assert gain("multilabel", "f1", one, other, targets) == gain("multilabel", "f1", one, other, targets)
