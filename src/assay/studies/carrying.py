"""A study as one file, to be carried to another project or store. Owns the format: JSON lines, the study first, then
each of its trials as Optuna keeps it, those of killed drivers too.
"""

import json
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from optuna.distributions import distribution_to_json, json_to_distribution
from optuna.storages import BaseStorage
from optuna.study import StudyDirection
from optuna.trial import FrozenTrial, TrialState

from assay.errors import InputError
from assay.search.earlier import NAME
from assay.search.trial import NUMBER, as_tried
from assay.studies.shelf import Kept, Shelf

FORMAT = 1


def export_study(shelf: Shelf, name: str, path: Path) -> int:
    """Write a study into a new file; how many trials that are.

    Raises:
        InputError: there is no such study, or the file is there already, or its folder is not.
    """
    kept = shelf.read(name)
    if path.exists():
        raise InputError(f"{path}: is there already; name another file.")
    if not path.parent.is_dir():
        raise InputError(f"{path.parent}: there is no such folder; make it, or name another.")
    with path.open("x", encoding="utf-8") as file:
        for line in (_head(kept), *map(_told, kept.trials)):
            file.write(json.dumps(line, ensure_ascii=False) + "\n")
    return len(kept.tried)


def import_study(shelf: Shelf, path: Path) -> str:
    """Put an exported study beside those that are here, under its own name; which that is.

    Raises:
        InputError: the file is none, is damaged or of another format, or there is a study of this name.
    """
    lines = _lines(path)
    head = _checked(next(lines), path)
    trials = []
    for number, line in enumerate(lines, start=2):
        try:
            trials.append(_trial(line))
            as_tried(trials[-1].user_attrs.get(NUMBER, 0), trials[-1], sign=1)
        except (AttributeError, KeyError, TypeError, ValueError) as error:
            raise InputError(f"{path}:{number}: is damaged ({error!r}); export the study again.") from error
    if len(trials) != head["trials"]:
        raise InputError(f"{path}: holds {len(trials)} of {head['trials']} trials; export the study again.")

    def fill(store: BaseStorage) -> None:
        key = store.create_new_study([StudyDirection[each] for each in head["directions"]], head["study"])
        for name, value in head["user_attrs"].items():
            store.set_study_user_attr(key, name, value)
        for name, value in head["system_attrs"].items():
            store.set_study_system_attr(key, name, value)
        for trial in trials:
            store.create_new_trial(key, template_trial=trial)

    shelf.add(head["study"], fill)
    return str(head["study"])


def _head(kept: Kept) -> dict[str, Any]:
    return {
        "assay_study": FORMAT,
        "study": kept.name,
        "directions": [each.name for each in kept.directions],
        "user_attrs": dict(sorted(kept.user_attrs.items())),  # a database tells them in any order
        "system_attrs": kept.system_attrs,
        "trials": len(kept.trials),
    }


def _told(trial: FrozenTrial) -> dict[str, Any]:
    return {
        "number": trial.number,
        "state": trial.state.name,
        "values": trial.values,
        "begin": _time(trial.datetime_start),
        "end": _time(trial.datetime_complete),
        "params": trial.params,
        "distributions": {name: distribution_to_json(each) for name, each in trial.distributions.items()},
        "user_attrs": trial.user_attrs,
        "system_attrs": trial.system_attrs,
        "intermediate_values": trial.intermediate_values,
    }


def _trial(line: Any) -> FrozenTrial:
    curve = {int(epoch): float(value) for epoch, value in line["intermediate_values"].items()}
    told = line["user_attrs"]
    if not isinstance(told.get(NUMBER, 0), int) or (line["state"] == "COMPLETE" and not curve):
        raise ValueError(f"number {told.get(NUMBER)!r}, {len(curve)} epochs")
    return FrozenTrial(
        number=line["number"],
        state=TrialState[line["state"]],
        value=None,
        values=line["values"],
        datetime_start=_local(line["begin"]),
        datetime_complete=_local(line["end"]),
        params=dict(line["params"].items()),
        distributions={name: json_to_distribution(each) for name, each in line["distributions"].items()},
        user_attrs=told,
        system_attrs=line["system_attrs"],
        intermediate_values=curve,
        trial_id=-1,  # the store gives its own
    )


def _checked(head: Any, path: Path) -> dict[str, Any]:
    if not isinstance(head, dict) or "assay_study" not in head:
        raise InputError(f"{path}: is no study; `assay study export` writes one.")
    if head["assay_study"] != FORMAT:
        raise InputError(f"{path}: is of format {head['assay_study']!r}; this Assay reads format {FORMAT}.")
    if not _is_whole(head):
        raise InputError(f"{path}:1: is damaged; export the study again.")
    return head


def _is_whole(head: dict[str, Any]) -> bool:
    wanted = {"study": str, "directions": list, "user_attrs": dict, "system_attrs": dict, "trials": int}
    if not all(isinstance(head.get(name), kind) for name, kind in wanted.items()):
        return False
    known = all(each in StudyDirection.__members__ for each in head["directions"])
    return known and len(head["directions"]) == 1 and NAME.fullmatch(head["study"]) is not None


def _lines(path: Path) -> Iterator[Any]:
    try:
        with path.open(encoding="utf-8") as file:
            for number, line in enumerate(file, start=1):
                yield _parsed(line, path, number)
            if file.tell() == 0:
                yield None
    except (FileNotFoundError, IsADirectoryError) as error:
        raise InputError(f"{path}: there is no such file.") from error
    except UnicodeDecodeError as error:
        raise InputError(f"{path}: is no study; `assay study export` writes one.") from error


def _parsed(line: str, path: Path, number: int) -> Any:
    try:
        return json.loads(line)
    except ValueError as error:
        if number == 1:
            return None
        raise InputError(f"{path}:{number}: is damaged ({error}); export the study again.") from error


def _time(local: datetime | None) -> str | None:
    """Optuna's times are local and do not say so."""
    return None if local is None else local.astimezone(UTC).isoformat()


def _local(told: str | None) -> datetime | None:
    return None if told is None else datetime.fromisoformat(told).astimezone().replace(tzinfo=None)
