"""The wording of what a person can mend."""

import pytest

from assay.errors import InputError, Position, gather, nearest


def test_the_nearest_name_is_asked_for() -> None:
    assert nearest("optimiser", ["optimizer", "loss"]) == "did you mean 'optimizer'?"


def test_without_a_near_name_the_known_ones_are_listed_up_to_a_limit() -> None:
    assert nearest("qqq", ["b", "a"]) == "known are a, b."
    assert nearest("qqq", [str(number) for number in range(12)], limit=2) == "known are 0, 1 and 10 more."


def test_a_position_without_a_line_is_the_file() -> None:
    assert str(Position("params.yaml")) == "params.yaml"
    assert str(Position("params.yaml", 3)) == "params.yaml:3"


def test_errors_are_gathered_each_sentence_once_in_order() -> None:
    with pytest.raises(InputError, match=r"^b\na\nc$") as caught:
        gather([InputError("b", "a"), InputError("a"), InputError("c")])
    assert caught.value.sentences == ("b", "a", "c")
    gather([])
