"""Champion and challenger in a real MLflow store: who wins, what is written, what a kill or a hand between leaves."""

import base64
import json
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import mlflow
import numpy as np
import pandas as pd
import pytest
from PIL import Image

import contests
import judged
from assay.championship import Championship
from assay.data.dataset import read_split
from assay.errors import InputError
from assay.lease import Held
from assay.match import Match
from assay.params import Params, Tracking
from assay.predict import Asked, answers, as_sample
from assay.registry.versions import CHALLENGER, CHAMPION, PREVIOUS
from assay.tracking.address import resolve
from assay.usage import Promote
from contests import PARAMS, TASK, kinds, save, worse, write_project
from retraining import copied
from servers import mlflow_server

SPEC = judged.trained(TASK).about.spec


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return contests.made(tmp_path_factory.mktemp("house"))


@pytest.fixture
def root(house: Path, tmp_path: Path) -> Path:
    return copied(house, tmp_path / "project")


@pytest.fixture
def open_house(root: Path) -> Iterator[Championship]:
    with Championship(PARAMS, root) as opened:
        yield opened


def aliases(root: Path) -> dict[str, int]:
    client = mlflow.MlflowClient(tracking_uri=resolve(Tracking(), root).uri)
    found = client.get_registered_model("assay").aliases
    return {name: int(version) for name, version in found.items()}


class TestChallenge:
    def test_the_first_is_champion_without_a_match(self, open_house: Championship, root: Path) -> None:
        assert open_house.challenge(root / "bad", root / "data").won
        assert kinds(open_house) == ["first"]
        assert aliases(root) == {CHAMPION: 1}

    def test_the_better_one_is_promoted_and_its_alpha_returns(self, open_house: Championship, root: Path) -> None:
        open_house.challenge(root / "bad", root / "data")
        assert open_house.challenge(root / "good", root / "data").won
        assert kinds(open_house) == ["first", "look", "promoted"]
        last = open_house.decisions()[-1]
        assert (last.champion, last.previous) == (2, 1)
        assert last.budget is not None and (last.budget.looks, last.budget.spent) == (1, 0.0)
        assert aliases(root) == {CHAMPION: 2, PREVIOUS: 1, CHALLENGER: 2}

    def test_the_worse_one_costs_no_look(
        self, open_house: Championship, root: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(Match, "on_test", None)  # not even computed
        open_house.challenge(root / "good", root / "data")
        assert not open_house.challenge(root / "bad", root / "data").won
        last = open_house.decisions()[-1]
        assert last.kind == "screened" and last.champion == 1
        assert last.budget is not None and last.budget.looks == 0
        assert "The test split was not looked at" in last.reason

    def test_nobody_is_judged_twice_on_the_same_data(self, open_house: Championship, root: Path) -> None:
        open_house.challenge(root / "good", root / "data")
        for _ in range(2):
            assert not open_house.challenge(root / "bad", root / "data").won
        assert kinds(open_house) == ["first", "screened"]
        assert open_house.challenge(root / "good", root / "data").won
        assert kinds(open_house) == ["first", "screened"]

    def test_where_no_look_is_left_the_champion_stays(self, root: Path) -> None:
        params = Params.model_validate({"promote": {"slots": 1, "screen": 1.0, "alpha": 1e-9 + 1e-12}})
        with Championship(params, root) as house:
            house.challenge(root / "bad", root / "data")
            assert not house.challenge(root / "good", root / "data").won  # 120 samples never reach this alpha
            save(worse(judged.trained(TASK), 0.1), root / "other")
            assert not house.challenge(root / "other", root / "data").won
            assert kinds(house) == ["first", "look", "kept", "kept"]
            assert "all 1 looks of this year are spent" in house.decisions()[-1].reason

    def test_a_look_that_a_kill_cut_short_is_taken_up_and_not_paid_twice(
        self, root: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        with Championship(PARAMS, root) as house:
            house.challenge(root / "bad", root / "data")
            with monkeypatch.context() as patched:
                patched.setattr(Match, "on_test", _killed)
                with pytest.raises(MemoryError, match="killed"):
                    house.challenge(root / "good", root / "data")
            assert kinds(house) == ["first", "look"]
        with Championship(PARAMS, root) as house:
            assert house.challenge(root / "good", root / "data").won
            assert kinds(house) == ["first", "look", "promoted"]

    def test_a_promotion_that_a_kill_cut_short_is_finished_by_whoever_comes_next(
        self, root: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        with Championship(PARAMS, root) as house:
            house.challenge(root / "bad", root / "data")
            with monkeypatch.context() as patched:
                patched.setattr(house._versions, "name_as", _killed_at(CHAMPION, house._versions.name_as))
                with pytest.raises(MemoryError, match="killed"):
                    house.challenge(root / "good", root / "data")
        assert aliases(root)[CHAMPION] == 1
        with Championship(PARAMS, root) as house:
            assert house.history()[-1].champion == 2
        assert aliases(root) == {CHAMPION: 2, PREVIOUS: 1, CHALLENGER: 2}

    def test_samples_that_the_champion_was_taught_do_not_count(self, open_house: Championship, root: Path) -> None:
        test, train = read_split(root / "data", "test"), read_split(root / "data", "train")
        taught = np.concatenate([train.keys[20:], test.keys[:20]])
        held_out = root / "before"
        shutil.copytree(root / "data", held_out)
        np.save(held_out / "train" / "keys.npy", taught)  # the split was another when the champion learnt
        open_house.challenge(root / "bad", held_out)
        open_house.challenge(root / "good", root / "data")
        assert open_house.decisions()[-1].evidence["compared"]["count"] == judged.NUM_TEST - 20

    def test_a_class_that_the_champion_does_not_know_is_one_it_has_wrong(
        self, open_house: Championship, root: Path
    ) -> None:
        about = json.loads((root / "data" / "dataset.json").read_text())
        fewer = root / "fewer"
        shutil.copytree(root / "bad", fewer)
        facts = json.loads((fewer / "model.json").read_text())
        facts["classes"] = [f"other {name}" for name in about["classes"]]
        (fewer / "model.json").write_text(json.dumps(facts))
        former = root / "former"
        shutil.copytree(root / "data", former)
        (former / "dataset.json").write_text(json.dumps(about | {"classes": facts["classes"]}))
        open_house.challenge(fewer, former)
        assert open_house.challenge(root / "good", root / "data").won
        compared = open_house.decisions()[-1].evidence["compared"]
        assert compared["champion"] < compared["challenger"]

    @pytest.mark.parametrize("split", ["validation", "test"])
    def test_a_target_that_does_not_vary_has_no_r2_to_be_judged_by(self, split: str, tmp_path: Path) -> None:
        write_project(tmp_path, "regression")
        targets = np.load(tmp_path / "data" / split / "targets.npy")
        np.save(tmp_path / "data" / split / "targets.npy", np.ones_like(targets))
        with Championship(PARAMS, tmp_path) as house:
            house.challenge(tmp_path / "bad", tmp_path / "data")
            with pytest.raises(InputError, match=r"a target is the same in all .* set it to rmse or mae"):
                house.challenge(tmp_path / "good", tmp_path / "data")
            assert house.history()[-1].champion == 1


def _killed(*_: object) -> None:
    raise MemoryError("killed")


def _killed_at(alias: str, done: object) -> object:
    def named(name: str, number: int | None) -> None:
        if name == alias:
            _killed()
        done(name, number)

    return named


class TestAPerson:
    def test_rolls_back_exactly_and_what_fell_does_not_promote_itself_again(
        self, open_house: Championship, root: Path
    ) -> None:
        open_house.challenge(root / "bad", root / "data")
        open_house.challenge(root / "good", root / "data")
        open_house.rollback("complaints")
        assert aliases(root) == {CHAMPION: 1, CHALLENGER: 2}
        assert not open_house.challenge(root / "good", root / "data").won
        assert kinds(open_house) == ["first", "look", "promoted", "rolled back"]
        with pytest.raises(InputError, match="there is nothing to go back to"):
            open_house.rollback("again")

    def test_promotes_against_the_test_and_the_account_has_the_reason(
        self, open_house: Championship, root: Path
    ) -> None:
        open_house.challenge(root / "good", root / "data")
        open_house.challenge(root / "bad", root / "data")
        open_house.promote(2, "the other one is too large")
        last = open_house.history()[-1]
        assert (last.kind, last.champion, last.reason) == ("by hand", 2, "the other one is too large")
        assert aliases(root)[CHAMPION] == 2

    @pytest.mark.parametrize(
        "number, reason, says",
        [(7, "why not", "has no version 7; there are: 1"), (1, "why", "is champion already"), (1, " ", "is empty")],
    )
    def test_who_asks_for_what_cannot_be_is_told(
        self, open_house: Championship, root: Path, number: int, reason: str, says: str
    ) -> None:
        open_house.challenge(root / "good", root / "data")
        with pytest.raises(InputError, match=says):
            open_house.promote(number, reason)
        assert kinds(open_house) == ["first"]

    def test_reads_the_account_while_another_decides(self, open_house: Championship, root: Path) -> None:
        open_house.challenge(root / "good", root / "data")
        with open_house._deciding(), Championship(PARAMS, root) as other:
            assert [one.kind for one in other.history()] == ["first"]
            with pytest.raises(Held, match="this promotion is running already"):
                other.promote(1, "why")

    def test_finds_recipe_data_and_verdict_among_the_tags_of_a_version(
        self, open_house: Championship, root: Path
    ) -> None:
        open_house.challenge(root / "good", root / "data")
        open_house.challenge(root / "bad", root / "data")
        client = mlflow.MlflowClient(tracking_uri=resolve(Tracking(), root).uri)
        tags = client.get_model_version("assay", "2").tags
        assert tags["recipe.backbone"] == "mlp" and tags["assay.verdict"] == "screened"
        assert re.fullmatch(r"0\.\d+ \[0\.\d+, 0\.\d+\] on 64 validation samples", tags["assay.accuracy"])
        first = client.get_model_version("assay", "1").tags
        assert re.fullmatch(r"0\.\d+ \[0\.\d+, 0\.\d+\] on 120 test samples", first["assay.accuracy"])
        assert tags["assay.data_version"] == judged.trained(TASK).about.version
        runs = client.search_runs([client.get_experiment_by_name("assay").experiment_id])
        assert {run.info.status for run in runs} == {"FINISHED"}

    def test_reads_the_account_at_a_terminal(self, open_house: Championship, root: Path) -> None:
        open_house.challenge(root / "bad", root / "data")
        (root / "params.yaml").write_text("{}\n")

        def assay(*words: str) -> str:
            command = [sys.executable, "-c", "from assay.cli import main; main()", *words]
            return subprocess.run(command, cwd=root, capture_output=True, text=True, check=True).stdout

        assert "the first model" in assay("champion")
        assert "first" in assay("history", "--all")
        assert assay("history", "2001-01-01") == "assay had no champion on 2001-01-01.\n"

    def test_asks_for_a_champion_where_there_is_none(self, open_house: Championship, root: Path) -> None:
        with pytest.raises(InputError, match="has no champion; `assay challenge`"):
            open_house.history()

    def test_who_moves_the_alias_in_mlflow_is_in_the_account(self, open_house: Championship, root: Path) -> None:
        open_house.challenge(root / "good", root / "data")
        open_house.challenge(root / "bad", root / "data")
        client = mlflow.MlflowClient(tracking_uri=resolve(Tracking(), root).uri)
        client.set_registered_model_alias("assay", CHAMPION, "2")
        assert [(one.kind, one.champion) for one in open_house.history()] == [("first", 1), ("found", 2)]
        assert aliases(root)[PREVIOUS] == 1

    def test_an_alias_that_was_deleted_comes_back(self, open_house: Championship, root: Path) -> None:
        open_house.challenge(root / "good", root / "data")
        client = mlflow.MlflowClient(tracking_uri=resolve(Tracking(), root).uri)
        client.delete_registered_model_alias("assay", CHAMPION)
        assert kinds(open_house) == ["first"]
        assert aliases(root) == {CHAMPION: 1}


class TestServer:
    def test_a_server_that_goes_away_and_comes_back_has_one_champion(self, root: Path, tmp_path: Path) -> None:
        with mlflow_server(tmp_path) as server:
            params = PARAMS.model_copy(update={"tracking": Tracking(uri=server.uri)})
            with Championship(params, root) as house:
                house.challenge(root / "bad", root / "data")
                server.stop()
                with pytest.raises(InputError, match=r"MLflow's registry at .* did not do as asked"):
                    house.challenge(root / "good", root / "data")
                server.start()
                assert house.challenge(root / "good", root / "data").won
                assert kinds(house) == ["first", "look", "promoted"]
            client = mlflow.MlflowClient(tracking_uri=server.uri)
            assert client.get_model_version_by_alias("assay", CHAMPION).version == "2"
            with pytest.raises(InputError, match=r"promote\.storage"):
                Championship(params.model_copy(update={"promote": Promote(storage="sqlite:////proc/no.db")}), root)
        with pytest.raises(InputError, match="no MLflow server at"):
            Championship(params, root)


@pytest.mark.filterwarnings("ignore:::mlflow", "ignore::pandas.errors.Pandas4Warning")
class TestPyfunc:
    @pytest.fixture
    def loaded(self, open_house: Championship, root: Path, monkeypatch: pytest.MonkeyPatch) -> object:
        open_house.challenge(root / "good", root / "data")
        monkeypatch.setenv("MLFLOW_TRACKING_URI", resolve(Tracking(), root).uri)
        return mlflow.pyfunc.load_model("models:/assay@champion")

    def test_answers_alike_for_bytes_paths_arrays_and_base64(self, loaded: object, root: Path, tmp_path: Path) -> None:
        array = read_split(root / "data", "test").parts[0].samples[3]
        Image.fromarray(array[0]).save(tmp_path / "digit.png")
        content = (tmp_path / "digit.png").read_bytes()
        text = base64.b64encode(content).decode()
        ways = [[content], [str(tmp_path / "digit.png")], pd.DataFrame({"any": [array]}), [text]]
        found = [loaded.predict(way) for way in ways]
        for one in found[1:]:
            pd.testing.assert_frame_equal(one, found[0])
        assert found[0].loc[0, "said"] in {f"{digit}" for digit in range(10)}
        assert found[0].filter(like="probability/").sum(axis=1)[0] == pytest.approx(1, abs=1e-5)

    def test_its_probabilities_are_those_of_the_temperature_and_what_it_says_stays(
        self, loaded: object, root: Path
    ) -> None:
        samples = list(read_split(root / "data", "test").parts[0].samples)
        temperature = loaded._model_impl.temperature
        assert temperature not in (0.0, 1.0)
        found = loaded.predict(pd.DataFrame({"any": samples}))
        plain = list(answers(judged.trained(TASK), (Asked("any", as_sample(one, SPEC)) for one in samples)))
        assert list(found["said"]) == [one.said for one in plain]
        raised = np.stack([one.values for one in plain]).astype(np.float64) ** (1 / temperature)
        np.testing.assert_allclose(
            found.filter(like="probability/"), raised / raised.sum(1, keepdims=True), rtol=1e-3, atol=1e-6
        )

    def test_a_list_that_is_no_array_is_a_sentence(self, loaded: object) -> None:
        with pytest.raises(InputError, match=r"it is no array of numbers; an array must be uint8 of shape 1 × 28 × 28"):
            loaded.predict(pd.DataFrame({"any": [[[1, 2], [3]]]}))

    def test_its_own_example_can_be_predicted(self, loaded: object) -> None:
        assert len(loaded.predict(loaded.input_example)) == 1

    def test_what_is_no_picture_is_a_sentence(self, loaded: object) -> None:
        with pytest.raises(InputError, match="sample 2: cannot be read"):
            loaded.predict([np.zeros((28, 28), np.uint8).tobytes(), b"no picture"])

    def test_holds_no_pickle(self, root: Path, loaded: object) -> None:
        files = [path for path in (root / "mlruns").rglob("*") if path.is_file()]
        assert any(path.name == "MLmodel" for path in files)
        assert not [path for path in files if path.suffix in (".pkl", ".pickle", ".pt", ".pth")]
