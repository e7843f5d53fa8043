"""How long a search has searched, over all of its drivers. Owns the sum, kept in the study; the time between two of
them does not count, and of one that was killed what came after its last report is lost.
"""

import time

import optuna

SEARCHED = "searched"  # user attribute of the study: seconds
KEPT_EVERY_S = 1.0


class Clock:
    """Begins with a driver's first ask. `budget_s`: after so many seconds no trial is begun; None: no limit."""

    def __init__(self, study: optuna.Study, budget_s: float | None) -> None:
        self._study, self._budget_s = study, budget_s
        self._before = self._kept = float(study.user_attrs.get(SEARCHED, 0.0))
        self._began: float | None = None

    def begin(self) -> None:
        if self._began is None:
            self._began = time.monotonic()

    @property
    def seconds(self) -> float:
        return self._before + (0.0 if self._began is None else time.monotonic() - self._began)

    @property
    def left_s(self) -> float | None:
        """None without a budget."""
        return None if self._budget_s is None else max(0.0, self._budget_s - self.seconds)

    @property
    def out(self) -> bool:
        return self.left_s == 0

    def keep(self) -> None:
        """Let the study know; where there is no budget it is nothing to it."""
        seconds = self.seconds
        if self._budget_s is not None and seconds >= self._kept + KEPT_EVERY_S:
            self._kept = seconds
            self._study.set_user_attr(SEARCHED, round(seconds, 1))
