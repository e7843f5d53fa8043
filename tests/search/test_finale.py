"""Finals of a search: what is kept, what goes on, who is chosen."""

import json
from pathlib import Path
from typing import Any

import pytest

from assay.finals import Finals
from assay.params import Tracking
from assay.search.course import recipe_line
from assay.search.finale import Finale, finals_of, fresh_seed
from assay.search.select import Choice, select
from assay.search.study import Study
from assay.search.trial import Asked
from assay.terminal import Progress
from assay.tracking import Tracker, open_tracker
from search.test_course import Heard
from search.test_search import runs
from searches import drive, opened, params_of, run, value_of

BASE_LR = params_of(1).recipe.optimizer.lr


def finale_of(study: Study, finals: Finals, tracker: Tracker, *, folded: bool = False) -> Finale:
    parent = tracker.start("search", kind="search")
    return Finale(study, finals, tracker, parent, Progress("finals", finals.left), folded=folded)


def told(epoch: int, value: float) -> dict[str, Any]:
    return {"epoch": epoch, "value": value, "finished": epoch == 2, "metrics": {"val/loss": 1.0}, "seconds": 0.5}


def play(finale: Finale, most: int | None = None, base: float = 0.0) -> list[Asked]:
    """Run finalists one after another: what a recipe's learning rate is worth, and a little of its seed's luck."""
    asked: list[Asked] = []
    while len(asked) != most and finale.ready and (one := finale.next()) is not None:
        asked.append(one)
        luck = (one.recipe.seed + int(1e6 * one.recipe.optimizer.lr)) % 7 / 1000
        value = value_of(one.recipe.optimizer.lr, 3) + luck + base * (one.recipe.optimizer.lr == BASE_LR)
        assert finale.report(one.number, told(1, value))
        assert not finale.report(one.number, told(2, value - 0.1))
    return asked


def finals(study: Study) -> Finals:
    found = finals_of(study, "small")
    assert found is not None
    return found


def searched(folder: Path, trials: int = 8) -> Study:
    study = opened(folder, trials, pruner="none", seed=3)
    drive(study)
    return study


def test_finalists_run_on_common_fresh_seeds_and_their_best_epoch_counts(tmp_path: Path) -> None:
    with searched(tmp_path) as study, open_tracker(Tracking(), tmp_path, {}) as tracker:
        asked = play(finale_of(study, finals(study), tracker, folded=True))
        assert {one.recipe.seed for one in asked[:8]} == {fresh_seed(3, 0)} != {params_of(1).recipe.seed}
        assert all(one.fold == one.recipe.seed for one in asked), "a split of its own for every seed"
        assert len(asked) == 8 + 4 * 2 + 3 * 2
        for rerun in study.reruns().values():
            assert rerun.value is not None
            assert rerun.value > 0.5, "the first epoch's, which was better by 0.1"
        assert finals(study).done


def test_the_best_finalist_so_far_is_said_with_what_it_changes(tmp_path: Path) -> None:
    with searched(tmp_path) as study, open_tracker(Tracking(), tmp_path, {}) as tracker:
        found, heard = finals(study), Heard("finals", 22)
        finale = Finale(study, found, tracker, tracker.start("search", kind="search"), heard, folded=False)
        play(finale, 1)
        assert heard.said[1:] == (
            f"accuracy {found.mean(0, 1):.4f} on 1 fresh seed (trial 0)",
            "0 running",
            ["trial 0  the base recipe"],
        )
        play(finale)
        drawn = {each.number: each.drawn for each in study.tried()}
        means = {number: found.mean(number, 5) for number, seed in found.told if seed == 4}
        best = max(means, key=means.__getitem__)
        assert heard.said == (
            22,
            f"accuracy {means[best]:.4f} on 5 fresh seeds (trial {best})",
            "0 running",
            [recipe_line(study, best, drawn[best])],
        )


def test_killed_finals_go_on_and_end_as_undisturbed_ones(tmp_path: Path) -> None:
    outcomes = []
    for folder, most in (("whole", None), ("killed", 5)):
        with searched(tmp_path / folder) as study, open_tracker(Tracking(), tmp_path / folder, {}) as tracker:
            finale = finale_of(study, finals(study), tracker)
            play(finale, most)
            if most is not None:
                finale.next()
                finale.interrupt()
        with searched(tmp_path / folder) as study, open_tracker(Tracking(), tmp_path / folder, {}) as tracker:
            play(finale_of(study, finals(study), tracker))
            outcomes.append((study.reruns(), finals(study).verdict(0.95)))
    assert outcomes[0] == outcomes[1]
    assert {each.info.status for each in runs(tmp_path / "killed")} == {"KILLED", "FINISHED"}


def test_a_larger_budget_runs_again_only_what_is_new(tmp_path: Path) -> None:
    with searched(tmp_path, 4) as study, open_tracker(Tracking(), tmp_path, {}) as tracker:
        first = play(finale_of(study, finals(study), tracker))
        assert first
    with searched(tmp_path, 6) as study, open_tracker(Tracking(), tmp_path, {}) as tracker:
        before = study.reruns().keys()
        assert before
        play(finale_of(study, finals(study), tracker))
        assert study.reruns().keys() > before


def test_a_worker_that_dies_is_forgiven_once(tmp_path: Path) -> None:
    with searched(tmp_path, 4) as study, open_tracker(Tracking(), tmp_path, {}) as tracker:
        finale = finale_of(study, finals(study), tracker)
        first = finale.next()
        assert first is not None
        finale.lost(first.number, "its worker died: killed", machine=True)
        again = finale.next()
        assert again is not None
        assert (again.recipe, again.values) == (first.recipe, first.values)
        assert not study.reruns()
        finale.lost(again.number, "its worker died: killed again", machine=True)
        assert [rerun.reason for rerun in study.reruns().values()] == ["its worker died: killed again"]
        play(finale)
        assert finals(study).done


def test_without_another_than_the_base_recipe_there_are_no_finals(tmp_path: Path) -> None:
    with opened(tmp_path, 1) as study:
        drive(study)
        assert finals_of(study, "small") is None
        assert finals_of(study, "off") is None


def chosen(folder: Path, behind: float, *, prefer_base: bool) -> tuple[Choice, int]:
    """The choice where the base recipe is truly worse than the search's winner by `behind`; and that."""
    with searched(folder) as study, open_tracker(Tracking(), folder, {}) as tracker:
        best = study.best()
        assert best is not None
        more = best.score - study.tried()[0].score - behind
        play(finale_of(study, finals(study), tracker), base=more)
        return select(study, finals(study), prefer_base=prefer_base), best.number


def test_the_base_recipe_is_kept_where_nothing_is_shown_to_be_better(tmp_path: Path) -> None:
    better, best = chosen(tmp_path / "better", 0.05, prefer_base=True)
    assert better.won.number == best != 0, "what is shown to be better wins"
    assert better.verdict is not None
    assert better.verdict.shown
    near, _ = chosen(tmp_path / "near", 0.001, prefer_base=True)
    free, _ = chosen(tmp_path / "free", 0.001, prefer_base=False)
    assert near.verdict == free.verdict
    assert near.verdict is not None
    assert not near.verdict.shown
    assert near.won.number == 0
    assert free.won.number == near.verdict.winner.number != 0


@pytest.mark.e2e
def test_a_whole_search_with_finals_is_told_in_its_report_page_and_runs(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    recipe = {"backbone": "mlp", "epochs": 2}
    params = params_of(3, recipe=recipe, finals="small", pruner="none", min_epochs=1, workers=2)
    run(tmp_path, params)
    report = json.loads((tmp_path / "out/report.json").read_text())
    said = report["finals"]["said"]
    assert said in capsys.readouterr().out
    assert report["winner"]["number"] == report["finals"]["winner"]["number"]
    told = report["finals"]["told"]
    assert len(told) == report["finals"]["runs"] == 3 + 3 * 2 + 3 * 2
    kinds = [(each.data.tags["assay.kind"], each.info.status) for each in runs(tmp_path)]
    assert kinds.count(("final", "FINISHED")) == len(told)
    assert {status for _, status in kinds} == {"FINISHED"}
    page = (tmp_path / "out/report.html").read_text()
    assert said in page
    assert "<h2>Finals</h2>" in page
    before = (tmp_path / "out/report.json").read_bytes()
    run(tmp_path, params)
    assert (tmp_path / "out/report.json").read_bytes() == before, "nothing is run again"
    assert sum(each.data.tags["assay.kind"] == "final" for each in runs(tmp_path)) == len(told)
