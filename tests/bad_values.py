"""From each constraint of params.py a bad value: what every setting must refuse. The sentences are tested with them."""

import re
import types
from collections.abc import Iterator
from typing import Annotated, Any, Literal, Union, get_args, get_origin

import annotated_types as limits
from pydantic.fields import FieldInfo

from assay.params import Params
from assay.section import Section

NONSENSE = "zzz"


def fields(section: type[Section] = Params, prefix: str = "") -> Iterator[tuple[str, FieldInfo]]:
    """Every setting by its dotted name."""
    for name, field in section.model_fields.items():
        if isinstance(field.annotation, type) and issubclass(field.annotation, Section):
            yield from fields(field.annotation, f"{prefix}{name}.")
        else:
            yield prefix + name, field


def kinds(annotation: Any, metadata: tuple[Any, ...] = ()) -> Iterator[tuple[Any, tuple[Any, ...]]]:
    """The plain types a field may have, each with its constraints."""
    if get_origin(annotation) in (Union, types.UnionType):
        for member in get_args(annotation):
            yield from kinds(member, metadata)
    elif get_origin(annotation) is Annotated:
        plain, *more = get_args(annotation)
        found = [item for each in more for item in (each.metadata if isinstance(each, FieldInfo) else [each])]
        yield from kinds(plain, (*metadata, *found))
    else:
        yield annotation, metadata


def bad_values(field: FieldInfo) -> list[Any]:
    """Values that break the type or a constraint of `field`, each in one way."""
    members = list(kinds(field.annotation, tuple(field.metadata)))
    plain = {member for member, _ in members}
    bad: list[Any] = [[{}]]
    bad += [] if type(None) in plain else [None]
    bad += [] if str in plain else [NONSENSE]
    bad += [] if bool in plain else [True]
    for member, metadata in members:
        if member in (int, float):
            bad += [value for item in metadata for value in _beyond(item)]
            bad += [float("inf"), float("nan")] if member is float else [1.5]
        for pattern in (item.pattern for item in metadata if getattr(item, "pattern", None)):
            bad += [text for text in (NONSENSE, "30 minutes", "0 s", "h", "", "a/b") if not re.search(pattern, text)]
    if plain <= {bool, str, type(None)} or any(get_origin(member) is Literal for member in plain):
        bad.append(-7.25)
    return bad


def bounds(field: FieldInfo) -> list[float]:
    """The smallest and largest values that `field` still takes."""
    members = kinds(field.annotation, tuple(field.metadata))
    found = [item for member, metadata in members if member in (int, float) for item in metadata]
    return [getattr(item, name) for item in found for name in ("ge", "le") if hasattr(item, name)]


def _beyond(limit: Any) -> list[float]:
    if isinstance(limit, limits.Ge):
        return [limit.ge - 1]
    if isinstance(limit, limits.Gt):
        return [limit.gt, limit.gt - 1]
    if isinstance(limit, limits.Le):
        return [limit.le + 1]
    return [limit.lt, limit.lt + 1]
