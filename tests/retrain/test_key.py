"""What makes a retraining another one, and what does not."""

from collections.abc import Callable
from pathlib import Path

import pytest

from assay.data.sources import open_source
from assay.params import Params
from assay.retrain.key import RECIPE, key_of, of_settings
from retraining import PARAMS, arrive


@pytest.fixture
def key(tmp_path: Path) -> Callable[..., str]:
    arrive(tmp_path, 0, 2)

    def of(**sections: dict[str, object]) -> str:
        told = {name: {**PARAMS.get(name, {}), **sections.get(name, {})} for name in {**PARAMS, **sections}}
        told["data"]["path"] = str(tmp_path / "pictures")
        params = Params.model_validate(told)
        return key_of(params, open_source(params.data))

    return of


def test_equal_data_and_settings_have_one_key(key: Callable[..., str]) -> None:
    assert key() == key(tracking={"experiment": "other"}, data={"workers": 1}, promote={"storage": "sqlite:///x.db"})


def test_a_file_more_is_another_key_and_another_name_is_not(key: Callable[..., str], tmp_path: Path) -> None:
    first = key()
    file = next((tmp_path / "pictures/0").iterdir())
    file.rename(file.with_name("renamed.png"))
    assert key() == first
    arrive(tmp_path, 2, 3)
    assert key() != first


def test_another_label_is_another_key(key: Callable[..., str], tmp_path: Path) -> None:
    first = key()
    file = next((tmp_path / "pictures/0").iterdir())
    file.rename(tmp_path / "pictures/1" / file.name)
    assert key() != first


@pytest.mark.parametrize(
    "changed", [{"recipe": {"dropout": 0.3}}, {"promote": {"alpha": 0.1}}, {"retrain": {"trials": 3}}]
)
def test_what_decides_is_part_of_it(key: Callable[..., str], changed: dict[str, dict[str, object]]) -> None:
    assert key(**changed) != key()


def test_a_recipe_is_another_one_by_what_a_person_changes_for_it() -> None:
    def of(**sections: dict[str, object]) -> str:
        return of_settings(Params.model_validate(sections), RECIPE)

    assert of() == of(promote={"alpha": 0.1}, search={"workers": 2}, retrain={"trials": 3}, data={"channels": 1})
    assert len({of(), of(recipe={"dropout": 0.3}), of(search={"trials": 3}), of(augment={"copies": 1})}) == 4
