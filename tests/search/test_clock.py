"""The time of a search is that of its drivers together."""

import time
from pathlib import Path

import optuna
import pytest

from assay.search.about import study_name
from assay.search.clock import SEARCHED, Clock
from assay.search.study import Study
from assay.section import seconds_of
from searches import drive, opened, params_of


def wait(study: Study) -> None:
    """Until its time is over."""
    while not study.clock.out:
        time.sleep(0.02)


def test_no_trial_is_begun_after_the_budget_and_what_runs_ends(tmp_path: Path) -> None:
    with opened(tmp_path, budget="1 s") as study:
        first, second = study.ask(), study.ask()
        assert first is not None
        assert second is not None
        assert study.left == 6
        wait(study)
        assert study.spent
        assert study.left == 2
        assert study.ask() is None
        study.report(second.number, 1, 0.5, 0.5, finished=True)
        study.report(first.number, 1, 0.5, 0.5, finished=True)
        assert study.left == 0
        assert [each.state for each in study.tried()] == ["complete", "complete"]


def test_the_time_of_all_drivers_counts(tmp_path: Path) -> None:
    with opened(tmp_path, budget="2 h") as study:
        drive(study, 1)
        study._study.set_user_attr(SEARCHED, 7100.0)  # as a driver leaves it that ran for so long
        name = study.name
    with opened(tmp_path, budget="2 h") as study:
        left = study.clock.left_s
        assert left == 100, "it begins with the first ask"
        assert study.ask() is not None
    with opened(tmp_path, budget="118 min") as study:
        assert study.clock.out
        assert study.left == 1, "what a killed driver had begun"
        asked = study.ask()
        assert asked is not None
        assert asked.again
        assert study.ask() is None
        study.report(asked.number, 1, 0.5, 0.5, finished=True)
        assert study.left == 0
        assert study.waiting == []
    with opened(tmp_path, budget="3 h") as study:
        assert study.name == name, "another budget goes on with the same study"
        drive(study)
        assert len(study.tried()) == 6


def test_what_a_driver_searched_is_kept_while_it_runs(tmp_path: Path) -> None:
    with opened(tmp_path, budget="1 s") as study:
        asked = study.ask()
        assert asked is not None
        wait(study)
        study.report(asked.number, 1, 0.5, 0.5)
    with opened(tmp_path, budget="1 s") as study:
        assert study.clock.out


def test_without_a_budget_nothing_is_kept_and_the_name_is_the_same() -> None:
    study = optuna.create_study()
    study.set_user_attr(SEARCHED, 3.0)
    clock = Clock(study, None)
    clock.begin()
    clock.keep()
    assert study.user_attrs == {SEARCHED: 3.0}
    assert clock.left_s is None
    assert not clock.out
    names = {study_name(p.search, p.recipe, "loss", "v") for p in (params_of(4), params_of(4, budget="90 s"))}
    assert len(names) == 1


@pytest.mark.parametrize(("budget", "seconds"), [("0.5 h", 1800), ("0.25min", 15), ("1.5 h", 5400), ("90 s", 90)])
def test_a_part_of_an_hour_is_a_time(budget: str, seconds: float) -> None:
    assert seconds_of(params_of(4, budget=budget).search.budget or "") == seconds


@pytest.mark.parametrize("budget", ["0 s", "0.0 h", "00.5 h", ".5 h", "-1 s", "1 day"])
def test_no_time_at_all_is_refused(budget: str) -> None:
    with pytest.raises(ValueError, match="budget"):
        params_of(4, budget=budget)
