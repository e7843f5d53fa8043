"""Laws of the space: whatever is drawn makes a recipe, and what does not count changes nothing."""

from typing import Any

import optuna
import pytest
from hypothesis import given
from hypothesis import strategies as st

from assay.params import Recipe, Vary, flat
from assay.search.space import space_of

BASE = Recipe.model_validate({"optimizer": {"lr": 0.001}, "activation": "relu"})
ENTRIES = {
    "backbone": Vary.model_validate({"choices": ["cnn", "mlp", "tf_efficientnet_lite0"]}),
    "pretrained": Vary.model_validate({"choices": [True], "when": {"backbone": ["tf_efficientnet_lite0"]}}),
    "freeze": Vary.model_validate({"choices": [None, "backbone", 1, 2], "when": {"pretrained": [True]}}),
    "activation": Vary.model_validate({"choices": ["relu", "tanh"], "when": {"backbone": ["cnn", "mlp"]}}),
    "class_weights": Vary.model_validate({"choices": [None, "balanced", {"a": 1.0, "b": 2.0}]}),
    "optimizer.lr": Vary.model_validate({"low": 1e-4, "high": 1e-1, "log": True}),
    "dropout": Vary.model_validate({"low": 0.0, "high": 0.5, "step": 0.1}),
    "batch_size": Vary.model_validate({"low": 16, "high": 128, "log": True}),
    "epochs": Vary.model_validate({"low": 2, "high": 10, "step": 4}),
}
SPACE = space_of(ENTRIES, BASE)


def drawn(seed: int) -> dict[str, Any]:
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    study = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=seed))
    return dict(study.ask(SPACE.distributions).params)


seeds = st.integers(0, 2**31 - 1)


@given(seeds)
def test_every_point_of_the_space_is_a_valid_recipe(seed: int) -> None:
    recipe = SPACE.recipe(drawn(seed))
    assert Recipe.model_validate(recipe.model_dump()) == recipe


@given(seeds)
def test_a_recipe_has_what_counts_and_else_the_base(seed: int) -> None:
    point = drawn(seed)
    active, recipe = SPACE.active(point), flat(SPACE.recipe(point))
    assert {name: recipe[name] for name in active} == active
    assert {n: v for n, v in recipe.items() if n not in active} == {
        n: v for n, v in flat(BASE).items() if n not in active
    }


@given(seeds, seeds)
def test_what_does_not_count_changes_nothing(seed: int, other: int) -> None:
    point, elsewhere = drawn(seed), drawn(other)
    active = SPACE.active(point)
    changed = {name: point[name] if name in active else elsewhere[name] for name in point}
    assert SPACE.recipe(changed) == SPACE.recipe(point)


@given(seeds)
def test_conditions_hold_along_the_chain(seed: int) -> None:
    active = SPACE.active(drawn(seed))
    pretrained = active["backbone"] == "tf_efficientnet_lite0"
    assert ("pretrained" in active, "freeze" in active) == (pretrained, pretrained)
    assert ("activation" in active) is not pretrained


@given(seeds)
def test_values_travel_to_optuna_and_back(seed: int) -> None:
    for name, kept in drawn(seed).items():
        parameter = SPACE.parameters[name]
        back = parameter.kept(parameter.value(kept))  # Optuna's 0.30000000000000004 comes back as the step it is
        assert back == (pytest.approx(kept, abs=1e-12) if isinstance(kept, float) else kept)


def test_the_base_recipe_is_a_point_without_what_lies_outside() -> None:
    point = SPACE.of_base()
    assert point["optimizer.lr"] == 0.001
    assert "pretrained" not in point, "false is not among the choices"
    assert "epochs" not in point, "16 is above the range"
    assert SPACE.active_of_base()["epochs"] == 16
    assert "freeze" not in SPACE.active_of_base()


def test_a_number_is_not_taken_for_a_truth() -> None:
    space = space_of({"freeze": Vary.model_validate({"choices": [None, 1]})}, BASE)
    with pytest.raises(LookupError, match="True"):
        space.parameters["freeze"].kept(True)


def test_a_value_between_two_steps_is_none_of_the_space() -> None:
    space = space_of(ENTRIES, BASE.model_copy(update={"dropout": 0.25, "epochs": 5}))
    assert not {"dropout", "epochs"} & space.of_base().keys()
    assert space.active_of_base()["dropout"] == 0.25
    assert space_of(ENTRIES, BASE.model_copy(update={"dropout": 0.3})).of_base()["dropout"] == 0.3


def test_what_is_all_but_a_step_is_kept_as_that_step() -> None:
    space = space_of({"dropout": Vary(low=0.0, high=0.5, step=0.25)}, Recipe())
    assert space.parameters["dropout"].kept(0.49999999999999994) == 0.5
