"""The truth of a search: what was tried, what is running, what to try next, when to stop. Owns the study in its store
and who may write there; knows neither Ray nor MLflow.

A trial has one number from its first ask to its end. Where its driver died it fails in the store as `INTERRUPTED`, and
its parameters are asked anew under the same number; of all that bear a number the newest is meant. So the budget is
exact. A trial that has ended is `OVER` until those that began before it have come far enough to say how:
see policy.py.
"""

import math
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from optuna.trial import FrozenTrial, TrialState, create_trial

from assay.errors import InputError
from assay.params import Recipe, Search, flat
from assay.search.about import about, first_rung, introduce, searched_base, study_name
from assay.search.clock import Clock
from assay.search.earlier import check_names, first_points
from assay.search.front import best_among
from assay.search.halving import Halving
from assay.search.policy import Drawing, Sight
from assay.search.space import Space, space_of
from assay.search.store import first_line, opened
from assay.search.tally import Tally
from assay.search.trial import (
    BASE_NUMBER,
    COSTS,
    FAILED,
    FINAL,
    LOST,
    NUMBER,
    OVER,
    REASON,
    SECONDS,
    STAY,
    STOPPED,
    Asked,
    Rerun,
    Stay,
    Tried,
    as_tried,
    best_of,
    newest,
    reruns_in,
)
from assay.section import seconds_of

INTERRUPTED = "the search was interrupted"
WORKER_LOST = "its worker died"  # for the first time, and not by what the trial did
ANEW = (INTERRUPTED, WORKER_LOST)  # reasons of trials that are asked anew
MACHINE_TRIES = 1  # more for a trial whose worker died
HOPELESS = 8  # so many first trials, all failed: the rest would fail too


@dataclass
class _Live:
    """A trial whose end is not settled."""

    key: int  # Optuna's
    seconds: float = 0.0
    over: bool = False  # nothing more will come
    noted: bool = False  # and the store knows it
    stay: Stay | None = None
    costs: Mapping[str, float] = field(default_factory=dict)


class Study:
    """One search's trials, held by this process alone. Give it back with `close`, or use it in a `with`."""

    def __init__(self, folder: Path, search: Search, recipe: Recipe, metric: str, direction: str, version: str) -> None:
        base = searched_base(search, recipe)
        self.space: Space = space_of(search.space, base, search.constraints)
        self.seed, self.metric = search.seed, metric
        self.costs, self.pick = search.costs, search.pick
        self.sign = 1 if direction == "max" else -1
        self.name = study_name(search, base, metric, version)
        first = first_rung(search, base)
        self.rungs = (first, search.reduction, search.pruner)
        check_names(search.earlier, folder, search.storage, self.name)
        self._study, self._lease = opened(search.storage, self.name, folder, direction)
        try:
            self._store = self._study._storage
            said = about(search, base, metric, version)
            self.id, known = introduce(self._study, said)
            self._policy: dict[str, Any] = said["policy"]
            self.clock = Clock(self._study, None if search.budget is None else seconds_of(search.budget))
            self.first = first_points(self._study, search.earlier, folder, search.storage, self.space)
            self._halving = Halving(first, search.reduction, self.sign, search.pruner, base.epochs)
            sight = Sight(first, search.reduction)
            self._drawing = Drawing(self.space, search, self._study.direction, sight, self._tried, self.first)
            self.trials = self._drawing.most(search.trials)  # of the budget those that there are recipes for
            self._keys: dict[int, int] = {}  # number → Optuna's, of all that bear it the last
            self._live: dict[int, _Live] = {}
            self._ended: dict[int, Tried] = {}  # settled: nothing changes them any more
            self.tally = Tally(self.sign)  # of those of the budget
            self._again: dict[int, dict[str, Any]] = {}  # number → what was drawn, of trials to be asked anew
            self._take_over()
            self.resumed = known or bool(self._keys)
        except BaseException:
            self._lease.release()
            raise

    @contextmanager
    def owned(self) -> Iterator[None]:
        """Around what writes: where it fails since another driver has taken over, it says so.

        Raises:
            Superseded: another driver writes this study now; this one writes nothing more.
        """
        try:
            yield
        except InputError:
            raise
        except Exception as error:  # border to Optuna: the other may have ended the trial that is written
            if self._lease.holds():
                raise
            raise self._lease.superseded() from error

    def check_owned(self) -> None:
        """Raise Superseded where another driver is known to have taken over; asks nobody."""
        if self._lease.lost:
            raise self._lease.superseded()

    @property
    def ready(self) -> bool:
        """Whether `ask` can answer: what the next trial is drawn from is settled, or it needs nothing."""
        number, sight = self._next, self._drawing.sight
        if self.spent or number in self._again or not self._drawing.learns(number):
            return True
        return all(self._halving.knows(live, sight.epochs(number - live)) for live in self._live)

    def runs_on(self, workers: int) -> None:
        """So many trials at once, at most; of several drivers the largest number counts."""
        sight = self._drawing.sight
        self._drawing.sight = replace(sight, workers=max(sight.workers, workers))

    @property
    def spent(self) -> bool:
        """Whether every trial of the budget was begun, or its time is over; what a killed driver had begun comes to its
        end all the same."""
        return self._next >= self.trials or (self.clock.out and self._next not in self._again)

    def ask(self) -> Asked | None:
        """The next trial, when it is `ready`; None where the budget is spent."""
        self.clock.begin()
        if self.spent:
            return None
        number = self._next
        again = self._again.pop(number, None)
        if again is not None:
            drawn = again
        elif number == BASE_NUMBER:
            drawn = self.space.of_base()
        else:
            drawn = self._drawing.draw(number)
        asked = create_trial(
            state=TrialState.RUNNING,
            params=drawn,
            distributions={name: self.space.distributions[name] for name in drawn},
            user_attrs={NUMBER: number} | self._losses(number),
        )
        self._keys[number] = self._store.create_new_trial(self._study._study_id, asked)
        self._live[number] = _Live(self._keys[number])
        self._halving.begin(number)
        return self._asked(number, drawn, again is not None)

    def hands_over(self, number: int) -> bool:
        """Whether with this trial another sampler takes over from the one that was set."""
        return self._drawing.hands_over(number)

    def seen(self, number: int, worker: str, begin: float, end: float) -> None:
        """Where a trial runs, since when, and that it still did at `end`; kept when the trial ends."""
        self._live[number].stay = Stay(worker, begin, end)

    def report(
        self,
        number: int,
        epoch: int,
        value: float,
        seconds: float,
        finished: bool = False,
        costs: Mapping[str, float] | None = None,
    ) -> list[Tried]:
        """The watched metric after `epoch` (from 1), the seconds trained so far, and of other objectives what it costs
        as far as is known. What is settled by it, here and elsewhere: a trial that is stopped, one that has come to
        its end."""
        if not math.isfinite(value):
            return self.fail(number, seconds, f"its {self.metric} is {value}")
        trial = self._live[number]
        trial.seconds, trial.over = seconds, finished
        trial.costs = {name: (costs or {})[name] for name in self.costs}
        self._store.set_trial_intermediate_value(trial.key, epoch, value)
        self._halving.report(number, epoch, value, finished, tuple(trial.costs.values()))
        return self.settle()

    def fail(self, number: int, seconds: float, reason: str) -> list[Tried]:
        """A trial that ended before its time. What is settled by it."""
        trial = self._live[number]
        trial.seconds, trial.over = seconds, True
        self._store.set_trial_user_attr(trial.key, REASON, reason)
        self._halving.end(number)
        return self.settle()

    def again(self, number: int) -> bool:
        """Whether a trial whose worker died by the machine's fault runs once more: it is asked anew, under its number;
        False where it was before."""
        trial = self._live[number]
        kept = self._trial(number)
        if kept.user_attrs.get(LOST, 0) >= MACHINE_TRIES:
            return False
        self._store.set_trial_user_attr(trial.key, LOST, kept.user_attrs.get(LOST, 0) + 1)
        self._store.set_trial_user_attr(trial.key, REASON, WORKER_LOST)
        self._store.set_trial_state_values(trial.key, TrialState.FAIL)
        del self._live[number]
        self._again[number] = dict(kept.params)
        return True

    def settle(self) -> list[Tried]:
        """Close in the store what can be judged now, and say what that is."""
        self.clock.keep()
        self._halving.judge()
        settled = sorted(number for number in self._live if self._halving.settled(number))
        for number in settled:
            self._close(number)
        for trial in self._live.values():
            if trial.over and not trial.noted:
                self._note(trial)
                self._store.set_trial_user_attr(trial.key, OVER, True)
                trial.noted = True
        if not self.spent and self._next not in (BASE_NUMBER, *self._again) and self.ready:
            self._drawing.prepare(self._next)
        return [self._tried(number) for number in settled]

    @property
    def waiting(self) -> list[Asked]:
        """Trials that have ended and are not settled: others that began before them are on their way."""
        over = sorted(number for number, trial in self._live.items() if trial.over)
        return [self._asked(number, self._trial(number).params, again=True) for number in over]

    @property
    def left(self) -> int:
        """Trials of the budget that are still to be run."""
        unrun = len(self._again) + sum(not trial.over for trial in self._live.values())
        unbegun = 0 if self.clock.out else max(0, self.trials - sum(number < self.trials for number in self._keys))
        return unbegun + unrun

    @property
    def told(self) -> dict[str, Any]:
        """What the search's own run says of it: the settings that its name is a hash of, in short."""
        recipe = {f"recipe.{name}": value for name, value in flat(self.space.base).items()}
        policy = {f"search.{name}": value for name, value in self._policy.items()}
        metric = ", ".join([self.metric, *self.costs])
        return policy | {"search.metric": metric, "search.space": ", ".join(self.space.parameters)} | recipe

    def tried(self) -> list[Tried]:
        """Every trial of the budget that was begun, by number."""
        return [self._tried(number) for number in self._keys if number < self.trials]

    def lasts(self) -> Counter[int]:
        """The last epoch → how many trials came so far and no further."""
        return self.tally.lasts + Counter(max(self._tried(number).curve, default=0) for number in self._live)

    def best(self) -> Tried | None:
        """The complete trial with the best value, of equals the first; with costs the one that is picked."""
        return best_among(self.tried(), self.sign, self.pick) if self.costs else self.tally.best

    def keep_rerun(self, number: int, seed: int, rerun: Rerun) -> None:
        """A finalist's run on the seed of that index, which is never to be run again."""
        self._study.set_user_attr(f"{FINAL} {number} {seed}", vars(rerun))

    def reruns(self) -> dict[tuple[int, int], Rerun]:
        """(number, index of its seed) → every run of finals that has ended, also of an earlier budget's."""
        return reruns_in(self._study.user_attrs)

    def recipe_of(self, number: int, drawn: Mapping[str, Any]) -> Recipe:
        return self.space.recipe_of(number, drawn)

    def values_of(self, number: int, drawn: Mapping[str, Any]) -> dict[str, Any]:
        return self.space.values_of(number, drawn)

    def check_failures(self) -> None:
        """Stop a search whose trials fail.

        Raises:
            InputError: more than half of the budget failed, or all of the first ones; with the commonest reason.
        """
        failed = self.tally.states[FAILED]
        if failed * 2 > self.trials or HOPELESS <= failed == self.tally.states.total():
            reason, _ = self.tally.reasons.most_common(1)[0]
            begun = min(self.trials, len(self._keys))
            raise InputError(f"search: {failed} of {begun} trials failed, most because {first_line(reason)}")

    def close(self) -> None:
        self._drawing.close()
        self._lease.release()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    @property
    def _next(self) -> int:
        return min(self._again, default=len(self._keys))

    def _losses(self, number: int) -> dict[str, int]:
        """How often trial `number` has lost its worker before, as its new beginning keeps it."""
        if number not in self._keys:
            return {}
        before = self._trial(number).user_attrs
        return {LOST: before[LOST]} if LOST in before and before.get(REASON) in ANEW else {}

    def _asked(self, number: int, drawn: dict[str, Any], again: bool) -> Asked:
        return Asked(number, self.recipe_of(number, drawn), self.values_of(number, drawn), again)

    def _close(self, number: int) -> None:
        trial, kept, stopped = self._live.pop(number), self._trial(number), self._halving.stopped(number)
        if not trial.noted:
            self._note(trial)
        if stopped is not None:
            self._store.set_trial_user_attr(trial.key, STOPPED, stopped)
            self._store.set_trial_state_values(trial.key, TrialState.PRUNED)
        elif REASON in kept.user_attrs:
            self._store.set_trial_state_values(trial.key, TrialState.FAIL)
        else:
            best = best_of(kept.intermediate_values, self.sign)
            self._store.set_trial_state_values(trial.key, TrialState.COMPLETE, [best])
        self._end(number)

    def _end(self, number: int) -> None:
        """Remember a trial that is settled."""
        self._ended[number] = self._tried(number)
        if number < self.trials:
            self.tally.add(self._ended[number])

    def _note(self, trial: _Live) -> None:
        """Keep what is known of a trial's time."""
        self._store.set_trial_user_attr(trial.key, SECONDS, round(trial.seconds, 3))
        if trial.costs:
            self._store.set_trial_user_attr(trial.key, COSTS, dict(trial.costs))
        if trial.stay is not None:
            stay = [trial.stay.worker, round(trial.stay.begin, 3), round(trial.stay.end, 3)]
            self._store.set_trial_user_attr(trial.key, STAY, stay)

    def _take_over(self) -> None:
        """Go on where another driver stopped: what it left on its way fails and is asked anew, what had ended waits for
        `settle`. Whoever is killed within leaves what the next one completes."""
        found = newest(self._study.get_trials(deepcopy=False))
        self._keys = {number: trial._trial_id for number, trial in found.items()}
        for trial in found.values():
            if trial.state == TrialState.RUNNING and OVER not in trial.user_attrs:
                self._store.set_trial_user_attr(trial._trial_id, REASON, INTERRUPTED)
                self._store.set_trial_state_values(trial._trial_id, TrialState.FAIL)
        known = {number: self._trial(number) for number in found}
        failed = [number for number, trial in known.items() if trial.state == TrialState.FAIL]
        broken = len(failed) * 2 > self.trials or 0 < len(failed) == len(found)
        for number, trial in known.items():
            self._halving.begin(number)
            if number in failed and (broken or trial.user_attrs[REASON] in ANEW):
                if number < self.trials:  # a search that broke begins again, once its cause is mended
                    self._again[number] = dict(trial.params)
                continue
            self._remember(number, trial)
        self._halving.judge()

    def _remember(self, number: int, trial: FrozenTrial) -> None:
        """Tell the policy of a trial that has ended."""
        curve = sorted(trial.intermediate_values.items())
        failed = REASON in trial.user_attrs
        for epoch, value in curve:
            costs = tuple(trial.user_attrs.get(COSTS, {}).values())
            self._halving.report(number, epoch, value, not failed and epoch == curve[-1][0], costs)
        if trial.state != TrialState.RUNNING:
            self._halving.tell(number, trial.user_attrs.get(STOPPED))
            self._end(number)
            return
        self._live[number] = _Live(trial._trial_id, trial.user_attrs[SECONDS], over=True, noted=True)
        if failed:
            self._halving.end(number)

    def _trial(self, number: int) -> FrozenTrial:
        return self._store.get_trial(self._keys[number])

    def _tried(self, number: int) -> Tried:
        return self._ended.get(number) or as_tried(number, self._trial(number), self.sign)
