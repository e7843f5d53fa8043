"""What earlier studies found comes first, where it fits, and stays what it was."""

from pathlib import Path
from typing import Any

import pytest

from assay.errors import InputError
from assay.search.earlier import MOST
from assay.search.study import Study
from assay.search.trial import COMPLETE
from searches import SPACE, drive, opened, params_of

OTHER = {"optimizer.lr": {"low": 1e-3, "high": 1e-1, "log": True}, "batch_size": {"choices": [32, 64]}}


def found(folder: Path, **search: Any) -> str:
    """A study that has run; its name."""
    with opened(folder, 12, **search) as study:
        drive(study)
        return study.name


def opened_from(folder: Path, names: list[str], trials: int = 12, version: str = "w", **search: Any) -> Study:
    params = params_of(trials, **search, **{"from": names})
    return Study(folder, params.search, params.recipe, "accuracy", "max", version)


def test_the_best_of_an_earlier_study_are_tried_after_the_base_recipe(tmp_path: Path) -> None:
    name = found(tmp_path, pruner="none")
    with opened_from(tmp_path, [name]) as study:
        drive(study)
        tried = study.tried()
    with opened(tmp_path, 12, pruner="none") as earlier:
        best = sorted((each for each in earlier.tried()[1:]), key=lambda each: -each.score)[:MOST]
    assert [each.drawn for each in tried[1 : MOST + 1]] == [each.drawn for each in best]
    with opened(tmp_path / "cold", 12) as cold:
        drive(cold)
        assert cold.tried()[0] == tried[0]
        assert cold.name != study.name


def test_what_was_taken_stays_though_the_earlier_study_goes_on_or_goes(tmp_path: Path) -> None:
    name = found(tmp_path / "whole")
    with opened_from(tmp_path / "whole", [name]) as study:
        drive(study)
        whole = [each.drawn for each in study.tried()]
    found(tmp_path / "parts")
    with opened_from(tmp_path / "parts", [name]) as study:
        drive(study, 2)
    with opened(tmp_path / "parts", 30) as earlier:
        drive(earlier)
    with opened_from(tmp_path / "parts", [name]) as study:
        drive(study, 2)
    (tmp_path / "parts" / f"{name}.journal").unlink()
    with opened_from(tmp_path / "parts", [name]) as study:
        drive(study)
        assert [each.drawn for each in study.tried()] == whole


def test_of_several_studies_the_best_are_taken_by_turns(tmp_path: Path) -> None:
    names = [found(tmp_path, seed=seed) for seed in (1, 2)]
    with opened_from(tmp_path, names) as study:
        assert [each.study for each in study.first][:4] == [*names, *names]


def test_a_point_outside_the_space_is_left_out_and_what_it_lacks_is_the_bases(tmp_path: Path) -> None:
    name = found(tmp_path)
    with opened_from(tmp_path, [name], space=OTHER) as study:
        first = study.first
    with opened(tmp_path, 12) as earlier:
        complete = [each for each in earlier.tried() if each.state == COMPLETE]
    taken = [each.number for each in first]
    for each in complete:
        inside = each.drawn.get("optimizer.lr", 1e-3) >= 1e-3
        assert inside or each.number not in taken
    assert first
    assert {each.drawn["batch_size"] for each in first} == {32}
    with opened_from(tmp_path, [name], space={"optimizer.lr": {"low": 1e-9, "high": 1e-8}}) as study:
        assert study.first == []


def test_a_value_between_two_steps_and_one_that_breaks_a_constraint_do_not_fit(tmp_path: Path) -> None:
    name = found(tmp_path)
    space = SPACE | {"dropout": {"low": 0.0, "high": 0.5, "step": 0.25}}
    with opened_from(tmp_path, [name], space=space) as study:
        assert {each.drawn["dropout"] for each in study.first} <= {0.0, 0.25, 0.5}
    with opened_from(tmp_path, [name], constraints=["activation == 'tanh'"]) as study:
        assert {each.drawn["activation"] for each in study.first} <= {"tanh"}


def test_an_unknown_study_is_a_sentence_with_the_nearest_name(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"search\.from has 'abc', which is no study here; it must be \[\]"):
        opened_from(tmp_path, ["abc"])
    assert list(tmp_path.glob("*.journal")) == []
    name = found(tmp_path)
    with pytest.raises(InputError, match=rf"search\.from has '{name}0', which is no study here; did you mean '{name}'"):
        opened_from(tmp_path, [f"{name}0"])


def test_a_study_in_a_database_is_taken_from_too(tmp_path: Path) -> None:
    storage = f"sqlite:///{tmp_path}/studies.db"
    name = found(tmp_path, storage=storage)
    with opened_from(tmp_path, [name], storage=storage) as study:
        assert {each.study for each in study.first} == {name}
