"""A search under way. Owns what happens to a trial between its ask and its end: the study decides, MLflow remembers,
the person sees. Knows nothing of Ray.
"""

import math
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from assay.errors import InputError
from assay.lease import Superseded
from assay.params import Recipe
from assay.search.halving import rungs_reached
from assay.search.study import Study
from assay.search.trial import COMPLETE, FAILED, PRUNED, Asked, Tried, short
from assay.terminal import Progress, duration, say
from assay.tracking import Run, Tracker

STATUS = {COMPLETE: "FINISHED", PRUNED: "PRUNED", FAILED: "FAILED"}  # the run's, as tracking knows them
GO_ON = "interrupted; the same command goes on"


@dataclass
class _Trial:
    asked: Asked
    run: Run
    asked_at: float = field(default_factory=time.monotonic)
    begin: float = math.inf  # of its training, by this machine's clock
    seconds: float = 0.0  # trained so far
    over: bool = False  # it runs no more, and waits for its verdict


class Course:
    """The trials that run now, and what is told of them."""

    def __init__(self, study: Study, tracker: Tracker, parent: Run, progress: Progress, workers: int) -> None:
        self.study, self.tracker, self.parent, self.progress = study, tracker, parent, progress
        self.workers, self._began, self._trained = workers, time.monotonic(), 0.0
        self.name, self.metric = study.name, study.metric
        self.broken: InputError | None = None  # why the search cannot go on
        self._said: set[str] = set()  # why trials failed, as the person knows it by now
        self._replaced: set[str] = set()  # trained networks of which it knows that they get other activations
        self._anew: dict[int, Run] = {}  # of trials to be asked anew
        self._live = {each.number: _Trial(each, self._run(each)) for each in study.waiting}
        with self._owned():
            self._close(study.settle())

    @property
    def left(self) -> int:
        """Trials of the budget that are still to be run."""
        return self.study.left

    @property
    def ready(self) -> bool:
        """Whether `next` can answer now: what it hangs on has ended."""
        return self.broken is not None or self.study.ready

    @property
    def over(self) -> bool:
        """Whether no trial will be begun any more."""
        return self.broken is not None or self.study.spent

    def next(self) -> Asked | None:
        """The next trial to run, when it is `ready`; None where there is none."""
        asked = None
        with self._owned():
            asked = None if self.broken else self.study.ask()
        if asked is not None:
            self._live[asked.number] = _Trial(asked, self._run(asked))
            self._say_replaced(asked.recipe)
            self._say_handed_over(asked)
            self._show()
        return asked

    def report(self, number: int, told: Mapping[str, Any]) -> bool:
        """Take what a trial tells after an epoch; whether it goes on.

        `told`: `failed` (a reason), or `epoch`, `value`, `finished` and `metrics`; the `seconds` trained so far, and on
        which `worker`, where it ran.
        """
        goes_on = False  # where it is another driver's now
        with self._owned():
            goes_on = self._goes_on(number, told)
        return goes_on and self.broken is None

    def _goes_on(self, number: int, told: Mapping[str, Any]) -> bool:
        if number not in self._live or self.broken:
            return False
        self._time(number, told)
        self._live[number].over = bool(told.get("failed") or told["finished"])
        if told.get("failed"):
            self._close(self.study.fail(number, told["seconds"], told["failed"]))
            return False
        self._live[number].run.log(told["metrics"], step=told["epoch"])
        self._close(
            self.study.report(number, told["epoch"], told["value"], told["seconds"], told["finished"], costs_of(told))
        )
        return number in self._live and not told["finished"]

    def lost(self, number: int, reason: str, machine: bool) -> None:
        """A trial whose worker is no more; by the machine's fault, it is asked anew once."""
        if number in self._live and not self.broken:
            with self._owned():
                self._lose(number, reason, machine)

    def _lose(self, number: int, reason: str, machine: bool) -> None:
        if machine and self.study.again(number):
            self._anew[number] = self._live.pop(number).run
            say(f"search: trial {number} begins anew: {reason}")
            self._show()
        else:
            self._close(self.study.fail(number, time.monotonic() - self._live[number].asked_at, reason))

    def _say_replaced(self, recipe: Recipe) -> None:
        """Say once of a trained network that activations of the space take the place of its own."""
        if recipe.pretrained is True and recipe.activation is not None and recipe.backbone not in self._replaced:
            self._replaced.add(recipe.backbone)
            gets = f"search: {recipe.backbone} gets other activations"
            say(f"{gets} (recipe.activation) than its weights were trained with.")

    def _say_handed_over(self, asked: Asked) -> None:
        """Say when a sampler gives way to another: once a study, however often the trial is asked."""
        if self.study.hands_over(asked.number) and not asked.again:
            says = f"search: from trial {asked.number} on TPE chooses in place of search.sampler gp"
            say(f"{says}, whose model of so many trials takes too long.")

    def interrupt(self) -> None:
        """Leave the study as a kill would, for the next start to take over, and no run RUNNING."""
        for run in [*(trial.run for trial in self._live.values()), *self._anew.values()]:
            run.end("KILLED", GO_ON)
        self._live.clear()
        self._anew.clear()

    def check_owned(self) -> None:
        """Raise where another driver has taken the search over: nothing of it is ours to end.

        Raises:
            Superseded: it has.
        """
        with self._owned():
            self.study.check_owned()
        if isinstance(self.broken, Superseded):
            raise self.broken

    @contextmanager
    def _owned(self) -> Iterator[None]:
        """Where another driver has taken over, it goes on with the runs too, and they are left to it."""
        try:
            with self.study.owned():
                yield
        except Superseded as error:
            self.broken = error
            for run in [*(trial.run for trial in self._live.values()), *self._anew.values(), self.parent]:
                run.leave()
            self._live.clear()
            self._anew.clear()

    def _time(self, number: int, told: Mapping[str, Any]) -> None:
        """Note where and when it trains. Workers' clocks may differ, so all is told by this one's and by lengths."""
        trial, now = self._live[number], time.time()
        self._trained += told["seconds"] - trial.seconds
        trial.seconds, trial.begin = told["seconds"], min(trial.begin, now - told["seconds"])
        if "worker" in told:
            self.study.seen(number, told["worker"], trial.begin, now)

    def _close(self, settled: list[Tried]) -> None:
        if not settled:
            return
        for each in settled:
            trial = self._live.pop(each.number)
            if each.reason is not None:
                trial.run.tag("reason", each.reason)
                self._say(each.number, each.reason)
            if each.state == PRUNED:  # it may have trained on while its verdict was open, which counts for nothing
                trial.run.tag("stopped_after", max(each.curve))
            trial.run.end(STATUS[each.state], each.reason)
        self._show()
        try:
            self.study.check_failures()
        except InputError as broken:
            self.broken = broken

    def _say(self, number: int, reason: str) -> None:
        """A reason is said when it is met, and once: a hundred trials may fail for the same."""
        if reason not in self._said:
            self._said.add(reason)
            say(f"search: trial {number} failed: {' '.join(reason.split())}")

    def _run(self, asked: Asked) -> Run:
        """The trial's run, the one that was begun before its driver or its worker died if there is one."""
        if asked.number in self._anew:
            return self._anew.pop(asked.number)
        return self.tracker.start(
            trial_name(asked.number, asked.recipe),
            kind="trial",
            params={f"recipe.{setting}": value for setting, value in asked.values.items()},
            tags={"study": self.study.name, "trial": asked.number},
            parent=self.parent,
            key=f"{self.study.id} trial {asked.number}",
            again=asked.again,
        )

    def _show(self) -> None:
        counts, best = self.study.tally.states, self.study.best()
        running = sum(not trial.over for trial in self._live.values())
        note = [f"{running} running"] + [f"{counts[state]} {state}" for state in (PRUNED, FAILED) if counts[state]]
        if self.study.clock.left_s is not None:
            note.append(f"{duration(self.study.clock.left_s)} of the budget left")
        said = None if best is None else f"{self.study.metric} {best.score:.4f}{priced(best)} (trial {best.number})"
        beneath = [self._use(running), self._rungs()]
        beneath += [] if best is None else [recipe_line(self.study, best.number, best.drawn)]
        self.progress.step(counts.total(), said, " · ".join(note), [line for line in beneath if line])

    def _use(self, running: int) -> str:
        elapsed = time.monotonic() - self._began
        share = min(1.0, self._trained / max(elapsed * self.workers, 1e-9))
        trained = f", {share:.0%} of their time in training" if self._trained else ""
        return f"workers  {running} of {self.workers} at work{trained}"

    def _rungs(self) -> str:
        reached = rungs_reached(self.study.lasts(), *self.study.rungs)
        return "rungs    " + ", ".join(f"{count} at epoch {epoch}" for epoch, count in reached) if reached else ""


def recipe_line(study: Study, number: int, drawn: Mapping[str, Any]) -> str:
    """What a trial's recipe changes in the base recipe, for beneath the moving line."""
    changed = [f"{name} {short(value)}" for name, value in study.space.differences(number, drawn).items()]
    return f"trial {number:<3}" + (", ".join(changed) if changed else "the base recipe")


def costs_of(told: Mapping[str, Any]) -> dict[str, float]:
    """What a trial costs by what it tells: training seconds an epoch, weights of its network."""
    return {
        "cost/seconds": told["seconds"] / told["epoch"],
        "cost/parameters": told["metrics"].get("cost/parameters", math.nan),
    }


def priced(one: Tried) -> str:
    """`, cost/seconds 1.2`; nothing where costs are no objective."""
    return "".join(f", {name} {short(cost)}" for name, cost in one.costs.items())


def trial_name(number: int, recipe: Recipe, what: str = "trial") -> str:
    """`trial 007 cnn lr 3e-3`."""
    mantissa, exponent = f"{recipe.optimizer.lr:.0e}".split("e")
    return f"{what} {number:03d} {recipe.backbone} lr {mantissa}e{int(exponent)}"
