"""How a challenger becomes champion, and how a person sees and overrules it. Owns the order of steps, so that a kill
between any two loses no decision and makes none twice.

Each step is written down before the next: a look at the test split is spent before a score is computed. MLflow's
aliases follow the last decision; where they do not, a process died between, or somebody moved them.
"""

import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from assay.data.dataset import Split, read_split
from assay.errors import InputError
from assay.lease import Held
from assay.match import Contender, Match, registered
from assay.metric import resolve_metric
from assay.paired import Compared
from assay.params import Params, flat
from assay.promotion import CREEP, Budget, Rules, prospect, ruled, screened
from assay.registry.ledger import Decision, Ledger, history, place
from assay.registry.versions import CHALLENGER, CHAMPION, PREVIOUS, Seen, Version, Versions
from assay.tensors import sha256
from assay.terminal import say
from assay.tracking.address import make_place, reach, resolve
from assay.tracking.source import source_tags

if TYPE_CHECKING:
    from assay.model_files import Trained

SKETCH = 64  # keys by which a test split is known again
CONFIDENCE = 0.95


@dataclass(frozen=True)
class Challenged:
    """What came of a challenge: the version that the model is now, and the decision that it ended with."""

    version: int
    decision: Decision

    @property
    def won(self) -> bool:
        """Whether it is champion."""
        return self.decision.champion == self.version


class Championship:
    """The registered model of a project. Give it back with its `with`."""

    def __init__(self, params: Params, root: Path) -> None:
        """Open MLflow's registry and the decisions.

        Raises:
            InputError: one of them does not answer.
        """
        address = resolve(params.tracking, root)
        reach(address)
        make_place(address)
        self._how, self._root, self.name = params.promote, root, params.promote.model
        self._evaluate = params.evaluate
        self._contenders: dict[int, Contender] = {}  # a version never changes, and to fetch one takes a second
        self._versions = Versions(address, root, self.name)
        self.database = place(params.promote.storage, address, root)
        self._ledger = Ledger(self.database, self.name)

    def __enter__(self) -> "Championship":
        return self

    def __exit__(self, *_: object) -> None:
        self._ledger.close()

    def history(self) -> list[Decision]:
        """The decisions that made a champion, oldest first.

        Raises:
            InputError: nobody ever was champion.
        """
        return history(self.decisions())

    def decisions(self) -> list[Decision]:
        """Everything that was decided, oldest first; MLflow's aliases are brought in line with it, where nobody is
        deciding at this moment.

        Raises:
            InputError: nobody ever was champion.
        """
        made = [] if self.last() is None else self._ledger.decisions()
        if not made:
            raise InputError(f"{self.name} has no champion; `assay challenge` makes the trained model the first.")
        return made

    def last(self) -> Decision | None:
        """The newest decision, as `decisions` has it; None where nobody ever was champion."""
        with suppress(Held), self._deciding() as last:
            return last
        return self._ledger.last()

    def contender(self, number: int) -> Contender:
        """A version with its model and what it has learnt from.

        Raises:
            InputError: see `registered`.
        """
        if number not in self._contenders:
            self._contenders[number] = registered(self._versions, number)
        return self._contenders[number]

    def challenge(self, folder: Path, prepared: Path) -> Challenged:
        """Let the model in `folder` try to become champion.

        Raises:
            InputError: the model is not of the data in `prepared`, or another process decides at this moment.
        """
        from assay.evaluate import refuse_strange
        from assay.limits import refuse_unfit
        from assay.model_files import FACTS, load_model

        trained = load_model(folder)
        seen = _seen(prepared)
        match = Match(Contender("the challenger", trained, seen), prepared, self._evaluate)
        refuse_strange(trained.about, match.about)
        refuse_unfit(self._how, match.about.task)
        _ = match.columns  # now, and not after a look was paid for
        with self._deciding() as last:
            identity = sha256((folder / FACTS).read_bytes())
            version = self._versions.register(folder, identity, seen, self._tags(trained), match.temperature)
            if last is None:
                return Challenged(version.number, self._first(version, match, folder))
            if version.number == last.champion:
                say(f"{self.name}: version {version.number} is champion already.")
                return Challenged(version.number, last)
            if (known := self._known(version, last, match)) is not None:
                say(f"{self.name}: version {version.number} was judged on these data before: {known.reason}")
                return Challenged(version.number, known)
            self._versions.name_as(CHALLENGER, version.number)
            ended = self._played(match, version, last, folder)
        say(f"{self.name}: version {version.number} against {last.champion}: {ended.reason}")
        return Challenged(version.number, ended)

    def promote(self, number: int, reason: str) -> None:
        """Make a version champion against or without the test, as a person says.

        Raises:
            InputError: there is no such version, or no reason.
        """
        if not reason.strip():
            raise InputError("--reason is empty; say why, in words that the account keeps.")
        self._versions.get(number)
        with self._deciding() as last:
            if last is not None and last.champion == number:
                raise InputError(f"{self.name} version {number} is champion already.")
            before = None if last is None else last.champion
            self._told(self._ledger.add(last, "by hand", number, number, before, reason.strip(), {}, _left(last)))
        say(f"{self.name}: version {number} is champion now, by hand.")

    def rollback(self, reason: str) -> None:
        """Give the championship back to who had it before.

        Raises:
            InputError: there is nobody to go back to.
        """
        with self._deciding() as last:
            if last is None or last.previous is None:
                raise InputError(f"{self.name} has no champion before the present one; there is nothing to go back to.")
            fallen, returned = last.champion, last.previous
            lines = history(self._ledger.decisions())  # another rollback goes one further
            before = next((one.previous for one in reversed(lines) if one.champion == returned), None)
            told = {"data": self._versions.get(fallen).tags.get("assay.data_version", "")}
            self._told(self._ledger.add(last, "rolled back", fallen, returned, before, reason, told, _left(last)))
        say(f"{self.name}: version {returned} is champion again; version {fallen} was rolled back.")

    def _first(self, version: Version, match: Match, folder: Path) -> Decision:
        budget, counts = self._opened(None, match), match.unseen(None)
        told = {"data": match.about.version} | _worth(match, "test", match.test, counts)
        said = " ".join(["the first model", *(f"although {limit}" for limit in self._untested(match, folder))])
        made = self._ledger.add(None, "first", version.number, version.number, None, said, told, budget)
        self._told(made)
        say(f"{self.name}: version {version.number} is champion, the first; nobody was there to beat.")
        return made

    def _played(self, match: Match, version: Version, last: Decision, folder: Path) -> Decision:
        """Screen, look and rule, each where it was not done; the decision at the end."""
        champion, data = self.contender(last.champion), {"data": match.about.version}
        keep = version.number, last.champion, last.previous
        if (look := last).kind != "look" or last.version != version.number:  # else a process died within it
            if limits := self._untested(match, folder):
                return self._refused(version, last, limits, data)
            budget = self._opened(last, match)
            seen = match.on_validation(champion, budget.rules.metric, CONFIDENCE)
            if not screened(seen, budget.rules):
                said = f"the validation split does not speak for it: {seen.said}. The test split was not looked at."
                told = data | _figures(seen) | _worth(match, "validation", match.validation, match.untaught(champion))
                return self._told(self._ledger.add(last, "screened", *keep, said, told, budget))
            if not budget.alpha:
                return self._told(self._ledger.add(last, "kept", *keep, _spent(budget), data, budget))
            ahead = prospect(budget, seen.spread, int(match.unseen(champion).sum()), self._how.wanted)
            say(f"{self.name}: {ahead.said}")
            look = self._told(
                self._ledger.add(last, "look", *keep, ahead.said, data | {"alpha": ahead.alpha}, budget.looked())
            )
        left, alpha = look.budget, float(look.evidence["alpha"])
        assert left is not None, "a look is always paid from a budget"
        test = match.on_test(champion, left.rules.metric, CONFIDENCE)
        earlier = {one.name: match.on_test(one, left.rules.metric, CREEP) for one in self._earlier(left, last)}
        slices, limits = {}, []
        if test.p <= alpha:  # they only lower the error: whom the test does not speak for they cannot help
            slices = match.on_slices(champion, left.rules.metric, CONFIDENCE)
            limits = self._tested(match, champion)
        ruling = ruled(test, alpha, left.rules, earlier, slices, limits)
        told = data | _figures(test) | _worth(match, "test", match.test, match.unseen(champion))
        if not ruling.promoted:
            return self._told(self._ledger.add(look, "kept", *keep, ruling.said, told, left))
        promoted = version.number, version.number, last.champion
        return self._told(self._ledger.add(look, "promoted", *promoted, ruling.said, told, left.returned(alpha)))

    def _untested(self, match: Match, folder: Path) -> list[str]:
        """The limits of a person's that are exceeded and need no test sample."""
        from assay.limits import untested

        part = match.validation.parts[0]
        return untested(self._how, folder, match.challenger.trained, part.samples, part.lengths)

    def _tested(self, match: Match, champion: Contender) -> list[str]:
        from assay.limits import tested

        return [] if self._how.max_ece is None else tested(self._how, *match.answers(champion))

    def _refused(self, version: Version, last: Decision, limits: list[str], data: dict[str, Any]) -> Decision:
        """The decision that limits forbid a look; it is in the account once for as long as they are the same."""
        told = data | {"limits": {name: value for name, value in self._how if name.startswith("max_")}}
        same = last.kind == "refused" and last.version == version.number
        if same and all(last.evidence.get(name) == value for name, value in told.items()):
            return last
        said = f"{' '.join(limits)} The test split was not looked at."
        keep = version.number, last.champion, last.previous
        return self._told(self._ledger.add(last, "refused", *keep, said, told, last.budget))

    def _opened(self, last: Decision | None, match: Match) -> Budget:
        """What the test split has left; where the year is over or the split is another one, all of a new budget."""
        keys = sorted(key.tobytes().hex() for key in match.test.keys)
        budget = None if last is None else last.budget
        why = None if budget is None else budget.over(time.time(), len(keys), frozenset(keys))
        if budget is not None and why is None:
            return budget
        if why is not None:
            say(f"{self.name}: {why}, so a new budget of looks begins.")
        how = self._how
        metric = resolve_metric(how.metric, match.about.task)
        rules = Rules(metric, how.alpha, how.slots, how.screen, how.margin)
        return Budget(rules, time.time(), len(keys), tuple(keys[:SKETCH]))

    def _earlier(self, budget: Budget, last: Decision) -> Iterator[Contender]:
        """The other champions of this year."""
        numbers = {one.champion for one in history(self._ledger.decisions()) if one.at >= budget.began}
        for number in sorted(numbers - {last.champion}):
            yield self.contender(number)

    def _known(self, version: Version, last: Decision, match: Match) -> Decision | None:
        """What was decided of this version against this champion on these data: nobody looks twice."""
        for one in reversed(self._ledger.decisions()):
            if one.version == version.number and one.evidence.get("data") == match.about.version:
                against = one.kind in ("kept", "screened") and one.champion == last.champion
                if against or one.kind == "rolled back":
                    return one
        return None

    def _told(self, made: Decision) -> Decision:
        """A decision that was written: its version bears it, and the aliases follow it, which ends it."""
        self._versions.tag(made.version, {"assay.verdict": made.kind, "assay.reason": made.reason} | _worth_tags(made))
        self._follow(made)
        return made

    @contextmanager
    def _deciding(self) -> Iterator[Decision | None]:
        """Around what decides, with the last decision: nobody else does, and the aliases are in line with it."""
        with self._ledger.deciding():
            yield self._settled()

    def _settled(self) -> Decision | None:
        last, named = self._ledger.last(), self._versions.aliases().get(CHAMPION)
        if last is not None:
            unfinished = self._versions.followed() != last.number
            if unfinished:
                return self._told(last)
            if named is None or named == last.champion:
                self._follow(last)
                return last
        if named is None:
            return None
        say(f"{self.name}: somebody made version {named} champion in MLflow; the account has it now.")
        before = None if last is None else last.champion
        return self._told(
            self._ledger.add(last, "found", named, named, before, "the alias was moved in MLflow", {}, _left(last))
        )

    def _follow(self, decision: Decision) -> None:
        named = self._versions.aliases()
        for alias, number in ((CHAMPION, decision.champion), (PREVIOUS, decision.previous)):
            if named.get(alias) != number:
                self._versions.name_as(alias, number)
        self._versions.follow(decision.number)

    def _tags(self, trained: "Trained") -> dict[str, str]:
        recipe = {f"recipe.{name}": str(value) for name, value in flat(trained.recipe).items()}
        return source_tags(self._root) | {"assay.data_version": trained.about.originals} | recipe


def _seen(prepared: Path) -> Seen:
    train, validation = (read_split(prepared, name) for name in ("train", "validation"))
    return Seen(train.keys, validation.keys, train.parts[0].samples[0])


def _left(last: Decision | None) -> Budget | None:
    return None if last is None else last.budget


def _spent(budget: Budget) -> str:
    return f"all {budget.rules.slots} looks of this year are spent; a test split of twice the size has new ones."


def _worth(match: Match, name: str, split: Split, counts: NDArray[np.bool_]) -> dict[str, Any]:
    """What the challenger is worth, as it stands in the account: after the verdict, never before."""
    figures = {figure: interval.rounded() for figure, interval in match.figures(split, counts).items()}
    return {"figures": figures, "samples": int(counts.sum()), "split": name}


def _worth_tags(made: Decision) -> dict[str, str]:
    """`assay.accuracy`: 0.9852 [0.973, 0.992] on 745 test samples."""
    told, tags = made.evidence, {}
    for name, one in told.get("figures", {}).items():
        ends = f"{one['value']:.5g} [{one['low']:.5g}, {one['high']:.5g}]"
        tags[f"assay.{name}"] = f"{ends} on {told['samples']:,} {told['split']} samples"
    return tags


def _figures(compared: Compared) -> dict[str, Any]:
    """As they stand in the account."""
    told = vars(compared) | {"gain": compared.gain.rounded()}
    return {"compared": told}
