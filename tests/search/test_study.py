"""The study is the truth: what is killed goes on, and the budget is exact."""

import dataclasses
import math
import random
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from assay.errors import InputError
from assay.params import Recipe
from assay.search.about import first_rung, study_name
from assay.search.study import INTERRUPTED, Study
from assay.search.trial import Stay
from searches import drive, opened, params_of, value_of


def points(study_folder: Path, **search: int) -> list[tuple[int, str, dict[str, object], float | None]]:
    with opened(study_folder, **search) as study:
        return [(each.number, each.state, each.drawn, each.value, each.curve) for each in study.tried()]


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


def race(study: Study, workers: int, chance: random.Random, most: int = 10**6, losses: float = 0.0) -> None:
    """Run `most` reports of trials side by side, in an order of luck; each runs on until its stop is said. `losses`:
    how often a trial's worker dies instead of reporting, once for each trial."""
    running: dict[int, Iterator[tuple[int, float]]] = {}
    for _ in range(most):
        while len(running) < workers and study.ready and (asked := study.ask()) is not None:
            running[asked.number] = iter([(epoch, value_of(asked.recipe.optimizer.lr, epoch)) for epoch in range(1, 4)])
        if not running:
            return
        number = chance.choice(sorted(running))
        if chance.random() < losses and study.again(number):
            del running[number]
            continue
        epoch, value = next(running[number])
        settled = study.report(number, epoch, value, 0.5 * epoch, finished=epoch == 3)
        if epoch == 3:
            del running[number]
        for each in settled:
            running.pop(each.number, None)


@given(st.integers(1, 4), st.integers(0, 2**32), st.integers(0, 30), st.sampled_from([0.0, 0.3]))
@settings(max_examples=40, deadline=None)
def test_a_search_ends_the_same_however_many_run_it_how_fast_and_where_it_and_its_workers_are_killed(
    workers: int, seed: int, killed_after: int, losses: float
) -> None:
    with tempfile.TemporaryDirectory() as folder:
        with opened(Path(folder) / "alone", 14) as study:
            drive(study)
        with opened(Path(folder) / "raced", 14) as study:
            race(study, workers, random.Random(seed), killed_after, losses)
        with opened(Path(folder) / "raced", 14) as study:
            study.settle()
            race(study, workers, random.Random(seed + 1), losses=losses)
            assert study.waiting == []
            assert study.left == 0
        assert points(Path(folder) / "raced", trials=14) == points(Path(folder) / "alone", trials=14)


def test_what_ended_before_its_verdict_waits_for_it_over_a_kill(tmp_path: Path) -> None:
    with opened(tmp_path) as study:
        first, second = study.ask(), study.ask()
        assert first is not None
        assert second is not None
        for epoch in range(1, 4):
            assert study.report(second.number, epoch, 0.5, epoch, finished=epoch == 3) == []
        assert study.left == 5
    with opened(tmp_path) as study:
        assert [each.number for each in study.waiting] == [1]
        assert study.left == 5
        again = study.ask()
        assert again is not None
        assert again.number == 0
        [stopped] = study.report(0, 1, 0.9, 1.0)
        assert (stopped.number, stopped.state, stopped.curve, stopped.value) == (1, "pruned", {1: 0.5}, 0.5)
        assert stopped.seconds == 3
        assert study.waiting == []


def test_a_trial_loses_its_worker_once_and_once_only_over_a_kill_too(tmp_path: Path) -> None:
    with opened(tmp_path) as study:
        asked = study.ask()
        assert asked is not None
        study.report(0, 1, 0.5, 1.0)
        assert study.again(0)
        assert study.left == 6
        study.check_failures()  # nothing has failed
    with opened(tmp_path) as study:
        again = study.ask()
        assert again == dataclasses.replace(asked, again=True)
    with opened(tmp_path) as study:
        assert study.ask() == again
        assert not study.again(0)
        [failed] = study.fail(0, 1.0, "its worker died: again")
        assert (failed.state, failed.reason) == ("failed", "its worker died: again")


def test_the_next_trial_waits_for_what_it_is_drawn_from(tmp_path: Path) -> None:
    with opened(tmp_path, 20) as study:
        asked = [study.ask() for _ in range(4)]
        assert all(each is not None for each in asked)
        assert not study.ready, "the fifth is the first that the model draws, and knows the first epoch of two"
        study.report(0, 1, 0.5, 1.0)
        assert not study.ready
        study.report(1, 1, 0.7, 1.0)
        assert study.ready


def test_a_value_that_is_no_number_fails_its_trial(tmp_path: Path) -> None:
    with opened(tmp_path) as study:
        asked = study.ask()
        assert asked is not None
        [failed] = study.report(asked.number, 1, math.nan, 1.0)
        assert (failed.state, failed.reason, failed.value) == ("failed", "its accuracy is nan", None)


def test_a_running_trial_of_a_dead_driver_is_asked_anew_under_its_number(tmp_path: Path) -> None:
    with opened(tmp_path) as study:
        drive(study, 2)
        left = study.ask()
        assert left is not None
        study.report(left.number, 1, 0.99, 0.5)
    with opened(tmp_path) as study:
        again = study.ask()
        assert again is not None
        assert again.again
        assert (again.number, again.recipe, again.values) == (left.number, left.recipe, left.values)
        assert study.tried()[left.number].curve == {}, "what it reported before is not its own"
        study.report(again.number, 1, 0.2, 0.5, finished=True)
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
study.report(trial.number, 1, 0.5, 0.5)
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


def test_a_database_that_forgets_is_one_sentence(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"search\.storage is 'sqlite:///:memory:', which names no file, so its study"):
        opened(tmp_path, storage="sqlite:///:memory:")


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


@pytest.mark.parametrize(
    ("epochs", "reduction", "first"),
    [(1, 3, 1), (8, 3, 1), (10, 3, 2), (24, 3, 3), (27, 3, 3), (100, 3, 12), (12, 2, 3)],
)
def test_the_first_rung_leaves_room_for_a_second_and_no_more(epochs: int, reduction: int, first: int) -> None:
    search, recipe = params_of(4, reduction=reduction).search, Recipe(epochs=epochs)
    assert first_rung(search, recipe) == first
    assert first * reduction**2 >= epochs
    told = params_of(4, reduction=reduction, min_epochs=first, recipe={"epochs": epochs}).search
    assert study_name(told, recipe, "accuracy", "v") == study_name(search, recipe, "accuracy", "v"), "the same search"


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
            study.fail(asked.number, 0.1, reason)
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
        study.fail(asked.number, 0.1, "it burnt")
        drive(study)
        study.check_failures()
        assert [each.reason for each in study.tried()] == [None, "it burnt", None, None, None, None]


def test_a_study_says_what_it_is_of_and_one_of_an_older_assay_learns_to(tmp_path: Path) -> None:
    with opened(tmp_path) as study:
        drive(study, 2)
        name = study.name
    journal = tmp_path / f"{name}.journal"
    lines = journal.read_text().splitlines(keepends=True)
    told = [line for line in lines if '"about"' in line]
    assert len(told) == 1
    assert '"metric":"accuracy"' in told[0]
    assert '"data_version":"v"' in told[0]
    journal.write_text("".join(line for line in lines if line not in told))
    with opened(tmp_path) as study:
        assert study.resumed, "its name and its trials are the same"
        drive(study)
    assert journal.read_text().count('"about"') == 1


def test_where_and_when_a_trial_ran_is_kept_and_decides_nothing(tmp_path: Path) -> None:
    with opened(tmp_path / "told") as study:
        while (asked := study.ask()) is not None:
            for epoch in range(1, 4):
                study.seen(asked.number, "machine/7", 100.0, 100.0 + epoch)
                value = value_of(asked.recipe.optimizer.lr, epoch)
                if study.report(asked.number, epoch, value, 0.5 * epoch, finished=epoch == 3):
                    break
        stays = [each.stay for each in study.tried()]
        assert stays == [Stay("machine/7", 100.0, 100.0 + len(each.curve)) for each in study.tried()]
    with opened(tmp_path / "untold") as study:
        drive(study)
        assert {each.stay for each in study.tried()} == {None}
    assert points(tmp_path / "told") == points(tmp_path / "untold")


def test_a_trial_that_awaits_its_verdict_over_a_kill_keeps_where_it_ran(tmp_path: Path) -> None:
    with opened(tmp_path) as study:
        first, second = study.ask(), study.ask()
        assert first is not None
        assert second is not None
        study.seen(second.number, "machine/2", 10.0, 20.0)
        study.report(second.number, 1, 0.5, 10.0, finished=True)
    with opened(tmp_path) as study:
        drive(study)
        assert study.tried()[second.number].stay == Stay("machine/2", 10.0, 20.0)


GRID = {"dropout": {"choices": [0.0, 0.1, 0.2]}, "activation": {"choices": ["relu", "tanh"]}}


def test_a_grid_ends_when_every_recipe_was_tried_also_where_it_was_stopped(tmp_path: Path) -> None:
    how = {"trials": 100, "sampler": "grid", "space": GRID, "recipe": {"activation": "relu"}}
    with opened(tmp_path, **how) as study:
        assert (study.trials, study.left) == (6, 6)
        drive(study, 4)
    with opened(tmp_path, **how) as study:
        assert study.left == 2
        drive(study)
        assert (study.left, study.spent, study.ask()) == (0, True, None)
        found = [study.recipe_of(each.number, each.drawn) for each in study.tried()]
    every = {(dropout, word) for dropout in (0.0, 0.1, 0.2) for word in ("relu", "tanh")}
    assert (len(found), {(recipe.dropout, recipe.activation) for recipe in found}) == (6, every)
