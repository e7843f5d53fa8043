"""Whether there is reason to retrain."""

from pathlib import Path

import numpy as np
import pytest

import judged
from assay.data.dataset import read_split
from assay.registry.versions import Seen
from assay.retrain.reason import DAY_S, Change, change, reason
from assay.usage import Retrain
from prepared import content_keys

HOW = Retrain(new_samples=0.1, max_age_days=30)


def why(new: int = 0, age_days: float = 0, how: Retrain = HOW, drift: str | None = None, **also: bool) -> str:
    asked = {"other_recipe": False, "force": False, **also}
    return reason(how, Change(100, 100 + new, new, 0), age_days * DAY_S, drift=drift, **asked)


def test_a_few_new_samples_of_a_young_model_are_none() -> None:
    assert why(new=9, age_days=29) == ""
    assert why(age_days=1000, how=Retrain()) == ""


@pytest.mark.parametrize(
    "asked, said",
    [
        ({"new": 10}, "there are 10 new samples to learn from, beside 100 before."),
        ({"age_days": 31}, "the last retraining was 31 days ago; 0 new samples"),
        ({"other_recipe": True}, "augmentation, recipe or search is another one in params.yaml; 0 new samples"),
        ({"force": True, "new": 1}, "somebody asked for it (--force); 1 new sample to"),
        ({"drift": "the pictures are darker."}, "the data have drifted: the pictures are darker."),
    ],
)
def test_each_reason_has_its_words(asked: dict[str, object], said: str) -> None:
    assert why(**asked).startswith(said)  # type: ignore[arg-type]


def test_change_counts_by_content_what_came_and_what_went(tmp_path: Path) -> None:
    judged.write_prepared("classification", tmp_path)
    for name in ("train", "validation"):
        np.save(tmp_path / name / "keys.npy", content_keys(np.load(tmp_path / name / "samples.npy")))
    train, validation = (np.array(read_split(tmp_path, name).keys) for name in ("train", "validation"))
    stranger = np.full((1, 16), 7, np.uint8)
    seen = Seen(np.concatenate([train[5:], stranger]), validation, np.zeros(1))
    found = change(tmp_path, seen)
    assert (found.new, found.gone, found.now) == (5, 1, len(train) + len(validation))
    assert found.said == f"5 new samples to learn from and 1 that are gone, beside {found.before} before"
