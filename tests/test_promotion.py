"""The rules of promotion: what a year's looks cost, when a budget ends, what a look can see, and what it shows."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from assay.intervals import Interval
from assay.paired import Compared
from assay.promotion import YEAR_S, Budget, Rules, prospect, ruled, screened, worse_on

RULES = Rules("accuracy")
BUDGET = Budget(RULES, began=0.0, count=1000, sketch=("a", "b"))


def compared(p: float, low: float = 0.0) -> Compared:
    return Compared("accuracy", 1000, 0.95, 0.94, Interval(0.01, low, 0.02), 0.95, p, 0.2)


class TestBudget:
    @given(st.lists(st.booleans(), max_size=80))
    def test_never_spends_more_than_its_alpha(self, promotions: list[bool]) -> None:
        budget, claimed = BUDGET, 0.0
        for promoted in promotions:
            alpha = budget.alpha
            budget = budget.looked()
            if promoted:
                budget = budget.returned(alpha)
            else:
                claimed += alpha
        assert claimed <= RULES.alpha * (1 + 1e-9)
        assert budget.looks == len(promotions)

    def test_looks_that_promote_nobody_cost_the_same_each(self) -> None:
        budget, seen = BUDGET, []
        for _ in range(RULES.slots):
            seen.append(budget.alpha)
            budget = budget.looked()
        assert seen == pytest.approx([RULES.alpha / RULES.slots] * RULES.slots)
        assert budget.alpha == 0

    def test_a_look_that_promotes_leaves_more_to_those_after_it(self) -> None:
        after = BUDGET.looked().returned(BUDGET.alpha)
        assert after.alpha == pytest.approx(RULES.alpha / (RULES.slots - 1))

    @pytest.mark.parametrize(
        "now, count, keys, why",
        [
            (YEAR_S - 1, 1999, {"a"}, None),
            (YEAR_S, 1000, {"a"}, "a year has passed"),
            (0.0, 2000, {"a"}, "the test split has grown from 1,000 to 2,000 samples"),
            (0.0, 1000, {"c"}, "the test split has none of its samples any more"),
            (0.0, 10, {"b"}, None),  # who takes samples away opens nothing
        ],
    )
    def test_ends_with_year_or_test_split(self, now: float, count: int, keys: set[str], why: str | None) -> None:
        assert BUDGET.over(now, count, frozenset(keys)) == why


class TestProspect:
    def test_more_samples_see_a_smaller_gain(self) -> None:
        few, many = prospect(BUDGET, 0.2, 1000, None), prospect(BUDGET, 0.2, 4000, None)
        assert many.smallest == pytest.approx(few.smallest / 2)

    def test_says_how_many_samples_the_wanted_gain_needs(self) -> None:
        ahead = prospect(BUDGET, 0.2, 1000, 0.005)
        assert ahead.needed is not None
        assert prospect(BUDGET, 0.2, ahead.needed, None).smallest == pytest.approx(0.005, rel=0.01)
        assert f"{ahead.needed:,} test samples" in ahead.said

    def test_asks_for_none_where_the_wanted_gain_is_seen(self) -> None:
        assert prospect(BUDGET, 0.2, 1_000_000, 0.005).needed is None


class TestSlices:
    @given(st.lists(st.floats(0, 1), max_size=8))
    def test_are_worse_as_holm_says(self, ps: list[float]) -> None:
        found = worse_on({str(number): compared(p) for number, p in enumerate(ps)})
        expected, left = set(), len(ps)
        for p, number in sorted((p, number) for number, p in enumerate(ps)):
            if p * left > 0.05:
                break
            expected.add(str(number))
            left -= 1
        assert set(found) == expected

    def test_of_equal_models_hold_their_error_together(self) -> None:
        rng = np.random.default_rng(0)
        called = [worse_on({str(k): compared(p) for k, p in enumerate(row)}) for row in rng.random((3000, 6))]
        assert np.mean([bool(found) for found in called]) < 0.062  # 0.05 + 3 standard deviations


class TestRuling:
    def test_promotes_what_is_shown_to_be_better(self) -> None:
        found = ruled(compared(p=0.0005), 0.001, RULES, {})
        assert found.promoted
        assert "shown to be better and is champion now" in found.said

    def test_keeps_the_champion_where_chance_explains_the_gain(self) -> None:
        found = ruled(compared(p=0.002), 0.001, RULES, {})
        assert not found.promoted
        assert "NOT shown" in found.said

    def test_an_earlier_champion_of_the_year_has_a_veto(self) -> None:
        found = ruled(compared(p=0.0005), 0.001, RULES, {"model version 3": compared(0.9, low=-0.006)})
        assert not found.promoted
        assert "worse than model version 3" in found.said
        assert ruled(compared(p=0.0005), 0.001, RULES, {"model version 3": compared(0.9, low=-0.004)}).promoted

    def test_a_slice_that_is_worse_has_a_veto_and_one_that_may_be_has_none(self) -> None:
        slices = {"camera=left": compared(0.02), "camera=right": compared(0.9)}
        found = ruled(compared(p=0.0005), 0.001, RULES, {}, slices)
        assert not found.promoted
        assert "worse on camera=left: accuracy 0.9400 beside 0.9500 on 1,000 samples, p 0.04 (Holm, 2 s" in found.said
        assert ruled(compared(p=0.0005), 0.001, RULES, {}, {"a": compared(0.03), "b": compared(0.03)}).promoted

    def test_a_veto_is_not_told_where_the_test_does_not_speak_for_the_challenger(self) -> None:
        found = ruled(compared(p=0.5), 0.001, RULES, {}, {"camera=left": compared(0.0001)}, ["it is too large."])
        assert not found.promoted and found.vetoes == ()

    def test_a_limit_that_is_exceeded_has_a_veto(self) -> None:
        found = ruled(compared(p=0.0005), 0.001, RULES, {}, {}, ["its calibration error is 0.2."])
        assert not found.promoted and "its calibration error is 0.2." in found.said

    def test_only_what_validation_speaks_for_is_looked_at(self) -> None:
        assert screened(compared(p=0.2), RULES)
        assert not screened(compared(p=0.21), RULES)
