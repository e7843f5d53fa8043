"""What earlier studies found, as first points of a new one. Owns which those are: chosen when a study is made, and kept
in it, so that an earlier one which goes on, or goes, changes nothing of it.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain, islice, zip_longest
from pathlib import Path
from typing import Any

import optuna
from optuna.study import StudyDirection
from pydantic import ValidationError

from assay.errors import InputError, nearest
from assay.params import Recipe, Vary, flat, nested
from assay.search.about import ABOUT
from assay.search.space import Space, space_of
from assay.search.store import storage, translated
from assay.search.trial import COMPLETE, Tried, as_tried, newest

NAME = re.compile(r"[0-9a-f]{12}")  # what `study_name` makes; a database may hold studies of others
FIRST = "first"  # user attribute of the study: its first points, and where they are from
MOST = 5  # points in all: half of the longest start


@dataclass(frozen=True)
class First:
    """A first point: the trial of an earlier study it is from, and a value of every parameter of the new one."""

    study: str
    number: int
    drawn: dict[str, Any]


def names_in(folder: Path, address: str | None) -> list[str]:
    """The studies there are, as `assay study ls` names them."""
    if address is None:
        found = [path.stem for path in folder.glob("*.journal") if path.stat().st_size]
    else:
        with translated(address, folder):
            found = [study.study_name for study in storage(address, folder).get_all_studies()]
    return sorted(name for name in found if NAME.fullmatch(name))


def check_names(names: Sequence[str], folder: Path, address: str | None, new: str | None = None) -> None:
    """Refuse a name of `search.from` that is none of the studies there are.

    `new` is the study that is to be made: where it is there already, its first points are chosen and nothing is asked.

    Raises:
        InputError: a sentence for each.
    """
    known = names_in(folder, address) if names else []
    wrong = [name for name in names if name not in known]
    if wrong and new not in known:
        remedies = {name: nearest(name, known) if known else "it must be [] for the first search." for name in wrong}
        raise InputError(*(f"search.from has {name!r}, which is no study here; {remedies[name]}" for name in wrong))


def first_points(
    study: optuna.Study, names: Sequence[str], folder: Path, address: str | None, space: Space
) -> list[First]:
    """The first points of `study`: those that it keeps, or, the first time, the best of the studies `names`, by turns.

    Raises:
        InputError: one of them cannot be opened.
    """
    if not names:
        return []
    kept = study.user_attrs.get(FIRST)
    if kept is None:
        by_turns = chain.from_iterable(zip_longest(*(_fitting(name, folder, address, space) for name in names)))
        chosen = islice(_distinct(filter(None, by_turns), space.of_base()), MOST)
        kept = [[each.study, each.number, each.drawn] for each in chosen]
        study.set_user_attr(FIRST, kept)
    return [First(*each) for each in kept]


def space_said(about: Mapping[str, Any]) -> Space | None:
    """The space of a study by what it says of itself; None where it does not, or does in words of another Assay."""
    try:
        entries = {name: Vary.model_validate(entry) for name, entry in about["space"].items()}
        return space_of(entries, Recipe.model_validate(nested(about["recipe"])))
    except (KeyError, ValidationError):
        return None


def _fitting(name: str, folder: Path, address: str | None, space: Space) -> Iterator[First]:
    """The complete trials of a study that are points of `space`, the best first."""
    journal = folder / f"{name}.journal"
    with translated(address, journal):
        store = storage(address, journal)
        key = store.get_study_id_from_name(name)
    sign = 1 if store.get_study_directions(key)[0] == StudyDirection.MAXIMIZE else -1
    said = space_said(store.get_study_user_attrs(key).get(ABOUT, {}))
    found = newest(store.get_all_trials(key, deepcopy=False))
    tried = [as_tried(number, each, sign) for number, each in found.items()]
    for each in sorted((one for one in tried if one.state == COMPLETE), key=lambda one: -sign * one.score):
        drawn = _drawn(each, said, space)
        if drawn is not None:
            yield First(name, each.number, drawn)


def _drawn(trial: Tried, said: Space | None, space: Space) -> dict[str, Any] | None:
    """A trial of another study as a point of `space`: what it lacks is as in the base recipe, and where that lies
    outside it is left out; None where a value of the trial does, or a constraint is broken."""
    values = trial.drawn if said is None else said.values_of(trial.number, trial.drawn)
    base, drawn = flat(space.base), dict[str, Any]()
    for name, parameter in space.parameters.items():
        try:
            drawn[name] = parameter.kept(values[name] if name in values else base[name])
        except LookupError:
            if name in values:
                return None
    return drawn if space.keeps(drawn) else None


def _distinct(points: Iterator[First], base: dict[str, Any]) -> Iterator[First]:
    """Each once, and not what the base recipe is."""
    seen = [base]
    for each in points:
        if each.drawn not in seen:
            seen.append(each.drawn)
            yield each
