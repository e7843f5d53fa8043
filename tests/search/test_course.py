"""What a person hears of a trial, between its ask and its end."""

from pathlib import Path
from unittest.mock import Mock

import pytest

from assay.search.course import Course
from assay.terminal import Progress
from searches import opened


def test_why_trials_fail_is_said_when_it_happens_and_once_a_reason(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with opened(tmp_path) as study, Progress("search", 6) as progress:
        course = Course(study, Mock(), Mock(), progress)
        for number, reason in enumerate(["no weights.", "no weights.", "its worker died:\nkilled"]):
            asked = course.next()
            assert asked is not None and asked.number == number
            course.report(number, {"failed": reason, "seconds": 0.0})
            said = capsys.readouterr().out
            assert (
                said
                == {
                    0: "search: trial 0 failed: no weights.\n",
                    1: "",
                    2: "search: trial 2 failed: its worker died: killed\n",
                }[number]
            )


def test_a_trials_parameters_have_their_whole_names(tmp_path: Path) -> None:
    tracker = Mock()
    with opened(tmp_path) as study, Progress("search", 6) as progress:
        asked = Course(study, tracker, Mock(), progress).next()
    assert asked is not None
    assert set(tracker.start.call_args.kwargs["params"]) == {f"recipe.{name}" for name in asked.values}
    assert "recipe.optimizer.lr" in tracker.start.call_args.kwargs["params"]
