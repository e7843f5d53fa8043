"""A study is carried whole: what comes out of the file goes on as the one that went in."""

import json
from pathlib import Path

import pytest

from assay.errors import InputError
from assay.search import STUDIES
from assay.studies.carrying import export_study, import_study
from assay.studies.shelf import Kept, Shelf
from searches import drive, opened


def told(kept: Kept) -> tuple[object, ...]:
    """All that a study holds, but for the keys that its store gives."""
    trials = [{**vars(trial), "_trial_id": None} for trial in kept.trials]
    return kept.name, list(kept.directions), kept.user_attrs, kept.system_attrs, trials


@pytest.fixture
def exported(tmp_path: Path) -> Path:
    """A search that was interrupted, as a file: finished trials, one left RUNNING, one of a driver that died."""
    folder = tmp_path / "here" / STUDIES
    for most in (3, 1):
        with opened(folder) as study:
            drive(study, most)
            asked = study.ask()
            assert asked is not None
            study.seen(asked.number, "machine/1", 1.5, 2.5)
            study.report(asked.number, 1, 0.25, 0.5)
    export_study(Shelf(tmp_path / "here", None), study.name, tmp_path / "study.jsonl")
    return tmp_path / "study.jsonl"


def test_what_is_imported_is_what_was_exported(exported: Path, tmp_path: Path) -> None:
    name = json.loads(exported.read_text().splitlines()[0])["study"]
    there = Shelf(tmp_path / "there", None)
    assert import_study(there, exported) == name
    assert told(there.read(name)) == told(Shelf(tmp_path / "here", None).read(name))
    assert [path.suffix for path in (tmp_path / "there" / STUDIES).iterdir() if path.suffix != ".lock"] == [".journal"]


def test_a_study_goes_from_a_journal_to_a_database_and_back(exported: Path, tmp_path: Path) -> None:
    database, back = Shelf(tmp_path / "there", f"sqlite:///{tmp_path}/studies.db"), Shelf(tmp_path / "back", None)
    name = import_study(database, exported)
    export_study(database, name, tmp_path / "again.jsonl")
    import_study(back, tmp_path / "again.jsonl")
    assert told(back.read(name)) == told(Shelf(tmp_path / "here", None).read(name))
    assert (tmp_path / "again.jsonl").read_text() == exported.read_text()


def test_a_search_goes_on_from_what_was_imported_as_from_its_own(exported: Path, tmp_path: Path) -> None:
    import_study(Shelf(tmp_path / "there", None), exported)
    ends = []
    for project in ("here", "there"):
        with opened(tmp_path / project / STUDIES) as study:
            assert study.resumed
            drive(study)
            ends.append(study.tried())
    assert ends[0] == ends[1]


def test_a_study_that_is_here_is_not_overwritten(exported: Path, tmp_path: Path) -> None:
    before = {path: path.read_bytes() for path in (tmp_path / "here" / STUDIES).iterdir()}
    with pytest.raises(InputError, match=r"study: \w+ is in \.assay/studies/ already; `assay study rm \w+` would"):
        import_study(Shelf(tmp_path / "here", None), exported)
    assert {path: path.read_bytes() for path in (tmp_path / "here" / STUDIES).iterdir()} == before


def test_a_file_that_is_there_is_not_overwritten(exported: Path, tmp_path: Path) -> None:
    shelf = Shelf(tmp_path / "here", None)
    with pytest.raises(InputError, match=r"study\.jsonl: is there already; name another file"):
        export_study(shelf, shelf.names()[0], exported)
    with pytest.raises(InputError, match=r"nowhere: there is no such folder; make it, or name another"):
        export_study(shelf, shelf.names()[0], tmp_path / "nowhere" / "study.jsonl")


def changed(head: dict[str, object], **to: object) -> str:
    return json.dumps(head | to)


@pytest.mark.parametrize(
    "wrong",
    [
        {"state": "WAITING"},
        {"user_attrs": {"number": "0"}},
        {"intermediate_values": {"1": "high"}},
        {"intermediate_values": {}},
        {"params": ["lr"]},
    ],
)
def test_a_trial_that_no_search_wrote_is_refused_and_the_other_studies_can_be_listed(
    exported: Path, tmp_path: Path, wrong: dict[str, object]
) -> None:
    first, second, *rest = exported.read_text().splitlines()
    path = tmp_path / "wrong.jsonl"
    path.write_text("".join(f"{line}\n" for line in [first, changed(json.loads(second), **wrong), *rest]))
    with pytest.raises(InputError, match=r":2: is damaged \(.*\); export the study again"):
        import_study(Shelf(tmp_path / "there", None), path)
    assert not (tmp_path / "there").exists()


def test_a_file_that_is_no_whole_study_is_refused_and_nothing_is_written(exported: Path, tmp_path: Path) -> None:
    first, *rest = exported.read_text().splitlines()
    head = json.loads(first)
    wrong = {
        r": is no study; `assay study export` writes one": ["{}", *rest],
        r": is no study;": [],
        r": is no study; ": ["a, table, of, trials"],
        r": is of format 7; this Assay reads format 1": [changed(head, assay_study=7), *rest],
        r":1: is damaged; export the study again": [changed(head, study="../../etc/passwd"), *rest],
        r":1: is damaged; ": [changed(head, directions=["UP"]), *rest],
        r": holds 2 of \d trials; export the study again": [first, *rest[:2]],
        r":3: is damaged \(.*\); export the study again": [first, rest[0], rest[1][:20], *rest[2:]],
        r":2: is damaged \(KeyError\('intermediate_values'\)\)": [first, "{}", *rest[1:]],
    }
    there = tmp_path / "there"
    for sentence, lines in wrong.items():
        path = tmp_path / "wrong.jsonl"
        path.write_text("".join(f"{line}\n" for line in lines))
        with pytest.raises(InputError, match=sentence):
            import_study(Shelf(there, None), path)
    path.write_bytes(b"\x89PNG\xff")
    with pytest.raises(InputError, match=": is no study"):
        import_study(Shelf(there, None), path)
    with pytest.raises(InputError, match="nowhere: there is no such file"):
        import_study(Shelf(there, None), tmp_path / "nowhere")
    assert not there.exists()
