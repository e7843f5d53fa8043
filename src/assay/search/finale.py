"""The finals of a search under way: its best trials and the base recipe on fresh seeds. Owns what happens to such a run
between its ask and its end; who is wanted and who wins, finals.py decides.

What has ended is kept in the study under the trial's number and the seed's index. So a search that was killed here goes
on, and a larger budget, which may have other finalists, runs again only what is new.
"""

import math
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from hashlib import blake2b
from typing import Any

from assay.errors import InputError
from assay.finals import PLANS, Finals
from assay.finals import Run as Key  # a trial's number, a seed's index
from assay.lease import Superseded
from assay.params import with_values
from assay.search.course import GO_ON, recipe_line, trial_name
from assay.search.study import MACHINE_TRIES, Study
from assay.search.trial import BASE_NUMBER, COMPLETE, Asked, Rerun, Tried
from assay.terminal import Progress
from assay.tracking import Run, Tracker


def finals_of(study: Study, plan: str) -> Finals | None:
    """The finals as far as the study knows them; None where they are off, or the base recipe meets nobody."""
    return None if plan == "off" else _finals_among(study.tried(), study.sign, study.reruns(), plan)


def finals_kept(tried: Sequence[Tried], sign: int, reruns: Mapping[Key, Rerun]) -> Finals | None:
    """The finals that were run, by a study that does not say their plan: of all plans the one that most of the runs
    belong to, of equals one that is done; None where there were none."""
    plans = [plan for plan, rounds in PLANS.items() if rounds]
    found = [finals for plan in plans if (finals := _finals_among(tried, sign, reruns, plan)) is not None]
    known = [finals for finals in found if finals.told]
    return max(known, key=lambda finals: (len(finals.told), finals.done), default=None)


def _finals_among(tried: Sequence[Tried], sign: int, reruns: Mapping[Key, Rerun], plan: str) -> Finals | None:
    scores = {each.number: each.score for each in tried if each.state == COMPLETE}
    if not scores.keys() - {BASE_NUMBER}:
        return None
    finals = Finals(plan, scores, sign, BASE_NUMBER)
    finals.tell_known({key: rerun.value for key, rerun in reruns.items()})
    return finals


def fresh_seed(seed: int, index: int) -> int:
    """The seed of that index, of a search with `seed`: the same for all finalists."""
    return int.from_bytes(blake2b(f"final {seed} {index}".encode(), digest_size=4).digest())


@dataclass
class _Live:
    key: Key
    run: Run
    begin: float
    best: float | None = None


class Finale:
    """Jobs for Tune (see `Jobs`), numbered as they are asked for."""

    def __init__(
        self, study: Study, finals: Finals, tracker: Tracker, parent: Run, progress: Progress, *, folded: bool
    ) -> None:
        """`folded`: every seed has a split of train and validation of its own."""
        self.study, self.finals, self.tracker, self.parent, self.progress = study, finals, tracker, parent, progress
        self.name, self.metric, self.left = f"{study.name}-finals", study.metric, finals.left
        self.broken: InputError | None = None  # nothing else breaks the finals: who fails is out
        self._folded, self._drawn = folded, {each.number: each.drawn for each in study.tried()}
        self._live: dict[int, _Live] = {}
        self._asked, self._ended, self._lost = 0, 0, dict[Key, int]()

    @property
    def ready(self) -> bool:
        return bool(self._next()) or self.over

    @property
    def over(self) -> bool:
        return self.broken is not None or self.finals.done

    def next(self) -> Asked | None:
        if self.broken is not None or not (wanted := self._next()):
            return None
        number, index = wanted[0]
        drawn, seed = self._drawn[number], fresh_seed(self.study.seed, index)
        recipe = with_values(self.study.recipe_of(number, drawn), {"seed": seed})
        values = self.study.values_of(number, drawn) | {"seed": seed}
        asked = Asked(self._asked, recipe, values, again=False, fold=seed if self._folded else None)
        self._live[asked.number] = _Live((number, index), self._run(number, index, asked), time.monotonic())
        self._asked += 1
        self._show()
        return asked

    def report(self, number: int, told: Mapping[str, Any]) -> bool:
        if (live := self._live.get(number)) is None:
            return False
        if told.get("failed") or not math.isfinite(told["value"]):
            reason = told.get("failed") or f"its {self.metric} is {told['value']}"
            self._end(number, Rerun(None, told["seconds"], reason))
            return False
        live.run.log(told["metrics"], step=told["epoch"])
        sign, value = self.study.sign, told["value"]
        live.best = value if live.best is None else sign * max(sign * value, sign * live.best)
        if told["finished"]:
            self._end(number, Rerun(live.best, told["seconds"], None))
        return not told["finished"] and self.broken is None

    def lost(self, number: int, reason: str, machine: bool) -> None:
        if (live := self._live.get(number)) is None:
            return
        self._lost[live.key] = self._lost.get(live.key, 0) + 1
        if self._lost[live.key] > MACHINE_TRIES or not machine:
            self._end(number, Rerun(None, time.monotonic() - live.begin, reason))
        else:
            self._live.pop(number).run.end("KILLED", reason)

    def check_owned(self) -> None:
        """Raise where another driver has taken the search over, with the runs too.

        Raises:
            Superseded: it has.
        """
        try:
            self.study.check_owned()
        except Superseded as error:
            self._leave(error)
        if self.broken is not None:
            raise self.broken

    def interrupt(self) -> None:
        """Leave what runs to the next start, and no run RUNNING."""
        for live in self._live.values():
            live.run.end("KILLED", GO_ON)
        self._live.clear()

    def _next(self) -> list[Key]:
        running = {live.key for live in self._live.values()}
        return [key for key in self.finals.wanted() if key not in running]

    def _leave(self, error: Superseded) -> None:
        self.broken = error
        for run in [*(live.run for live in self._live.values()), self.parent]:
            run.leave()
        self._live.clear()

    def _end(self, number: int, rerun: Rerun) -> None:
        live = self._live[number]
        try:
            with self.study.owned():
                self.study.keep_rerun(*live.key, rerun)
        except Superseded as error:
            self._leave(error)
            return
        del self._live[number]
        self.finals.tell(*live.key, rerun.value)
        self._ended += 1
        if rerun.reason is not None:
            live.run.tag("reason", rerun.reason)
        live.run.end("FINISHED" if rerun.reason is None else "FAILED", rerun.reason)
        self._show()

    def _run(self, number: int, index: int, asked: Asked) -> Run:
        """Its run in MLflow, the one that a kill left if there is one."""
        return self.tracker.start(
            trial_name(number, asked.recipe, "final") + f" seed {index}",
            kind="final",
            params={f"recipe.{setting}": value for setting, value in asked.values.items()},
            tags={"study": self.study.name, "trial": number, "seed": index},
            parent=self.parent,
            key=f"{self.study.id} final {number} {index}",
            again=self.study.resumed or (number, index) in self._lost,
        )

    def _show(self) -> None:
        note, best = f"{len(self._live)} running", self.finals.leading
        if best is None:
            self.progress.step(self._ended, note=note)
            return
        number, seeds = best
        on = "1 fresh seed" if seeds == 1 else f"{seeds} fresh seeds"
        said = f"{self.metric} {self.finals.mean(number, seeds):.4f} on {on} (trial {number})"
        self.progress.step(self._ended, said, note, [recipe_line(self.study, number, self._drawn[number])])
