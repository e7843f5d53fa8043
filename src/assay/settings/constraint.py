"""A rule between fields of the recipe, as one line of arithmetic: `batch_size * input_size**2 <= 2_000_000`. Owns what
such a line may say; it is read, never run.
"""

import ast
import math
import operator
import warnings
from collections.abc import Callable, Iterator, Mapping
from itertools import pairwise
from typing import Any

from assay.errors import nearest
from assay.params import Params, flat
from assay.settings.document import Problem, Where
from assay.settings.wording import shown

ARITHMETIC: Mapping[type[ast.AST], Callable[..., Any]] = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
    ast.Div: operator.truediv,
    ast.FloorDiv: operator.floordiv,
    ast.Mod: operator.mod,
    ast.Pow: operator.pow,
    ast.USub: operator.neg,
    ast.UAdd: operator.pos,
}
COMPARISON: Mapping[type[ast.AST], Callable[[Any, Any], Any]] = {
    ast.Lt: operator.lt,
    ast.LtE: operator.le,
    ast.Gt: operator.gt,
    ast.GtE: operator.ge,
    ast.Eq: operator.eq,
    ast.NotEq: operator.ne,
}
WORDS: Mapping[str, bool | None] = {"null": None, "true": True, "false": False}  # as params.yaml has them
MAY_SAY = (
    "numbers, words in quotes, null, true, false, fields of recipe, + - * / // % **, one comparison or several, "
    "and, or, not"
)
LONGEST = 500  # characters: what is nested deeper than that many allow would end Python's stack
LARGEST = 1024  # bits of a power, as of a float: 9**9**9 would reckon for ever


class Constraint:
    """One parsed line.

    Raises:
        ValueError: it says something else than it may, with the words for a person.
    """

    def __init__(self, text: str) -> None:
        self.text = text
        if len(text) > LONGEST:
            raise ValueError(f"has {len(text)} characters; it may have {LONGEST}")
        try:
            with warnings.catch_warnings():  # of Python, about how it is spelled
                warnings.simplefilter("ignore")
                self._tree = ast.parse(text.strip(), mode="eval").body
        except (SyntaxError, ValueError) as error:
            raise ValueError(f"is no expression ({str(error).split(' (')[0]})") from error
        negated = isinstance(self._tree, ast.UnaryOp) and isinstance(self._tree.op, ast.Not)
        if not negated and not isinstance(self._tree, (ast.Compare, ast.BoolOp)):
            raise ValueError("compares nothing; it must be a comparison, as batch_size <= 256")
        self.names = tuple(dict.fromkeys(_names(self._tree)))

    def holds(self, values: Mapping[str, Any]) -> bool:
        """Whether it is true of a recipe's `values` by dotted name; it is not where it cannot be reckoned (a field that
        is null, a division by zero)."""
        return self.trouble(values) == ""

    def trouble(self, values: Mapping[str, Any]) -> str | None:
        """Why it cannot be reckoned with `values`; None: it is not true of them; empty: it is."""
        try:
            return "" if _value(self._tree, values) else None
        except ZeroDivisionError:
            return "it divides by 0"
        except OverflowError:
            return "its numbers become too large"
        except TypeError:
            empty = [name for name in self.names if values[name] is None]
            return f"{empty[0]} is null" if empty else "it reckons with what is no number"


def constraint_problems(params: Params) -> Iterator[Problem]:
    """What `search.constraints` says that it may not, and one that the base recipe, which is trial 0, breaks."""
    values = flat(params.recipe)
    for number, text in enumerate(params.search.constraints):
        where: Where = ("search", "constraints", number)
        try:
            constraint = Constraint(text)
        except ValueError as error:
            yield Problem(where, f"search.constraints has {shown(text)}, which {error}.")
            continue
        unknown = [name for name in constraint.names if name not in values]
        for name in unknown:
            says = f"search.constraints has {shown(text)}, but recipe has no {name!r}; {nearest(name, values)}"
            yield Problem(where, says)
        if not unknown and (trouble := constraint.trouble(values)) != "":
            breaks = "recipe breaks" if trouble is None else f"cannot be reckoned of recipe, since {trouble}"
            says = f"search.constraints has {shown(text)}, which {breaks}; the base recipe, trial 0, must keep it."
            yield Problem(where, says, (("recipe",),))


def _names(tree: ast.AST) -> list[str]:
    """The fields it speaks of, and a check that there is nothing else in it."""
    if isinstance(tree, (ast.Name, ast.Attribute)):
        return [] if (name := _dotted(tree)) in WORDS else [name]
    if isinstance(tree, ast.Constant) and isinstance(tree.value, (int, float, str)):
        return []
    if isinstance(tree, ast.BinOp) and type(tree.op) in ARITHMETIC:
        return _names(tree.left) + _names(tree.right)
    if isinstance(tree, ast.UnaryOp) and (type(tree.op) in ARITHMETIC or isinstance(tree.op, ast.Not)):
        return _names(tree.operand)
    if isinstance(tree, ast.Compare) and all(type(op) in COMPARISON for op in tree.ops):
        return [name for part in (tree.left, *tree.comparators) for name in _names(part)]
    if isinstance(tree, ast.BoolOp):
        return [name for part in tree.values for name in _names(part)]
    raise ValueError(f"has {ast.unparse(tree)!r} in it, which it may not say; it may say {MAY_SAY}")


def _dotted(tree: ast.AST) -> str:
    if isinstance(tree, ast.Name):
        return tree.id
    if isinstance(tree, ast.Attribute):
        return f"{_dotted(tree.value)}.{tree.attr}"
    raise ValueError(
        f"has {ast.unparse(tree)!r} in it, which is no name of a field; a field is named as optimizer.lr is"
    )


def _value(tree: ast.AST, values: Mapping[str, Any]) -> Any:
    if isinstance(tree, ast.Constant):
        return tree.value
    if isinstance(tree, (ast.Name, ast.Attribute)):
        name = _dotted(tree)
        return WORDS[name] if name in WORDS else values[name]
    if isinstance(tree, ast.BinOp):
        left, right = _number(_value(tree.left, values)), _number(_value(tree.right, values))
        if isinstance(tree.op, ast.Pow) and abs(left) > 1 and abs(right) * math.log2(abs(left)) > LARGEST:
            raise OverflowError
        return _number(ARITHMETIC[type(tree.op)](left, right))  # (-8) ** 0.5 is none that compares
    if isinstance(tree, ast.UnaryOp):
        if isinstance(tree.op, ast.Not):
            return not _value(tree.operand, values)
        return ARITHMETIC[type(tree.op)](_number(_value(tree.operand, values)))
    if isinstance(tree, ast.BoolOp):
        parts = (bool(_value(part, values)) for part in tree.values)
        return all(parts) if isinstance(tree.op, ast.And) else any(parts)
    assert isinstance(tree, ast.Compare), "the parser lets nothing else through"
    sides = [_value(side, values) for side in (tree.left, *tree.comparators)]
    return all(COMPARISON[type(op)](*pair) for op, pair in zip(tree.ops, pairwise(sides), strict=True))


def _number(value: Any) -> Any:
    """A number of an operation: words would be repeated, and formatted by what they say."""
    if not isinstance(value, (int, float)):
        raise TypeError(value)
    return value
