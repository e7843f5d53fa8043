"""What a search space may say: each wrong entry gets its sentence, and what the sentence asks for is then accepted."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from assay.errors import InputError
from assay.params import Params, Recipe, Vary, flat, with_values
from assay.settings import load
from assay.settings.space import recipe_field, space_problems
from assay.settings.wording import number_type

CASES = {
    "dropuot: {low: 0, high: 0.5}": "4: 'dropuot' is not a setting of recipe that search.space could vary; did you mean 'dropout'?",
    "recipe.dropout: {low: 0, high: 0.5}": "4: 'recipe.dropout' is not a setting of recipe that search.space could vary; "
    "did you mean 'dropout'?",
    "optimizer: {lr: {low: 1, high: 2}}": "4: 'optimizer' is a section of recipe; name one of its settings (optimizer.name, "
    "optimizer.lr, optimizer.momentum, optimizer.weight_decay, optimizer.layer_decay).",
    "dropout: {low: 0.5, high: 0.2}": "4: search.space.dropout.low is 0.5; it must be below high, 0.2.",
    "dropout: {low: 0.2, high: 0.2}": "4: search.space.dropout.low is 0.2; it must be below high, 0.2.",
    "dropout: {low: 0, high: 0.5, log: true}": "4: search.space.dropout.low is 0; with log it must be above 0.",
    "dropout: {low: 0.1, high: 0.5, log: true, step: 0.1}": "4: search.space.dropout has log and step; it must have at most "
    "one of them.",
    "dropout: {low: 0, high: 0.5, step: 0.2}": "4: search.space.dropout.step is 0.2; 0.5 from low to high must be a whole "
    "number of it.",
    "dropout: {low: 0, high: 1}": "4: search.space.dropout.high is 1; dropout must be a number of at least 0 and below 1.",
    "dropout: {low: 0}": "4: search.space.dropout has no high; it must have low and high, or choices.",
    "dropout: {}": "4: search.space.dropout has no choices; it must have low and high, or choices.",
    "dropout: 3": "4: search.space.dropout is 3; it must be a mapping of its settings (low, high, log, step, choices, when).",
    "dropout: {lo: 3, low: 0, high: 0.5}": "4: 'lo' is not a setting of search.space.dropout; did you mean 'low'?",
    "dropout: {low: 0, high: 0.5, choices: [0.1]}": "4: search.space.dropout has choices and low; it must have one of them.",
    "dropout: {choices: []}": "4: search.space.dropout.choices is []; it must list at least one value.",
    "dropout: {choices: [0.1, 0.1]}": "4: search.space.dropout.choices has 0.1 twice; remove one of the two.",
    "dropout: {choices: [0.1, 1.5]}": "4: search.space.dropout.choices has 1.5; dropout must be a number of at least 0 and "
    "below 1.",
    "optimizer.name: {choices: [adam, adamx]}": "4: search.space.optimizer.name.choices has 'adamx'; optimizer.name must be "
    "'sgd', 'momentum', 'nesterov', 'rmsprop', 'adagrad', 'adam', 'adamw', 'nadam' or 'lion'.",
    "activation: {low: 0, high: 1}": "4: search.space.activation is a range, but activation must be 'sigmoid', 'tanh', 'relu', "
    "'leaky_relu', 'elu', 'selu', 'gelu', 'silu', 'mish', 'hardswish' or null; give choices.",
    "batch_size: {low: 1.5, high: 64}": "4: search.space.batch_size.low is 1.5; it must be a whole number, as batch_size is.",
    "batch_size: {low: 0, high: 64}": "4: search.space.batch_size.low is 0; batch_size must be a whole number from 1 to 65536.",
    "dropout: {low: 0, high: 0.5, when: {backbone: [cnn]}}": "4: search.space.dropout.when names 'backbone', which is not "
    "another entry of search.space; there is none.",
    "dropout: {low: 0, high: 0.5, when: {dropout: [0.1]}}": "4: search.space.dropout.when names 'dropout', which is not "
    "another entry of search.space; there is none.",
    "dropout: {low: 0, high: 0.5, when: {bckbone: [cnn]}}\n    backbone: {choices: [cnn]}": "4: search.space.dropout.when names "
    "'bckbone', which is not another entry of search.space; did you mean 'backbone'?",
    "dropout: {low: 0, high: 0.5, when: {backbone: [mlp]}}\n    backbone: {choices: [cnn]}": "4: search.space.dropout.when."
    "backbone has 'mlp'; it must be among the choices 'cnn'.",
    "dropout: {low: 0, high: 0.5, when: {backbone: []}}\n    backbone: {choices: [cnn]}": "4: search.space.dropout.when.backbone "
    "is []; it must list some of 'cnn'.",
    "dropout: {low: 0, high: 0.5, when: {ema: [0.5]}}\n    ema: {low: 0.1, high: 0.9}": "4: search.space.dropout.when names "
    "'ema', which is a range; it must name a field with choices.",
    "loss: {choices: [mse]}": "4: a choice of search.space.loss is 'mse', which does not fit classification; it must be 'auto', "
    "'cross_entropy' or 'focal'.",
}


def space_file(folder: Path, entries: str) -> Path:
    path = folder / "params.yaml"
    path.write_text(f"search:\n  trials: 2\n  space:\n    {entries}\n")
    return path


@pytest.mark.parametrize("entries", CASES)
def test_a_wrong_entry_of_the_space_is_said(entries: str, tmp_path: Path) -> None:
    path = space_file(tmp_path, entries)
    with pytest.raises(InputError, match=r"params\.yaml:\d+: ") as caught:
        load(path)
    assert [sentence.removeprefix(f"{path}:") for sentence in caught.value.sentences] == [CASES[entries]]


def test_conditions_in_a_circle_are_said(tmp_path: Path) -> None:
    entries = (
        "backbone: {choices: [cnn, mlp], when: {loss: [focal]}}\n"
        "    loss: {choices: [focal, auto], when: {backbone: [cnn]}}"
    )
    with pytest.raises(
        InputError, match=r":4: search\.space\.backbone\.when leads back to backbone; it must not go in ci"
    ):
        load(space_file(tmp_path, entries))


@pytest.mark.parametrize(
    "entries",
    [
        "batch_size: {low: 16, high: 64, step: 16}",
        "epochs: {low: 1, high: 8, log: true}",
        "input_size: {low: 28, high: 32}",
        "activation: {choices: [null, relu]}",
        "pretrained: {choices: [false, true]}",
        "freeze: {choices: [null, backbone, 1]}",
        "class_weights: {choices: [null, balanced]}",
        "backbone: {choices: [mlp]}\n    dropout: {low: 0.0, high: 0.5, when: {backbone: [mlp]}}",
        "optimizer.lr: {low: 1e-4, high: 1e-1, log: true}",
        "seed: {choices: [0, 1]}",
    ],
)
def test_a_sound_entry_passes_and_the_base_recipe_may_lie_outside(entries: str, tmp_path: Path) -> None:
    load(space_file(tmp_path, entries))


NUMBERS = [name for name in flat(Recipe()) if number_type(recipe_field(name)) is not None]


@given(name=st.sampled_from(NUMBERS), low=st.floats(-2, 200), high=st.floats(-2, 200))
def test_a_range_that_passes_holds_only_values_that_the_recipe_takes(name: str, low: float, high: float) -> None:
    kind = number_type(recipe_field(name))
    assert kind is not None
    low, high = kind(low), kind(high)
    params = Params.model_validate({"search": {"space": {name: {"low": low, "high": high}}}})
    if not space_problems(params):
        assert low < high
        for value in (low, high, kind((low + high) / 2)):
            with_values(Recipe(), {name: value})


def test_every_field_of_the_recipe_can_stand_in_the_space() -> None:
    for name, value in flat(Recipe()).items():
        vary = Vary.model_validate({"choices": [value]})
        params = Params.model_validate({"search": {"trials": 2}}).model_copy()
        search = params.search.model_copy(update={"space": {name: vary}})
        assert space_problems(params.model_copy(update={"search": search})) == []
