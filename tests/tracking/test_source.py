"""Where a run came from; a report that says nothing of a study names none."""

from pathlib import Path

import pytest

from assay.tracking import study_of


@pytest.mark.parametrize(
    ("text", "study"),
    [('{"study": "41c2"}', "41c2"), ('{"study": null}', "none"), ("{}", "none"), ("[1]", "none"), ("{", "none")],
)
def test_the_study_is_what_the_report_of_the_search_names(text: str, study: str, tmp_path: Path) -> None:
    (tmp_path / "report.json").write_text(text)
    assert study_of(tmp_path / "report.json") == study


def test_nothing_was_searched_where_there_is_no_report(tmp_path: Path) -> None:
    assert study_of(tmp_path / "report.json") == "none"
