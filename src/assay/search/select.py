"""Who wins, and what is written of a search. Owns results/search/ but its pictures; asks the study and runs nothing."""

import csv
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from assay.errors import InputError
from assay.params import Recipe, with_values
from assay.search.study import Study
from assay.search.trial import BASE_NUMBER, COMPLETE, FAILED, PRUNED, Tried

COLUMNS = ("number", "state", "value", "epochs", "seconds")


def winner(study: Study) -> Tried:
    """The best complete trial: its best epoch counts, of equals the first, so that the base recipe wins a draw.

    Raises:
        InputError: no trial came to its end.
    """
    best = study.best()
    if best is None:
        reasons = sorted({each.reason for each in study.tried() if each.reason})
        raise InputError(f"search: no trial came to its end ({'; '.join(reasons) or 'none was begun'}).")
    return best


def chosen_recipe(study: Study, won: Tried, base: Recipe) -> Recipe:
    """The winner's recipe, trained as long as the base recipe says, unless the space varies the epochs themselves."""
    values = study.values_of(won.number, won.drawn)
    return base if won.number == BASE_NUMBER else with_values(base, values)


def write_trials(study: Study, path: Path) -> None:
    """trials.csv: a row a trial, a column a parameter; one that does not count in a trial is empty."""
    names = list(study.space.parameters)
    with path.open("w", newline="", encoding="utf-8") as file:
        rows = csv.writer(file, lineterminator="\n")
        rows.writerow([*COLUMNS, *names])
        for each in study.tried():
            values = study.values_of(each.number, each.drawn)
            told = [each.number, each.state, each.value, len(each.curve), round(each.seconds, 2)]
            rows.writerow(
                ["" if value is None else _cell(value) for value in told]
                + [_cell(values[n]) if n in values else "" for n in names]
            )


def write_report(study: Study, won: Tried, path: Path) -> dict[str, Any]:
    """report.json: who won, beside whom, of how many. Nothing of time in it: equal searches write equal reports."""
    tried = study.tried()
    base = next((each for each in tried if each.number == BASE_NUMBER and each.state == COMPLETE), None)
    report = {
        "study": study.name,
        "metric": study.metric,
        "trials": {"total": len(tried)}
        | {state: sum(each.state == state for each in tried) for state in (COMPLETE, PRUNED, FAILED)},
        "epochs": sum(len(each.curve) for each in tried),
        "winner": _shown(study, won) | {"differs": study.space.differences(won.number, won.drawn)},
        "base": None if base is None else _shown(study, base),
        "failures": {str(each.number): each.reason for each in tried if each.state == FAILED},
    }
    _write(report, path)
    return report


def write_unsearched(path: Path) -> None:
    """report.json of a search that had nothing to try."""
    _write(
        {"study": None, "trials": {"total": 0, COMPLETE: 0, PRUNED: 0, FAILED: 0}, "winner": None, "base": None}, path
    )


def _shown(study: Study, one: Tried) -> dict[str, Any]:
    return {
        "number": one.number,
        "value": one.value,
        "epochs": len(one.curve),
        "values": study.values_of(one.number, one.drawn),
    }


def _write(report: Mapping[str, Any], path: Path) -> None:
    path.write_text(json.dumps(report, indent=1) + "\n", encoding="utf-8")


def _cell(value: Any) -> str:
    if value is None:
        return "null"
    return value if isinstance(value, str) else json.dumps(value)
