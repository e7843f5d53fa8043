"""What is drawn follows from what was reported, never from who reported first."""

import math
from dataclasses import replace
from typing import Any

import pytest
from optuna.study import StudyDirection

from assay.errors import InputError
from assay.params import Recipe, Search
from assay.search.earlier import First
from assay.search.feasible import NO_MEMORY
from assay.search.policy import MOST_GAUSSIAN, Drawing, Sight
from assay.search.samplers import ENOUGH, Gaussian, Tpe, telling
from assay.search.space import Space, space_of
from assay.search.trial import COMPLETE, FAILED, PRUNED, Tried

SPACE = {"optimizer.lr": {"low": 1e-4, "high": 1e-1, "log": True}, "activation": {"choices": ["relu", "tanh"]}}
LEARNING = ("gp", "tpe", "cmaes", "nsga2")
ALL = (*LEARNING, "qmc", "random")


def space_for(search: Search) -> Space:
    return space_of(search.space, Recipe(), search.constraints)


def drawing_of(past: "Past", sampler: str = "auto", seed: int = 7, trials: int = 60, **more: Any) -> Drawing:
    search = Search.model_validate({"sampler": sampler, "seed": seed, "trials": trials, "space": SPACE} | more)
    return Drawing(space_for(search), search, StudyDirection.MAXIMIZE, Sight(1, 3), past.tried)


class Past:
    """Trials as a study would tell of them: `changed` says what is otherwise in one."""

    def __init__(self, changed: dict[int, dict[int, float]] | None = None) -> None:
        self.drawn: list[dict[str, Any]] = []
        self.changed = changed or {}

    def tried(self, number: int) -> Tried:
        state = {1: PRUNED, 2: FAILED}.get(number % 5, COMPLETE)
        epochs = 9 if state == COMPLETE else 1
        curve = self.changed.get(number, {epoch: number % 7 / 10 + epoch / 100 for epoch in range(1, epochs + 1)})
        return Tried(number, state, dict(self.drawn[number]), curve, max(curve.values()), 1.0, None)


def drawn(past: Past, count: int, **how: Any) -> list[dict[str, Any]]:
    drawing = drawing_of(past, **how)
    lacking = {"optimizer.lr": 0.01} if "optimizer.lr" in how.get("space", SPACE) else {}
    past.drawn.append(lacking)  # the base recipe, which lacks a value
    for number in range(1, count):
        past.drawn.append(drawing.draw(number))
    return past.drawn


@pytest.mark.parametrize("sampler", ALL)
def test_a_draw_is_a_function_of_the_past_the_seed_and_the_number(sampler: str) -> None:
    first = drawn(Past(), 16, sampler=sampler)
    assert first == drawn(Past(), 16, sampler=sampler)
    assert first[1:] != drawn(Past(), 16, sampler=sampler, seed=8)[1:]
    assert len({str(values) for values in first}) == 16


@pytest.mark.parametrize(
    ("sampler", "reached", "end"),
    [("auto", 3, 18), ("auto", 47, 50), ("tpe", 14, 18), ("cmaes", 31, 36), ("nsga2", 14, 18)],
)
def test_a_search_that_goes_on_draws_what_it_would_have_drawn(sampler: str, reached: int, end: int) -> None:
    past, whole = Past(), drawn(Past(), end, sampler=sampler)
    past.drawn = whole[:reached]
    drawing = drawing_of(past, sampler)
    for number in range(reached, end):
        past.drawn.append(drawing.draw(number))
    assert past.drawn == whole


@pytest.mark.parametrize("sampler", LEARNING)
def test_a_draw_knows_the_first_epochs_of_those_before_it_and_of_the_last_two_nothing(sampler: str) -> None:
    past = Past()
    known, great = drawn(past, 21, sampler=sampler), dict.fromkeys(range(1, 10), 2.0)
    assert drawn(Past({19: great, 18: great}), 21, sampler=sampler) == known
    early = {epoch: value for epoch, value in past.tried(10).curve.items() if epoch <= 3}
    assert drawn(Past({10: great | early}), 21, sampler=sampler) == known, "four epochs are known: the second rung"
    assert drawn(Past({10: great}), 21, sampler=sampler) != known


@pytest.mark.parametrize("trials, start", [(5, 8), (12, 8), (13, 4), (30, 6), (100, 10)])
def test_a_search_begins_with_points_that_need_no_model(trials: int, start: int) -> None:
    drawing = drawing_of(Past(), trials=trials)
    assert [drawing.learns(number) for number in range(12)] == [number >= start for number in range(12)]


def test_the_base_recipe_and_the_start_need_no_knowledge_and_the_rest_does() -> None:
    drawing = drawing_of(Past(), trials=30)
    assert [drawing.learns(number) for number in (0, 5, 6, 29)] == [False, False, True, True]
    assert not drawing_of(Past(), "random").learns(40)


def test_gp_hands_over_to_tpe_once_and_its_description_says_when() -> None:
    assert [number for number in range(600) if drawing_of(Past(), "gp").hands_over(number)] == [MOST_GAUSSIAN + 1]
    assert not any(drawing_of(Past(), "auto").hands_over(number) for number in range(600))
    gaussian, tpe = (drawing_of(Past(), "gp")._sampler(MOST_GAUSSIAN + more) for more in (0, 1))
    assert (type(gaussian), type(tpe)) == (Gaussian, Tpe)
    assert f"gp goes on as tpe beyond {MOST_GAUSSIAN} trials" in (Search.model_fields["sampler"].description or "")


def test_a_model_finds_what_is_good() -> None:
    """Nearer to the best learning rate than chance comes, with half of the trials in the right activation."""

    class Peak(Past):
        def tried(self, number: int) -> Tried:
            values = self.drawn[number]
            value = -abs(math.log10(values["optimizer.lr"]) + 2) - (values.get("activation") == "tanh")
            return Tried(number, COMPLETE, values, dict.fromkeys(range(1, 40), value), value, 1.0, None)

    for sampler in LEARNING:
        last = drawn(Peak(), 30, sampler=sampler, trials=30)[10:]
        near = [
            each for each in last if abs(math.log10(each["optimizer.lr"]) + 2) < 0.5 and each["activation"] == "relu"
        ]
        assert len(near) >= {"gp": 10, "tpe": 6, "cmaes": 6, "nsga2": 6}[sampler], (
            f"{sampler}: chance gives three of twenty"
        )


def test_every_recipe_keeps_the_constraints() -> None:
    lines = ["optimizer.lr * 100 <= 1", "activation == 'relu' or optimizer.lr < 1e-3"]
    for sampler in ALL:
        for values in drawn(Past(), 14, sampler=sampler, constraints=lines)[1:]:
            assert values["optimizer.lr"] <= 0.01
            assert values["activation"] == "relu" or values["optimizer.lr"] < 1e-3


def test_constraints_that_nothing_keeps_are_a_sentence() -> None:
    with pytest.raises(Exception, match=r"search\.constraints leave nothing to try"):
        drawing_of(Past(), "random", constraints=["optimizer.lr > 1"]).draw(1)


STEPS = {"batch_size": {"choices": [16, 32, 64]}, "dropout": {"low": 0.0, "high": 0.4, "step": 0.2}}


def test_a_grid_visits_every_point_but_the_base_recipe_once() -> None:
    drawing = drawing_of(Past(), "grid", space=STEPS)
    points = [drawing.draw(number) for number in range(1, 9)]
    assert len({str(point) for point in points}) == 8
    assert {"batch_size": 32, "dropout": 0.0} not in points
    assert [drawing_of(Past(), "grid", space=STEPS).most(trials) for trials in (1, 8, 9, 10, 100)] == [1, 8, 9, 9, 9]
    assert drawing_of(Past(), "grid", space=STEPS).draw(5) == points[4], "whatever was asked before"


def test_a_grid_visits_what_keeps_the_constraints_and_counts_once() -> None:
    drawing = drawing_of(Past(), "grid", space=STEPS, constraints=["batch_size * (1 + dropout) <= 40"])
    points = [drawing.draw(number) for number in range(1, 5)]
    assert [(each["batch_size"], each["dropout"]) for each in points] == [(16, 0.0), (16, 0.2), (16, 0.4), (32, 0.2)]
    assert drawing.most(100) == 5, "the base recipe is one of them"
    drawing = drawing_of(Past(), "grid", space=CONDITIONAL)
    active = [drawing_of(Past(), "grid", space=CONDITIONAL).draw(number) for number in range(1, 4)]
    of = space_for(Search.model_validate({"space": CONDITIONAL}))
    assert [of.active(each) for each in active] == [
        {"backbone": "cnn", "activation": "relu"},
        {"backbone": "cnn", "activation": "tanh"},
        {"backbone": "cnn", "activation": "elu"},
    ]
    assert of.active(drawing.draw(4)) == {"backbone": "mlp"}
    assert drawing.most(100) == 5


def test_a_grid_of_the_base_recipe_alone_is_one_trial_and_one_of_nothing_is_a_sentence() -> None:
    only = {"batch_size": {"choices": [32]}}
    assert drawing_of(Past(), "grid", space=only).most(16) == 1
    with pytest.raises(InputError, match=r"search\.constraints leave nothing to try"):
        drawing_of(Past(), "grid", space=STEPS, constraints=["batch_size > 64"]).most(2)
    assert drawing_of(Past(), "grid", space=STEPS, constraints=["batch_size > 64"]).most(1) == 1, "the base recipe"


def test_a_grid_goes_on_behind_the_first_points_of_earlier_studies() -> None:
    search = Search.model_validate({"sampler": "grid", "space": STEPS})
    first = [First("s", 7, {"batch_size": 16, "dropout": 0.2})]
    drawing = Drawing(space_for(search), search, StudyDirection.MAXIMIZE, Sight(1, 3), Past().tried, first)
    points = [drawing.draw(number) for number in range(1, 9)]
    assert (drawing.most(100), drawing.most(2)) == (9, 2)
    assert points[:3] == [first[0].drawn, {"batch_size": 16, "dropout": 0.0}, {"batch_size": 16, "dropout": 0.4}]
    assert len({str(point) for point in points}) == 8


class Failing(Past):
    """Half of the learning rates fail, and of `cnn` what is larger than 64 × 32 does for lack of memory."""

    def tried(self, number: int) -> Tried:
        values = {"backbone": "cnn", "batch_size": 32, "activation": "relu"} | self.drawn[number]
        reason = self.reason(values)
        if number == 0 or reason is None:
            return Tried(number, COMPLETE, self.drawn[number], {1: 0.5}, 0.5, 1.0, None)
        return Tried(number, FAILED, self.drawn[number], {}, None, 1.0, reason)

    def reason(self, values: dict[str, Any]) -> str | None:
        if values["backbone"] == "cnn" and values["batch_size"] * values["input_size"] > 64 * 32:
            return "OutOfMemoryError: CUDA out of memory. Tried to allocate 2.00 GiB."
        return "it burnt" if values["activation"] == "tanh" else None


LARGE = {
    "backbone": {"choices": ["cnn", "mlp"]},
    "batch_size": {"choices": [16, 32, 64, 128, 256, 512]},
    "input_size": {"choices": [16, 32, 64, 128]},
    "activation": {"choices": ["relu", "tanh"]},
}


@pytest.mark.parametrize("sampler", ["auto", *LEARNING])
def test_what_failed_is_not_asked_again_and_nothing_as_large_as_what_lacked_memory(sampler: str) -> None:
    past = Failing()
    past.drawn.append({})  # never stopped by its failure here: the base recipe
    past.drawn[0] = {"backbone": "mlp", "batch_size": 16, "input_size": 16, "activation": "relu"}
    drawing = drawing_of(past, sampler, trials=40, space=LARGE)
    for number in range(1, 40):
        values = drawing.draw(number)
        if drawing.learns(number):
            known = [each for each in drawing.known(number) if each.state == FAILED]
            assert values not in [each.drawn for each in known]
            lacked = [each.drawn for each in known if each.reason != "it burnt" and each.drawn["backbone"] == "cnn"]
            least = min((each["batch_size"] * each["input_size"] for each in lacked), default=math.inf)
            assert values["backbone"] != "cnn" or values["batch_size"] * values["input_size"] < least
        past.drawn.append(values)
    assert {each["backbone"] for each in past.drawn[20:]} == {"cnn", "mlp"}


CONDITIONAL = {
    "backbone": {"choices": ["cnn", "mlp"]},
    "activation": {"choices": ["relu", "tanh", "elu"], "when": {"backbone": ["cnn"]}},
}


@pytest.mark.parametrize("sampler", ["auto", *LEARNING])
def test_what_failed_is_not_asked_again_with_another_value_of_what_does_not_count(sampler: str) -> None:
    class Broken(Past):
        def tried(self, number: int) -> Tried:
            values = self.drawn[number]
            if values.get("backbone") == "mlp":
                return Tried(number, FAILED, values, {}, None, 1.0, "it burnt")
            return Tried(number, COMPLETE, values, {1: 0.5}, 0.5, 1.0, None)

    past = Broken()
    drawn(past, 30, sampler=sampler, space=CONDITIONAL, trials=20)
    drawing = drawing_of(past, sampler, space=CONDITIONAL, trials=20)
    for number in filter(drawing.learns, range(1, 30)):
        if any(each.state == FAILED for each in drawing.known(number)):
            assert past.drawn[number]["backbone"] == "cnn"


@pytest.mark.parametrize("sampler", ["gp", "nsga2"])
def test_what_was_tried_is_not_asked_again_with_another_value_of_what_does_not_count(sampler: str) -> None:
    space = CONDITIONAL | {"batch_size": {"choices": [16, 32]}, "dropout": {"choices": [0.0, 0.1, 0.2]}}
    past = Past()
    drawn(past, 22, sampler=sampler, trials=20, space=space)
    of = space_for(Search.model_validate({"space": space}))
    recipes = [str(sorted(of.active(each).items())) for each in past.drawn[1:]]
    start = [number for number in range(1, 22) if not drawing_of(past, sampler, trials=20).learns(number)]
    assert len(set(recipes[len(start) :])) == len(recipes[len(start) :]), "24 recipes are there"
    assert not set(recipes[len(start) :]) & set(recipes[: len(start)])


def test_where_everything_lacks_memory_something_is_drawn_all_the_same() -> None:
    class Full(Past):
        def tried(self, number: int) -> Tried:
            return Tried(number, FAILED, self.drawn[number], {}, None, 1.0, "RuntimeError: can't allocate memory")

    points = drawn(Full(), 30, sampler="auto", trials=30)
    assert all(SPACE.keys() <= point.keys() for point in points[1:])


@pytest.mark.parametrize(
    "reason",
    [
        "OutOfMemoryError: CUDA out of memory. Tried to allocate 20.00 MiB.",
        "RuntimeError: [enforce fail at alloc_cpu.cpp:127] DefaultCPUAllocator: can't allocate memory: you tried to",
        "MemoryError: Unable to allocate 3.1 GiB for an array with shape (1,)",
        "its worker died: Task was killed due to the node running low on memory.",
    ],
)
def test_the_ways_to_say_that_there_is_no_memory(reason: str) -> None:
    assert NO_MEMORY.search(reason)


def test_one_in_ten_is_drawn_at_random_and_knows_of_failures() -> None:
    past = Past()
    points = drawn(past, 40, trials=40)
    chance = drawing_of(past, "random", trials=40)
    assert [number for number in range(1, 40) if points[number] == chance.draw(number)] == [19, 29, 39]
    assert drawing_of(past, trials=40).learns(19)


def test_a_draw_that_was_prepared_is_the_one_that_would_have_been_drawn() -> None:
    past, whole = Past(), drawn(Past(), 24)
    past.drawn = whole[:20]
    drawing = drawing_of(past)
    drawing.prepare(20)
    past.drawn = whole
    past.changed = {number: {1: 99.0} for number in (18, 19)}
    drawing.prepare(20)
    assert drawing.draw(20) == whole[20], "the last two are not known"
    drawing.close()
    assert drawing.prepared


def test_tpe_is_told_of_many_trials_the_best_and_the_last() -> None:
    def tried(number: int) -> Tried:
        state = COMPLETE if number % 3 else PRUNED
        return Tried(number, state, {}, {1: 0.1, 2: number % 101 / 101}, number % 101 / 101, 1.0, None)

    known = [tried(number) for number in range(1000)]
    assert telling(known[:ENOUGH], 1) == known[:ENOUGH]
    told = telling(known, 1)
    assert len(told) == ENOUGH
    assert [each.number for each in told] == sorted({each.number for each in told})
    complete = sorted((each for each in known if each.state == COMPLETE), key=lambda each: -each.score)
    assert {each.number for each in complete[:20]} <= {each.number for each in told}
    assert {each.number for each in known[-200:]} <= {each.number for each in told}
    few = [*(tried(3 * number) for number in range(400)), tried(1)]
    assert sum(each.score > 0.98 for each in telling([*map(renumbered, range(401), few)], 1)) >= 4


def renumbered(number: int, trial: Tried) -> Tried:
    return replace(trial, number=number)


@pytest.mark.parametrize("sampler", ["auto", "tpe"])
def test_a_space_that_is_used_up_is_drawn_from_again(sampler: str) -> None:
    points = drawn(Past(), 12, sampler=sampler, trials=12, space={"activation": {"choices": ["relu", "tanh"]}})
    assert {each["activation"] for each in points[1:]} == {"relu", "tanh"}


def test_a_space_without_a_choice_is_drawn_all_the_same() -> None:
    for sampler in ("auto", "gp", "qmc", "random"):
        past = Past()
        assert drawn(past, 14, sampler=sampler, space={"pretrained": {"choices": [False]}})[-1] == {"pretrained": False}


@pytest.mark.parametrize(("epochs", "rung"), [(1, None), (2, 2), (5, 2), (6, 6), (17, 6), (18, 18)])
def test_rungs_stand_at_powers_of_the_reduction(epochs: int, rung: int | None) -> None:
    assert Sight(2, 3).rung(epochs) == rung


@pytest.mark.parametrize(
    ("workers", "back", "epochs"),
    [(2, 1, 0), (2, 2, 0), (2, 3, 2), (2, 5, 4), (2, 32, 30), (2, 33, float("inf")), (1, 5, 4), (4, 6, 0), (4, 7, 2)],
)
def test_the_further_back_a_trial_began_the_more_is_known_of_it(workers: int, back: int, epochs: float) -> None:
    assert Sight(2, 3, workers).epochs(back) == epochs


@pytest.mark.parametrize("sampler", [*ALL, "grid"])
def test_a_draw_between_steps_is_one_that_a_study_keeps(sampler: str) -> None:
    """0.3 is not three times 0.1, and Optuna refuses what is above the range."""
    past, space = Past(), {"dropout": {"low": 0.0, "high": 0.3, "step": 0.1}}
    points = drawn(past, 4 if sampler == "grid" else 24, sampler=sampler, space=space)[1:]
    assert {each["dropout"] for each in points} | {0.0} == {0.0, 0.1, 0.2, 0.3}
