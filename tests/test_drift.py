"""Drift: laws of the tests where nothing has changed, and what they find where something has."""

import json

import numpy as np
import pytest
from scipy.stats import binom, ks_2samp

from assay.domain import FOLDS, p_of_permutations, told_apart
from assay.drift import EXACT, Answers, Drift, alpha_of_look, detect, ks_p, ks_steps, smallest
from assay.label_shift import label_shift

NAMES = ("cat", "dog", "bird")


def answers(count: int, seed: int, moved: float = 0.0, features: float = 0.0) -> Answers:
    """Of a model that knows nothing: random outputs, and eight random features."""
    rng = np.random.default_rng(seed)
    logits = rng.normal(size=(count, 3)) + np.array([moved, 0, 0])
    said = np.exp(logits) / np.exp(logits).sum(1, keepdims=True)
    return Answers(said, rng.normal(size=(count, 8)) + features, rng.integers(0, 3, count))


def looked(old: Answers, new: Answers, alpha: float = 0.05, permutations: int = 2000) -> Drift:
    names = [f"{number}.png" for number in range(len(new))]
    return detect(
        old, new, NAMES, names, alpha=alpha, permutations=permutations, confidence=0.95, resamples=200, seed=0
    )


class TestBudget:
    def test_all_looks_together_cost_no_more_than_the_life_may(self) -> None:
        spent = np.cumsum([alpha_of_look(0.05, number) for number in range(1, 100_001)])
        assert spent[-1] <= 0.05
        assert spent[51] == pytest.approx(0.05 * 52 / 53)

    def test_each_look_spends_one_part_in_k_plus_1_of_what_is_left(self) -> None:
        left = 0.05
        for number in range(1, 60):
            assert alpha_of_look(0.05, number) == pytest.approx(left / (number + 1))
            left -= alpha_of_look(0.05, number)


class TestOutputs:
    @pytest.mark.parametrize(("old", "new"), [(50, 200), (64, 64), (37, 53), (20, 1000)])
    def test_distance_and_p_are_scipys(self, old: int, new: int) -> None:
        rng = np.random.default_rng(old)
        for shift in (0.0, 0.3, 1.0):
            one, other = rng.normal(size=(old, 1)), rng.normal(size=(new, 1)) + shift
            scipys = ks_2samp(one[:, 0], other[:, 0], method="exact")
            steps = int(ks_steps(one, other)[0])
            assert steps / np.lcm(old, new) == pytest.approx(scipys.statistic)
            assert ks_p(steps, old, new) == pytest.approx(scipys.pvalue, rel=1e-6)

    def test_equal_values_are_no_place_to_look(self) -> None:
        one, other = np.array([[0.0], [0.0], [1.0]]), np.array([[0.0], [1.0], [1.0]])
        assert ks_steps(one, other).tolist() == [1]

    def test_beyond_what_is_counted_the_limit_goes_on_from_it(self) -> None:
        side = round(EXACT**0.5)
        counted, limit = ks_p(70, side, side), ks_p(70 + 0, side + 1000, side + 1000)
        assert 0 < limit < 1 and 0 < counted < 1
        assert ks_p(side, side, side) < 1e-100  # not 1 less almost 1
        assert ks_p(0, 10, 10) == 1.0

    def test_an_output_that_moved_is_named_with_its_way(self) -> None:
        found = looked(answers(300, 1), answers(300, 2, moved=0.8))
        assert found.found and found.worst.of == "cat" and found.worst.moved > 0.1
        assert found.said.startswith("drift: 'cat' is said otherwise")
        assert "features" not in found.said

    def test_the_distance_that_would_be_seen_is_seen(self) -> None:
        threshold, unit = 0.001, 200
        steps = int(np.ceil(smallest(unit, unit, threshold) * unit))
        assert ks_p(steps, unit, unit) <= threshold * 1.1
        assert ks_p(steps - 4, unit, unit) > threshold


class TestFeatures:
    def test_the_samples_that_differ_are_named_first(self) -> None:
        old, new = answers(300, 1), answers(100, 2)
        new.features[::4] += 3.0
        found = looked(old, new)
        assert found.features.found
        assert set(found.differ) <= {f"{row}.png" for row in range(0, 100, 4)}
        assert "features tell new from old" in found.said

    def test_more_features_than_samples_are_no_trouble(self) -> None:
        rng = np.random.default_rng(0)
        old, new = rng.normal(size=(60, 500)), rng.normal(size=(40, 500))
        old[:, 7] = new[:, 7] = 3.0  # and one that never varies
        assert told_apart(old, new, permutations=200, seed=0).p > 0.01
        assert told_apart(old, new + 0.5, permutations=200, seed=0).p < 0.01

    def test_equal_arguments_give_equal_answers(self) -> None:
        old, new = answers(80, 1), answers(40, 2)
        assert looked(old, new) == looked(old, new)

    def test_p_is_as_fine_as_the_permutations_and_stops_where_chance_does_as_well(self) -> None:
        asked: list[int] = []

        def never(count: int) -> np.ndarray:
            asked.append(count)
            return np.zeros(count, bool)

        assert p_of_permutations(never, 999) == 0.001
        assert sum(asked) == 999
        assert p_of_permutations(lambda count: np.ones(count, bool), 999) == 1.0
        assert p_of_permutations(lambda count: np.arange(count) % 2 == 1, 10**9) == 0.5

    def test_where_permutations_cannot_reach_its_part_the_outputs_have_all(self) -> None:
        found = looked(answers(100, 1), answers(100, 2, features=3.0), alpha=1e-4, permutations=1000)
        assert found.features.threshold == 0 and not found.features.found
        assert sum(one.threshold for one in found.outputs) == pytest.approx(1e-4)


class TestNothingChanged:
    def test_p_of_both_tests_is_below_alpha_as_seldom_as_it_says(self) -> None:
        """400 looks at nothing; a bound that holds in all but one of a million such tests."""
        found = [looked(answers(90, 2 * seed), answers(40, 2 * seed + 1), alpha=0.2, permutations=500)
                 for seed in range(400)]  # fmt: skip
        for alarms, alpha in (
            (sum(one.features.p <= 0.1 for one in found), 0.1),
            (sum(any(output.found for output in one.outputs) for one in found), 0.1),
            (sum(one.found for one in found), 0.2),
        ):
            assert alarms <= binom.isf(1e-6, 400, alpha)
        small = sum(one.features.p <= 0.5 for one in found)
        assert small >= binom.isf(1 - 1e-6, 400, 0.5)  # and no more careful than that

    def test_it_is_said_what_would_be_seen(self) -> None:
        found = looked(answers(200, 1), answers(50, 2))
        assert not found.found
        assert f"where {smallest(200, 50, 0.025 / 3):.2f} would be seen" in found.said


class TestLabelShift:
    def shifted(self, shares: list[float], right: float, count: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
        rng = np.random.default_rng(seed)
        true = rng.choice(len(shares), count, p=shares)
        said = np.where(rng.random(count) < right, true, (true + rng.integers(1, 3, count)) % len(shares))
        return said, true

    def test_finds_the_shares_of_today_and_the_accuracy(self) -> None:
        rng = np.random.default_rng(2)
        true = rng.choice(3, 6000, p=[0.4, 0.3, 0.3])
        chance = np.array([0.95, 0.8, 0.6])
        said = np.where(rng.random(6000) < chance[true], true, (true + 1) % 3)
        today = rng.choice(3, 6000, p=[0.1, 0.2, 0.7])
        now = np.where(rng.random(6000) < chance[today], today, (today + 1) % 3)
        found = label_shift(said, true, now, 3, confidence=0.99, resamples=400, seed=0)
        for share, wanted in zip(found.today, (0.1, 0.2, 0.7), strict=True):
            assert share.low <= wanted <= share.high and share.high - share.low < 0.12
        assert found.accuracy.low <= (now == today).mean() <= found.accuracy.high
        assert found.accuracy.value == pytest.approx(0.095 + 0.16 + 0.42, abs=0.02)

    def test_its_interval_holds_the_truth_as_often_as_it_says(self) -> None:
        held = 0
        for seed in range(150):
            said, true = self.shifted([0.5, 0.3, 0.2], 0.8, 400, 2 * seed)
            now, _ = self.shifted([0.2, 0.2, 0.6], 0.8, 200, 2 * seed + 1)
            found = label_shift(said, true, now, 3, confidence=0.95, resamples=200, seed=seed)
            held += found.today[2].low <= 0.6 <= found.today[2].high
        assert held >= binom.isf(1 - 1e-6, 150, 0.93)

    def test_classes_that_are_always_confused_keep_their_ratio(self) -> None:
        true = np.repeat([0, 1, 2], 100)
        said = np.where(true == 2, 2, 0)
        found = label_shift(said, true, np.repeat([0, 2], [150, 50]), 3, confidence=0.95, resamples=100, seed=0)
        assert found.today[0].value == pytest.approx(found.today[1].value)
        assert found.today[2].value == pytest.approx(0.25, abs=0.01)

    def test_a_class_that_no_sample_is_of_stays_so(self) -> None:
        true = np.array([0, 1] * 20)
        found = label_shift(true, true, np.array([0, 1, 1] * 9), 3, confidence=0.95, resamples=100, seed=0)
        assert found.today[2].value == 0.0
        assert found.accuracy.low < 1.0 == found.accuracy.value  # 40 samples make nobody certain


class TestDrift:
    def test_is_the_same_after_it_was_kept(self) -> None:
        found = looked(answers(60, 1), answers(30, 2))
        assert Drift.from_json(json.loads(json.dumps(found.as_json()))) == found

    def test_numbers_that_a_model_says_have_no_labels(self) -> None:
        old, new = (Answers(each.said, each.features) for each in (answers(60, 1), answers(FOLDS, 2)))
        assert looked(old, new).labels is None

    def test_samples_of_unknown_classes_do_not_teach_the_estimate(self) -> None:
        old = answers(60, 1)
        assert old.targets is not None
        unknown = np.where(np.arange(60) < 10, -1, old.targets)
        found = looked(Answers(old.said, old.features, unknown), answers(30, 2))
        assert found.labels is not None and sum(found.labels.before) == pytest.approx(1.0)
