"""Which studies there are, and what each holds. Owns reading them beside a driver that may be writing; what changes the
store (`add`, `remove`) needs the study's lease.
"""

from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from functools import cached_property
from pathlib import Path
from typing import Any

from optuna.storages import BaseStorage, RDBStorage
from optuna.study import StudyDirection
from optuna.trial import FrozenTrial

from assay.data.dataset import open_prepared
from assay.errors import InputError, nearest
from assay.finals import Finals
from assay.metric import resolve_metric
from assay.params import Params
from assay.search import STUDIES
from assay.search.about import ABOUT, searched_base, study_name
from assay.search.earlier import names_in, space_said
from assay.search.finale import finals_kept
from assay.search.front import best_among
from assay.search.space import Space
from assay.search.store import AnyLease, database, forget_lease, held, is_held, storage, translated
from assay.search.trial import Tried, as_tried, newest, reruns_in


@dataclass(frozen=True)
class Kept:
    """A study as it lies in its store: everything, as Optuna has it, and what that says in our words."""

    name: str
    directions: Sequence[StudyDirection]
    user_attrs: dict[str, Any]
    system_attrs: dict[str, Any]
    trials: Sequence[FrozenTrial]
    written: datetime | None  # local time

    @property
    def sign(self) -> int:
        return 1 if self.directions[0] == StudyDirection.MAXIMIZE else -1

    @property
    def about(self) -> dict[str, Any]:
        """What study.py's `about` said; nothing in a study of an older Assay."""
        return dict(self.user_attrs.get(ABOUT, {}))

    @cached_property
    def tried(self) -> list[Tried]:
        return [as_tried(number, trial, self.sign) for number, trial in newest(self.trials).items()]

    @cached_property
    def space(self) -> Space | None:
        """None where the study does not say it, or says it in words of another Assay."""
        return space_said(self.about)

    def best(self) -> Tried | None:
        """The best complete trial; with costs the knee of their front."""
        return best_among(self.tried, self.sign)

    def finals(self) -> Finals | None:
        """Those that were run, maybe not to their end; None where there were none."""
        return finals_kept(self.tried, self.sign, reruns_in(self.user_attrs))

    def values_of(self, one: Tried) -> dict[str, Any]:
        """The parameters that count; all that were drawn where that cannot be told."""
        return one.drawn if self.space is None else self.space.values_of(one.number, one.drawn)


class Shelf:
    """Where a project's studies lie: a journal each in `.assay/studies/`, or a database."""

    def __init__(self, root: Path, address: str | None) -> None:
        self.folder, self.address = root / STUDIES, address

    @property
    def place(self) -> str:
        return f"{STUDIES}/" if self.address is None else "search.storage"

    def names(self) -> list[str]:
        return names_in(self.folder, self.address)

    def read(self, name: str) -> Kept:
        """A study as it is now.

        Raises:
            InputError: there is none of this name, or it cannot be opened.
        """
        store, key = self.opened(name)
        trials = store.get_all_trials(key, deepcopy=False)
        return Kept(
            name,
            store.get_study_directions(key),
            store.get_study_user_attrs(key),
            store.get_study_system_attrs(key),
            trials,
            self._written(name, trials),
        )

    def opened(self, name: str) -> tuple[BaseStorage, int]:
        """The store that holds it, and its key there; for reading.

        Raises:
            InputError: see `read`.
        """
        self.known(name)
        with translated(self.address, self._journal(name)):
            store = self._store(name)
            return store, store.get_study_id_from_name(name)

    def known(self, name: str) -> None:
        """Refuse a name that is none of the studies here."""
        names = self.names()
        if name not in names:
            remedy = nearest(name, names) if names else "there is none yet; `assay search` begins one."
            raise InputError(f"study: {name!r} is not in {self.place}; {remedy}")

    def runs(self, name: str) -> bool:
        """Whether a driver of this project holds it now."""
        return is_held(self._base, self.folder, name)

    def remove(self, name: str) -> None:
        """Take a study away, for good.

        Raises:
            InputError: there is none of this name, or it runs.
        """
        self.known(name)
        lease = self._held(name)
        try:
            if self.address is None:
                self._journal(name).unlink()
            else:
                store, key = self.opened(name)
                store.delete_study(key)
            forget_lease(self.folder, name)
        finally:
            lease.release()

    def add(self, name: str, fill: Callable[[BaseStorage], None]) -> None:
        """Let `fill` write the study `name` into a store; a journal is there whole or not at all.

        Raises:
            InputError: there is a study of this name, or one is about to be.
        """
        lease = self._held(name)
        try:
            if name in self.names():
                raise InputError(f"study: {name} is in {self.place} already; `assay study rm {name}` would remove it.")
            with translated(self.address, self._journal(name)):
                if self.address is not None:
                    fill(self._store(name))
                    return
                self._fill_journal(name, fill)
        finally:
            lease.release()

    def _fill_journal(self, name: str, fill: Callable[[BaseStorage], None]) -> None:
        part = self.folder / f"{name}.part"
        part.unlink(missing_ok=True)  # of one that was killed
        try:
            fill(storage(None, part))
            part.replace(self._journal(name))
        finally:
            part.unlink(missing_ok=True)

    def _held(self, name: str) -> AnyLease:
        try:
            return held(self._base, self.folder, name)
        except InputError as error:
            raise InputError(f"study: {name} runs now; end its search with Ctrl-C first.") from error

    def _store(self, name: str) -> BaseStorage:
        return self._database if self.address is not None else storage(None, self._journal(name))

    @property
    def _base(self) -> RDBStorage | None:
        return None if self.address is None else self._database

    @cached_property
    def _database(self) -> RDBStorage:
        assert self.address is not None, "it is asked for where there is one"
        with translated(self.address, self.folder):
            return database(self.address)

    def _journal(self, name: str) -> Path:
        return self.folder / f"{name}.journal"

    def _written(self, name: str, trials: Sequence[FrozenTrial]) -> datetime | None:
        if self.address is None:
            return datetime.fromtimestamp(self._journal(name).stat().st_mtime)  # a person's own clock
        times = [time for each in trials for time in (each.datetime_start, each.datetime_complete) if time is not None]
        return max(times, default=None)


def current(params: Params, prepared: Path, augmented: Path) -> str | None:
    """The study that `assay search` would begin or go on with; None while no data is prepared."""
    with suppress(InputError):
        data = open_prepared(prepared, augmented).about
        metric = resolve_metric(params.search.watched, data.task)
        return study_name(params.search, searched_base(params.search, params.recipe), metric, data.version)
    return None
