"""The truth of a search: what was tried, what is running, what to try next, when to stop. Owns the study in its store
and who may write there; knows neither Ray nor MLflow.

A trial has one number from its first ask to its end. Where its driver died it fails in the store as `INTERRUPTED`, and
its parameters are asked anew under the same number; of all that bear a number the newest is meant. So the budget is
exact. A trial that has ended is `OVER` until those that began before it have come far enough to say how:
see policy.py.
"""

import json
import math
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from hashlib import blake2b
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from optuna.trial import FrozenTrial, TrialState, create_trial

from assay.errors import InputError
from assay.params import Recipe, Search, flat
from assay.search.halving import Halving
from assay.search.policy import Drawing, Sight
from assay.search.space import Space, space_of
from assay.search.store import first_line, opened
from assay.search.trial import (
    BASE_NUMBER,
    FAILED,
    LOST,
    NUMBER,
    OVER,
    REASON,
    RUNNING,
    SECONDS,
    STAY,
    STOPPED,
    Asked,
    Stay,
    Tried,
    as_tried,
    best_complete,
    best_of,
    newest,
)

FORMAT = 3  # of what we keep in a study; another format is another study
INTERRUPTED = "the search was interrupted"
WORKER_LOST = "its worker died"  # for the first time, and not by what the trial did
ANEW = (INTERRUPTED, WORKER_LOST)  # reasons of trials that are asked anew
ABOUT = "about"  # user attribute of the study: what `about` says
NOT_POLICY = {"trials", "epochs", "workers", "resources", "trial_timeout", "metric", "storage", "space"}
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


class Study:
    """One search's trials, held by this process alone. Give it back with `close`, or use it in a `with`."""

    def __init__(self, folder: Path, search: Search, recipe: Recipe, metric: str, direction: str, version: str) -> None:
        base = searched_base(search, recipe)
        self.space: Space = space_of(search.space, base, search.constraints)
        self.trials, self.seed, self.metric = search.trials, search.seed, metric
        self.sign = 1 if direction == "max" else -1
        self.name = study_name(search, base, metric, version)
        self.rungs = (search.min_epochs, search.reduction, search.pruner)
        self._study, self._lease = opened(search.storage, self.name, folder, direction)
        try:
            self._store = self._study._storage
            self._describe(about(search, base, metric, version))
            self._halving = Halving(search.min_epochs, search.reduction, self.sign, search.pruner, base.epochs)
            sight = Sight(search.min_epochs, search.reduction)
            self._drawing = Drawing(self.space, search, self._study.direction, sight, self._tried)
            self._keys: dict[int, int] = {}  # number → Optuna's, of all that bear it the last
            self._live: dict[int, _Live] = {}
            self._again: dict[int, dict[str, Any]] = {}  # number → what was drawn, of trials to be asked anew
            self._take_over()
            self.resumed = bool(self._keys)
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
        """Whether every trial of the budget was begun."""
        return self._next >= self.trials

    def ask(self) -> Asked | None:
        """The next trial, when it is `ready`; None where the budget is spent."""
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

    def seen(self, number: int, worker: str, begin: float, end: float) -> None:
        """Where a trial runs, since when, and that it still did at `end`; kept when the trial ends."""
        self._live[number].stay = Stay(worker, begin, end)

    def report(self, number: int, epoch: int, value: float, seconds: float, finished: bool = False) -> list[Tried]:
        """The watched metric after `epoch` (from 1) and the seconds trained so far. What is settled by it, here and
        elsewhere: a trial that is stopped, one that has come to its end."""
        if not math.isfinite(value):
            return self.fail(number, seconds, f"its {self.metric} is {value}")
        trial = self._live[number]
        trial.seconds, trial.over = seconds, finished
        self._store.set_trial_intermediate_value(trial.key, epoch, value)
        self._halving.report(number, epoch, value, finished)
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
        self._halving.judge()
        settled = sorted(number for number in self._live if self._halving.settled(number))
        for number in settled:
            self._close(number)
        for trial in self._live.values():
            if trial.over and not trial.noted:
                self._note(trial)
                self._store.set_trial_user_attr(trial.key, OVER, True)
                trial.noted = True
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
        return max(0, self.trials - sum(number < self.trials for number in self._keys)) + unrun

    @property
    def told(self) -> dict[str, Any]:
        """What the search's own run says of it: the settings that its name is a hash of, in short."""
        recipe = {f"recipe.{name}": value for name, value in flat(self.space.base).items()}
        return {
            "search.metric": self.metric,
            "search.seed": self.seed,
            "search.space": ", ".join(self.space.parameters),
        } | recipe

    def tried(self) -> list[Tried]:
        """Every trial of the budget that was begun, by number."""
        known = {trial._trial_id: trial for trial in self._study.get_trials(deepcopy=False)}
        return [as_tried(number, known[key], self.sign) for number, key in self._keys.items() if number < self.trials]

    def best(self) -> Tried | None:
        """The complete trial with the best value; of equals the first."""
        return best_complete(self.tried(), self.sign)

    def recipe_of(self, number: int, drawn: Mapping[str, Any]) -> Recipe:
        return self.space.recipe_of(number, drawn)

    def values_of(self, number: int, drawn: Mapping[str, Any]) -> dict[str, Any]:
        return self.space.values_of(number, drawn)

    def check_failures(self) -> None:
        """Stop a search whose trials fail.

        Raises:
            InputError: more than half of the budget failed, or all of the first ones; with the commonest reason.
        """
        tried = [each for each in self.tried() if each.number not in self._again]
        reasons = Counter(each.reason for each in tried if each.state == FAILED)
        failed = reasons.total()
        ended = sum(each.state != RUNNING for each in tried)
        if failed * 2 > self.trials or HOPELESS <= failed == ended:
            reason, _ = reasons.most_common(1)[0]
            raise InputError(f"search: {failed} of {len(tried)} trials failed, most because {first_line(reason or '')}")

    def close(self) -> None:
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

    def _note(self, trial: _Live) -> None:
        """Keep what is known of a trial's time."""
        self._store.set_trial_user_attr(trial.key, SECONDS, round(trial.seconds, 3))
        if trial.stay is not None:
            stay = [trial.stay.worker, round(trial.stay.begin, 3), round(trial.stay.end, 3)]
            self._store.set_trial_user_attr(trial.key, STAY, stay)

    def _describe(self, said: dict[str, Any]) -> None:
        """Let the study say what it is of, for those who find it without its params.yaml; once."""
        if ABOUT not in self._study.user_attrs:
            self._study.set_user_attr(ABOUT, said)

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
            self._halving.report(number, epoch, value, complete=not failed and epoch == curve[-1][0])
        if trial.state != TrialState.RUNNING:
            self._halving.tell(number, trial.user_attrs.get(STOPPED))
            return
        self._live[number] = _Live(trial._trial_id, trial.user_attrs[SECONDS], over=True, noted=True)
        if failed:
            self._halving.end(number)

    def _trial(self, number: int) -> FrozenTrial:
        return self._store.get_trial(self._keys[number])

    def _tried(self, number: int) -> Tried:
        return as_tried(number, self._trial(number), self.sign)


def searched_base(search: Search, recipe: Recipe) -> Recipe:
    """The base recipe as it is searched: trained as long as a trial is."""
    return recipe if search.epochs is None else recipe.model_copy(update={"epochs": search.epochs})


def about(search: Search, base: Recipe, metric: str, version: str) -> dict[str, Any]:
    """What a study is of, as JSON: enough to read its trials without the params.yaml that it came from."""
    space = {name: vary.model_dump() for name, vary in search.space.items()}
    policy = search.model_dump(exclude=NOT_POLICY)
    said = {"metric": metric, "data_version": version, "policy": policy, "recipe": flat(base), "space": space}
    whole: dict[str, Any] = json.loads(json.dumps(said, default=str))
    return whole


def study_name(search: Search, base: Recipe, metric: str, version: str) -> str:
    """A hash of all that a search's outcome hangs on but its budget and its workers."""
    said = json.dumps([FORMAT, about(search, base, metric, version)])
    return blake2b(said.encode(), digest_size=6).hexdigest()
