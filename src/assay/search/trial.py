"""A trial in words: as it is asked for, as it is remembered. Owns the names of its states."""

from dataclasses import dataclass
from typing import Any

from optuna.trial import TrialState

from assay.params import Recipe

COMPLETE, PRUNED, FAILED, RUNNING = "complete", "pruned", "failed", "running"
STATES = {
    TrialState.COMPLETE: COMPLETE,
    TrialState.PRUNED: PRUNED,
    TrialState.FAIL: FAILED,
    TrialState.RUNNING: RUNNING,
}
STATE_OF = {word: state for state, word in STATES.items()}  # Optuna's


@dataclass(frozen=True)
class Asked:
    """A trial to be run now."""

    number: int
    recipe: Recipe
    values: dict[str, Any]  # what the space set in the recipe: the parameters that count
    again: bool  # it was begun before and its driver died


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

    @property
    def score(self) -> float:
        """`value` of a trial that reported one."""
        assert self.value is not None, f"trial {self.number} has reported a value"
        return self.value
