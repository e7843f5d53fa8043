"""Studies are found and read beside the driver that writes them; only one that nobody runs is removed."""

import fcntl
from pathlib import Path

import numpy as np
import pytest
from optuna.storages import BaseStorage
from optuna.study import StudyDirection

from assay.errors import InputError
from assay.finals import said
from assay.params import Tracking
from assay.search import STUDIES
from assay.search.about import searched_base, study_name
from assay.search.finale import finals_of
from assay.studies.shelf import Shelf, current
from assay.studies.words import list_studies, show_study
from assay.tracking import open_tracker
from prepared import write_train
from search.test_finale import finale_of, play, searched
from searches import drive, opened, params_of


def kept(root: Path, trials: int = 6, **search: object) -> str:
    """A finished study in the project at `root`; its name."""
    with opened(root / STUDIES, trials, **search) as study:
        drive(study)
        return study.name


@pytest.mark.parametrize("address", [None, "sqlite:///{}/studies.db"])
def test_a_study_is_read_as_its_driver_has_it(tmp_path: Path, address: str | None) -> None:
    address = None if address is None else address.format(tmp_path)
    with opened(tmp_path / STUDIES, storage=address) as study:
        drive(study, 5)
        left = study.ask()
        shelf = Shelf(tmp_path, address)
        assert shelf.names() == [study.name]
        read = shelf.read(study.name)
        assert read.tried == study.tried()
        assert read.best() == study.best()
        assert read.about["metric"] == "accuracy"
        assert read.space is not None
        assert read.space.base == study.space.base
        assert [read.values_of(each) for each in read.tried] == [
            study.values_of(each.number, each.drawn) for each in study.tried()
        ]
        assert read.written is not None
        assert left is not None


def test_a_name_that_is_not_here_gets_the_nearest(tmp_path: Path) -> None:
    name = kept(tmp_path)
    with pytest.raises(InputError, match=rf"study: '{name[:-1]}x' is not in \.assay/studies/; did you mean '{name}'\?"):
        Shelf(tmp_path, None).read(f"{name[:-1]}x")


def test_where_there_is_no_study_it_is_said_how_to_begin_one(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"is not in \.assay/studies/; there is none yet; `assay search` begins one"):
        Shelf(tmp_path, None).read("0123456789ab")


def test_of_a_study_that_cannot_be_filled_nothing_is_left(tmp_path: Path) -> None:
    def fill(store: BaseStorage) -> None:
        store.create_new_study([StudyDirection.MAXIMIZE], "0123456789ab")
        raise OSError(28, "No space left on device")

    with pytest.raises(OSError, match="No space left"):
        Shelf(tmp_path, None).add("0123456789ab", fill)
    assert [path.suffix for path in (tmp_path / STUDIES).iterdir()] == [".lock"]


def test_a_study_that_runs_is_not_removed(tmp_path: Path) -> None:
    shelf = Shelf(tmp_path, None)
    with opened(tmp_path / STUDIES) as study:
        drive(study)
        assert shelf.runs(study.name)
        with pytest.raises(InputError, match=rf"study: {study.name} runs now; end its search with Ctrl-C first"):
            shelf.remove(study.name)
    assert not shelf.runs(study.name)
    shelf.remove(study.name)
    assert list((tmp_path / STUDIES).iterdir()) == []


def test_a_study_in_a_database_is_removed_there(tmp_path: Path) -> None:
    address = f"sqlite:///{tmp_path}/studies.db"
    names = {kept(tmp_path, storage=address), kept(tmp_path, storage=address, seed=1)}
    shelf = Shelf(tmp_path, address)
    gone = names.pop()
    shelf.remove(gone)
    assert shelf.names() == [*names]


def test_who_looks_whether_a_study_runs_keeps_no_driver_out(tmp_path: Path) -> None:
    name = kept(tmp_path)
    with (tmp_path / STUDIES / f"{name}.lock").open() as looking:
        fcntl.flock(looking, fcntl.LOCK_SH)
        with pytest.raises(InputError, match="running already"):
            opened(tmp_path / STUDIES)
        fcntl.flock(looking, fcntl.LOCK_UN)
        opened(tmp_path / STUDIES).close()


def test_the_list_names_what_runs_what_was_interrupted_and_the_study_of_params_yaml(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    mine, other = kept(tmp_path), kept(tmp_path, seed=1)
    with opened(tmp_path / STUDIES, seed=2) as study:
        study.ask()
    with opened(tmp_path / STUDIES, seed=3) as running:
        list_studies(Shelf(tmp_path, None), mine)
    lines = {line.split()[0]: line for line in capsys.readouterr().out.splitlines() if line.split()}
    assert "params.yaml's" in lines[mine]
    assert "params.yaml's" not in lines[other]
    assert lines[study.name].rstrip().endswith("interrupted")
    assert lines[running.name].rstrip().endswith("runs now")
    best = Shelf(tmp_path, None).read(mine).best()
    assert best is not None
    assert f"{best.score:.4f}" in lines[mine]


def test_a_damaged_study_is_a_sentence_after_the_others(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    whole, broken = kept(tmp_path), kept(tmp_path, seed=1)
    (tmp_path / STUDIES / f"{broken}.journal").write_bytes(b"no json\nat all\n")
    with pytest.raises(InputError, match=rf"{broken}\.journal: cannot be opened"):
        list_studies(Shelf(tmp_path, None), None)
    assert whole in capsys.readouterr().out


def test_a_study_is_shown_with_what_its_best_recipe_changes(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    name = kept(tmp_path, 12)
    shelf = Shelf(tmp_path, None)
    show_study(shelf, name, name)
    said = capsys.readouterr().out
    best = shelf.read(name).best()
    assert best is not None
    assert f"study {name} (params.yaml's): " in said
    assert "metric accuracy, larger is better; rungs: 12 at epoch 1, " in said
    assert f"best {best.score:.4f}, trial {best.number}" in said
    assert "optimizer.lr" in said.split("Trials")[0]
    assert len([line for line in said.split("Trials")[1].splitlines() if " optimizer.lr " in line]) == 12


@pytest.mark.parametrize("plan", ["small", "full"])
def test_a_study_is_shown_with_who_won_its_finals(
    plan: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with searched(tmp_path / STUDIES) as study, open_tracker(Tracking(), tmp_path, {}) as tracker:
        best = study.best()
        assert best is not None
        finals = finals_of(study, plan)
        assert finals is not None
        finale = finale_of(study, finals, tracker)
        play(finale, 3)
        show_study(Shelf(tmp_path, None), study.name, None)
        assert "finals: 3 runs are done, " in capsys.readouterr().out
        play(finale, base=1.0)
        verdict = finals.verdict(0.95)
        assert verdict.winner.number == 0 != best.number
    show_study(Shelf(tmp_path, None), study.name, None)
    shown = capsys.readouterr().out
    assert f"best in the search {best.score:.4f}, trial {best.number}\n" in shown
    assert f"finals: {said(verdict)}" in " ".join(shown.split())
    assert "it is the base recipe." in shown


def test_a_study_of_an_older_assay_is_shown_without_what_it_does_not_say(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    name = kept(tmp_path, 12)
    journal = tmp_path / STUDIES / f"{name}.journal"
    lines = [line for line in journal.read_text().splitlines() if '"about"' not in line]
    journal.write_text("\n".join(lines) + "\n")
    show_study(Shelf(tmp_path, None), name, None)
    assert "what it was searched from is not kept" in capsys.readouterr().out


def test_the_study_of_params_yaml_is_the_one_that_a_search_would_open(tmp_path: Path) -> None:
    about = write_train(tmp_path / "data", np.arange(16))
    params = params_of(6, epochs=2)
    expected = study_name(params.search, searched_base(params.search, params.recipe), "accuracy", about.version)
    (tmp_path / "augmented").mkdir()
    assert current(params, tmp_path / "data", tmp_path / "augmented") is None, "augment has not run"
    (tmp_path / "augmented/version.txt").write_text(about.version)
    assert current(params, tmp_path / "data", tmp_path / "augmented") == expected
    assert current(params, tmp_path / "nowhere", tmp_path / "augmented") is None
