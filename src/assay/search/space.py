"""What may vary, as Optuna draws it and as a recipe takes it. Owns the translation both ways; draws nothing itself.

The space is static: every parameter is drawn in every trial, so every model of the search sees every trial. One whose
`when` does not hold is ignored; in its place stands the base recipe's value.
"""

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution, IntDistribution

from assay.params import Recipe, Vary, flat, with_values
from assay.search.trial import BASE_NUMBER
from assay.settings.constraint import Constraint
from assay.settings.space import recipe_field
from assay.settings.wording import number_type

Drawn = Mapping[str, Any]  # a value of every parameter as Optuna keeps it
PLAIN = (type(None), bool, int, float, str)  # what Optuna keeps as a choice; anything else is kept as its JSON text

BETWEEN = 1e-8  # of a step: what is farther from one lies between two (Optuna's)


def step_value(low: float, step: float, number: int) -> float:
    """A step as a person would write it: 0.3, and not three times 0.1."""
    return float(Decimal(repr(low)) + number * Decimal(repr(step)))


@dataclass(frozen=True)
class Parameter:
    """One entry of the space: how Optuna draws it, what its values are, and when it counts."""

    distribution: BaseDistribution
    values: Mapping[Any, Any] | None  # what Optuna keeps → the recipe's value; None: they are the same
    when: Mapping[str, tuple[Any, ...]]

    def value(self, kept: Any) -> Any:
        return kept if self.values is None else self.values[kept]

    def kept(self, value: Any) -> Any:
        """The inverse of `value`; raises LookupError where the parameter cannot have it, also between two steps."""
        if isinstance(self.distribution, CategoricalDistribution):
            if not _among(_text(value), self.distribution.choices):
                raise LookupError(value)
            return _text(value)
        assert isinstance(self.distribution, (IntDistribution, FloatDistribution))
        whole, low, step = isinstance(self.distribution, IntDistribution), self.distribution.low, self.distribution.step
        if isinstance(value, bool) or not isinstance(value, (int, float)) or not low <= value <= self.distribution.high:
            raise LookupError(value)
        steps = 0.0 if step is None else (value - low) / step
        if abs(steps - round(steps)) > BETWEEN or (whole and value != int(value)):
            raise LookupError(value)
        if whole or step is None:
            return int(value) if whole else float(value)
        return step_value(low, float(step), round(steps))


@dataclass(frozen=True)
class Space:
    """The parameters of a search around its base recipe, in the order of params.yaml."""

    base: Recipe
    parameters: Mapping[str, Parameter]
    constraints: tuple[Constraint, ...] = ()

    @property
    def distributions(self) -> dict[str, BaseDistribution]:
        return {name: parameter.distribution for name, parameter in self.parameters.items()}

    @property
    def varying(self) -> dict[str, BaseDistribution]:
        """Of the parameters that have more than one value."""
        return {name: each for name, each in self.distributions.items() if not each.single()}

    def active(self, drawn: Drawn) -> dict[str, Any]:
        """The recipe's values of the parameters whose condition holds, in the order of the space."""
        values = flat(self.base)
        settled: dict[str, bool] = {}

        def settle(name: str) -> bool:
            """Whether `name` counts; conditions look at what the recipe will have, so they are settled first."""
            if name not in settled:
                parameter = self.parameters[name]
                others = [settle(other) for other in parameter.when if other in self.parameters]
                assert len(others) == len(parameter.when), "a condition names an entry of the space"
                settled[name] = all(_among(values[other], wanted) for other, wanted in parameter.when.items())
                if settled[name] and name in drawn:
                    values[name] = parameter.value(drawn[name])
            return settled[name]

        return {name: values[name] for name in self.parameters if settle(name) and name in drawn}

    def same(self, one: Drawn, other: Drawn) -> bool:
        """Whether two points are one recipe: what does not count may differ."""
        always = (name for name, parameter in self.parameters.items() if not parameter.when)
        return all(one.get(name) == other.get(name) for name in always) and self.active(one) == self.active(other)

    def recipe(self, drawn: Drawn) -> Recipe:
        """The base recipe with what is drawn and counts."""
        return with_values(self.base, self.active(drawn))

    def keeps(self, drawn: Drawn) -> bool:
        """Whether the recipe of what is drawn keeps every constraint."""
        if not self.constraints:
            return True
        values = flat(self.base) | self.active(drawn)
        return all(each.holds(values) for each in self.constraints)

    def values_of(self, number: int, drawn: Drawn) -> dict[str, Any]:
        """The recipe's values of the parameters that count in trial `number`; trial 0 is the base, wherever it lies."""
        return self.active_of_base() if number == BASE_NUMBER else self.active(drawn)

    def recipe_of(self, number: int, drawn: Drawn) -> Recipe:
        """The recipe of trial `number`."""
        return self.base if number == BASE_NUMBER else self.recipe(drawn)

    def differences(self, number: int, drawn: Drawn) -> dict[str, Any]:
        """What the recipe of trial `number` has that the base recipe has not."""
        base, recipe = flat(self.base), flat(self.recipe_of(number, drawn))
        return {name: value for name, value in recipe.items() if value != base[name]}

    def active_of_base(self) -> dict[str, Any]:
        """The base recipe's values of the parameters that count in it, also of one that lies outside its range."""
        values = flat(self.base)
        held = {
            name: all(_among(values[other], wanted) for other, wanted in parameter.when.items())
            for name, parameter in self.parameters.items()
        }
        return {name: values[name] for name, counts in held.items() if counts}

    def of_base(self) -> dict[str, Any]:
        """The base recipe as a point of the space; a parameter that cannot have the base's value is left out."""
        values, point = flat(self.base), {}
        for name, parameter in self.parameters.items():
            try:
                point[name] = parameter.kept(values[name])
            except LookupError:
                continue
        return point


def space_of(entries: Mapping[str, Vary], base: Recipe, constraints: Sequence[str] = ()) -> Space:
    """The space of checked settings (settings/space.py says what they may be) around `base`."""
    parameters = {name: _parameter(name, vary) for name, vary in entries.items()}
    return Space(base, parameters, tuple(map(Constraint, constraints)))


def _parameter(name: str, vary: Vary) -> Parameter:
    when = {other: tuple(values) for other, values in (vary.when or {}).items()}
    if vary.choices is not None:
        values = {_text(choice): choice for choice in vary.choices}
        return Parameter(CategoricalDistribution(tuple(values)), values, when)
    assert vary.low is not None and vary.high is not None, "a checked entry has a range or choices"
    if number_type(recipe_field(name)) is int:
        step = 1 if vary.step is None else int(vary.step)
        return Parameter(IntDistribution(int(vary.low), int(vary.high), vary.log, step), None, when)
    return Parameter(FloatDistribution(vary.low, vary.high, vary.log, vary.step), None, when)


def _text(value: Any) -> Any:
    """A choice as Optuna can keep it."""
    return value if isinstance(value, PLAIN) else json.dumps(value, sort_keys=True)


def _among(value: Any, wanted: tuple[Any, ...]) -> bool:
    """Equal and of one kind: 1 is not true."""
    return any(value == one and isinstance(value, bool) is isinstance(one, bool) for one in wanted)


def place_of(distribution: BaseDistribution, value: Any) -> float:
    """Where in its range a value lies, 0…1."""
    if isinstance(distribution, CategoricalDistribution):
        return distribution.to_internal_repr(value) / max(1, len(distribution.choices) - 1)
    assert isinstance(distribution, (IntDistribution, FloatDistribution))
    low, high = float(distribution.low), float(distribution.high)
    if distribution.log:
        low, high, value = math.log(low), math.log(high), math.log(value)
    return float((value - low) / (high - low)) if high > low else 0.5
