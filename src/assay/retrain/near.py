"""The part of a search space that lies round one recipe. Owns how narrow it is; draws nothing."""

import math
from collections.abc import Mapping

from assay.params import Recipe, Vary, flat
from assay.settings.space import recipe_field
from assay.settings.wording import number_type


def near(space: Mapping[str, Vary], recipe: Recipe, share: float) -> dict[str, Vary]:
    """`space` with each range cut to `share` of its width round the recipe's value; choices stay as they are.

    A range that the value lies outside of stays whole: what the recipe says of it came from elsewhere.

    >>> near({"dropout": Vary(low=0.0, high=0.4)}, Recipe(dropout=0.1), 0.5)["dropout"].high
    0.2
    """
    values = flat(recipe)
    return {name: _cut(name, vary, values[name], share) for name, vary in space.items()}


def _cut(name: str, vary: Vary, value: object, share: float) -> Vary:
    low, high = vary.low, vary.high
    if low is None or high is None or isinstance(value, bool) or not isinstance(value, int | float):
        return vary
    if not low <= value <= high:
        return vary
    half = share / 2 * ((math.log(high) - math.log(low)) if vary.log else (high - low))
    if vary.log:
        ends = math.exp(math.log(value) - half), math.exp(math.log(value) + half)
    else:
        ends = value - half, value + half
    lower, upper = max(low, ends[0]), min(high, ends[1])
    step = vary.step if vary.step is not None else 1.0 if number_type(recipe_field(name)) is int else None
    if step is not None:  # both ends are steps of the whole range, and at least one lies between them
        first, last = math.floor((lower - low) / step), math.ceil((upper - low) / step)
        lower, upper = low + step * max(0, first), min(high, low + step * last)
    return vary.model_copy(update={"low": _short(lower), "high": _short(upper)}) if lower < upper else vary


def _short(end: float) -> float:
    """As a person would write it."""
    return float(f"{end:.12g}")
