"""What the finals decide follows from the results alone; what they say of the winner holds where the truth is known."""

import json
import random
from collections.abc import Callable, Collection

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from assay.errors import InputError
from assay.finals import PLANS, Finals, Run, Verdict, report_of, said
from assay.shrinkage import effects_of

Value = Callable[[int, int], float | None]  # (number, seed) → what a run gives; None: it fails

score_lists = st.lists(st.integers(0, 9).map(float), min_size=1, max_size=14)  # with draws
failures = st.sets(st.tuples(st.integers(0, 13), st.integers(0, 4)), max_size=8)


def finals_of(scores: list[float], plan: str = "small", sign: int = 1) -> Finals:
    return Finals(plan, dict(enumerate(scores)), sign, base=0)


def noisy(scores: list[float], fails: Collection[Run] = (), sign: int = 1) -> Value:
    """A run gives its score and noise of its own, whenever it runs."""

    def value(number: int, seed: int) -> float | None:
        if (number, seed) in fails:
            return None
        return sign * (scores[number] + float(np.random.default_rng([number, seed]).normal()))

    return value


def play(finals: Finals, value: Value, order: random.Random | None = None, most: int = 1000) -> list[Run]:
    """Tell what is wanted, one run after another, in turn or as `order` draws them; what was told."""
    told: list[Run] = []
    while (wanted := finals.wanted()) and len(told) < most:
        run = order.choice(wanted) if order else wanted[0]
        finals.tell(*run, value(*run))
        told.append(run)
    return told


def judged(finals: Finals) -> Verdict | str:
    try:
        return finals.verdict(0.95)
    except InputError as error:
        return str(error)


@given(score_lists, failures, st.integers(0, 2**32))
@settings(max_examples=25)
def test_who_is_told_first_does_not_count(scores: list[float], fails: set[Run], seed: int) -> None:
    orderly, mixed = finals_of(scores), finals_of(scores)
    play(orderly, noisy(scores, fails))
    play(mixed, noisy(scores, fails), random.Random(seed))
    first, second = judged(orderly), judged(mixed)
    if isinstance(first, Verdict) and isinstance(second, Verdict):  # a run beside one that fails may run or not
        first, second = (str({**vars(one), "num_runs": 0, "failed": ()}) for one in (first, second))
    assert first == second


@given(score_lists, failures, st.integers(0, 22), st.integers(0, 2**32))
@settings(max_examples=25)
def test_killed_and_made_anew_from_what_was_stored_wants_and_says_the_same(
    scores: list[float], fails: set[Run], killed_after: int, seed: int
) -> None:
    whole, first, again = finals_of(scores), finals_of(scores), finals_of(scores)
    value = noisy(scores, fails)
    play(whole, value)
    stored = play(first, value, most=killed_after)
    random.Random(seed).shuffle(stored)
    for run in stored:
        again.tell(*run, value(*run))
    assert again.wanted() == first.wanted()
    play(again, value)
    assert judged(again) == judged(whole)


@given(score_lists, failures, st.integers(0, 2**32), st.sampled_from(["small", "full"]))
@settings(max_examples=40)
def test_no_run_is_wanted_beyond_the_budget(scores: list[float], fails: set[Run], seed: int, plan: str) -> None:
    told = play(finals_of(scores, plan), noisy(scores, fails), random.Random(seed))
    assert len(told) == len(set(told)) <= {"small": 22, "full": 96}[plan]


def test_ten_trials_take_22_runs_and_the_base_recipe_is_in_every_round() -> None:
    scores = [0.0, *range(1, 12)]
    finals = finals_of([float(score) for score in scores])
    rounds = []
    while wanted := finals.wanted():
        rounds.append(wanted)
        for number, seed in wanted:
            finals.tell(number, seed, float(number))
    assert [len(each) for each in rounds] == [8, 8, 6] == [places * seeds for places, seeds in PLANS["small"]]
    assert sorted({number for number, _ in rounds[1]}) == [0, 9, 10, 11]
    assert sorted({number for number, _ in rounds[2]}) == [0, 10, 11]
    verdict = finals.verdict(0.95)
    assert (verdict.winner.number, verdict.num_runs) == (11, 22)
    assert verdict.base is not None and verdict.base.num_seeds == verdict.winner.num_seeds == 5


def test_the_base_recipe_is_a_finalist_though_its_trial_had_no_end() -> None:
    finals = Finals("small", {3: 0.9, 5: 0.8}, 1, base=0)
    assert finals.finalists == [0, 3, 5]
    play(finals, noisy([0.0] * 6))
    verdict = finals.verdict(0.95)
    assert verdict.base is None or verdict.base.searched is None


@given(score_lists, failures)
@settings(max_examples=25)
def test_smaller_is_better_is_the_mirror_of_larger(scores: list[float], fails: set[Run]) -> None:
    larger, smaller = finals_of(scores), finals_of([-score for score in scores], sign=-1)
    assert play(larger, noisy(scores, fails)) == play(smaller, noisy(scores, fails, sign=-1))
    one, two = judged(larger), judged(smaller)
    if isinstance(one, Verdict) and isinstance(two, Verdict):
        assert (one.over_base, one.over_runner_up, one.p_better) == (two.over_base, two.over_runner_up, two.p_better)
        assert one.winner.number == two.winner.number and one.winner.score == -two.winner.score
        assert one.winner.overstated == two.winner.overstated
    else:
        assert one == two


@pytest.mark.parametrize("failed", [None, float("nan"), float("inf")])
def test_a_finalist_that_fails_falls_out_and_its_runs_are_wanted_no_more(failed: float | None) -> None:
    finals = finals_of([0.0, 1.0, 2.0, 3.0])

    def value(number: int, seed: int) -> float | None:
        return failed if (number, seed) == (3, 1) else float(number) + seed % 2

    assert (3, 2) not in play(finals, value)
    verdict = finals.verdict(0.95)
    assert (verdict.winner.number, verdict.failed) == (2, (3,))


def test_one_that_fails_in_the_last_round_opens_no_place_for_one_that_was_dropped() -> None:
    scores = [float(number) for number in range(8)]
    told = play(finals_of(scores), lambda number, seed: None if (number, seed) == (7, 3) else scores[number])
    assert {number for number, seed in told if seed == 4} == {0, 6}


def test_where_the_base_recipe_fails_nothing_is_said_of_it() -> None:
    finals = finals_of([0.0, 1.0, 2.0])
    play(finals, noisy([0.0, 1.0, 2.0], {(0, 2)}))
    verdict = finals.verdict(0.95)
    assert verdict.base is verdict.over_base is verdict.p_better is None and not verdict.shown
    assert "the base recipe failed when it was run again: whether it is better is not known" in said(verdict)


def test_where_all_fail_a_sentence_says_what_to_do() -> None:
    finals = finals_of([0.0, 1.0])
    play(finals, lambda number, seed: None)
    with pytest.raises(InputError, match=r"every finalist failed when it was run again; search\.finals: off does"):
        finals.verdict(0.95)


def test_a_lone_base_recipe_wins_with_the_mean_of_its_seeds() -> None:
    finals = finals_of([9.0])
    play(finals, lambda number, seed: float(seed))
    verdict = finals.verdict(0.95)
    assert (verdict.winner.number, verdict.winner.score, verdict.winner.overstated) == (0, 2.0, 7.0)
    assert said(verdict) == (
        "No other trial is better than the base recipe, so that wins. It is worth 2; the search said 9, 7 too good."
    )


def test_what_the_search_said_names_the_finalists_and_counts_no_further() -> None:
    value = noisy([1.0, 2.0, 3.0])
    modest, boasting = finals_of([1.0, 2.0, 3.0]), finals_of([1.0, 200.0, 300.0])
    play(modest, value)
    play(boasting, value)
    one, two = modest.verdict(0.95), boasting.verdict(0.95)
    assert (one.over_base, one.winner.score) == (two.over_base, two.winner.score)
    assert two.winner.overstated == pytest.approx(300 - two.winner.score)


def test_where_all_are_the_same_the_base_recipe_wins() -> None:
    finals = finals_of([0.5] * 10)
    play(finals, lambda number, seed: 0.5)
    verdict = finals.verdict(0.95)
    assert verdict.winner.number == 0 and not verdict.shown and verdict.winner.score == pytest.approx(0.5)


@pytest.mark.parametrize("num", [2, 5, 7])
def test_where_all_are_the_same_on_every_seed_the_base_recipe_wins(num: int) -> None:
    """Of seeds that differ something is left over in the last digits, which is no lead."""
    finals = finals_of([0.8234] * num)
    play(finals, lambda _number, seed: [0.8300, 0.8473, 0.8419, 0.8167, 0.8738][seed])
    assert finals.verdict(0.95).winner.number == 0
    assert "No other trial is better than the base recipe" in said(finals.verdict(0.95))


def test_a_winner_that_is_not_shown_to_be_better_is_called_so() -> None:
    finals = finals_of([0.0, 0.3])
    play(finals, lambda number, seed: [0.0, 0.3][number] + [1, -1, 2, -2, 0][seed] * (1 if number else -0.5))
    verdict = finals.verdict(0.95)
    assert verdict.winner.number == 1 and not verdict.shown
    assert "Trial 1 is NOT shown to be better than the base recipe: better by 0.3, but 95% interval -" in said(verdict)
    assert report_of(verdict)["shown_better"] is False


def test_the_report_is_json_and_twice_the_same() -> None:
    reports = []
    for seed in (1, 2):
        finals = finals_of([0.0, 5.0, 6.0, 1.0])
        play(finals, noisy([0.0, 5.0, 6.0, 1.0]), random.Random(seed))
        reports.append(json.dumps(report_of(finals.verdict(0.95)), allow_nan=False))
    assert reports[0] == reports[1]
    report = json.loads(reports[0])
    assert report["shown_better"] is True and report["winner"]["number"] == 2
    assert report["said"].startswith("Trial 2 is better than the base recipe by ")


@given(st.lists(st.floats(-1, 1), min_size=10, max_size=10))
@settings(max_examples=25)
def test_two_candidates_are_compared_by_the_paired_t_interval(values: list[float]) -> None:
    """With one beside the reference nothing is drawn back: Student's interval of the differences is the answer."""
    from scipy.stats import ttest_1samp

    leads = np.subtract(values[:5], values[5:])
    if leads.std() < 1e-3:
        return
    runs = {(name, seed): values[5 * (1 - name) + seed] for name in (0, 1) for seed in range(5)}
    found = effects_of(runs, reference=0)
    theirs = ttest_1samp(leads, 0.0)
    low, high = theirs.confidence_interval(0.95)
    ours = found.lead(1, 0, 0.95)
    assert (ours.value, ours.low, ours.high) == pytest.approx((leads.mean(), low, high), abs=1e-5)
    assert 2 * (1 - max(found.chance(1, 0), found.chance(0, 1))) == pytest.approx(theirs.pvalue, abs=1e-6)


def test_what_a_seed_does_to_all_alike_changes_no_lead() -> None:
    scores = [0.0, 1.0, 2.0, 3.0]
    plain, shifted = finals_of(scores), finals_of(scores)
    play(plain, noisy(scores))
    play(shifted, lambda number, seed: (noisy(scores)(number, seed) or 0) + 100 * seed)
    one, two = plain.verdict(0.95).over_base, shifted.verdict(0.95).over_base
    assert one is not None and two is not None
    assert vars(one) == pytest.approx(vars(two), abs=1e-6)


def test_where_the_truth_is_known_the_score_is_honest_and_the_interval_holds_it() -> None:
    """160 searches; beside it the plain mean, which the model exists to better."""
    rng, errors, plain, held = np.random.default_rng(0), [], [], []
    for _ in range(160):
        truth = -rng.exponential(10.0, 100)  # in seed sds
        truth[0] = np.quantile(truth, 0.75)
        finals = finals_of((truth + rng.normal(size=100)).tolist())
        seeds = truth + rng.normal(size=(5, 100))
        play(finals, lambda number, seed, seeds=seeds: float(seeds[seed, number]))
        verdict = finals.verdict(0.95)
        number = verdict.winner.number
        errors.append(verdict.winner.score - truth[number])
        plain.append(seeds[:, number].mean() - truth[number])
        assert verdict.over_base is not None
        held.append(verdict.over_base.low <= truth[number] - truth[0] <= verdict.over_base.high)
    assert abs(np.mean(errors)) < 0.15 < 0.25 < np.mean(plain)
    assert 0.9 < np.mean(held) < 0.99


def test_a_clear_winner_is_not_drawn_back_to_the_others() -> None:
    rng, errors = np.random.default_rng(1), []
    for _ in range(100):
        runs = {(name, seed): 8.0 * (name == 1) + float(rng.normal()) for name in range(8) for seed in range(3)}
        errors.append(effects_of(runs, reference=0).score(1) - 8)
    assert abs(np.mean(errors)) < 0.1  # 0.21 where nobody may stand out
