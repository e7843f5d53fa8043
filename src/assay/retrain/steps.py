"""One retraining from data to decision. Owns the order of its steps and the folder that they work in; a step that was
done is not done again, whatever stopped the process after it.
"""

import shutil
import subprocess
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from assay.championship import Championship
from assay.data.dataset import Dataset, open_prepared, read_about
from assay.data.prepare import Plan, plan
from assay.errors import InputError
from assay.model_files import FACTS
from assay.params import Params, Recipe
from assay.registry.ledger import Decision
from assay.retrain.account import (
    DECIDED,
    GIVEN_UP,
    JUDGED,
    NOTHING_NEW,
    PLANNED,
    TRAINED,
    Account,
    Past,
    Step,
)
from assay.retrain.due import missed
from assay.retrain.key import RECIPE, key_of, of_settings
from assay.retrain.near import near
from assay.retrain.reason import change, reason
from assay.retrain.telling import PAGES, counts_of, send, write_told
from assay.settings import read_recipe
from assay.terminal import Progress, say
from assay.tracking import Tracker, open_tracker

if TYPE_CHECKING:
    from assay.drift import Drift
    from assay.match import Contender

PLACE = Path(".assay/retrain")  # a folder a key, thrown away when all is told
CHECKPOINTS = Path(".assay/checkpoints")
PROMOTED, KEPT, MISSED = "promoted", "kept", "missed"


@dataclass(frozen=True)
class Ended:
    """How a retraining ended.

    Attributes:
        kind: `PROMOTED`, `KEPT` or `NOTHING_NEW`.
        more: what a notice says besides.
    """

    kind: str
    said: str
    more: Mapping[str, Any] = field(default_factory=dict)


class Retraining:
    """What is to be done about the data as they are now."""

    def __init__(self, params: Params, root: Path, house: Championship, account: Account, *, force: bool) -> None:
        self._params, self._root, self._house, self._account = params, root, house, account
        self._force, self._past = force, Past(tuple(account.steps()))
        self._missed = self._missed_since()

    def _missed_since(self) -> int:
        """How often the schedule was due since anybody retrained, and nobody did."""
        schedule = self._params.retrain.schedule
        if schedule is None or not self._past.steps:
            return 0
        count = missed(schedule, self._past.steps[-1].at, time.time())
        if count:
            said = f"it was due {count} times more since the last and did not run; this one is for all of them."
            say(f"retrain: {said}")
            send(self._params, self._root, MISSED, said, missed=count)
        return count

    def run(self) -> Ended:
        """Do what is left to be done.

        Raises:
            InputError: a step cannot be done; those before it are kept.
        """
        begun = {step.state: step for step in self._past.open}
        if JUDGED in begun:  # whatever has come since is for the next start
            return self._taken_up(begun)
        source = plan(self._params.data, self._params.evaluate.slices)
        self._key = key_of(self._params, source.source)
        self._open = self._opened()
        if not self._open and (known := self._past.decided(self._key)) is not None:
            return self._nothing(f"these data, settings and code were retraining {known.retraining}: {_ending(known)}")
        self._place = self._root / PLACE / self._key
        self._clear()
        prepared = self._prepare(source)
        if not self._open:
            ended = self._planned(prepared)
            if ended is not None:
                return ended
        if TRAINED not in self._open or not (self._place / "train/model" / FACTS).exists():
            self._train(prepared)
        if JUDGED not in self._open:
            self._judge(prepared)
        return self._decide()

    def _taken_up(self, begun: dict[str, Step]) -> Ended:
        """The rest of a retraining that was judged and not told of."""
        self._key, self._open = begun[JUDGED].key, begun
        self._place = self._root / PLACE / self._key
        say(f"retrain: retraining {self._number} goes on; it was judged.")
        return self._decide()

    def _opened(self) -> dict[str, Step]:
        """State → step of this retraining, where it was begun; another one that was begun is given up."""
        begun = self._past.open
        if begun and begun[-1].key != self._key:
            why = "data, settings or code are newer by now"
            say(f"retrain: retraining {begun[-1].retraining} was not ended, and {why}; it is given up for them.")
            self._account.add(begun[-1].retraining, begun[-1].key, GIVEN_UP, {"why": why})
            return {}
        if begun:
            say(f"retrain: retraining {begun[-1].retraining} goes on; it was {begun[-1].state}.")
        return {step.state: step for step in begun}

    @property
    def _number(self) -> int:
        return self._open[PLANNED].retraining

    def _note(self, state: str, told: dict[str, Any]) -> None:
        number = self._past.next if state == PLANNED else self._number
        self._open[state] = self._account.add(number, self._key, state, told)

    def _clear(self) -> None:
        """Folders of retrainings that nobody goes on with."""
        for folder in (self._root / PLACE).glob("*"):
            if folder != self._place and folder.is_dir():
                shutil.rmtree(folder, ignore_errors=True)

    def _prepare(self, planned: Plan) -> Path:
        out = self._place / "prepare"
        if not (out / "data/dataset.json").exists():
            with Progress("prepare", planned.num_samples) as progress:
                report = planned.write(out, progress.step)
            for sentence in report.sentences():
                say(f"prepare: {sentence}")
        return out / "data"

    def _planned(self, prepared: Path) -> Ended | None:
        """Whether to retrain at all, and from where."""
        last, former = self._house.last(), self._past.last(DECIDED)
        told: dict[str, Any] = {
            "settings": of_settings(self._params, RECIPE),
            "data": read_about(prepared).version,
            "counts": counts_of(prepared),
            "before": None if former is None else former.told["counts"],
            "missed": self._missed,
            "champion": None if last is None else last.champion,
        }
        if last is None:
            told |= {"round": None, "samples": {}, "drift": [], "why": f"{self._house.name} has no champion yet."}
        else:
            changed, drift = change(prepared, self._former(last).seen), self._drift(prepared)
            other = former is not None and former.told["settings"] != told["settings"]
            age = time.time() - (last.at if former is None else former.at)
            alarm = drift.said if drift is not None and drift.found else None
            how = self._params.retrain
            why = reason(how, changed, age, other_recipe=other, drift=alarm, force=self._force)
            if not why:
                return self._nothing(f"there is no reason to retrain: {changed.said}.")
            said = [] if drift is None else [drift.said]
            told |= {"round": None if other else last.champion, "samples": vars(changed), "drift": said, "why": why}
        say(f"retrain: {told['why']}")
        self._note(PLANNED, told)
        return None

    def _drift(self, prepared: Path) -> "Drift | None":
        """What a look at the new samples has found; None where they are too few."""
        from assay.watch import TooFew, Watch

        try:
            with Watch(self._params, self._house) as watch:
                found = watch.at_prepared(prepared).drift
        except TooFew:
            return None
        say(f"retrain: {found.said}")
        return found

    def _former(self, last: Decision) -> "Contender":
        """The model of the last retraining, or else the champion."""
        former = self._past.last(JUDGED)
        return self._house.contender(last.champion if former is None else former.told["version"])

    def _train(self, prepared: Path) -> None:
        from assay.copies import count_copies, write_copies
        from assay.train import train
        from assay.weights import weights_of

        params, place = self._sought(), self._place
        if not (place / "augment/data/version.txt").exists():
            with Progress("augment", count_copies(prepared, params.augment)) as progress:
                write_copies(prepared, params.augment, params.recipe.augmentation, place / "augment", progress.step)
        data = open_prepared(prepared, place / "augment/data")
        tags = {"data_version": data.about.version, "retraining": self._number}
        with open_tracker(params.tracking, self._root, tags) as tracker:
            recipe = self._searched(params, data, prepared, tracker)
            with Progress("train", recipe.epochs) as progress:
                train(
                    recipe,
                    data,
                    params.data,
                    metric=params.search.watched,
                    weights=weights_of(recipe, self._root),
                    tracker=tracker,
                    progress=progress,
                    checkpoints=self._root / CHECKPOINTS,
                    out=place / "train",
                )
        self._note(TRAINED, {})

    def _sought(self) -> Params:
        """The settings, with the part of the space that lies round the champion's recipe, where there is one."""
        champion = self._open[PLANNED].told["round"]
        if champion is None:
            return self._params
        recipe, how, search = self._house.contender(champion).trained.recipe, self._params.retrain, self._params.search
        space = near(search.space, recipe, how.around)
        narrowed = search.model_copy(update={"trials": how.trials, "space": space})
        return self._params.model_copy(update={"recipe": recipe, "search": narrowed})

    def _searched(self, params: Params, data: Dataset, prepared: Path, tracker: Tracker) -> Recipe:
        from assay.folds import kin_of
        from assay.search import run_search

        out, augmented = self._place / "search", self._place / "augment/data"
        if (out / "recipe.yaml").exists():
            return read_recipe(out / "recipe.yaml")
        kin = kin_of(data, prepared, augmented) if params.search.finals != "off" else None
        return run_search(params, data, self._root, out, tracker, None, kin)

    def _judge(self, prepared: Path) -> None:
        ended = self._house.challenge(self._place / "train/model", prepared)
        told = {"version": ended.version, "decision": ended.decision.number, "said": ended.decision.reason}
        promoted = ended.won and ended.version != self._open[PLANNED].told["champion"]  # it may be the same model
        self._note(JUDGED, told | {"kind": PROMOTED if promoted else KEPT})

    def _decide(self) -> Ended:
        """Tell what came of it, and leave nothing behind."""
        judged = self._open[JUDGED].told
        said = f"retraining {self._number}, version {judged['version']}, is {judged['kind']}: {judged['said']}"
        if DECIDED not in self._open:
            self._tell(self._place / "prepare/data", judged)
            self._note(
                DECIDED, dict(judged) | {name: self._open[PLANNED].told[name] for name in ("settings", "counts")}
            )
        shutil.rmtree(self._place, ignore_errors=True)
        more = {"retraining": self._number, "version": judged["version"], "missed": self._missed}
        return Ended(judged["kind"], said, more | {"page": str(PAGES / f"{self._number}.html")})

    def _tell(self, prepared: Path, judged: Mapping[str, Any]) -> None:
        if not prepared.exists():  # another machine had them
            say(f"retrain: the data of retraining {self._number} are not here any more, so it has no page.")
            return
        planned = self._open[PLANNED].told
        page = write_told(self._params, self._root, self._house, self._number, prepared, planned, judged)
        say(f"retrain: {page.relative_to(self._root)} shows it.")

    def _nothing(self, why: str) -> Ended:
        self._account.add(self._past.next, self._key, NOTHING_NEW, {"why": why})
        shutil.rmtree(self._root / PLACE / self._key, ignore_errors=True)
        return Ended(NOTHING_NEW, why, {"missed": self._missed})


def pull(command: str | None, root: Path) -> None:
    """Run what brings new samples.

    Raises:
        InputError: it did not end well.
    """
    if command is None:
        return
    ended = subprocess.run(command, shell=True, cwd=root, check=False)
    if ended.returncode:
        raise InputError(f"data.pull: `{command}` ended with exit code {ended.returncode}; nothing was retrained.")


def _ending(step: Step) -> str:
    return f"version {step.told['version']} was {step.told['kind']}."
