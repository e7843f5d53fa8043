"""CMA-ES and NSGA-II: what they make of values, of choices without an order, and of trials that are not finished."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution, IntDistribution

from assay.params import Recipe
from assay.search.cube import Cube
from assay.search.evolution import CmaEs, Nsga2, merit
from assay.search.space import Parameter, Space
from assay.search.trial import COMPLETE, FAILED, PRUNED, RUNNING, Tried


def cube_of(**distributions: BaseDistribution) -> Cube:
    return Cube(Space(Recipe(), {name: Parameter(each, None, {}) for name, each in distributions.items()}))


PLANE = {"x": FloatDistribution(0, 1), "y": FloatDistribution(0, 1)}
MIXED = PLANE | {"level": IntDistribution(0, 9), "word": CategoricalDistribution(["a", "b", "c", "d"])}


def searched(kind: type[CmaEs] | type[Nsga2], cube: Cube, value: Callable[[Any], float], count: int) -> list[Tried]:
    sampler, known = kind(cube, 3, 1), list[Tried]()
    for number in range(count):
        drawn = sampler.draw(number, known)
        known.append(Tried(number, COMPLETE, drawn, {1: value(drawn)}, value(drawn), 1.0, None))
    return known


def valley(drawn: dict[str, float]) -> float:
    """Rosenbrock's, bent and narrow."""
    x, y = 4 * drawn["x"] - 1.5, 4 * drawn["y"] - 1.5
    return -(100 * (y - x**2) ** 2 + (1 - x) ** 2)


def test_cma_es_follows_a_valley_that_is_bent() -> None:
    assert max(each.score for each in searched(CmaEs, cube_of(**PLANE), valley, 300)) > -1e-3


def test_nsga2_is_nearer_than_chance() -> None:
    rng = np.random.default_rng(0)
    chance = np.median(
        [max(valley(dict(zip("xy", at, strict=True))) for at in rng.random((150, 2))) for _ in range(20)]
    )
    assert max(each.score for each in searched(Nsga2, cube_of(**PLANE), valley, 150)) > chance


@pytest.mark.parametrize("kind", [CmaEs, Nsga2])
def test_choices_and_levels_come_to_what_is_good_and_none_dies_out(kind: type[CmaEs] | type[Nsga2]) -> None:
    def value(drawn: dict[str, Any]) -> float:
        return -abs(drawn["x"] - 0.3) - abs(drawn["level"] - 7) / 5 - (drawn["word"] != "c")

    last = [each.drawn for each in searched(kind, cube_of(**MIXED), value, 160)[80:]]
    assert sum(each["word"] == "c" for each in last) > 40
    assert sum(abs(each["level"] - 7) <= 1 for each in last) > 40
    assert len({each["level"] for each in last}) > 1
    assert len({each["word"] for each in last}) > 1


@pytest.mark.parametrize("kind", [CmaEs, Nsga2])
def test_a_space_of_one_choice_or_of_choices_alone_is_drawn_from(kind: type[CmaEs] | type[Nsga2]) -> None:
    words = {"word": CategoricalDistribution(["a", "b"]), "other": CategoricalDistribution(["a", "b"])}
    tried = searched(kind, cube_of(**words), lambda drawn: float(drawn["word"] == "a"), 30)
    assert {(each.drawn["word"], each.drawn["other"]) for each in tried} == {(x, y) for x in "ab" for y in "ab"}
    assert searched(kind, cube_of(), lambda _: 0.0, 12)[-1].drawn == {}


def test_what_went_further_is_better_and_what_failed_is_the_worst() -> None:
    def one(state: str, curve: dict[int, float]) -> Tried:
        return Tried(0, state, {}, curve, max(curve.values(), default=None), 1.0, None)

    assert merit(one(RUNNING, {}), 1) is None
    ranks = [
        merit(each, 1)
        for each in (
            one(FAILED, {1: 0.9}),
            one(PRUNED, {1: 0.8}),
            one(PRUNED, {1: 0.3, 3: 0.4}),
            one(COMPLETE, {1: 0.2, 2: 0.1}),
            one(COMPLETE, {1: 0.1, 2: 0.3}),
        )
    ]
    assert None not in ranks
    assert ranks == sorted(ranks, key=lambda rank: rank or (0.0, 0.0))


def test_what_a_sampler_remembers_changes_nothing() -> None:
    cube = cube_of(**MIXED)
    known = searched(CmaEs, cube, lambda drawn: -abs(drawn["x"] - 0.3), 60)
    used = CmaEs(cube, 3, 1)
    for number in (60, 20, 44, 60):
        assert used.draw(number, known[:number]) == CmaEs(cube, 3, 1).draw(number, known[:number])
    changed = [*known[:10], Tried(10, FAILED, known[10].drawn, {}, None, 1.0, "burnt"), *known[11:]]
    assert used.draw(60, changed) == CmaEs(cube, 3, 1).draw(60, changed) != used.draw(60, known)
