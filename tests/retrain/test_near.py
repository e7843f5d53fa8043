"""The part of a space round a recipe: narrower, valid, and with the recipe in it."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st
from ruamel.yaml import YAML

from assay.params import Recipe, Vary, flat, with_values
from assay.retrain.near import near
from assay.search.space import space_of
from assay.settings import load
from imports import ROOT


def test_a_range_is_cut_round_the_value_and_stays_within_itself() -> None:
    space = {"dropout": Vary(low=0.0, high=0.4), "optimizer.lr": Vary(low=1e-4, high=1e-2, log=True)}
    cut = near(space, with_values(Recipe(), {"dropout": 0.1, "optimizer.lr": 1e-3}), 0.5)
    assert (cut["dropout"].low, cut["dropout"].high) == pytest.approx((0.0, 0.2))
    assert (cut["optimizer.lr"].low, cut["optimizer.lr"].high) == pytest.approx((10**-3.5, 10**-2.5))


def test_choices_and_a_range_that_the_value_lies_outside_of_stay() -> None:
    space = {"backbone": Vary(choices=["cnn", "mlp"]), "dropout": Vary(low=0.2, high=0.4)}
    assert near(space, Recipe(dropout=0.1), 0.1) == space


def test_ends_of_steps_are_steps_with_at_least_one_between() -> None:
    space = {"dropout": Vary(low=0.0, high=0.8, step=0.1), "batch_size": Vary(low=8, high=64)}
    cut = near(space, Recipe(dropout=0.3, batch_size=32), 0.01)
    assert (cut["dropout"].low, cut["dropout"].high) in ((0.2, 0.4), (0.3, 0.4), (0.2, 0.3))
    assert (cut["batch_size"].low, cut["batch_size"].high) == (31, 33)


@given(st.floats(1e-4, 1e-2), st.integers(0, 8), st.integers(8, 64), st.floats(0.01, 1))
def test_the_recipe_is_a_point_of_what_is_left(lr: float, tenths: int, batch: int, share: float) -> None:
    space = {
        "optimizer.lr": Vary(low=1e-4, high=1e-2, log=True),
        "dropout": Vary(low=0.0, high=0.8, step=0.1),
        "batch_size": Vary(low=8, high=64, log=True),
    }
    recipe = with_values(Recipe(), {"optimizer.lr": lr, "dropout": tenths / 10, "batch_size": batch})
    left = space_of(near(space, recipe, share), recipe, [])
    for name, parameter in left.parameters.items():
        parameter.kept(flat(recipe)[name])  # raises where it is none


def test_the_shipped_space_stays_valid(tmp_path: object) -> None:
    params = load(ROOT / "params.yaml")
    cut = near(params.search.space, params.recipe, 0.3)
    whole = YAML(typ="safe", pure=True).load(ROOT / "params.yaml")
    whole["search"]["space"] = {name: vary.model_dump(exclude_defaults=True) for name, vary in cut.items()}
    path = tmp_path / "params.yaml"  # type: ignore[operator]
    path.write_text(json.dumps(whole), encoding="utf-8")
    assert load(path).search.space.keys() == params.search.space.keys()
