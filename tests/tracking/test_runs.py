import math
import sqlite3
import subprocess
import threading
from pathlib import Path

import pytest

from assay import terminal
from assay.errors import InputError
from assay.tracking import ui_link
from waits import until

from .conftest import Eyes, opened

HERE = Path(__file__).parent


def rename(root: Path, table: str, to: str) -> None:
    """An outage of a database: what MLflow asks for is not there."""
    database = sqlite3.connect(root / "mlruns" / "mlflow.db")
    database.execute(f"alter table {table} rename to {to}")
    database.close()


def test_a_search_is_a_parent_with_its_trials_as_children(root: Path, eyes: Eyes) -> None:
    with opened(root) as tracker, tracker.run("search", kind="search", params={"search.trials": 3}) as search:
        for number, status in enumerate(["FINISHED", "PRUNED", "FAILED"]):
            trial = tracker.start(f"trial {number:03}", kind="trial", tags={"trial": number}, parent=search)
            trial.log({"val/accuracy": 0.5 + number}, step=1)
            trial.end(status, "out of memory" if status == "FAILED" else None)
    parent = eyes.run("search")
    assert parent.info.status == "FINISHED"
    assert parent.data.params == {"search.trials": "3"}
    children = [eyes.run(f"trial {number:03}") for number in range(3)]
    assert {child.data.tags["mlflow.parentRunId"] for child in children} == {parent.info.run_id}
    assert [child.info.status for child in children] == ["FINISHED", "KILLED", "FAILED"]
    assert [child.data.tags["assay.state"] for child in children] == ["finished", "pruned", "failed"]
    assert children[2].data.tags["assay.reason"] == "out of memory"
    assert all(child.info.end_time >= child.info.start_time for child in children)


def test_every_run_says_kind_study_data_version_commit_and_state(root: Path, eyes: Eyes) -> None:
    git = ["git", "-C", str(root), "-c", "user.name=a", "-c", "user.email=a@b"]
    subprocess.run([*git, "init", "-q"], check=True)
    (root / "code.py").write_text("one")
    subprocess.run([*git, "add", "code.py"], check=True)
    subprocess.run([*git, "commit", "-q", "-m", "one"], check=True)
    with opened(root) as tracker, tracker.run("clean", kind="stage"):
        pass
    (root / "code.py").write_text("two")
    with opened(root) as tracker, tracker.run("dirty", kind="stage"):
        pass
    head = subprocess.run([*git, "rev-parse", "HEAD"], check=True, capture_output=True, text=True).stdout.strip()
    for name in ("clean", "dirty"):
        tags = eyes.run(name).data.tags
        expected = {"assay.kind": "stage", "assay.study": "s1", "assay.data_version": "d1", "assay.state": "finished"}
        assert expected.items() <= tags.items()
        assert tags["mlflow.source.git.commit"] == head
        assert tags["assay.git_dirty"] == {"clean": "false", "dirty": "true"}[name]


def test_an_error_ends_the_run_as_failed_with_its_reason_and_goes_on(root: Path, eyes: Eyes) -> None:
    with (
        pytest.raises(InputError, match="no picture in"),
        opened(root) as tracker,
        tracker.run("prepare", kind="stage"),
    ):
        raise InputError("no picture in data/")
    run = eyes.run("prepare")
    assert (run.info.status, run.data.tags["assay.reason"]) == ("FAILED", "InputError: no picture in data/")


def test_ctrl_c_ends_the_run_as_killed_and_goes_on(root: Path, eyes: Eyes) -> None:
    with pytest.raises(SystemExit, match=r"^143$"), opened(root) as tracker, tracker.run("prepare", kind="stage"):
        raise SystemExit(143)  # what SIGTERM becomes
    run = eyes.run("prepare")
    assert (run.info.status, run.data.tags["assay.reason"]) == ("KILLED", "stopped from outside")
    with pytest.raises(KeyboardInterrupt, match=r"^$"), opened(root) as tracker, tracker.run("train", kind="stage"):
        raise KeyboardInterrupt
    assert eyes.run("train").info.status == "KILLED"


def test_a_run_that_was_left_open_is_killed_with_its_tracker(root: Path, eyes: Eyes) -> None:
    with opened(root) as tracker:
        tracker.start("trial 000", kind="trial")
    assert eyes.run("trial 000").info.status == "KILLED"


def test_numbers_that_are_none_are_kept_as_such(root: Path, eyes: Eyes) -> None:
    with opened(root) as tracker, tracker.run("train", kind="stage") as run:
        run.log({"nan": math.nan, "up": math.inf, "down": -math.inf, "fine": 1.0}, step=1)
    assert math.isnan(eyes.points("train", "nan")[0][1])
    assert eyes.points("train", "up")[0][1] > 1e300  # MLflow's databases hold the largest number for infinity
    assert eyes.points("train", "fine") == [(1, 1.0)]


def test_more_than_a_call_may_hold_arrives_whole(root: Path, eyes: Eyes) -> None:
    params = {f"p{number}": number for number in range(250)} | {"long": "x" * 7000}
    with opened(root) as tracker, tracker.run("train", kind="stage", params=params) as run:
        for number in range(250):
            run.tag(f"t{number}", number)
        for step in range(30):
            run.log({f"m{number}": step for number in range(80)}, step)
    data = eyes.run("train").data
    assert len(data.params) == 251
    assert len(data.params["long"]) == 6000
    assert {data.tags[f"assay.t{number}"] for number in range(250)} == {str(number) for number in range(250)}
    assert len(data.metrics) == 80
    assert [step for step, _ in eyes.points("train", "m79")] == list(range(30))


def test_a_name_that_mlflow_would_refuse_costs_nothing(root: Path, eyes: Eyes) -> None:
    with opened(root) as tracker, tracker.run("train", kind="stage") as run:
        run.log({"val/f1/größe 50%": 0.5, "..": 1.0, "val/loss": 0.1}, step=1)
    assert eyes.points("train", "val/f1/größe 50_") == [(1, 0.5)]
    assert eyes.points("train", "val/loss") == [(1, 0.1)]


def test_pictures_and_files_arrive_as_they_were(root: Path, eyes: Eyes, tmp_path: Path) -> None:
    picture, folder = tmp_path / "grid ü.png", tmp_path / "model"
    picture.write_bytes(b"first")
    folder.mkdir()
    (folder / "recipe.yaml").write_text("a: 1")
    with opened(root) as tracker, tracker.run("train", kind="stage") as run:
        run.picture(picture)
        run.file(folder)
        picture.write_bytes(b"second")
        picture.unlink()
    assert eyes.files("train", "pictures") == ["pictures/grid ü.png"]
    assert eyes.files("train", "model") == ["model/recipe.yaml"]
    [stored] = (root / "mlruns" / "artifacts").rglob("grid*.png")
    assert stored.read_bytes() == b"first"


def test_a_run_that_is_only_looked_at_stays_as_it_is(root: Path, eyes: Eyes) -> None:
    with opened(root) as tracker, tracker.run("train", kind="stage"):
        pass
    before = eyes.run("train").to_dictionary()
    with opened(root) as tracker:
        assert [run.name for run in tracker.find_all(kind="stage")] == ["train"]
    assert eyes.run("train").to_dictionary() == before


def test_a_name_with_quotes_is_found(root: Path) -> None:
    with opened(root) as tracker:
        for name in ("it's", 'say "so"'):
            tracker.start("x", kind="trial", tags={"backbone": name}).end()
            assert tracker.find(kind="trial", backbone=name) is not None


@pytest.mark.usefixtures("hasty")
def test_what_is_logged_reaches_the_store_while_the_run_goes_on(root: Path, eyes: Eyes) -> None:
    with opened(root) as tracker, tracker.run("train", kind="stage") as run:
        run.log({"val/loss": 1.0}, step=1)
        until(lambda: bool(eyes.runs()) and eyes.points("train", "val/loss") == [(1, 1.0)])
        assert eyes.run("train").info.status == "RUNNING"


def test_many_threads_may_log_at_once(root: Path, eyes: Eyes) -> None:
    with opened(root) as tracker, tracker.run("search", kind="search") as search:

        def trial(number: int) -> None:
            run = tracker.start(f"trial {number:03}", kind="trial", parent=search)
            for step in range(20):
                run.log({"val/loss": float(step)}, step)
            run.end()

        threads = [threading.Thread(target=trial, args=(number,)) for number in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert all(len(eyes.points(f"trial {number:03}", "val/loss")) == 20 for number in range(8))


def test_the_link_names_experiment_and_run(root: Path, eyes: Eyes) -> None:
    with opened(root) as tracker, tracker.run("train", kind="stage") as run:
        info = eyes.run("train").info if ui_link(run) else None
        assert info is not None
        assert ui_link(run) == f"http://127.0.0.1:5000/#/experiments/{info.experiment_id}/runs/{info.run_id}"


def test_nothing_is_left_of_a_spool_that_was_written(root: Path) -> None:
    with opened(root) as tracker, tracker.run("train", kind="stage"):
        pass
    assert list((root / ".assay" / "spool").iterdir()) == []


def test_nothing_is_said_where_all_is_well(root: Path, capfd: pytest.CaptureFixture[str]) -> None:
    with opened(root) as tracker, tracker.run("train", kind="stage") as run:
        run.log({"val/loss": 1.0}, step=1)
    assert capfd.readouterr() == ("", "")


def test_a_deleted_experiment_is_a_sentence(root: Path, eyes: Eyes) -> None:
    with opened(root) as tracker, tracker.run("train", kind="stage"):
        pass
    found = eyes.client.get_experiment_by_name("assay")
    assert found is not None
    eyes.client.delete_experiment(found.experiment_id)
    with pytest.raises(InputError, match=r"tracking\.experiment: 'assay' was deleted in .*restore"):
        opened(root)


def test_a_run_that_is_deleted_meanwhile_is_said_once_and_costs_nothing(
    root: Path, eyes: Eyes, monkeypatch: pytest.MonkeyPatch
) -> None:
    said: list[str] = []
    monkeypatch.setattr(terminal, "say", said.append)
    with opened(root) as tracker, tracker.run("train", kind="stage") as run:
        assert ui_link(run)
        eyes.client.delete_run(eyes.run("train").info.run_id)
        for step in range(3):
            run.log({"val/loss": 1.0}, step)
        with tracker.run("evaluate", kind="stage"):
            pass
    assert eyes.run("evaluate").info.status == "FINISHED"
    assert len(said) == 1
    assert "did not take a part of what was logged" in said[0]


@pytest.mark.usefixtures("hasty")
def test_a_store_that_cannot_be_written_costs_nothing_and_gets_it_at_the_next_start(
    root: Path, eyes: Eyes, capfd: pytest.CaptureFixture[str]
) -> None:
    with opened(root) as tracker, tracker.run("train", kind="stage") as run:
        assert ui_link(run)
        rename(root, "runs", "away")
        run.log({"val/loss": 1.0}, step=1)
        run.picture(HERE / "test_runs.py")
    told = capfd.readouterr()
    assert told.err == ""
    [sentence] = told.out.splitlines()
    assert sentence.startswith("MLflow's store sqlite:///")
    assert "the work goes on" in sentence
    rename(root, "away", "runs")
    opened(root).close()
    assert eyes.points("train", "val/loss") == [(1, 1.0)]
    assert eyes.files("train", "pictures") == ["pictures/test_runs.py"]
    assert eyes.run("train").info.status == "FINISHED"
