"""What a search has come to: how many trials ended how, how far, and the best. Owns the sums, kept up with each trial
that is settled, so that a look at them takes as long after ten thousand trials as after ten; knows no store.
"""

from collections import Counter

from assay.search.trial import COMPLETE, FAILED, Tried


class Tally:
    """Sums over settled trials. `sign` is 1 where larger is better, else -1."""

    def __init__(self, sign: int) -> None:
        self._sign = sign
        self.states: Counter[str] = Counter()  # how they ended
        self.reasons: Counter[str] = Counter()  # why those failed that did
        self.lasts: Counter[int] = Counter()  # the last epoch → how many came so far and no further
        self.best: Tried | None = None  # the complete one with the best value; of equals the first

    def add(self, trial: Tried) -> None:
        """One more that is settled."""
        self.states[trial.state] += 1
        self.lasts[max(trial.curve, default=0)] += 1
        if trial.state == FAILED:
            self.reasons[trial.reason or ""] += 1
        if trial.state == COMPLETE and (self.best is None or self._rank(trial) > self._rank(self.best)):
            self.best = trial

    def _rank(self, trial: Tried) -> tuple[float, int]:
        return self._sign * trial.score, -trial.number
