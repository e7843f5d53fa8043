"""A trial in words: as it is asked for, as it is remembered. Owns the names of its states and of what is kept."""

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from optuna.trial import FrozenTrial, TrialState

from assay.params import Recipe
from assay.settings import yaml_word

BASE_NUMBER = 0  # the trial of the base recipe
COMPLETE, PRUNED, FAILED, RUNNING = "complete", "pruned", "failed", "running"
STATES = {
    TrialState.COMPLETE: COMPLETE,
    TrialState.PRUNED: PRUNED,
    TrialState.FAIL: FAILED,
    TrialState.RUNNING: RUNNING,
}
STATE_OF = {word: state for state, word in STATES.items()}  # Optuna's
NUMBER, REASON, SECONDS, OVER, STOPPED = "number", "reason", "seconds", "over", "stopped"  # Optuna's user attributes
STAY, COSTS = "stay", "costs"  # and more: where and when it ran, what it cost where that is an objective,
LOST = "lost"  # how often the machine has taken its worker
FINAL = "final"  # the first word of the user attribute of the study for each run of the finals


@dataclass(frozen=True)
class Asked:
    """A trial to be run now."""

    number: int
    recipe: Recipe
    values: dict[str, Any]  # what the space set in the recipe: the parameters that count
    again: bool  # it was begun before and its driver died
    fold: int | None = None  # seed of a split of train and validation of its own; None: the prepared one


@dataclass(frozen=True)
class Stay:
    """Where a trial ran, and from when to when by the driver's clock, in seconds since 1970. Decides nothing."""

    worker: str
    begin: float
    end: float


@dataclass(frozen=True)
class Tried:
    """A trial as the study has it. `value` is its best epoch's, also of a stopped one; None where none was reported."""

    number: int
    state: str
    drawn: dict[str, Any]  # a value of every parameter, also of those that do not count
    curve: dict[int, float]  # epoch → value; of a stopped one up to the epoch after which it was
    value: float | None
    seconds: float  # of training; a stopped one may have run on while its verdict was open
    reason: str | None
    costs: dict[str, float] = field(default_factory=dict)  # the objectives besides the metric, by name
    stay: Stay | None = None  # None where it is not known: a trial on its way, a study of an older Assay

    @property
    def score(self) -> float:
        """`value` of a trial that reported one."""
        assert self.value is not None, f"trial {self.number} has reported a value"
        return self.value


@dataclass(frozen=True)
class Rerun:
    """A run of the finals that has ended. `value` is its best epoch's; None: it failed, for a reason."""

    value: float | None
    seconds: float
    reason: str | None


def reruns_in(kept: Mapping[str, Any]) -> dict[tuple[int, int], Rerun]:
    """(number, index of its seed) → every run of finals that has ended, by the user attributes of a study."""
    named = ((name.split(), value) for name, value in kept.items())
    return {(int(words[1]), int(words[2])): Rerun(**value) for words, value in named if words[:1] == [FINAL]}


def newest(trials: Iterable[FrozenTrial]) -> dict[int, FrozenTrial]:
    """The trial that is meant by each number: of all that bear it the last; by number."""
    last = {each.user_attrs[NUMBER]: each for each in trials if NUMBER in each.user_attrs}
    return dict(sorted(last.items()))


def as_tried(number: int, kept: FrozenTrial, sign: int) -> Tried:
    """What the store keeps, in our words; `sign` is 1 where larger is better, else -1."""
    last = kept.user_attrs.get(STOPPED, math.inf)
    curve = {epoch: value for epoch, value in sorted(kept.intermediate_values.items()) if epoch <= last}
    stay = kept.user_attrs.get(STAY)
    return Tried(
        number,
        STATES[kept.state],
        dict(kept.params),
        curve,
        best_of(curve, sign) if curve else None,
        float(kept.user_attrs.get(SECONDS, 0.0)),
        kept.user_attrs.get(REASON) if kept.state == TrialState.FAIL else None,
        dict(kept.user_attrs.get(COSTS, {})),
        None if stay is None else Stay(*stay),
    )


def best_of(curve: Mapping[int, float], sign: int) -> float:
    """The value of the best epoch."""
    return sign * max(sign * value for value in curve.values())


def best_complete(tried: Iterable[Tried], sign: int) -> Tried | None:
    """The complete trial with the best value; of equals the first."""
    complete = [each for each in tried if each.state == COMPLETE]
    return max(complete, key=lambda each: (sign * each.score, -each.number), default=None)


def short(value: Any) -> str:
    """A value of a recipe in few characters: `0.00891`."""
    return f"{value:.3g}" if isinstance(value, float) else yaml_word(value)
