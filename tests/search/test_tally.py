"""The sums of a search are those of its trials."""

from collections import Counter

from hypothesis import given
from hypothesis import strategies as st

from assay.search.tally import Tally
from assay.search.trial import COMPLETE, FAILED, PRUNED, Tried, best_complete

values = st.lists(st.tuples(st.sampled_from([COMPLETE, PRUNED, FAILED]), st.integers(0, 3), st.integers(1, 5)))


@given(values, st.sampled_from([1, -1]))
def test_the_sums_are_those_of_a_look_at_every_trial(told: list[tuple[str, int, int]], sign: int) -> None:
    trials = [
        Tried(number, state, {}, dict.fromkeys(range(1, last + 1), float(value)), float(value), 1.0, state)
        for number, (state, value, last) in enumerate(told)
    ]
    tally = Tally(sign)
    for trial in reversed(trials):
        tally.add(trial)
    assert tally.best == best_complete(trials, sign)
    assert tally.states == Counter(trial.state for trial in trials)
    assert tally.lasts == Counter(len(trial.curve) for trial in trials)
    assert tally.reasons == Counter(FAILED for trial in trials if trial.state == FAILED)
