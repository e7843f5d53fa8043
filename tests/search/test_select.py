"""Who wins, and what is written."""

import csv
import json
from pathlib import Path

import pytest

from assay.errors import InputError
from assay.search import pictures
from assay.search.select import Choice, chosen_recipe, winner, write_report, write_trials
from assay.search.study import Study
from searches import drive, opened, params_of


def tell(study: Study, curve: tuple[float, ...]) -> None:
    """Run the next trial, which reports `curve`."""
    asked = study.ask()
    assert asked is not None
    for epoch, value in enumerate(curve, start=1):
        if study.report(asked.number, epoch, value, 1.0, finished=epoch == len(curve)):
            break


def test_the_winner_is_the_best_complete_trial(tmp_path: Path) -> None:
    with opened(tmp_path, 8) as study:
        drive(study)
        won = winner(study)
        complete = [each for each in study.tried() if each.state == "complete"]
        assert won.value == max(each.value for each in complete if each.value is not None)


def test_a_stopped_trial_never_wins_and_the_base_wins_a_draw(tmp_path: Path) -> None:
    with opened(tmp_path, 3, reduction=2) as study:
        for curve in ((0.5, 0.5), (0.4, 0.9), (0.5, 0.5)):
            tell(study, curve)
        assert [each.state for each in study.tried()] == ["complete", "pruned", "complete"]
        assert winner(study).number == 0


def test_the_best_epoch_of_a_trial_counts(tmp_path: Path) -> None:
    with opened(tmp_path, 1) as study:
        tell(study, (0.4, 0.8, 0.6))
        assert winner(study).value == 0.8


def test_without_a_complete_trial_the_reasons_are_said(tmp_path: Path) -> None:
    with opened(tmp_path, 3) as study:
        asked = study.ask()
        assert asked is not None
        study.fail(asked.number, 0.1, "it burnt")
        with pytest.raises(InputError, match=r"no trial came to its end \(it burnt\)"):
            winner(study)


def test_the_chosen_recipe_trains_as_long_as_the_base(tmp_path: Path) -> None:
    base = params_of(6).recipe.model_copy(update={"epochs": 20})
    with opened(tmp_path, epochs=2) as study:
        drive(study)
        won = winner(study)
        chosen = chosen_recipe(study, won, base)
    assert chosen.epochs == 20
    assert chosen.optimizer.lr == study.recipe_of(won.number, won.drawn).optimizer.lr


def test_trials_are_a_table_with_empty_cells_for_what_does_not_count(tmp_path: Path) -> None:
    space = {
        "optimizer.name": {"choices": ["adam", "momentum"]},
        "optimizer.momentum": {"low": 0.5, "high": 0.9, "when": {"optimizer.name": ["momentum"]}},
        "optimizer.lr": {"low": 1e-4, "high": 1e-1, "log": True},
    }
    with opened(tmp_path, 8, space=space) as study:
        drive(study)
        write_trials(study, tmp_path / "trials.csv")
    with (tmp_path / "trials.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert list(rows[0]) == ["number", "state", "value", "epochs", "seconds", *space]
    assert [int(row["number"]) for row in rows] == list(range(8))
    assert rows[0]["optimizer.name"] == "adamw", "the base recipe's own, although the space has no such choice"
    for row in rows:
        assert (row["optimizer.momentum"] != "") is (row["optimizer.name"] == "momentum")
    assert {row["optimizer.name"] for row in rows[1:]} == {"adam", "momentum"}


def test_equal_searches_write_equal_reports(tmp_path: Path) -> None:
    written = []
    for run in ("one", "two"):
        with opened(tmp_path / run) as study:
            drive(study)
            write_report(study, Choice(winner(study)), tmp_path / f"{run}.json")
        written.append((tmp_path / f"{run}.json").read_text())
    assert written[0] == written[1]
    report = json.loads(written[0])
    assert report["trials"]["total"] == 6
    assert report["base"]["number"] == 0
    assert "seconds" not in written[0]


@pytest.mark.parametrize("trials", [1, 3, 12])
def test_every_search_has_its_pictures(tmp_path: Path, trials: int) -> None:
    with opened(tmp_path, trials) as study:
        drive(study)
        drawn = pictures.draw(study, winner(study), tmp_path)
    assert [path.name for path in drawn] == list(pictures.NAMES)
    assert all(path.read_bytes().startswith(b"\x89PNG") for path in drawn)
