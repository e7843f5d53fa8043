"""A space as numbers, there and back."""

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from optuna.distributions import FloatDistribution

from assay.params import Recipe, Search
from assay.search.cube import Cube, _axis
from assay.search.space import space_of

SPACE = {
    "backbone": {"choices": ["cnn", "mlp", "resnet18"]},
    "activation": {"choices": ["relu", "tanh"], "when": {"backbone": ["cnn", "mlp"]}},
    "pretrained": {"choices": [True], "when": {"backbone": ["resnet18"]}},
    "freeze": {"choices": [None, "backbone"], "when": {"backbone": ["resnet18"]}},
    "dropout": {"low": 0.0, "high": 0.5},
    "optimizer.lr": {"low": 1e-4, "high": 1e-1, "log": True},
    "batch_size": {"choices": [128, 32, 64]},
    "optimizer.momentum": {"low": 0.5, "high": 0.9, "step": 0.1},
    "schedule.step_epochs": {"low": 1, "high": 64, "log": True},
}


def cube_of(space: dict[str, Any] | None = None) -> Cube:
    return Cube(space_of(Search.model_validate({"space": space or SPACE}).space, Recipe()))


@given(st.lists(st.floats(0, 1, exclude_max=True), min_size=8, max_size=8))
def test_what_is_drawn_comes_back(point: list[float]) -> None:
    cube = cube_of()
    drawn = cube.drawn(np.array(point))
    back = cube.drawn(cube.point(drawn))
    assert list(drawn) == list(SPACE), "every parameter has a value, in the order of the space"
    for name, value in drawn.items():
        assert back[name] == (pytest.approx(value) if isinstance(value, float) else value)


@given(st.lists(st.floats(0, 1), min_size=8, max_size=8))
def test_every_point_is_within_its_ranges(point: list[float]) -> None:
    drawn = cube_of().drawn(np.array(point))
    assert 1e-4 <= drawn["optimizer.lr"] <= 0.1
    assert drawn["batch_size"] in (32, 64, 128)
    assert 1 <= drawn["schedule.step_epochs"] <= 64
    assert drawn["pretrained"] is True


def test_numbers_are_in_order_and_words_are_all_equally_far_apart() -> None:
    cube = cube_of({"batch_size": {"choices": [128, 32, 64]}, "backbone": {"choices": ["cnn", "mlp", "resnet18"]}})
    assert cube.widths == [1, 3]
    points = np.array([[at, 0.1] for at in (0.1, 0.5, 0.9)])
    assert [cube.drawn(point)["batch_size"] for point in points] == [32, 64, 128]
    assert cube.columns(points)[:, 0].tolist() == [0, 0.5, 1]
    words = cube.columns(np.array([[0.1, 0.1], [0.1, 0.5], [0.1, 0.9]]))[:, 1:]
    distances = [np.linalg.norm(words[one] - words[other]) for one, other in ((0, 1), (0, 2), (1, 2))]
    assert distances == pytest.approx([1, 1, 1])


@given(st.lists(st.floats(0, 1, exclude_max=True), min_size=8, max_size=8), st.floats(0, 1, exclude_max=True))
def test_what_does_not_count_makes_no_difference(point: list[float], other: float) -> None:
    cube = cube_of()
    counts = cube.space.active(cube.drawn(np.array(point)))
    for number, name in enumerate(cube.axes):
        changed = list(point)
        changed[number] = other
        if name not in counts:
            assert np.array_equal(*cube.columns(np.array([point, changed])))


def test_a_parameter_without_a_value_stands_in_the_middle() -> None:
    assert cube_of().point({}).tolist() == [0.5] * 8


@given(st.integers(-50, 50), st.integers(1, 40), st.sampled_from([1, 2, 3, 5, 25]), st.integers(0, 4))
def test_every_step_is_one_that_optuna_keeps_and_is_found_again(low: int, count: int, step: int, digits: int) -> None:
    written = [each / 10**digits for each in (low, low + count * step, step)]
    distribution = FloatDistribution(written[0], written[1], step=written[2])
    axis = _axis(distribution)
    assert len(axis.levels) == count + 1
    for number, level in enumerate(axis.levels):
        assert distribution._contains(level)
        assert level == float(f"{level:.12g}"), "as a person writes it"
        assert axis.position(level) == axis.position(written[0] + number * written[2]), "by another rounding"
        assert axis.value(axis.position(level)) == level


def test_a_range_of_many_numbers_takes_no_memory() -> None:
    wide: dict[str, Any] = {"seed": {"low": 0, "high": 2**32 - 1}, "dropout": {"low": 0.0, "high": 0.5, "step": 1e-9}}
    cube = cube_of(wide)
    assert cube.drawn(np.array([0.0, 0.5])) == {"seed": 0, "dropout": 0.25}
    assert cube.drawn(cube.point({"seed": 123_456_789, "dropout": 0.1})) == {"seed": 123_456_789, "dropout": 0.1}
