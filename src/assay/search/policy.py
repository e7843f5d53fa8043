"""What to try next and when to stop. Owns both decisions; each is a function of the stored trials, the trial's number
and the settings, so that a search that was killed goes on as if it had not been.
"""

import math

import numpy as np
from optuna import Study
from optuna.distributions import BaseDistribution
from optuna.pruners import BasePruner
from optuna.samplers import BaseSampler, TPESampler
from optuna.study import StudyDirection
from optuna.trial import FrozenTrial, TrialState

STARTUP = 10  # trials drawn at random before the model is asked: Optuna's own default, at most a third of the budget
FEWEST_STARTUP = 4  # a density over fewer points says nothing
NUMBER = "number"  # user attribute: the trial's number where it is not counted (one that is asked anew keeps its own)
BASE_NUMBER = 0  # the trial of the base recipe


def sampler(distributions: dict[str, BaseDistribution], seed: int, number: int, trials: int) -> BaseSampler:
    """What draws trial `number` of `trials`: multivariate TPE (Falkner et al. 2018, arXiv:1807.01774) that takes
    running trials for bad ones. A sampler lives for one trial: its seed is the search's and the trial's number.
    """
    mixed = int(np.random.SeedSequence([seed, number]).generate_state(1)[0])
    startup = min(STARTUP, max(FEWEST_STARTUP, trials // 3))
    return _StaticTPE(distributions, mixed, startup)


class _StaticTPE(TPESampler):
    """TPE over a space that is known: Optuna would take what all trials have in common, and the base recipe may lack a
    value that lies outside the space."""

    def __init__(self, distributions: dict[str, BaseDistribution], seed: int, startup: int) -> None:
        super().__init__(multivariate=True, constant_liar=True, seed=seed, n_startup_trials=startup)
        self._varying = {name: each for name, each in distributions.items() if not each.single()}

    def infer_relative_search_space(self, study: Study, trial: FrozenTrial) -> dict[str, BaseDistribution]:
        return self._varying


class Halving(BasePruner):
    """Asynchronous successive halving (Li et al. 2020, arXiv:1810.05934), from the reports alone.

    Rungs stand at `min_epochs` × `reduction`^k epochs. After every report a trial is judged at the last rung it has
    passed, by its best value up to there, among all trials that came as far: it goes on while it is one of the best
    1 / `reduction`, rounded up. So one that passed a rung early, when few had come, is judged again with
    every epoch. Trial 0, the base recipe, is never stopped; failed trials do not count. Unlike Optuna's own pruner it
    writes nothing, so a trial that is asked anew does not meet its former self.
    """

    def __init__(self, min_epochs: int, reduction: int) -> None:
        self.min_epochs, self.reduction = min_epochs, reduction

    def rung(self, epoch: int) -> int | None:
        """The last rung that is not beyond `epoch`."""
        if epoch < self.min_epochs:
            return None
        rung = self.min_epochs
        while rung * self.reduction <= epoch:
            rung *= self.reduction
        return rung

    def prune(self, study: Study, trial: FrozenTrial) -> bool:
        rung = self.rung(trial.last_step or 0)
        if rung is None or number_of(trial) == BASE_NUMBER:
            return False
        sign = 1 if study.direction == StudyDirection.MAXIMIZE else -1
        rivals = [
            sign * _best_until(rung, other, sign)
            for other in study.get_trials(deepcopy=False)
            if other.number != trial.number and other.state != TrialState.FAIL and (other.last_step or 0) >= rung
        ]
        mine = sign * _best_until(rung, trial, sign)
        places = math.ceil((len(rivals) + 1) / self.reduction)
        return sum(rival > mine for rival in rivals) >= places


def number_of(trial: FrozenTrial) -> int | None:
    """The number that a trial was given when it was asked anew; None: it is counted (see study.py)."""
    number: int | None = trial.user_attrs.get(NUMBER)
    return number


def _best_until(rung: int, trial: FrozenTrial, sign: int) -> float:
    return sign * max(sign * value for epoch, value in trial.intermediate_values.items() if epoch <= rung)
