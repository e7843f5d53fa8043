"""A database across a network, which may be away for a moment. Owns which of Optuna's reads and writes are tried again,
for as long as a lease lasts, and that none is written twice.

Whoever lost the connection while it committed does not know whether that happened. Attributes and values are laid over
what is there, so they may be written again; a trial that is begun, or ended, is looked for first. Only the holder of
the lease writes, and a new transaction waits for an old one which the server has not ended yet (lease.py).
"""

import json
import time
from collections.abc import Callable, Sequence
from functools import wraps
from typing import Any

from optuna.exceptions import UpdateFinishedTrialError
from optuna.storages import RDBStorage
from optuna.storages._rdb import models
from optuna.trial import FrozenTrial, TrialState
from sqlalchemy.exc import InterfaceError, OperationalError

from assay.lease import LEASE_S
from assay.search.trial import NUMBER

PAUSE_S = 1.0  # between two tries


def unanswered(error: BaseException) -> BaseException | None:
    """What is below an error where the database did not answer, or takes nothing more; None where it is another."""
    below: BaseException | None = error
    while below is not None and not isinstance(below, OperationalError | InterfaceError):
        below = below.__cause__ or below.__context__
    return below


def _patient(called: Callable[..., Any]) -> Any:
    @wraps(called)
    def again(*args: Any, **kwargs: Any) -> Any:
        end = time.monotonic() + LEASE_S
        while True:
            try:
                return called(*args, **kwargs)
            except Exception as error:  # border to Optuna, which makes errors of its own of the database's
                if unanswered(error) is None or time.monotonic() + PAUSE_S > end:
                    raise
            time.sleep(PAUSE_S)

    return again


class Steady(RDBStorage):
    """Optuna's storage for the one driver of a study."""

    get_trial = _patient(RDBStorage.get_trial)
    get_study_directions = _patient(RDBStorage.get_study_directions)
    get_study_user_attrs = _patient(RDBStorage.get_study_user_attrs)
    get_study_system_attrs = _patient(RDBStorage.get_study_system_attrs)
    set_study_user_attr = _patient(RDBStorage.set_study_user_attr)
    set_study_system_attr = _patient(RDBStorage.set_study_system_attr)
    set_trial_user_attr = _patient(RDBStorage.set_trial_user_attr)
    set_trial_intermediate_value = _patient(RDBStorage.set_trial_intermediate_value)
    _get_trials = _patient(RDBStorage._get_trials)
    _create_new_trial = _patient(RDBStorage._create_new_trial)
    _end_trial = _patient(RDBStorage.set_trial_state_values)

    def set_trial_state_values(self, trial_id: int, state: TrialState, values: Sequence[float] | None = None) -> bool:
        try:
            return bool(self._end_trial(trial_id, state, values))
        except UpdateFinishedTrialError:  # maybe by a try that knows nothing of it
            kept = self.get_trial(trial_id)
            if (kept.state, kept.values) != (state, None if values is None else list(values)):
                raise
            return True

    def _get_prepared_new_trial(self, study_id: int, template_trial: FrozenTrial | None, session: Any) -> Any:
        """A trial to be begun, or the very one, begun before by a try that knows nothing of it: of all that bear a
        number one runs, at most."""
        begun = None
        if template_trial is not None and template_trial.state == TrialState.RUNNING:
            begun = _running(study_id, template_trial.user_attrs.get(NUMBER), session)
        return begun or super()._get_prepared_new_trial(study_id, template_trial, session)


def _running(study_id: int, number: int | None, session: Any) -> Any:
    trial, attribute = models.TrialModel, models.TrialUserAttributeModel
    found = session.query(trial).join(attribute, attribute.trial_id == trial.trial_id)
    bears = (attribute.key == NUMBER) & (attribute.value_json == json.dumps(number))
    return found.filter(trial.study_id == study_id, trial.state == TrialState.RUNNING, bears).first()
