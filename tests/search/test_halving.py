"""Who is stopped follows from what was reported, never from who reported first."""

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from assay.search.halving import Halving

PRUNERS = ("asha", "hyperband", "median", "none")
curve_lists = st.lists(st.lists(st.floats(0, 1), min_size=1, max_size=10), min_size=1, max_size=9)


def judged(
    curves: list[list[float]],
    order: list[int] | None = None,
    sign: int = 1,
    min_epochs: int = 1,
    reduction: int = 3,
    pruner: str = "asha",
) -> list[int | None]:
    """The epoch after which each is stopped; `order` says whose report comes next, without it one runs after another.

    A trial that is stopped reports no more, as in a search; one that is not reports its whole curve.
    """
    halving, told = Halving(min_epochs, reduction, sign, pruner, epochs=10), [0] * len(curves)
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


@given(curve_lists, st.integers(0, 2**32), st.integers(2, 4), st.sampled_from(PRUNERS))
def test_who_reports_first_does_not_count(curves: list[list[float]], seed: int, reduction: int, pruner: str) -> None:
    order = [number for number, curve in enumerate(curves) for _ in curve]
    random.Random(seed).shuffle(order)
    assert judged(curves, order, reduction=reduction, pruner=pruner) == judged(
        curves, reduction=reduction, pruner=pruner
    )


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


@given(curve_lists)
def test_without_a_pruner_nobody_is_stopped(curves: list[list[float]]) -> None:
    assert set(judged(curves, pruner="none")) == {None}


def test_the_median_is_asked_at_every_epoch_once_there_are_four_rivals() -> None:
    rivals = [[0.5, 0.5, 0.5], [0.6, 0.6, 0.6], [0.7, 0.7, 0.7], [0.8, 0.8, 0.8]]
    assert judged([*rivals[:3], [0.0, 0.0, 0.0]], pruner="median")[-1] is None, "three rivals are too few"
    assert judged([*rivals, [0.61, 0.61, 0.61]], pruner="median")[-1] == 1
    assert judged([*rivals, [0.66, 0.66, 0.66]], pruner="median")[-1] is None
    assert judged([[0.5] * 3, [0.6] * 3, [0.7, 0.9, 0.9], [0.8, 0.9, 0.9], [0.74] * 3], pruner="median")[-1] == 2


def test_a_bracket_of_hyperband_judges_a_rung_later_than_the_one_before_and_among_its_own() -> None:
    bad = [[0.1] * 10] * 9  # brackets 0, 1, 2, 0, … with rungs at 1, 3 and 9
    stopped = judged([[1.0] * 10, [1.0] * 10, [1.0] * 10, *bad], pruner="hyperband")
    assert stopped[:3] == [None, None, None]
    assert stopped[3:] == [1, 3, 9] * 3
