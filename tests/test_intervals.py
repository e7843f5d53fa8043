"""Wilson against scipy, and bootstraps against what they promise: the truth lies inside about as often as they say."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import binomtest, norm, sem, t

from assay.intervals import (
    Interval,
    Resampled,
    Scores,
    Weights,
    below_one,
    bootstrap,
    jackknife,
    mean_of_positives,
    mean_of_proportions,
    mean_of_shares,
    resamples,
    share_of_deviation,
    wilson,
)
from assay.params import Evaluate
from assay.verdict import judge

confidences = st.floats(0.51, 0.999)
shares = st.integers(1, 5000).flatmap(lambda total: st.tuples(st.integers(0, total), st.just(total)))


def weighted_mean(values: np.ndarray) -> object:
    def score(weights: Weights) -> Scores:
        return {"mean": values @ weights / weights.sum(0)}

    return score


class TestWilson:
    @given(share=shares, confidence=confidences)
    def test_equals_scipys(self, share: tuple[int, int], confidence: float) -> None:
        ours = wilson(*share, confidence)
        theirs = binomtest(*share).proportion_ci(confidence, method="wilson")
        assert (ours.low, ours.high) == pytest.approx((theirs.low, theirs.high), abs=1e-9)

    @given(share=shares, confidence=confidences)
    def test_holds_its_value_and_stays_a_share(self, share: tuple[int, int], confidence: float) -> None:
        found = wilson(*share, confidence)
        assert 0 <= found.low <= found.value <= found.high <= 1

    @given(share=shares)
    def test_is_narrower_for_more_samples_of_the_same_share(self, share: tuple[int, int]) -> None:
        few, many = wilson(*share, 0.95), wilson(share[0] * 4, share[1] * 4, 0.95)
        assert many.high - many.low < few.high - few.low

    def test_three_of_three_is_no_certainty(self) -> None:
        found = wilson(3, 3, 0.95)
        assert found.high == 1.0
        assert found.low < 0.5

    def test_covers_the_truth_as_often_as_it_says(self) -> None:
        rng = np.random.default_rng(0)
        found = [wilson(int(hits), 60, 0.95) for hits in rng.binomial(60, 0.9, size=2000)]
        assert 0.92 < np.mean([part.low <= 0.9 <= part.high for part in found]) < 0.98

    def test_of_nothing_is_our_mistake(self) -> None:
        with pytest.raises(AssertionError, match="a share of nothing"):
            wilson(0, 0, 0.95)


class TestMeanOfShares:
    @given(share=shares)
    def test_of_one_share_is_that_share(self, share: tuple[int, int]) -> None:
        one, mean = wilson(*share, 0.95), mean_of_shares([wilson(*share, 0.95)])
        assert (mean.value, mean.low, mean.high) == pytest.approx((one.value, one.low, one.high))

    def test_of_many_perfect_shares_is_surer_than_one(self) -> None:
        one = wilson(15, 15, 0.95)
        assert one.low < mean_of_shares([one] * 10).low < 1.0


class TestMeanOfProportions:
    @given(st.lists(shares, min_size=1, max_size=20), confidences)
    def test_holds_its_value_and_stays_a_share(self, each: list[tuple[int, int]], confidence: float) -> None:
        hits, totals = np.array(each).T
        found = mean_of_proportions(hits, totals, confidence)
        assert 0 <= found.low <= found.value <= found.high <= 1

    def test_of_one_share_is_agresti_and_coulls(self) -> None:
        found, shifted = mean_of_proportions(np.array([30]), np.array([40]), 0.95), 32 / 44
        half = 1.959964 * (shifted * (1 - shifted) / 44) ** 0.5
        assert (found.low, found.high) == pytest.approx((shifted - half, shifted + half))

    def test_covers_the_truth_of_classes_of_a_few_samples(self) -> None:
        rng, totals, truth = np.random.default_rng(0), np.array([20, 12, 8, 6, 4]), np.array([0.9, 0.8, 0.8, 0.7, 0.6])
        found = [mean_of_proportions(rng.binomial(totals, truth), totals, 0.95) for _ in range(2000)]
        assert 0.93 < np.mean([each.low <= truth.mean() <= each.high for each in found]) < 0.98


class TestMeanOfPositives:
    @given(st.lists(st.floats(0, 1e6), min_size=1, max_size=50), confidences)
    def test_holds_its_value_and_is_not_negative(self, values: list[float], confidence: float) -> None:
        found = mean_of_positives(np.array(values), confidence)
        assert 0 <= found.low <= found.value <= found.high < np.inf

    def test_without_skewness_it_is_students(self) -> None:
        values = np.concatenate([np.linspace(1, 9, 30), 10 - np.linspace(1, 9, 30)])
        found, theirs = mean_of_positives(values, 0.95), t.interval(0.95, 59, values.mean(), sem(values))
        assert (found.low, found.high) == pytest.approx(theirs)

    @pytest.mark.parametrize("kind", ["exponential", "squares of Laplace's"])
    def test_covers_the_truth_where_students_alone_would_not(self, kind: str) -> None:
        rng = np.random.default_rng(1)
        drawn = rng.exponential(size=(3000, 30)) if kind == "exponential" else rng.laplace(size=(3000, 30)) ** 2 / 2
        ours = [mean_of_positives(values, 0.95) for values in drawn]
        plain = t.interval(0.95, 29, drawn.mean(1), sem(drawn, axis=1))
        held = np.mean([each.low <= 1 <= each.high for each in ours])
        assert held > np.mean((plain[0] <= 1) & (plain[1] >= 1)) + 0.01
        assert 0.9 < held < 0.97


class TestShareOfDeviation:
    perfect = Interval(1.0, 0.9, 1.0)

    @given(st.floats(0, 1), st.floats(0, 1), st.integers(2, 1000), confidences)
    def test_holds_its_value_and_stays_a_share(
        self, value: float, deviation: float, count: int, confidence: float
    ) -> None:
        found = share_of_deviation(value, deviation, count, confidence, self.perfect)
        assert 0 <= found.low <= found.value <= found.high <= 1

    def test_at_the_ends_it_is_as_sure_as_so_many_perfect_shares(self) -> None:
        assert share_of_deviation(1.0, 0.0, 30, 0.95, self.perfect) == self.perfect
        assert share_of_deviation(0.0, 0.0, 30, 0.95, self.perfect) == Interval(0.0, 0.0, pytest.approx(0.1))

    def test_in_the_middle_it_is_students(self) -> None:
        found = share_of_deviation(0.5, 0.001, 20, 0.95, self.perfect)
        assert found.high - 0.5 == pytest.approx(0.001 * t.ppf(0.975, 19), rel=1e-4)


class TestBelowOne:
    @given(st.lists(st.floats(-1e6, 1), min_size=2, max_size=30), st.floats(-1e6, 1), confidences)
    def test_holds_its_value_and_stays_below_one(self, without: list[float], value: float, confidence: float) -> None:
        found = below_one(value, np.array(without), confidence)
        assert found.low <= found.value <= found.high <= 1

    def test_one_is_certain_only_where_nothing_is_off(self) -> None:
        assert below_one(1.0, np.ones(20), 0.95) == Interval(1.0, 1.0, 1.0)


def test_the_jackknife_of_a_mean_is_its_standard_error() -> None:
    values = np.random.default_rng(0).normal(size=40)
    without = (values.sum() - values) / 39
    assert jackknife(without) == pytest.approx(sem(values))
    assert jackknife(np.append(without, np.nan)) == pytest.approx(sem(values))
    assert jackknife(np.array([np.nan])) == 0.0


class TestResamples:
    @given(
        strata=st.lists(st.integers(0, 4), min_size=1, max_size=40), count=st.integers(1, 30), seed=st.integers(0, 99)
    )
    def test_keep_the_size_of_every_stratum(self, strata: list[int], count: int, seed: int) -> None:
        numbers = np.array(strata)
        weights = np.concatenate(list(resamples(numbers, count, seed)), axis=1)
        assert weights.shape == (len(strata), count)
        for stratum in set(strata):
            assert (weights[numbers == stratum].sum(0) == (numbers == stratum).sum()).all()

    def test_repeat_under_their_seed_and_differ_under_another(self) -> None:
        strata = np.zeros(50, dtype=np.int64)
        first, again, other = (np.concatenate(list(resamples(strata, 20, seed)), axis=1) for seed in (1, 1, 2))
        assert (first == again).all()
        assert (first != other).any()

    def test_come_in_blocks_that_do_not_grow_with_their_number(self) -> None:
        blocks = list(resamples(np.zeros(200_000, dtype=np.int64), 9, seed=0))
        assert sum(block.shape[1] for block in blocks) == 9
        assert max(block.nbytes for block in blocks) <= 2 * 2**20

    def test_draw_every_sample_alike(self) -> None:
        weights = np.concatenate(list(resamples(np.zeros(20, dtype=np.int64), 5000, seed=0)), axis=1)
        assert weights.mean(1) == pytest.approx(np.ones(20), abs=0.06)
        assert weights.var(1) == pytest.approx(np.full(20, 0.95), abs=0.08)  # multinomial: 1 - 1/20


class TestBootstrap:
    def test_of_a_mean_is_the_normal_interval_for_many_samples(self) -> None:
        values = np.random.default_rng(0).normal(5, 2, size=2000)
        strata = np.zeros(2000, dtype=np.int64)
        found = bootstrap(weighted_mean(values), strata, 2000, seed=0)["mean"].interval(0.9)
        half = norm.ppf(0.95) * values.std() / np.sqrt(2000)
        assert found.value == pytest.approx(values.mean())
        assert (found.low, found.high) == pytest.approx((values.mean() - half, values.mean() + half), abs=0.01)

    def test_strata_take_out_what_lies_between_them(self) -> None:
        rng = np.random.default_rng(0)
        strata = np.repeat([0, 1], 100)
        values = strata * 10.0 + rng.normal(size=200)
        apart, mixed = (
            bootstrap(weighted_mean(values), groups, 500, seed=0)["mean"].interval(0.95)
            for groups in (strata, np.zeros(200, dtype=np.int64))
        )
        assert apart.high - apart.low < (mixed.high - mixed.low) / 3

    def test_covers_the_truth_as_often_as_it_says(self) -> None:
        rng = np.random.default_rng(0)
        strata = np.zeros(80, dtype=np.int64)
        covered = 0
        for seed in range(300):
            found = bootstrap(weighted_mean(rng.exponential(size=80)), strata, 300, seed)["mean"].interval(0.95)
            covered += found.low <= 1.0 <= found.high
        assert 0.88 < covered / 300 < 0.99

    def test_leaves_out_what_cannot_be_said(self) -> None:
        def score(weights: Weights) -> Scores:
            some = np.where(weights[0] == 0, np.nan, weights[0].astype(np.float64))
            return {"never": np.full(weights.shape[1], np.nan), "sometimes": some}

        found = bootstrap(score, np.zeros(5, dtype=np.int64), 200, seed=0)
        assert list(found) == ["sometimes"]
        assert 0 < len(found["sometimes"].drawn) < 200

    @given(st.lists(st.floats(0, 1), min_size=1, max_size=50), st.floats(0, 1), confidences)
    def test_every_kind_of_interval_holds_its_value(self, drawn: list[float], value: float, confidence: float) -> None:
        resampled, perfect = Resampled(value, np.array(drawn)), Interval(1.0, 0.8, 1.0)
        for found in (
            resampled.interval(confidence),
            resampled.share_interval(confidence, perfect),
            resampled.distance_interval(50, confidence, 0.05),
        ):
            assert 0 <= found.low <= found.value <= found.high

    def test_a_perfect_score_is_as_sure_as_as_many_perfect_shares(self) -> None:
        perfect = Interval(1.0, 0.9, 1.0)
        assert Resampled(1.0, np.ones(100)).share_interval(0.95, perfect) == perfect
        assert Resampled(1.0, np.array([1.0, 0.9])).share_interval(0.95, perfect) != perfect


@pytest.mark.parametrize("overconfidence", [0.0, 0.03, 0.1])
def test_the_calibration_error_covers_the_truth_where_a_plain_percentile_would_not(overconfidence: float) -> None:
    rng = np.random.default_rng(0)
    how = Evaluate(resamples=200)
    covered, runs = 0, 60
    for _ in range(runs):
        said, margin = rng.integers(0, 2, size=400), rng.exponential(2, size=400) + 1
        logits = np.stack([margin * (said == 0), margin * (said == 1)], axis=1)
        right = rng.random(400) < 1 / (1 + np.exp(-margin)) - overconfidence  # so the error is `overconfidence`
        true = np.where(right, said, 1 - said)
        error = judge("classification", logits, true, ["a", "b"], how).figures["ece"]
        covered += error.low <= overconfidence <= error.high
    assert covered / runs >= 0.85
