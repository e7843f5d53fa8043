"""The truth of a search: what was tried, what is running, what to try next, when to stop. Owns the study in its store
and who may write there; knows neither Ray nor MLflow.

A trial has one number from its first ask to its end. Where its driver died it fails in the store as `INTERRUPTED`, and
its parameters are asked anew under the same number; of all that bear a number the newest is meant. So the budget is
exact.
"""

import fcntl
import json
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from hashlib import blake2b
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import optuna
from optuna.storages import BaseStorage, JournalStorage, RDBStorage
from optuna.storages.journal import JournalFileBackend, JournalFileOpenLock
from optuna.trial import FrozenTrial, TrialState

from assay.errors import InputError
from assay.params import Recipe, Search, flat
from assay.search.policy import BASE_NUMBER, NUMBER, Halving, number_of, sampler
from assay.search.space import Space, space_of

FORMAT = 1  # of what we keep in a study; another format is another study
INTERRUPTED = "the search was interrupted"
REASON, SECONDS = "reason", "seconds"  # user attributes
HOPELESS = 8  # so many first trials, all failed: the rest would fail too
COMPLETE, PRUNED, FAILED, RUNNING = "complete", "pruned", "failed", "running"
STATES = {
    TrialState.COMPLETE: COMPLETE,
    TrialState.PRUNED: PRUNED,
    TrialState.FAIL: FAILED,
    TrialState.RUNNING: RUNNING,
    TrialState.WAITING: RUNNING,
}


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
    curve: dict[int, float]  # epoch → value
    value: float | None
    seconds: float
    reason: str | None

    @property
    def score(self) -> float:
        """`value` of a trial that reported one."""
        assert self.value is not None, f"trial {self.number} has reported a value"
        return self.value


class Study:
    """One search's trials, held by this process alone. Give it back with `close`, or use it in a `with`."""

    def __init__(self, folder: Path, search: Search, recipe: Recipe, metric: str, direction: str, version: str) -> None:
        base = recipe if search.epochs is None else recipe.model_copy(update={"epochs": search.epochs})
        self.space: Space = space_of(search.space, base)
        self.trials, self.seed, self.metric = search.trials, search.seed, metric
        self.sign = 1 if direction == "max" else -1
        self.name = study_name(search, base, metric, version)
        self._lease = _Lease(folder / f"{self.name}.lock")
        try:
            self._study = _opened(search, self.name, folder / f"{self.name}.journal", direction)
            self.resumed = bool(self._study.get_trials(deepcopy=False))
            self._live: dict[int, optuna.Trial] = {}
            self._take_over()
        except BaseException:
            self._lease.release()
            raise

    def ask(self) -> Asked | None:
        """The next trial; None where the budget is spent."""
        waiting = [each for each in self._study.get_trials(deepcopy=False) if each.state == TrialState.WAITING]
        number = number_of(waiting[0]) if waiting else len(self._newest())
        assert number is not None, "what waits was put there with its number"
        if number >= self.trials:
            return None
        again = [known for known, _ in self._numbered()].count(number) > 1
        given = self.space.of_base() if number == BASE_NUMBER else self.space.distributions
        distributions = {name: each for name, each in self.space.distributions.items() if name in given}
        self._study.sampler = sampler(self.space.distributions, self.seed, number, self.trials)
        trial = self._live[number] = self._study.ask(distributions)
        return Asked(number, self.recipe_of(number, trial.params), self.values_of(number, trial.params), again)

    def report(self, number: int, epoch: int, value: float) -> None:
        """The watched metric after `epoch` (from 1)."""
        self._live[number].report(value, epoch)

    def should_stop(self, number: int) -> bool:
        """Whether the trial is to end after what it reported last."""
        return self._live[number].should_prune()

    def end(self, number: int, state: str, seconds: float, reason: str | None = None) -> None:
        """Close a trial as COMPLETE (with its best value), PRUNED or FAILED (with its reason); `seconds` it trained."""
        trial = self._live.pop(number)
        trial.set_user_attr(SECONDS, round(seconds, 3))
        if state == FAILED:
            assert reason, "a failed trial has a reason"
            self._fail(trial, reason)
        elif state == PRUNED:
            self._study.tell(trial, state=TrialState.PRUNED)
        else:
            curve = self._study._storage.get_trial(trial._trial_id).intermediate_values
            self._study.tell(trial, self._best(curve))

    @property
    def left(self) -> int:
        """Trials of the budget that have not ended."""
        return self.trials - sum(each.state != RUNNING for each in self.tried())

    @property
    def told(self) -> dict[str, Any]:
        """What the search's own run says of it: the settings that its name is a hash of, in short."""
        recipe = {f"recipe.{name}": value for name, value in flat(self.space.base).items()}
        return {"metric": self.metric, "seed": self.seed, "space": ", ".join(self.space.parameters)} | recipe

    def tried(self) -> list[Tried]:
        """Every trial of the budget that was begun, by number."""
        return [self._tried(number, trial) for number, trial in sorted(self._newest().items()) if number < self.trials]

    def best(self) -> Tried | None:
        """The complete trial with the best value; of equals the first."""
        complete = [each for each in self.tried() if each.state == COMPLETE]
        return max(complete, key=lambda each: (self.sign * each.score, -each.number), default=None)

    def recipe_of(self, number: int, drawn: Mapping[str, Any]) -> Recipe:
        """Trial 0 is the base recipe itself, wherever it lies."""
        return self.space.base if number == BASE_NUMBER else self.space.recipe(drawn)

    def values_of(self, number: int, drawn: Mapping[str, Any]) -> dict[str, Any]:
        """The recipe's values of the parameters that count."""
        return self.space.active_of_base() if number == BASE_NUMBER else self.space.active(drawn)

    def check_failures(self) -> None:
        """Stop a search whose trials fail.

        Raises:
            InputError: more than half of the budget failed, or all of the first ones; with the commonest reason.
        """
        tried = self.tried()
        reasons = Counter(each.reason for each in tried if each.state == FAILED)
        failed = reasons.total()
        ended = sum(each.state != RUNNING for each in tried)
        if failed * 2 > self.trials or HOPELESS <= failed == ended:
            reason, _ = reasons.most_common(1)[0]
            raise InputError(f"search: {failed} of {len(tried)} trials failed, most because {_inner(reason or '')}")

    def close(self) -> None:
        self._lease.release()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _take_over(self) -> None:
        """Fail what another driver left running and ask it anew, and first of all the base recipe. Whoever is killed
        within leaves what the next one completes."""
        for trial in self._study.get_trials(deepcopy=False):
            if trial.state == TrialState.RUNNING:
                self._fail(optuna.Trial(self._study, trial._trial_id), INTERRUPTED)
        newest = self._newest()
        if BASE_NUMBER not in newest:
            self._enqueue(BASE_NUMBER, self.space.of_base())
        failed = [number for number, trial in newest.items() if trial.state == TrialState.FAIL]
        broken = len(failed) * 2 > self.trials or 0 < len(failed) == len(newest)
        for number in failed:  # a search that broke is begun again by the same command, once its cause is mended
            trial = newest[number]
            if number < self.trials and (broken or trial.user_attrs.get(REASON) == INTERRUPTED):
                self._enqueue(number, trial.params)

    def _enqueue(self, number: int, drawn: Mapping[str, Any]) -> None:
        self._study.enqueue_trial(dict(drawn), user_attrs={NUMBER: number})

    def _fail(self, trial: optuna.Trial, reason: str) -> None:
        trial.set_user_attr(REASON, reason)
        self._study.tell(trial, state=TrialState.FAIL)

    def _numbered(self) -> list[tuple[int, FrozenTrial]]:
        """Every trial with its number, in the order they were asked: counted from 1, the base recipe being 0."""
        numbered, counted = [], BASE_NUMBER
        for trial in self._study.get_trials(deepcopy=False):
            number = number_of(trial)
            if number is None:
                number = counted = counted + 1
            numbered.append((number, trial))
        return numbered

    def _newest(self) -> dict[int, FrozenTrial]:
        return dict(self._numbered())

    def _tried(self, number: int, trial: FrozenTrial) -> Tried:
        curve = dict(sorted(trial.intermediate_values.items()))
        return Tried(
            number,
            STATES[trial.state],
            dict(trial.params),
            curve,
            self._best(curve) if curve else None,
            float(trial.user_attrs.get(SECONDS, 0.0)),
            trial.user_attrs.get(REASON),
        )

    def _best(self, curve: Mapping[int, float]) -> float:
        return self.sign * max(self.sign * value for value in curve.values())


def study_name(search: Search, base: Recipe, metric: str, version: str) -> str:
    """A hash of all that a search's outcome hangs on but its budget and its workers."""
    space = {name: vary.model_dump() for name, vary in search.space.items()}
    policy = [search.seed, search.min_epochs, search.reduction]
    said = json.dumps([FORMAT, space, policy, flat(base), metric, version], default=str)
    return blake2b(said.encode(), digest_size=6).hexdigest()


class _Lease:
    """One driver a study: a lock that the kernel takes back when its process dies, however it dies."""

    def __init__(self, path: Path) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        self._file = path.open("a+")
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            self._file.close()
            raise InputError("this search is running already; wait for it, or end it with Ctrl-C.") from error

    def release(self) -> None:
        self._file.close()


class _Held(JournalFileOpenLock):
    """The journal's own lock: none, since the lease is held. (Optuna's would outlive a killed driver by 30 s.)"""

    def acquire(self) -> bool:
        return True

    def release(self) -> None:
        pass


def _opened(search: Search, name: str, journal: Path, direction: str) -> optuna.Study:
    """The study in its journal file, or in the database that `search.storage` names; a new one where there is none.

    Raises:
        InputError: the journal is damaged or the database cannot be opened.
    """
    address = search.storage
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    try:
        return optuna.create_study(
            storage=_storage(address, journal),
            study_name=name,
            direction="maximize" if direction == "max" else "minimize",
            pruner=Halving(search.min_epochs, search.reduction),
            load_if_exists=True,
        )
    except OSError:
        raise  # the disk's own words; terminal.py makes a sentence of them
    except Exception as error:  # border to Optuna and to what it opens the database with
        what = f"search.storage is {address!r}; it" if address is not None else f"{journal}:"
        remedy = (
            "it must be a database that answers." if address is not None else "delete it to search from the beginning."
        )
        raise InputError(f"{what} cannot be opened ({_inner(str(error))}); {remedy}") from error


def _storage(address: str | None, journal: Path) -> BaseStorage:
    if address is not None:
        return RDBStorage(address)
    _cut_torn_line(journal)
    return JournalStorage(JournalFileBackend(str(journal), lock_obj=_Held(str(journal))))


def _cut_torn_line(journal: Path) -> None:
    """Take away a last line that was not written to its end; Optuna refuses a file that goes on after one."""
    if not journal.exists():
        return
    with journal.open("rb+") as file:
        whole = file.read()
        kept = whole.rfind(b"\n") + 1
        if kept < len(whole):
            file.truncate(kept)


def _inner(reason: str) -> str:
    """A reason within a sentence: its first line, without a closing dot of its own."""
    lines: Sequence[str] = reason.strip().splitlines() or ["no reason was given"]
    return lines[0].rstrip(".")
