"""What a setting may be, in words. Owns the sentence made from a type and its constraints; checks nothing itself."""

import types
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Annotated, Any, Literal, Union, get_args, get_origin

import annotated_types as limits
from pydantic.fields import FieldInfo

from assay.params import Params
from assay.section import DURATION, NAME, Section

PATTERNS = {DURATION: "a duration, as 90 s, 30 min or 2 h", NAME: "a name of letters, digits, _ . - and spaces"}
PLAIN = {bool: ("true", "false"), str: ("text",), type(None): ("null",)}


@dataclass(frozen=True)
class Row:
    """One setting explained."""

    name: str
    kind: str
    range: str
    default: str
    meaning: str


def expected(field: FieldInfo) -> str:
    """What a field may be, from its type and constraints: `a number above 0 and at most 100`."""
    return either(_members(field.annotation, tuple(field.metadata)))


def literals(field: FieldInfo) -> tuple[Any, ...]:
    """The words a field lists, in its order; none where it is no choice among words."""
    members = _flat(field.annotation)
    return tuple(word for member in members if get_origin(member) is Literal for word in get_args(member))


def explain_rows(section: type[Section] = Params, prefix: str = "") -> Iterator[Row]:
    """Every setting of params.yaml, in its order."""
    for name, field in section.model_fields.items():
        inner = field.annotation
        if isinstance(inner, type) and issubclass(inner, Section):
            yield from explain_rows(inner, f"{prefix}{name}.")
        else:
            default = yaml_word(field.get_default(call_default_factory=True))
            yield Row(prefix + name, _kind(field), expected(field), default, field.description or "")


def yaml_word(value: Any) -> str:
    """A value as params.yaml spells it."""
    if value is None or isinstance(value, bool):
        return {None: "null", True: "true", False: "false"}[value]
    if isinstance(value, list):
        return f"[{', '.join(map(yaml_word, value))}]"
    if isinstance(value, dict):
        return "{" + ", ".join(f"{key}: {yaml_word(inner)}" for key, inner in value.items()) + "}"
    return repr(value) if isinstance(value, float) else str(value)


def shown(value: Any, longest: int = 60) -> str:
    """A value as a sentence about it quotes it: text in quotes, the rest as YAML spells it, never long."""
    word = repr(value) if isinstance(value, str) else yaml_word(value)
    return word if len(word) <= longest else f"{word[: longest - 1]}…"


def briefly(value: Any) -> str:
    """As `shown`, for numbers that went through a float field: a whole one has no `.0`."""
    return shown(int(value) if isinstance(value, float) and value.is_integer() else value)


def either(words: Iterable[str]) -> str:
    """`a`, `a or b`, `a, b or c`."""
    *first, last = dict.fromkeys(words)
    return f"{', '.join(first)} or {last}" if first else last


def _flat(annotation: Any) -> list[Any]:
    if get_origin(annotation) in (Union, types.UnionType):
        return [inner for member in get_args(annotation) for inner in _flat(member)]
    return [annotation]


def _members(annotation: Any, metadata: tuple[Any, ...]) -> list[str]:
    return [word for member in _flat(annotation) for word in _words(member, metadata)]


def _words(member: Any, metadata: tuple[Any, ...]) -> list[str]:
    origin, arguments = get_origin(member), get_args(member)
    if origin is Annotated:
        return _words(arguments[0], (*metadata, *_constraints(arguments[1:])))
    if origin is Literal:
        return [repr(word) if isinstance(word, str) else str(word) for word in arguments]
    if origin is list:
        return ["a list" if arguments[0] is Any else f"a list of {_plural(arguments[0])}"]
    if origin is dict:
        names = either(get_args(arguments[0])) if get_origin(arguments[0]) is Literal else "names"
        return [f"a mapping of {names} to {_plural(arguments[1])}"]
    if isinstance(member, type) and issubclass(member, Section):
        return [f"a mapping of its settings ({', '.join(member.model_fields)})"]
    if member in (int, float):
        return [_number("a whole number" if member is int else "a number", metadata)]
    if member is str and (found := [PATTERNS[item.pattern] for item in metadata if getattr(item, "pattern", None)]):
        return found
    return list(PLAIN[member])


def _plural(member: Any) -> str:
    if isinstance(member, type) and issubclass(member, Section):
        return f"settings ({', '.join(member.model_fields)})"
    if get_origin(member) is Annotated:
        plain, *more = get_args(member)
        return _number(_plural(plain), _constraints(more))
    if get_origin(member) is Literal:
        return f"names ({', '.join(get_args(member))})"
    return {float: "numbers", int: "whole numbers", str: "text"}.get(member, "lists")


def _constraints(metadata: Iterable[Any]) -> Iterator[Any]:
    for item in metadata:
        yield from item.metadata if isinstance(item, FieldInfo) else (item,)


def _number(noun: str, metadata: Iterable[Any]) -> str:
    low = high = ""
    inclusive: list[str] = []
    for item in metadata:
        if isinstance(item, limits.Ge):
            low, inclusive = f"at least {item.ge}", [*inclusive, str(item.ge)]
        elif isinstance(item, limits.Gt):
            low = f"above {item.gt}"
        elif isinstance(item, limits.Le):
            high, inclusive = f"at most {item.le}", [*inclusive, str(item.le)]
        elif isinstance(item, limits.Lt):
            high = f"below {item.lt}"
    if len(inclusive) == 2:
        return f"{noun} from {inclusive[0]} to {inclusive[1]}"
    bounds = " and ".join(bound for bound in (low, high) if bound)
    return f"{noun} of {bounds}" if bounds.startswith("at") else f"{noun} {bounds}".rstrip()


def _kind(field: FieldInfo) -> str:
    """The type alone, in a word or two."""
    names = {bool: "bool", str: "text", int: "int", float: "float", type(None): "null"}
    kinds = []
    for member in _flat(field.annotation):
        plain = get_args(member)[0] if get_origin(member) is Annotated else member
        kinds.append(names.get(plain) or {Literal: "word", list: "list", dict: "mapping"}[get_origin(plain)])
    return either(kinds)


def number_type(field: FieldInfo) -> type[int] | type[float] | None:
    """int or float where the field may be a number, else None: what a range over it is made of."""
    for member in _flat(field.annotation):
        plain = get_args(member)[0] if get_origin(member) is Annotated else member
        if plain in (int, float):
            return int if plain is int else float
    return None
