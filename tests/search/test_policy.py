"""What is drawn and who is stopped follow from what was reported, never from who reported first."""

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st
from optuna.distributions import CategoricalDistribution, FloatDistribution
from optuna.study import StudyDirection

from assay.search.policy import Drawing, Halving, Sight
from assay.search.trial import COMPLETE, FAILED, PRUNED, Tried

SPACE = {"lr": FloatDistribution(1e-4, 1e-1, log=True), "activation": CategoricalDistribution(["relu", "tanh"])}
curve_lists = st.lists(st.lists(st.floats(0, 1), min_size=1, max_size=10), min_size=1, max_size=9)


def judged(
    curves: list[list[float]], order: list[int] | None = None, sign: int = 1, min_epochs: int = 1, reduction: int = 3
) -> list[int | None]:
    """The epoch after which each is stopped; `order` says whose report comes next, without it one runs after another.

    A trial that is stopped reports no more, as in a search; one that is not reports its whole curve.
    """
    halving, told = Halving(min_epochs, reduction, sign), [0] * len(curves)
    for number in range(len(curves)):
        halving.begin(number)
    for number in [*(order or []), *(n for n, curve in enumerate(curves) for _ in curve)]:
        if told[number] < len(curves[number]) and halving.stopped(number) is None:
            told[number] += 1
            value = curves[number][told[number] - 1]
            halving.report(number, told[number], value, complete=told[number] == len(curves[number]))
            halving.judge()
    assert all(halving.settled(number) for number in range(len(curves)))
    return [halving.stopped(number) for number in range(len(curves))]


@given(curve_lists, st.integers(0, 2**32), st.integers(2, 4))
def test_who_reports_first_does_not_count(curves: list[list[float]], seed: int, reduction: int) -> None:
    order = [number for number, curve in enumerate(curves) for _ in curve]
    random.Random(seed).shuffle(order)
    assert judged(curves, order, reduction=reduction) == judged(curves, reduction=reduction)


@given(curve_lists)
def test_the_best_at_every_rung_is_never_stopped(others: list[list[float]]) -> None:
    assert judged([*others, [1.0] * 10])[-1] is None


@given(curve_lists)
def test_nobody_is_stopped_before_the_first_rung_or_between_rungs(curves: list[list[float]]) -> None:
    assert set(judged(curves, min_epochs=2)) <= {None, 2, 6}


@given(curve_lists)
def test_smaller_is_better_is_the_mirror_of_larger(curves: list[list[float]]) -> None:
    assert judged(curves) == judged([[-value for value in curve] for curve in curves], sign=-1)


@given(curve_lists)
def test_the_base_recipe_is_never_stopped_and_neither_is_what_has_come_to_its_end(curves: list[list[float]]) -> None:
    stopped = judged([[0.0] * 10, *curves])
    assert stopped[0] is None
    assert all(epoch is None or epoch < len(curve) for epoch, curve in zip(stopped[1:], curves, strict=True))


@pytest.mark.parametrize(("value", "epoch"), [(0.65, None), (0.45, 1)])
def test_a_third_goes_on(value: float, epoch: int | None) -> None:
    others = [[tenth / 10, 1.0] for tenth in range(8)]  # 0 … 0.7; with the ninth, three places
    assert judged([*others, [value, 1.0]])[-1] == epoch


def test_who_was_stopped_is_a_rival_where_it_was_and_not_beyond() -> None:
    curves = [[0.1, 0.1, 0.9, 0.9], [0.05, 0.99, 0.99, 0.99], [0.5, 0.5, 0.95, 0.95]]
    assert judged(curves) == [None, 1, None], "at the second rung the last one meets the first alone"


def test_a_verdict_waits_for_those_before_and_the_trial_runs_on() -> None:
    halving = Halving(1, 3, 1)
    halving.begin(0)
    halving.begin(1)
    for epoch in (1, 2):
        halving.report(1, epoch, 0.5)
    assert halving.judge() == []
    assert not halving.settled(1)
    halving.report(0, 1, 0.9)
    assert halving.judge() == [1]
    assert halving.stopped(1) == 1


def test_a_failed_trial_is_a_rival_where_it_came_and_holds_up_nobody() -> None:
    halving = Halving(1, 3, 1)
    for number in range(3):
        halving.begin(number)
    halving.report(0, 1, 0.9)
    halving.end(0)
    halving.end(1)
    halving.report(2, 1, 0.5)
    assert halving.judge() == [2]
    assert all(halving.settled(number) for number in range(3))


def test_one_that_begins_anew_has_reported_nothing() -> None:
    halving = Halving(1, 3, 1)
    halving.begin(0)
    halving.begin(1)
    halving.report(0, 1, 0.9)
    halving.begin(0)
    halving.report(1, 1, 0.5)
    assert halving.judge() == []
    halving.report(0, 1, 0.2)
    assert halving.judge() == []
    assert halving.stopped(1) is None


def test_what_was_told_stays_as_it_was_told() -> None:
    halving = Halving(1, 3, 1)
    for number, epochs in ((0, 3), (1, 1), (2, 3)):
        halving.begin(number)
        for epoch in range(1, epochs + 1):
            halving.report(number, epoch, 0.9 - number / 10)
        halving.tell(number, 1 if number == 1 else None)
    assert halving.judge() == []
    assert [halving.stopped(number) for number in range(3)] == [None, 1, None]


class Past:
    """Trials as a study would tell of them: `changed` says what is otherwise in one."""

    def __init__(self, changed: dict[int, dict[int, float]] | None = None) -> None:
        self.drawn: list[dict[str, object]] = []
        self.changed = changed or {}

    def tried(self, number: int) -> Tried:
        state = {1: PRUNED, 2: FAILED}.get(number % 5, COMPLETE)
        epochs = 9 if state == COMPLETE else 1
        curve = self.changed.get(number, {epoch: number % 7 / 10 + epoch / 100 for epoch in range(1, epochs + 1)})
        return Tried(number, state, dict(self.drawn[number]), curve, max(curve.values()), 1.0, None)


def drawn(past: Past, count: int, seed: int = 7, trials: int = 60) -> list[dict[str, object]]:
    drawing = Drawing(SPACE, seed, StudyDirection.MAXIMIZE, past.tried)
    past.drawn.append({"lr": 0.01})  # the base recipe, which lacks a value
    for number in range(1, count):
        past.drawn.append(drawing.draw(number, trials, Sight(1, 3)))
    return past.drawn


def test_a_draw_is_a_function_of_the_past_the_seed_and_the_number() -> None:
    first = drawn(Past(), 30)
    assert first == drawn(Past(), 30)
    assert first[1:] != drawn(Past(), 30, seed=8)[1:]
    assert len({str(values) for values in first}) == 30


@pytest.mark.parametrize("reached", [3, 10, 14])
def test_a_search_that_goes_on_draws_what_it_would_have_drawn(reached: int) -> None:
    past, whole = Past(), drawn(Past(), 20)
    past.drawn = whole[:reached]
    drawing = Drawing(SPACE, 7, StudyDirection.MAXIMIZE, past.tried)
    for number in range(reached, 20):
        past.drawn.append(drawing.draw(number, 60, Sight(1, 3)))
    assert past.drawn == whole


def test_a_draw_knows_the_first_epochs_of_those_before_it_and_of_the_last_two_nothing() -> None:
    past = Past()
    known, great = drawn(past, 21), dict.fromkeys(range(1, 10), 2.0)
    assert drawn(Past({19: great, 18: great}), 21) == known
    early = {epoch: value for epoch, value in past.tried(10).curve.items() if epoch <= 3}
    assert drawn(Past({10: great | early}), 21) == known, "four epochs of it are known: the second rung"
    assert drawn(Past({10: great}), 21) != known


@pytest.mark.parametrize(("epochs", "rung"), [(1, None), (2, 2), (5, 2), (6, 6), (17, 6), (18, 18)])
def test_rungs_stand_at_powers_of_the_reduction(epochs: int, rung: int | None) -> None:
    assert Sight(2, 3).rung(epochs) == rung


@pytest.mark.parametrize(
    ("workers", "back", "epochs"),
    [(2, 1, 0), (2, 2, 0), (2, 3, 2), (2, 5, 4), (2, 32, 30), (2, 33, float("inf")), (1, 5, 4), (4, 6, 0), (4, 7, 2)],
)
def test_the_further_back_a_trial_began_the_more_is_known_of_it(workers: int, back: int, epochs: float) -> None:
    assert Sight(2, 3, workers).epochs(back) == epochs
