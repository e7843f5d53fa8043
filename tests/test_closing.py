"""The closing table: what won, how sure that is, against what, where to look; less is said where less is known."""

import json
from pathlib import Path

import pytest

from assay.closing import closing_rows, closing_table
from assay.errors import InputError
from assay.params import Recipe
from assay.search.select import write_unsearched
from assay.settings import write_recipe

FIGURES = {
    "accuracy": {"value": 0.985, "low": 0.974, "high": 0.992},
    "macro_f1": {"value": 0.984, "low": 0.973, "high": 0.991},
    "recall/3": {"value": 0.95, "low": 0.87, "high": 0.98},
    "recall/4": {"value": 0.99, "low": 0.93, "high": 1.0},
}
REPORT = {
    "task": "classification",
    "samples": 750,
    "headline": "accuracy",
    "confidence": 0.95,
    "base": {"says": "1", "accuracy": {"value": 0.11, "low": 0.09, "high": 0.13}},
    "gap": {"train": FIGURES["accuracy"], "test": FIGURES["accuracy"]},
    "missing": {},
    "notes": ["fewer than 10 test samples, too few to judge: 'x' (3)."],
}


@pytest.fixture
def results(tmp_path: Path) -> Path:
    (tmp_path / "evaluate" / "pictures").mkdir(parents=True)
    (tmp_path / "evaluate" / "metrics.json").write_text(json.dumps(FIGURES))
    (tmp_path / "evaluate" / "report.json").write_text(json.dumps(REPORT))
    (tmp_path / "evaluate" / "pictures" / "mistakes.png").write_bytes(b"")
    return tmp_path


def test_it_says_the_headline_with_its_interval_the_least_to_beat_and_the_weakest_class(results: Path) -> None:
    rows = dict(closing_rows(results))
    assert rows["test accuracy"] == "0.9850 [0.9740, 0.9920] at 95% on 750 samples"
    assert rows["to beat"] == "0.1100 [0.0900, 0.1300] by always saying '1'"
    assert rows["weakest"].startswith("'3': recall 0.9500")
    assert rows["know"] == REPORT["notes"][0]
    assert rows["look at"] == f"{results / 'evaluate' / 'pictures' / 'mistakes.png'}, `assay ui`"
    assert "search" not in rows
    assert "won" not in rows


def test_it_says_what_the_finals_found(results: Path) -> None:
    (results / "search").mkdir()
    report = {
        "metric": "accuracy",
        "trials": {"total": 5, "complete": 5, "pruned": 0, "failed": 0},
        "epochs": 25,
        "winner": None,
        "base": None,
        "finals": {"said": "Trial 2 is better."},
    }
    (results / "search" / "report.json").write_text(json.dumps(report))
    assert dict(closing_rows(results))["beyond luck"] == "Trial 2 is better."


def test_it_holds_the_search_against_the_base_recipe_by_what_git_keeps(results: Path) -> None:
    (results / "search").mkdir()
    (results / "train" / "model").mkdir(parents=True)
    write_recipe(Recipe(), results / "train" / "model" / "recipe.yaml")
    report = {
        "metric": "accuracy",
        "trials": {"total": 5, "complete": 3, "pruned": 1, "failed": 1},
        "epochs": 25,
        "winner": {"number": 2, "value": 0.98},
        "base": {"number": 0, "value": 0.97},
    }
    (results / "search" / "report.json").write_text(json.dumps(report))
    rows = dict(closing_rows(results))
    assert rows["search"] == "5 trials, 1 of them stopped early, 25 epochs"
    assert rows["against base"] == "validation accuracy 0.9800 in search, the base recipe 0.9700"
    assert rows["won"] == "cnn · adamw 0.001, batch 32, 16 epochs · dropout 0"


def test_without_a_search_it_speaks_of_none(results: Path) -> None:
    (results / "search").mkdir()
    write_unsearched(results / "search" / "report.json")
    assert {"search", "against base"}.isdisjoint(dict(closing_rows(results)))


def test_a_headline_that_could_not_be_computed_gives_its_reason(results: Path) -> None:
    report = REPORT | {"task": "regression", "headline": "r2", "base": None, "missing": {"r2": "all the same."}}
    (results / "evaluate" / "report.json").write_text(json.dumps(report))
    assert dict(closing_rows(results))["test r2"] == "not known: all the same."


def test_it_is_printed(results: Path, capsys: pytest.CaptureFixture[str]) -> None:
    closing_table(results)
    assert "0.9850 [0.9740, 0.9920] at 95% on 750 samples" in capsys.readouterr().out


def test_before_any_evaluation_it_says_what_to_run(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"metrics\.json: there is no result yet; run `make repro`"):
        closing_table(tmp_path)


def test_a_damaged_result_is_named(results: Path) -> None:
    (results / "evaluate" / "metrics.json").write_text("{")
    with pytest.raises(InputError, match=r"metrics\.json: is damaged"):
        closing_rows(results)


ODD = {  # what stands in a file, though it is JSON → what the sentence says of it
    ("evaluate/metrics.json", "[1, 2]"): "list in place of names and values",
    ("evaluate/metrics.json", '{"accuracy": 1}'): "TypeError",
    ("evaluate/metrics.json", '{"accuracy": {"value": "high", "low": 0, "high": 1}}'): "ValueError",
    ("evaluate/report.json", "{}"): "KeyError: 'headline'",
    ("evaluate/report.json", json.dumps(REPORT | {"gap": {"train": 1, "test": 1}})): "TypeError",
    ("search/report.json", "[1]"): "list in place of names and values",
    ("search/report.json", '{"trials": 3}'): "KeyError: 'winner'",
    ("search/report.json", '{"trials": 3, "winner": null, "base": null}'): "TypeError",
}


@pytest.mark.parametrize(("name", "text"), ODD)
def test_json_of_another_shape_is_named(name: str, text: str, results: Path) -> None:
    (results / "search").mkdir()
    (results / name).write_text(text)
    stage = name.partition("/")[0]
    right = rf"{name}: is not what {stage} writes \(.*{ODD[name, text]}.*\); run `assay {stage}` again\."
    with pytest.raises(InputError, match=right):
        closing_rows(results)
