"""Lines of arithmetic between fields: what they may say, and what they come to."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from assay.params import Params, Recipe, flat
from assay.settings.constraint import Constraint, constraint_problems

VALUES = flat(Recipe()) | {
    "batch_size": 64,
    "input_size": 32,
    "optimizer.lr": 0.01,
    "backbone": "cnn",
    "ema": None,
    "augment": True,
}


@pytest.mark.parametrize(
    ("line", "holds"),
    [
        ("batch_size * input_size**2 <= 2_000_000", True),
        ("batch_size * input_size**2 <= 2_000", False),
        ("0 < optimizer.lr < 0.1", True),
        ("0.05 < optimizer.lr < 0.1", False),
        ("backbone == 'cnn' or batch_size > 100", True),
        ("not (backbone == 'cnn' and batch_size >= 64)", False),
        ("batch_size % 32 == 0 and batch_size // 32 != 3 and -batch_size < +1", True),
        ("(batch_size + 1 - 1) / 2 >= 32.0", True),
        ("ema > 0.5", False),
        ("ema == null or ema > 0.5", True),
        ("ema != null and ema > 0.5", False),
        ("augment == true", True),
        ("augment == false", False),
        ("ema > null", False),
        ("batch_size / (input_size - 32) > 1", False),
        ("10 ** 9 ** 9 > 1", False),
        ("backbone > 1", False),
        ("(-8) ** 0.5 != 1", False),
        ("(9**9999)**9999 > 1", False),
        ("((9**300)**300)**300 > 1", False),
        ("2**1000 > 2**999 > 0.5**9999 == 0", True),
        ("1e308 * 10 > 1", True),
        ("'a' * 10**10 == 'b'", False),
        ("'%z' % 1 == 'a'", False),
        ("'%9999999999d' % 1 == 'a'", False),
        ("backbone + 'n' == 'cnnn'", False),
    ],
)
def test_a_line_is_true_or_false_of_a_recipe(line: str, holds: bool) -> None:
    assert Constraint(line).holds(VALUES) is holds


@given(
    st.integers(-99, 99), st.integers(-99, 99), st.integers(1, 99), st.sampled_from(["<", "<=", ">", ">=", "==", "!="])
)
def test_arithmetic_is_python_s(one: int, two: int, three: int, comparison: str) -> None:
    line = f"{one} + {two} * {three} - {two} // {three} {comparison} {one} % {three} / {three}"
    assert Constraint(line).holds({}) is eval(line)


@pytest.mark.parametrize(
    "line",
    [
        "__import__('os').system('true') == 0",
        "open('x') == 1",
        "(lambda: 1)() == 1",
        "[1, 2] == [1, 2]",
        "batch_size if 1 else 2 < 3",
        "batch_size is 64",
        "batch_size in 64",
        "f'{batch_size}' == '64'",
        "batch_size[0] < 1",
        "(1).real < 2",
        "batch_size @ 2 < 3",
        "~batch_size < 3",
        "batch_size + 1",
        "batch_size",
        "batch_size <",
        "-batch_size",
        "-" * 3000 + "1 < 2",
        "+".join(["1"] * 5000) + " > 2",
        "(" * 240 + "1" + ")" * 240 + " < 2",
        "",
        "1 < None",
    ],
)
def test_anything_else_is_refused(line: str) -> None:
    with pytest.raises(ValueError, match=r"which|compares|expression|characters"):
        Constraint(line)


@pytest.mark.parametrize(
    ("line", "says"),
    [
        ("batchsize < 9", "recipe has no 'batchsize'; did you mean 'batch_size'?"),
        ("batch_size + 1", "compares nothing"),
        ("batch_size <", "is no expression"),
        ("open('x') == 1", "which it may not say"),
        ("batch_size > 10_000", "which recipe breaks"),
        ("batch_size * input_size**2 <= 2_000_000", "which cannot be reckoned of recipe, since input_size is null"),
        ("batch_size / 0 > 1", "since it divides by 0"),
        ("9**9**9 > 1", "since its numbers become too large"),
        ("backbone * 2 > 1", "since it reckons with what is no number"),
    ],
)
def test_a_line_that_cannot_be_meant_is_a_sentence(line: str, says: str) -> None:
    (problem,) = constraint_problems(Params.model_validate({"search": {"constraints": [line]}}))
    assert problem.where == ("search", "constraints", 0)
    assert says in problem.says
    assert problem.says.endswith((".", "?"))


@pytest.mark.parametrize(
    "line", ["-" * 490 + "1 < 2", "not " * 120 + "(1 < 2)", "1" + "+1" * 240 + " > 2", "'\\d' != '1'"]
)
def test_the_longest_line_is_reckoned_and_python_says_nothing_of_it(line: str) -> None:
    assert Constraint(line).holds({})
