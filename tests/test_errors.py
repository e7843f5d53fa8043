"""The wording of what a person can mend."""

import errno
import os

import pytest

from assay.errors import InputError, Position, gather, nearest, of_path, printable


def test_the_nearest_name_is_asked_for() -> None:
    assert nearest("optimiser", ["optimizer", "loss"]) == "did you mean 'optimizer'?"


def test_without_a_near_name_the_known_ones_are_listed_up_to_a_limit() -> None:
    assert nearest("qqq", ["b", "a"]) == "known are a, b."
    assert nearest("qqq", [str(number) for number in range(12)], limit=2) == "known are 0, 1 and 10 more."


@pytest.mark.parametrize(("name", "right"), [("AdamW", "adamw"), ("SGD", "sgd"), ("Amagrad", "adagrad")])
def test_the_case_of_letters_makes_no_name_farther(name: str, right: str) -> None:
    assert nearest(name, ["adam", "adamw", "adagrad", "sgd"]) == f"did you mean {right!r}?"


def test_of_names_that_differ_in_case_alone_the_nearest_is_asked_for() -> None:
    assert nearest("Labl", ["label", "Label"]) == "did you mean 'Label'?"
    assert nearest("labl", ["label", "Label"]) == "did you mean 'label'?"


def test_a_name_that_many_begin_with_is_answered_with_some_of_them() -> None:
    known = ["cnn", "davit_tiny", *(f"vit_{number}" for number in range(9))]
    assert nearest("ViT", known, limit=3) == "known with 'vit' in the name are vit_0, vit_1, vit_2 and 7 more."
    assert nearest("davi", ["davit_tiny_224", "cnn"]) == "known with 'davi' in the name are davit_tiny_224."
    assert nearest("q", ["q_long_name", "b"]) == "known are b, q_long_name."
    assert nearest("VIT_3", known, limit=3) == "did you mean 'vit_3'?"


def test_a_position_without_a_line_is_the_file() -> None:
    assert str(Position("params.yaml")) == "params.yaml"
    assert str(Position("params.yaml", 3)) == "params.yaml:3"


def test_errors_are_gathered_each_sentence_once_in_order() -> None:
    with pytest.raises(InputError, match=r"^b\na\nc$") as caught:
        gather([InputError("b", "a"), InputError("a"), InputError("c")])
    assert caught.value.sentences == ("b", "a", "c")
    gather([])


@pytest.mark.parametrize(
    ("number", "said"),
    [
        (errno.ENOSPC, "x: the disk is full; free some space and run the same command again."),
        (errno.EROFS, "x: cannot be written or read (Read-only file system); it must be allowed to this user."),
        (errno.EEXIST, "x: cannot be used (File exists); a file stands where a folder must be: move it away."),
        (errno.EISDIR, "x: cannot be used (Is a directory); a folder stands where a file must be: move it away."),
        (errno.EIO, "x: cannot be used (Input/output error); mend that and run the same again."),
    ],
)
def test_a_path_that_cannot_be_used_is_named_with_a_remedy(number: int, said: str) -> None:
    assert of_path(OSError(number, os.strerror(number), "x")) == said


def test_a_name_of_any_bytes_can_be_written() -> None:
    assert printable("Bär.png") == "Bär.png"
    assert printable(os.fsdecode(b"B\xe4r.png")).encode() == b"B\\xe4r.png"


def test_a_path_that_is_too_long_is_not_shown_whole() -> None:
    assert len(of_path(OSError(errno.ENAMETOOLONG, "File name too long", "n" * 5000))) < 250
