"""More than one objective: who is on the front, who is picked, what a draw looks for, and a search with costs."""

import csv
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from assay.search import page, pictures
from assay.search.front import best_among, dominates, front_of, losses_of, picked, traded
from assay.search.select import Choice, select, write_report, write_trials
from assay.search.study import Study
from assay.search.trial import COMPLETE, FAILED, PRUNED, RUNNING, Tried
from searches import opened, params_of, run, value_of

points = st.lists(st.tuples(st.integers(0, 5), st.integers(1, 6), st.integers(1, 6)), min_size=1, max_size=12)


def tried(number: int, value: float, seconds: float, parameters: float = 1.0, state: str = COMPLETE) -> Tried:
    costs = {"cost/seconds": seconds, "cost/parameters": parameters}
    return Tried(number, state, {}, {1: value}, value, 1.0, None, costs)


@given(points, st.sampled_from([1, -1]))
def test_the_front_is_who_is_beaten_by_nobody_and_beats_everybody_else(case: list[Any], sign: int) -> None:
    trials = [tried(number, *each) for number, each in enumerate(case)]
    front = front_of(trials, sign)
    losses = [losses_of(each, sign) for each in front]
    assert losses == sorted(set(losses)), "the best in the metric first, nobody twice"
    for each in trials:
        mine = losses_of(each, sign)
        assert (each in front) or mine in losses or any(dominates(other, mine) for other in losses)
        assert not (each in front and any(dominates(losses_of(other, sign), mine) for other in trials))
    for pick in ("knee", {"cost/seconds": 3.0}):
        assert picked(front, sign, pick) in front


def test_the_knee_is_the_one_beyond_which_little_is_won_for_much() -> None:
    trials = [tried(0, 0.90, 1), tried(1, 0.98, 2), tried(2, 0.985, 32), tried(3, 0.99, 64)]
    won = best_among(trials, 1)
    assert won is not None
    assert won.number == 1


def test_a_limit_takes_the_best_that_keeps_it_and_where_none_does_the_nearest() -> None:
    trials = [tried(0, 0.90, 1), tried(1, 0.98, 2), tried(2, 0.99, 4)]
    assert [best_among(trials, 1, {"cost/seconds": most}).number for most in (100, 4, 3.9, 0.5)] == [2, 2, 1, 0]  # type: ignore[union-attr]


def test_only_complete_trials_are_on_a_front_and_of_none_nobody_is_picked() -> None:
    assert front_of([tried(0, 1.0, 1, state=PRUNED), tried(1, 1.0, 1, state=FAILED)], 1) == []
    assert best_among([tried(0, 1.0, 1, state=PRUNED)], 1) is None


def test_draws_look_along_the_whole_front() -> None:
    trials = [tried(0, 0.9, 1), tried(1, 0.95, 2), tried(2, 0.99, 8), tried(3, 0.5, 9), tried(4, 0.5, 9, state=RUNNING)]
    finals = np.array([0.9, 0.95, 0.99, 0.5, np.nan])
    best = set()
    for seed in range(200):
        seen = traded(trials, finals, np.random.default_rng(seed))
        assert [each.state for each in seen] == [COMPLETE] * 4 + [RUNNING]
        best.add(max(seen[:4], key=lambda each: each.score).number)
    assert best == {0, 1, 2}, "each by some weights; who is beaten in all by none"


def test_what_failed_stays_failed_and_without_a_value_nothing_is_known() -> None:
    seen = traded([tried(0, 1.0, 1, state=FAILED)], np.array([-np.inf]), np.random.default_rng(0))
    assert [each.state for each in seen] == [FAILED]


def drive(study: Study) -> None:
    """Better the slower it is, to a limit."""
    while (asked := study.ask()) is not None:
        lr = asked.recipe.optimizer.lr
        for epoch in (1, 2, 3):
            costs = {"cost/seconds": 1e-4 / lr, "cost/parameters": 10.0}
            if study.report(asked.number, epoch, value_of(lr, epoch), 0.5 * epoch, epoch == 3, costs):
                break


def test_a_search_with_costs_keeps_them_and_goes_on_with_them(tmp_path: Path) -> None:
    objectives = {"metric": ["accuracy", "cost/seconds"], "seed": 1}
    with opened(tmp_path, 14, **objectives) as study:
        drive(study)
        before = study.tried()
        choice = select(study, None)
        write_trials(study, tmp_path / "trials.csv")
        write_report(study, choice, tmp_path / "report.json")
        assert tmp_path / "pareto.png" in pictures.draw(study, choice.won, tmp_path)
        assert "<h2>Front</h2>" in page.write_page(study, choice, tmp_path).read_text()
    with opened(tmp_path, 14, **objectives) as study:
        assert study.tried() == before
        assert study.best() == choice.won
    report = json.loads((tmp_path / "report.json").read_text())
    assert len(report["front"]) > 1
    assert report["winner"]["number"] in [each["number"] for each in report["front"]]
    with (tmp_path / "trials.csv").open() as file:
        assert all(float(row["cost/seconds"]) > 0 for row in csv.DictReader(file))
    with opened(tmp_path, 14, seed=1) as other:
        assert other.name != study.name, "other objectives are another search"


def test_a_trial_is_stopped_only_by_those_that_are_nowhere_worse(tmp_path: Path) -> None:
    with opened(tmp_path, 3, metric=["accuracy", "cost/seconds"]) as study:
        states = []
        for value, seconds in ((0.9, 1.0), (0.5, 0.5), (0.5, 2.0)):
            asked = study.ask()
            assert asked is not None
            settled = study.report(asked.number, 1, value, 1.0, costs={"cost/seconds": seconds})
            states.append([each.state for each in settled])
        assert states == [[], [], [PRUNED]], "worse but cheaper goes on; worse and dearer does not"


def test_where_nobody_keeps_a_limit_it_is_said(tmp_path: Path) -> None:
    with opened(tmp_path, 3, metric=["accuracy", "cost/seconds"], pick={"cost/seconds": 1e-9}) as study:
        drive(study)
        choice = select(study, None)
        assert choice.said[0].startswith("no recipe keeps search.pick (cost/seconds ")
        assert choice.said[0] in page.write_page(study, choice, tmp_path).read_text(encoding="utf-8")
    assert Choice(choice.won).said == []


@pytest.mark.e2e
def test_a_whole_search_weighs_accuracy_against_the_size_of_the_network(tmp_path: Path) -> None:
    space = {"backbone": {"choices": ["cnn", "mlp"]}}
    params = params_of(4, space=space, recipe={"epochs": 1}, metric=["accuracy", "cost/parameters"], pruner="none")
    run(tmp_path, params)
    report = json.loads((tmp_path / "out/report.json").read_text())
    sizes = {each["cost/parameters"] for each in report["front"]}
    assert all(size > 1000 for size in sizes)
    assert report["trials"]["complete"] == 4
