"""What can only be against a challenger: slices and limits, in a real MLflow store."""

import re
from pathlib import Path

import numpy as np
import pytest
import torch

import contests
import judged
from assay.championship import Championship
from assay.data.dataset import read_split
from assay.errors import InputError
from assay.match import Match
from assay.model_files import load_model
from assay.outputs import outputs_of
from assay.params import Evaluate, Params
from contests import PARAMS, TASK, kinds, save, worse
from retraining import copied


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return contests.made(tmp_path_factory.mktemp("house"))


@pytest.fixture
def root(house: Path, tmp_path: Path) -> Path:
    return copied(house, tmp_path / "project")


def right(root: Path, name: str) -> np.ndarray:
    """Which test samples a model has right."""
    part = read_split(root / "data", "test").parts[0]
    said = outputs_of(load_model(root / name).model, part.samples, part.lengths, torch.device("cpu"))
    return said.argmax(1) == part.targets


def with_promote(**settings: object) -> Params:
    return Params.model_validate({"promote": {"alpha": 0.5, "slots": 5} | settings})


class TestVetoes:
    @pytest.mark.parametrize("worse_there", [True, False])
    def test_a_slice_on_which_it_is_worse_keeps_the_champion(
        self, root: Path, monkeypatch: pytest.MonkeyPatch, worse_there: bool
    ) -> None:
        monkeypatch.setattr("assay.match.LEAST", 5)  # of 120 samples
        save(worse(judged.trained(TASK), 1.0, seed=2), root / "other")
        first, second = right(root, "bad"), right(root, "other")
        lost = first & ~second
        assert lost.sum() >= 5 and (second & ~first).sum() > 2 * lost.sum(), "better, and not everywhere"
        camera = np.where(lost, "left", "right") if worse_there else np.full(len(lost), "right")
        judged.write_slices_of(root / "data", {"camera": camera.tolist()})
        params = with_promote(screen=1.0).model_copy(update={"evaluate": Evaluate(slices=["camera"])})
        with Championship(params, root) as house:
            house.challenge(root / "bad", root / "data")
            assert house.challenge(root / "other", root / "data") is not worse_there
            assert ("shown to be worse on camera=left" in house.decisions()[-1].reason) is worse_there

    @pytest.mark.parametrize(
        "limit, says",
        [
            ({"max_size_mb": 0.01}, r"its weights are .* MB, above promote\.max_size_mb: 0\.01"),
            ({"max_latency_ms": 1e-6}, r"ms a sample on this machine's CPU, above promote\.max_latency_ms: 1e-06"),
        ],
    )
    def test_a_model_over_a_limit_costs_no_look_and_is_told_once(
        self, root: Path, monkeypatch: pytest.MonkeyPatch, limit: dict, says: str
    ) -> None:
        with Championship(PARAMS, root) as house:
            house.challenge(root / "bad", root / "data")
        with monkeypatch.context() as patched, Championship(with_promote(**limit), root) as house:
            patched.setattr(Match, "on_test", None)  # not even computed
            for _ in range(2):
                assert not house.challenge(root / "good", root / "data").won
            assert kinds(house) == ["first", "refused"]
            last = house.decisions()[-1]
            assert re.search(says, last.reason)
            assert last.budget is not None and last.budget.looks == 0
        with Championship(PARAMS, root) as house:  # the limit is gone, so it is measured anew
            assert house.challenge(root / "good", root / "data").won

    def test_a_first_model_over_a_limit_is_champion_and_the_account_says_so(self, root: Path) -> None:
        with Championship(with_promote(max_size_mb=0.01), root) as house:
            assert house.challenge(root / "bad", root / "data").won
            assert "the first model although its weights are" in house.decisions()[-1].reason

    def test_a_calibration_error_above_its_limit_keeps_the_champion(self, root: Path) -> None:
        with Championship(with_promote(max_ece=1e-6), root) as house:
            house.challenge(root / "bad", root / "data")
            assert not house.challenge(root / "good", root / "data").won
            assert kinds(house) == ["first", "look", "kept"]
            assert "calibration error is 0." in house.decisions()[-1].reason
            assert "above promote.max_ece: 1e-06" in house.decisions()[-1].reason

    def test_a_slice_that_prepare_did_not_keep_is_asked_for_before_anything(self, root: Path) -> None:
        params = PARAMS.model_copy(update={"evaluate": Evaluate(slices=["camera"])})
        with Championship(params, root) as house:
            with pytest.raises(InputError, match=r"evaluate\.slices: .* was prepared without 'camera'"):
                house.challenge(root / "good", root / "data")
            assert house._versions.all() == []
