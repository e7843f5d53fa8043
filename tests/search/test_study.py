"""The study is the truth: what is killed goes on, and the budget is exact."""

import signal
import subprocess
import sys
from pathlib import Path

import pytest

from assay.errors import InputError
from assay.params import Recipe
from assay.search.study import INTERRUPTED, study_name
from searches import drive, opened, params_of


def points(study_folder: Path, **search: int) -> list[tuple[int, str, dict[str, object], float | None]]:
    with opened(study_folder, **search) as study:
        return [(each.number, each.state, each.drawn, each.value) for each in study.tried()]


def test_the_first_trial_is_the_base_recipe(tmp_path: Path) -> None:
    with opened(tmp_path) as study:
        asked = study.ask()
        assert asked is not None
        assert (asked.number, asked.recipe) == (0, params_of(6).recipe)


def test_a_study_gives_exactly_its_budget(tmp_path: Path) -> None:
    with opened(tmp_path) as study:
        drive(study)
        assert [each.number for each in study.tried()] == list(range(6))
        assert study.left == 0
        assert study.ask() is None


@pytest.mark.parametrize("stop", [1, 3, 5])
def test_a_search_that_goes_on_ends_as_one_that_was_not_interrupted(tmp_path: Path, stop: int) -> None:
    with opened(tmp_path / "whole") as study:
        drive(study)
    with opened(tmp_path / "parts") as study:
        drive(study, stop)
    with opened(tmp_path / "parts") as study:
        drive(study)
    assert points(tmp_path / "parts") == points(tmp_path / "whole")


def test_a_running_trial_of_a_dead_driver_is_asked_anew_under_its_number(tmp_path: Path) -> None:
    with opened(tmp_path) as study:
        drive(study, 2)
        left = study.ask()
        assert left is not None
        study.report(left.number, 1, 0.99)
    with opened(tmp_path) as study:
        again = study.ask()
        assert again is not None
        assert again.again
        assert (again.number, again.recipe, again.values) == (left.number, left.recipe, left.values)
        assert study.tried()[left.number].curve == {}, "what it reported before is not its own"
        study.report(again.number, 1, 0.2)
        study.end(again.number, "complete", 1.0)
        drive(study)
        assert [each.number for each in study.tried()] == list(range(6))
        assert {each.state for each in study.tried()} <= {"complete", "pruned"}


def test_what_was_interrupted_twice_is_still_one_trial(tmp_path: Path) -> None:
    for _ in range(3):
        with opened(tmp_path) as study:
            asked = study.ask()
            assert asked is not None
            assert asked.number == 0
    with opened(tmp_path) as study:
        drive(study)
        assert [each.number for each in study.tried()] == list(range(6))


KILLED = """
import os, signal, sys
sys.path.insert(0, {tests!r})
from pathlib import Path
from searches import drive, opened
study = opened(Path({folder!r}))
drive(study, 2)
trial = study.ask()
study.report(trial.number, 1, 0.5)
os.kill(os.getpid(), signal.SIGKILL)
"""


def test_a_driver_that_is_killed_leaves_its_lease_and_its_trials(tmp_path: Path) -> None:
    code = KILLED.format(tests=str(Path(__file__).parent.parent), folder=str(tmp_path))
    ended = subprocess.run([sys.executable, "-c", code], check=False)
    assert ended.returncode == -signal.SIGKILL
    with opened(tmp_path) as study:
        drive(study)
        assert [each.number for each in study.tried()] == list(range(6))
        assert INTERRUPTED not in {each.reason for each in study.tried()}


def test_a_line_cut_by_a_full_disk_is_no_loss_but_of_itself(tmp_path: Path) -> None:
    with opened(tmp_path) as study:
        drive(study, 3)
        name = study.name
    with (tmp_path / f"{name}.journal").open("ab") as file:
        file.write(b'{"op_code": 5, "wor')
    with opened(tmp_path) as study:
        drive(study)
        assert len(study.tried()) == 6


def test_a_damaged_journal_is_one_sentence(tmp_path: Path) -> None:
    with opened(tmp_path) as study:
        name = study.name
    (tmp_path / f"{name}.journal").write_bytes(b"not json\nat all\n")
    with pytest.raises(InputError, match=r"\.journal: cannot be opened .*; delete it to search from the beginning\."):
        opened(tmp_path)


def test_a_database_that_does_not_answer_is_one_sentence(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"search\.storage is 'nosuch://here'; it cannot be opened"):
        opened(tmp_path, storage="nosuch://here")


def test_a_search_that_runs_is_not_run_twice(tmp_path: Path) -> None:
    with opened(tmp_path), pytest.raises(InputError, match="this search is running already"):
        opened(tmp_path)


def test_a_larger_budget_goes_on_and_a_smaller_one_looks_at_less(tmp_path: Path) -> None:
    with opened(tmp_path, 4) as study:
        drive(study)
    with opened(tmp_path, 7) as study:
        assert study.left == 3
        drive(study)
    with opened(tmp_path, 3) as study:
        assert study.left == 0
        assert [each.number for each in study.tried()] == [0, 1, 2]
    assert len(points(tmp_path, trials=7)) == 7


@pytest.mark.parametrize(
    "change",
    [
        {"seed": 1},
        {"epochs": 2},
        {"min_epochs": 2},
        {"reduction": 2},
        {"space": {"dropout": {"low": 0.0, "high": 0.1}}},
    ],
)
def test_what_the_outcome_hangs_on_names_another_study(change: dict[str, object]) -> None:
    def name(**search: object) -> str:
        search_, recipe = params_of(4, **search).search, Recipe(epochs=search.get("epochs", 3))
        return study_name(search_, recipe, "accuracy", "v")

    assert name(**change) != name()
    assert name(workers=3) == name()


def test_the_version_of_the_data_names_another_study() -> None:
    search, recipe = params_of(4).search, Recipe()
    assert study_name(search, recipe, "accuracy", "v") != study_name(search, recipe, "accuracy", "w")
    assert study_name(search, recipe, "accuracy", "v") != study_name(search, recipe, "loss", "v")
    assert study_name(search, recipe, "accuracy", "v") != study_name(search, Recipe(batch_size=7), "accuracy", "v")


def test_more_than_half_failed_stops_with_the_commonest_reason(tmp_path: Path) -> None:
    with opened(tmp_path, 4) as study:
        for reason in ("a", "b.", "b."):
            asked = study.ask()
            assert asked is not None
            study.check_failures()
            study.end(asked.number, "failed", 0.1, reason)
        with pytest.raises(InputError, match=r"3 of 3 trials failed, most because b"):
            study.check_failures()
    with opened(tmp_path, 4) as study:
        drive(study)
        assert {each.state for each in study.tried()} <= {"complete", "pruned"}, "the cause was mended: they run anew"


def test_one_failed_trial_costs_only_itself(tmp_path: Path) -> None:
    with opened(tmp_path) as study:
        drive(study, 1)
        asked = study.ask()
        assert asked is not None
        study.end(asked.number, "failed", 0.1, "it burnt")
        drive(study)
        study.check_failures()
        assert [each.reason for each in study.tried()] == [None, "it burnt", None, None, None, None]
