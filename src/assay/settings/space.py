"""What a search space may say. Owns the rules of `search.space`; draws nothing from it (that is search/)."""

from collections.abc import Iterator
from typing import Any

from pydantic import ValidationError
from pydantic.fields import FieldInfo

from assay.errors import nearest
from assay.params import Params, Recipe, Vary, flat, with_values
from assay.section import Section
from assay.settings.document import Problem, Where
from assay.settings.wording import briefly, expected, number_type, shown

BASE = Recipe()  # any recipe will do: whether one value fits does not hang on the others


def space_problems(params: Params) -> list[Problem]:
    """Every rule that an entry of the space breaks by itself, or its `when` with the other entries."""
    found: list[Problem] = []
    space = params.search.space
    for name, vary in space.items():
        where: Where = ("search", "space", name)
        if name not in flat(BASE):
            found.append(Problem(where, unknown_in_space(name)))
            continue
        found += _amounts(where, name, vary)
        found += _conditions(where, name, space)
    return found


def recipe_field(name: str) -> FieldInfo:
    """The field of the recipe with this dotted name, which must exist."""
    *sections, leaf = name.split(".")
    section: type[Section] = Recipe
    for part in sections:
        inner = section.model_fields[part].annotation
        assert isinstance(inner, type) and issubclass(inner, Section), f"{name} is no field of the recipe"
        section = inner
    return section.model_fields[leaf]


def unknown_in_space(name: str) -> str:
    """The sentence about a name of the space that is no field of the recipe."""
    inside = [known for known in flat(BASE) if known.startswith(f"{name}.")]
    if inside:
        return f"{name!r} is a section of recipe; name one of its settings ({', '.join(inside)})."
    return f"{name!r} is not a setting of recipe that search.space could vary; {nearest(name, flat(BASE))}"


def _amounts(where: Where, name: str, vary: Vary) -> Iterator[Problem]:
    ranged = [key for key in ("low", "high", "step") if getattr(vary, key) is not None] + ["log"] * vary.log
    label = f"search.space.{name}"
    if vary.choices is not None:
        if ranged:
            yield Problem((*where, ranged[0]), f"{label} has choices and {ranged[0]}; it must have one of them.")
        yield from _choices((*where, "choices"), name, vary.choices)
    elif vary.low is None or vary.high is None:
        missing = "low" if vary.low is None else "high"
        other = "choices" if not ranged else missing
        yield Problem(where, f"{label} has no {other}; it must have low and high, or choices.")
    elif (kind := number_type(recipe_field(name))) is None:
        says = f"{label} is a range, but {name} must be {expected(recipe_field(name))}; give choices."
        yield Problem((*where, "low"), says)
    else:
        yield from _range(where, name, vary.low, vary.high, vary, kind)


def _choices(where: Where, name: str, choices: list[Any]) -> Iterator[Problem]:
    label = f"search.space.{name}.choices"
    if not choices:
        yield Problem(where, f"{label} is []; it must list at least one value.")
    seen: set[str] = set()
    for number, value in enumerate(choices):
        here = (*where, number)
        if repr(value) in seen:
            yield Problem(here, f"{label} has {shown(value)} twice; remove one of the two.")
        seen.add(repr(value))
        yield from _fits(here, f"{label} has {shown(value)}", name, value)


def _fits(where: Where, found: str, name: str, value: Any) -> Iterator[Problem]:
    """A problem where the recipe's field `name` cannot be `value`."""
    try:
        with_values(BASE, {name: value})
    except ValidationError:
        yield Problem(where, f"{found}; {name} must be {expected(recipe_field(name))}.")


def _range(where: Where, name: str, low: float, high: float, vary: Vary, kind: type) -> Iterator[Problem]:
    label = f"search.space.{name}"
    bounds = {"low": low, "high": high} | ({"step": vary.step} if vary.step is not None else {})
    for key, bound in bounds.items():
        here = (*where, key)
        if kind is int and bound != int(bound):
            yield Problem(here, f"{label}.{key} is {briefly(bound)}; it must be a whole number, as {name} is.")
        elif key != "step":
            yield from _fits(here, f"{label}.{key} is {briefly(bound)}", name, kind(bound))
    if not low < high:
        yield Problem((*where, "low"), f"{label}.low is {briefly(low)}; it must be below high, {briefly(high)}.")
    elif vary.step is not None:
        steps = (high - low) / vary.step
        if abs(steps - round(steps)) > 1e-6 or steps < 0.5:
            says = (
                f"{label}.step is {briefly(vary.step)}; {high - low:g} from low to high must be a whole number of it."
            )
            yield Problem((*where, "step"), says)
    if vary.log and low <= 0:
        yield Problem((*where, "low"), f"{label}.low is {briefly(low)}; with log it must be above 0.")
    if vary.log and vary.step is not None:
        yield Problem((*where, "step"), f"{label} has log and step; it must have at most one of them.")


def _conditions(where: Where, name: str, space: dict[str, Vary]) -> Iterator[Problem]:
    for other, values in (space[name].when or {}).items():
        here, label = (*where, "when", other), f"search.space.{name}.when"
        if other not in space or other == name:
            names = [known for known in space if known != name]
            remedy = nearest(other, names) if names else "there is none."
            yield Problem(here, f"{label} names {other!r}, which is not another entry of search.space; {remedy}")
            continue
        choices = space[other].choices
        if choices is None:
            yield Problem(here, f"{label} names {other!r}, which is a range; it must name a field with choices.")
            continue
        listed = ", ".join(map(shown, choices))
        if not values:
            yield Problem(here, f"{label}.{other} is []; it must list some of {listed}.")
        for value in values:
            if repr(value) not in {repr(choice) for choice in choices}:
                yield Problem(here, f"{label}.{other} has {shown(value)}; it must be among the choices {listed}.")
    if _circular(name, space):
        yield Problem((*where, "when"), f"search.space.{name}.when leads back to {name}; it must not go in circles.")


def _circular(name: str, space: dict[str, Vary]) -> bool:
    seen: set[str] = set()
    ahead = list(space[name].when or {})
    while ahead:
        other = ahead.pop()
        if other not in seen and other in space:
            seen.add(other)
            ahead += list(space[other].when or {})
    return name in seen and name not in (space[name].when or {})
