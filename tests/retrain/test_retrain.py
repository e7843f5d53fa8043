"""Retraining in real projects: what it decides, what it writes down, and what is there after whatever ended it."""

import json
import shutil
import signal
import time
from pathlib import Path

import mlflow
import pytest
import time_machine

from assay.errors import InputError
from assay.retrain import retrain
from assay.retrain.steps import Retraining
from disks import small_disk
from retraining import arrive, champions, copied, kinds, retraining, rows, states, write_params
from servers import mlflow_server
from waits import until

PROMOTED, FAILED, KEPT, NOTHING, BUSY = 0, 1, 10, 11, 12
WHOLE = ["planned", "trained", "judged", "decided"]


@pytest.fixture(scope="module")
def begun(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A project with its first champion."""
    root = tmp_path_factory.mktemp("begun")
    write_params(root)
    arrive(root, 0, 30)
    ended = retraining(root)
    said, _ = ended.communicate()
    assert ended.returncode == PROMOTED, said
    assert (states(root), kinds(root), champions(root)) == (WHOLE, ["first"], [1])
    return root


@pytest.fixture
def root(begun: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of it, and where the test is."""
    place = copied(begun, tmp_path / "project")
    monkeypatch.chdir(place)
    return place


def again(force: bool = False) -> int:
    return retrain(Path(), force=force)


class TestReasons:
    def test_a_second_start_on_the_same_data_ends_at_once(self, root: Path, capsys: pytest.CaptureFixture[str]) -> None:
        assert again(force=True) == NOTHING
        assert "were retraining 1: version 1 was promoted." in capsys.readouterr().out
        assert states(root) == [*WHOLE, "nothing new"]

    def test_a_few_new_samples_are_no_reason_and_nothing_is_left(
        self, root: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        arrive(root, 30, 32)
        assert again() == NOTHING
        assert "no reason to retrain" in capsys.readouterr().out
        assert list((root / ".assay/retrain").iterdir()) == []

    def test_enough_of_them_are_and_the_results_of_the_stages_stay(self, root: Path) -> None:
        arrive(root, 30, 45)
        assert again() in (PROMOTED, KEPT)
        assert states(root) == [*WHOLE, *WHOLE]
        assert [path.name for path in (root / "results").iterdir()] == ["retrain"]
        assert len(champions(root)) == 1

    def test_another_recipe_is_a_reason_and_is_what_is_trained(
        self, root: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        write_params(root, recipe={"dropout": 0.1})
        assert again() in (PROMOTED, KEPT)
        assert "recipe or search is another one" in capsys.readouterr().out

    def test_age_is_one_where_a_person_says_so(self, root: Path, capsys: pytest.CaptureFixture[str]) -> None:
        write_params(root, retrain={"max_age_days": 30})
        arrive(root, 30, 31)
        assert again() == NOTHING
        with time_machine.travel(time.time() + 31 * 24 * 3600, tick=True):
            assert again() in (PROMOTED, KEPT)
        assert "the last retraining was 31 days ago" in capsys.readouterr().out

    def test_a_clock_that_goes_back_hurts_nothing(self, root: Path) -> None:
        arrive(root, 30, 45)
        with time_machine.travel(time.time() - 400 * 24 * 3600, tick=True):
            assert again() in (PROMOTED, KEPT)
        assert again() == NOTHING
        assert [row["number"] for row in rows(root, "assay_retrainings")] == list(range(1, 10))


def test_the_champion_has_a_run_that_lives_on_with_a_step_a_retraining(root: Path) -> None:
    arrive(root, 30, 45)
    ended = again()
    client = mlflow.MlflowClient(tracking_uri=f"sqlite:///{root}/mlruns/mlflow.db")
    experiment = client.get_experiment_by_name("assay")
    assert experiment is not None
    (run,) = client.search_runs([experiment.experiment_id], "tags.`assay.kind` = 'champion'")
    curve = client.get_metric_history(run.info.run_id, "champion/version")
    assert [(point.step, point.value) for point in curve] == [(1, 1.0), (2, 2.0 if ended == PROMOTED else 1.0)]
    assert run.info.status == "FINISHED" and run.data.metrics["data/new"] == 37  # others are of test


class TestFaults:
    @pytest.mark.parametrize("step", ["_train", "_judge", "_decide"])
    def test_what_was_done_before_a_fault_is_not_done_again(
        self, root: Path, step: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        arrive(root, 30, 45)
        with monkeypatch.context() as patched:
            patched.setattr(Retraining, step, _full)
            assert again() == FAILED
        done = {"_train": 1, "_judge": 2, "_decide": 3}[step]
        assert states(root)[4:] == [*WHOLE[:done], "failed"]
        assert again() in (PROMOTED, KEPT)
        assert states(root)[4 + done + 1 :] == WHOLE[done:]
        assert kinds(root).count("look") <= 1

    @pytest.mark.parametrize("state", ["planned", "trained", "judged"])
    def test_kill_9_in_any_state_loses_and_doubles_nothing(self, root: Path, state: str) -> None:
        arrive(root, 30, 45)
        killed = retraining(root)
        until(lambda: state in states(root)[4:], state, killed)
        killed.kill()
        killed.communicate()
        assert len(champions(root)) == 1
        ended = retraining(root)
        said, _ = ended.communicate()
        assert ended.returncode in (PROMOTED, KEPT), said
        if states(root)[4:] != WHOLE or "goes on" in said:  # it may have ended before the signal
            assert "ended within a retraining and left its lease behind" in said
        assert sorted(states(root)[4:8]) == sorted(WHOLE) and len(states(root)) == 8
        assert kinds(root).count("look") <= 1 and len(champions(root)) == 1

    def test_of_two_at_once_one_is_busy(self, root: Path) -> None:
        arrive(root, 30, 45)
        first = retraining(root)
        until(lambda: "planned" in states(root)[4:], "a plan", first)
        first.send_signal(signal.SIGSTOP)  # at work, however fast it is
        second = retraining(root)
        said, _ = second.communicate()
        first.send_signal(signal.SIGCONT)
        first.communicate()
        assert second.returncode == BUSY and "this retraining is running already" in said
        assert first.returncode in (PROMOTED, KEPT)

    def test_a_broken_file_among_many_is_left_out_and_too_many_are_a_sentence(
        self, root: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        (root / "pictures/0/broken.png").write_bytes(b"no picture")
        assert again() == FAILED
        assert "data.max_bad" in capsys.readouterr().err
        assert champions(root) == [1] and states(root)[4:] == ["failed"]
        write_params(root, data={"max_bad": 0.05})
        arrive(root, 30, 45)
        assert again() in (PROMOTED, KEPT)

    def test_data_that_are_gone_leave_the_champion(self, root: Path) -> None:
        shutil.rmtree(root / "pictures")
        with pytest.raises(InputError, match="pictures does not exist"):
            again()
        assert champions(root) == [1]

    def test_a_test_split_that_shrank_opens_no_new_budget(self, root: Path) -> None:
        arrive(root, 30, 45)
        assert again() in (PROMOTED, KEPT)
        for picture in sorted((root / "pictures").glob("*/*.png"))[::3]:
            picture.unlink()
        assert again(force=True) in (PROMOTED, KEPT)
        opened = [json.loads(row["evidence"])["budget"]["began"] for row in rows(root, "assay_decisions")]
        assert len(opened) > 2 and len(set(opened)) == 1
        assert len(champions(root)) == 1

    def test_a_command_that_brings_data_is_run_first_and_its_failure_is_said(
        self, root: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        write_params(root, data={"pull": "touch pulled && false"})
        assert again() == FAILED
        assert (root / "pulled").exists()
        assert "data.pull: `touch pulled && false` ended with exit code 1" in capsys.readouterr().err

    def test_newer_data_take_the_place_of_a_retraining_that_was_cut_short(
        self, root: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
    ) -> None:
        arrive(root, 30, 45)
        with monkeypatch.context() as patched:
            patched.setattr(Retraining, "_train", _full)
            assert again() == FAILED
        arrive(root, 45, 50)
        assert again() in (PROMOTED, KEPT)
        assert "it is given up for them" in capsys.readouterr().out
        assert states(root)[4:] == ["planned", "failed", "given up", *WHOLE]

    def test_a_full_disk_is_a_sentence_and_the_next_start_goes_on(
        self, root: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        arrive(root, 30, 45)
        with small_disk(root / ".assay/retrain"):
            assert again() == FAILED
        assert "the disk is full" in capsys.readouterr().err
        assert champions(root) == [1]
        assert again() in (PROMOTED, KEPT)


def _full(*_: object) -> None:
    raise OSError(28, "No space left on device", "results")


@pytest.mark.e2e
class TestServer:
    @pytest.mark.parametrize("before", ["_train", "_judge", "_decide"])
    def test_a_server_that_is_away_in_a_state_is_waited_for_by_the_next_start(
        self, tmp_path: Path, before: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        (tmp_path / "server").mkdir()
        with mlflow_server(tmp_path / "server") as server:
            write_params(tmp_path, tracking={"uri": server.uri})
            arrive(tmp_path, 0, 30)
            monkeypatch.chdir(tmp_path)
            whole = getattr(Retraining, before)

            def away(self: Retraining, *args: object) -> object:
                server.stop()
                return whole(self, *args)

            with monkeypatch.context() as patched:
                patched.setattr(Retraining, before, away)
                ended = again()
            assert ended == FAILED
            server.start()
            assert again() == PROMOTED
            done = [state for state in states(tmp_path) if state in WHOLE]
            assert done == WHOLE and kinds(tmp_path) == ["first"]
