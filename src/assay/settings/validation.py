"""What pydantic found, in sentences. Owns the way from a tree of values to a typed section; knows no single setting."""

from collections.abc import Iterator
from copy import deepcopy
from typing import Any, TypeVar, get_args, get_origin

from pydantic import ValidationError
from pydantic.fields import FieldInfo

from assay.errors import nearest
from assay.params import NOT_HERE, Params, Recipe, flat
from assay.section import Section
from assay.settings.document import Document, Problem, Where
from assay.settings.space import unknown_in_space
from assay.settings.wording import expected, literals, shown

Typed = TypeVar("Typed", bound=Section)
NO_WORDS_FOR_NULL = {"none", "nil", "off", "~", ""}  # what people write where YAML says null


def validated(section: type[Typed], document: Document) -> tuple[Typed, set[Where], list[Problem]]:
    """The values of `document` as a `section`, where they went wrong, and a problem for each place.

    What is wrong is set aside and its default stands in, so that the rest can still be checked.
    """
    try:
        return section.model_validate(document.values), set(), []
    except ValidationError as error:
        problems = dict(_findings(section, document.values, error))
    sound = deepcopy(document.values)
    for where in problems:
        _remove(sound, where)
    return section.model_validate(sound), set(problems), [Problem(*item) for item in problems.items()]


def _findings(section: type[Section], values: Any, error: ValidationError) -> Iterator[tuple[Where, str]]:
    for finding in error.errors(include_url=False):
        where = tuple(part for part in finding["loc"] if part != "[key]")
        if where[:2] == ("search", "space") and len(where) > 2 and where[2] not in flat(Recipe()):
            yield where[:3], unknown_in_space(str(where[2]))
        elif finding["type"] in ("extra_forbidden", "invalid_key"):
            yield where, _unknown(section, where)
        else:
            place, field = _field(section, where)
            yield place, _wrong(section, place, field, _value(values, place))


def _unknown(section: type[Section], where: Where) -> str:
    *around, name = where
    inner = _section(section, tuple(around))
    holder = ".".join([*_prefix(section), *map(str, around)]) or "params.yaml"
    return f"{str(name)!r} is not a setting of {holder}; {nearest(str(name), inner.model_fields)}"


def _wrong(section: type[Section], where: Where, field: FieldInfo | None, value: Any) -> str:
    name = ".".join([*_prefix(section), *map(str, where)]) or "params.yaml"
    if field is None:
        inner = _section(section, where)
        return f"{name} is {shown(value)}; it must be a mapping of its settings ({', '.join(inner.model_fields)})."
    words = [word for word in literals(field) if isinstance(word, str)]
    if type(None) in get_args(field.annotation) and str(value).lower() in NO_WORDS_FOR_NULL:
        return f"{name} is {shown(value)}; it must be {expected(field)} (nothing is written null)."
    if (name, str(value)) in NOT_HERE:
        return f"{name} is {shown(value)}, {NOT_HERE[name, str(value)]}; it must be {expected(field)}."
    near = nearest(value, words) if isinstance(value, str) and words else ""
    if near.startswith("did you mean"):
        return f"{name} is {shown(value)}; {near}"
    quoted = " (a name that is a number stands in quotes)" if _has_number_names(value) else ""
    return f"{name} is {shown(value)}; it must be {expected(field)}{quoted}."


def _has_number_names(value: Any) -> bool:
    return isinstance(value, dict) and any(not isinstance(key, str) for key in value)


def _prefix(section: type[Section]) -> list[str]:
    return [] if section is Params else [section.__name__.lower()]


def _section(section: type[Section], where: Where) -> type[Section]:
    """The section that stands at `where`; an entry of a mapping of sections counts as one."""
    for part in where:
        annotation = section.model_fields[str(part)].annotation if part in section.model_fields else None
        section = _entry(annotation) or section
    return section


def _entry(annotation: Any) -> type[Section] | None:
    inner = get_args(annotation)[1] if get_origin(annotation) is dict else annotation
    return inner if isinstance(inner, type) and issubclass(inner, Section) else None


def _field(section: type[Section], where: Where) -> tuple[Where, FieldInfo | None]:
    """The setting at or around `where` (pydantic goes on into unions and lists), and its field; a section has none."""
    for depth, part in enumerate(where):
        field = section.model_fields.get(str(part))
        if field is None:
            continue  # the name of an entry, e.g. of the space
        inner = _entry(field.annotation)
        if inner is None or (get_origin(field.annotation) is dict and depth == len(where) - 1):
            return where[: depth + 1], field
        section = inner
    return where, None


def _value(values: Any, where: Where) -> Any:
    for part in where:
        values = values[part]
    return values


def _remove(values: Any, where: Where) -> None:
    *around, last = where
    _value(values, tuple(around)).pop(last, None)
