"""Who wins, and what is written of a search. Owns results/search/ but its pictures; asks the study and runs nothing."""

import csv
import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from assay.errors import InputError
from assay.finals import Finals, Verdict, report_of, said
from assay.intervals import DIGITS
from assay.params import Recipe, with_values
from assay.search.front import front_of
from assay.search.importance import importance_of
from assay.search.study import Study
from assay.search.trial import BASE_NUMBER, COMPLETE, FAILED, PRUNED, Tried, best_complete, short

CONFIDENCE = 0.95  # of the finals' intervals
COLUMNS = ("number", "state", "value", "epochs", "seconds")


@dataclass(frozen=True)
class Choice:
    """Who wins, and what it rests on."""

    won: Tried
    finals: Finals | None = None  # None: the search's scores alone
    verdict: Verdict | None = None
    above: str = ""  # the limit of search.pick that it does not keep
    kept_base: bool = False  # since the verdict's winner is not shown to be better

    @property
    def said(self) -> list[str]:
        """What a person must know of it: the finals' outcome; limits that nobody keeps."""
        if self.above:
            return [f"no recipe keeps search.pick ({self.above}); the one that is least above it is chosen."]
        if self.verdict is None:
            return []
        return [said(self.verdict)] + ["So the base recipe is kept (search.prefer_base)."] * self.kept_base

    def figures(self, metric: str) -> dict[str, float]:
        """What MLflow keeps of the finals."""
        if self.verdict is None:
            return {}
        overstated = self.verdict.winner.overstated
        figures = {f"finals/{metric}": self.verdict.winner.score, "finals/p_better": self.verdict.p_better}
        figures["finals/overstated"] = overstated
        return {name: value for name, value in figures.items() if value is not None}


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


def select(study: Study, finals: Finals | None, *, prefer_base: bool = False) -> Choice:
    """Who wins: as the finals say, where there were any, else as the search does.

    Args:
        finals: done.
        prefer_base: keep the base recipe where the finals do not show another to be better.

    Raises:
        InputError: no trial came to its end, or no finalist.
    """
    if finals is None:
        won = winner(study)
        limits = study.pick if isinstance(study.pick, dict) else {}
        above = [f"{name} {short(won.costs[name])}" for name, most in limits.items() if won.costs[name] > most]
        return Choice(won, above=", ".join(above))
    verdict = finals.verdict(CONFIDENCE)
    kept = prefer_base and verdict.over_base is not None and not verdict.shown
    number = BASE_NUMBER if kept else verdict.winner.number
    won = next(each for each in study.tried() if each.number == number)
    if won.value is None:  # the base recipe, which failed in the search
        won = replace(won, value=verdict.winner.score)
    return Choice(won, finals, verdict, kept_base=kept)


def chosen_recipe(study: Study, won: Tried, base: Recipe) -> Recipe:
    """The winner's recipe, trained as long as the base recipe says, unless the space varies the epochs themselves."""
    values = study.values_of(won.number, won.drawn)
    return base if won.number == BASE_NUMBER else with_values(base, values)


def write_trials(study: Study, path: Path) -> None:
    """trials.csv: a row a trial, a column a parameter; one that does not count in a trial is empty."""
    names = list(study.space.parameters)
    with path.open("w", newline="", encoding="utf-8") as file:
        rows = csv.writer(file, lineterminator="\n")
        rows.writerow([*COLUMNS, *study.costs, *names])
        for each in study.tried():
            values = study.values_of(each.number, each.drawn)
            told = [each.number, each.state, each.value, len(each.curve), round(each.seconds, 2)]
            told += [each.costs.get(name) for name in study.costs]
            rows.writerow(
                ["" if value is None else _cell(value) for value in told]
                + [_cell(values[n]) if n in values else "" for n in names]
            )


def write_report(study: Study, choice: Choice, path: Path) -> dict[str, Any]:
    """report.json: who won, beside whom, of how many. Nothing of time in it: equal searches write equal reports."""
    tried, won = study.tried(), choice.won
    base = next((each for each in tried if each.number == BASE_NUMBER and each.state == COMPLETE), None)
    report = {
        "study": study.name,
        "metric": study.metric,
        "trials": {"total": len(tried)}
        | {state: sum(each.state == state for each in tried) for state in (COMPLETE, PRUNED, FAILED)},
        "epochs": sum(len(each.curve) for each in tried),
        "winner": _shown(study, won) | {"differs": study.space.differences(won.number, won.drawn)},
        "base": None if base is None else _shown(study, base),
        "front": [_shown(study, each) for each in front_of(tried, study.sign)] if study.costs else None,
        "second_half_brought": second_half(study),
        "importance": _importance(study),
        "finals": _of_finals(choice),
        "failures": {str(each.number): each.reason for each in tried if each.state == FAILED},
    }
    _write(report, path)
    return report


def _importance(study: Study) -> dict[str, dict[str, float]]:
    """How much of the trials' order each parameter predicts alone; nothing of too few trials."""
    found = importance_of(study.space.varying, study.tried())
    return {} if found is None else {name: share.rounded() for name, share in found.shares.items()}


def second_half(study: Study) -> float | None:
    """By how much the best of all trials is better than the best of their first half: what twice the budget might bring
    is about as much again, or less. None: the first half has no complete trial, or there are other objectives."""
    tried = study.tried()
    if study.costs:
        return None
    whole, half = (best_complete(some, study.sign) for some in (tried, tried[: len(tried) // 2]))
    return None if whole is None or half is None else round(study.sign * (whole.score - half.score), DIGITS)


def _of_finals(choice: Choice) -> dict[str, Any] | None:
    if choice.verdict is None or choice.finals is None:
        return None
    told = [{"number": number, "seed": seed, "value": value} for (number, seed), value in choice.finals.told.items()]
    return report_of(choice.verdict) | {"kept_base": choice.kept_base, "told": told}


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
        **one.costs,
        "values": study.values_of(one.number, one.drawn),
    }


def _write(report: Mapping[str, Any], path: Path) -> None:
    path.write_text(json.dumps(report, indent=1) + "\n", encoding="utf-8")


def _cell(value: Any) -> str:
    if value is None:
        return "null"
    return value if isinstance(value, str) else json.dumps(value)
