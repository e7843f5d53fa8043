"""What a person sees of a search under way."""

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from assay.lease import Superseded
from assay.params import Tracking
from assay.search import policy
from assay.search.course import Course
from assay.search.trial import Tried
from assay.terminal import Progress
from assay.tracking import open_tracker
from assay.tracking.runs import LEFT
from searches import opened, value_of


class Heard(Progress):
    """What is said at every step, kept."""

    said: tuple[int, str | None, str, Sequence[str]] = (0, None, "", ())

    def step(self, done: int, best: str | None = None, note: str = "", beneath: Sequence[str] = ()) -> None:
        self.said = (done, best, note, beneath)


@pytest.mark.e2e
def test_workers_rungs_and_the_best_recipe_are_said_as_trials_come_and_go(tmp_path: Path) -> None:
    heard = Heard("search", 6)
    with opened(tmp_path, reduction=2) as study, open_tracker(Tracking(), tmp_path, {}) as tracker:
        course = Course(study, tracker, tracker.start("search", kind="search"), heard, workers=2)
        first, second = course.next(), course.next()
        assert first is not None
        assert second is not None
        assert heard.said == (0, None, "2 running", ["workers  2 of 2 at work"])
        for asked in (second, first):
            for epoch in (1, 2, 3):
                value = value_of(asked.recipe.optimizer.lr, epoch)
                told = {"epoch": epoch, "value": value, "finished": epoch == 3, "metrics": {}, "seconds": 0.001 * epoch}
                if not course.report(asked.number, told | {"worker": f"machine/{asked.number}"}):
                    break
        done, best, note, beneath = heard.said
        won = study.best()
        assert won is not None
        assert (done, best) == (2, f"accuracy {won.score:.4f} (trial {won.number})")
        assert note.startswith("0 running")
        assert beneath[0].startswith("workers  0 of 2 at work, ")
        assert beneath[0].endswith("% of their time in training")
        assert beneath[1].startswith("rungs    2 at epoch 1, ")
        assert beneath[2].startswith(f"trial {won.number}  ")
        assert {each.stay.worker for each in study.tried() if each.stay} == {"machine/0", "machine/1"}


def test_a_driver_that_was_overtaken_before_its_first_trial_leaves_the_run_of_the_search(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def overtaken() -> list[Tried]:
        raise Superseded("another driver has taken over")

    with opened(tmp_path) as study, open_tracker(Tracking(), tmp_path, {}) as tracker:
        monkeypatch.setattr(study, "settle", overtaken)
        parent = tracker.start("search", kind="search")
        course = Course(study, tracker, parent, Heard("search", 6), workers=1)
        with pytest.raises(Superseded, match="another driver has taken over"):
            course.check_owned()
        assert parent.status == LEFT


@pytest.mark.e2e
def test_the_time_that_is_left_of_a_budget_is_said(tmp_path: Path) -> None:
    heard = Heard("search", 6)
    with opened(tmp_path, budget="2 h") as study, open_tracker(Tracking(), tmp_path, {}) as tracker:
        course = Course(study, tracker, tracker.start("search", kind="search"), heard, workers=1)
        course.next()
        course.interrupt()
    assert re.fullmatch(r"1 running · (2 h 0|1 h 5\d) min of the budget left", heard.said[2])


@pytest.mark.e2e
def test_why_trials_fail_is_said_when_it_happens_and_once_a_reason(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with opened(tmp_path) as study, open_tracker(Tracking(), tmp_path, {}) as tracker:
        course = Course(study, tracker, tracker.start("search", kind="search"), Heard("search", 6), workers=1)
        capsys.readouterr()
        heard = []
        for number, reason in enumerate(["no weights.", "no weights.", "its worker died:\nkilled"]):
            asked = course.next()
            assert asked is not None
            assert asked.number == number
            course.report(number, {"failed": reason, "seconds": 0.0, "worker": "machine/0"})
            heard.append(capsys.readouterr().out)
    assert heard == [
        "search: trial 0 failed: no weights.\n",
        "",
        "search: trial 2 failed: its worker died: killed\n",
    ]


@pytest.mark.e2e
def test_a_trials_parameters_have_their_whole_names(tmp_path: Path) -> None:
    with opened(tmp_path) as study, open_tracker(Tracking(), tmp_path, {}) as tracker:
        course = Course(study, tracker, tracker.start("search", kind="search"), Heard("search", 6), workers=1)
        asked = course.next()
        assert asked is not None
        course.interrupt()
    (run,) = trials_of(tmp_path)
    assert set(run.data.params) == {f"recipe.{name}" for name in asked.values}


@pytest.mark.e2e
def test_the_run_of_a_trial_that_is_stopped_says_after_which_epoch(tmp_path: Path) -> None:
    with opened(tmp_path, reduction=2) as study, open_tracker(Tracking(), tmp_path, {}) as tracker:
        course = Course(study, tracker, tracker.start("search", kind="search"), Heard("search", 6), workers=2)
        assert (course.next(), course.next()) != (None, None)
        for number, value in ((1, 0.1), (0, 0.9)):  # the second one is at its end before the first has begun
            for epoch in (1, 2, 3):
                told = {"epoch": epoch, "value": value, "finished": epoch == 3, "seconds": 1.0 * epoch}
                course.report(number, told | {"metrics": {"val/accuracy": value}})
    stopped, base = sorted(trials_of(tmp_path), key=lambda run: run.info.status, reverse=True)
    assert (base.info.status, stopped.info.status) == ("FINISHED", "KILLED")
    assert stopped.data.tags["assay.stopped_after"] == "1"
    assert "assay.stopped_after" not in base.data.tags


def trials_of(root: Path) -> list[Any]:
    """The trials' runs in MLflow."""
    from mlflow.tracking import MlflowClient

    client = MlflowClient(f"sqlite:///{root}/mlruns/mlflow.db")
    experiment = client.get_experiment_by_name("assay")
    assert experiment is not None
    return list(client.search_runs([experiment.experiment_id], "tags.`assay.kind` = 'trial'"))


def test_other_activations_of_a_trained_network_are_said_once(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    space = {"activation": {"choices": ["tanh", "gelu"]}}
    for pretrained in (True, False):
        recipe = {"backbone": "tf_efficientnet_lite0", "pretrained": pretrained}
        folder = tmp_path / str(pretrained)
        with (
            opened(folder, 4, space=space, recipe=recipe) as study,
            open_tracker(Tracking(), folder, {}) as tracker,
        ):
            course = Course(study, tracker, tracker.start("search", kind="search"), Heard("search", 4), workers=4)
            assert [course.next() for _ in range(3)].count(None) == 0
            course.interrupt()
        said = capsys.readouterr().out
        assert said.count("tf_efficientnet_lite0 gets other activations (recipe.activation) than") == pretrained


def test_that_tpe_takes_over_from_gp_is_said_once(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(policy, "MOST_GAUSSIAN", 1)
    said = []
    for trials in (3, 4):  # the second driver asks anew all that the first one had begun
        with opened(tmp_path, 4, sampler="gp") as study, open_tracker(Tracking(), tmp_path, {}) as tracker:
            course = Course(study, tracker, tracker.start("search", kind="search"), Heard("search", 4), workers=4)
            assert [course.next() for _ in range(trials)].count(None) == 0
            course.interrupt()
        said.append([line for line in capsys.readouterr().out.splitlines() if "TPE" in line])
    says = "search: from trial 2 on TPE chooses in place of search.sampler gp"
    assert said == [[f"{says}, whose model of so many trials takes too long."], []]
