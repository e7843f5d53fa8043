"""Studies in words, at the terminal. Owns the tables of `assay study ls` and `show`; opens nothing by itself."""

from collections import Counter

from assay.errors import InputError, gather
from assay.finals import said
from assay.params import flat
from assay.search.halving import rungs_reached
from assay.search.select import CONFIDENCE
from assay.search.trial import BASE_NUMBER, COMPLETE, FAILED, PRUNED, RUNNING, Tried, short
from assay.studies.shelf import Kept, Shelf
from assay.terminal import say, table

STATES = (COMPLETE, PRUNED, FAILED, RUNNING)
HEAD = ("study", "trials", *STATES, "best", "metric", "last written", "")


def list_studies(shelf: Shelf, current: str | None) -> None:
    """A row a study.

    Raises:
        InputError: one cannot be opened; the others are listed first.
    """
    rows, errors = [], []
    for name in shelf.names():
        try:
            kept = shelf.read(name)
            rows.append(_row(kept, _marks(kept, shelf.runs(name), name == current)))
        except InputError as error:
            errors.append(error)
    if rows:
        table(f"Studies in {shelf.place}", rows, HEAD)
    elif not errors:
        say(f"There is no study in {shelf.place}; `assay search` begins one.")
    gather(errors)


def show_study(shelf: Shelf, name: str, current: str | None) -> None:
    """Its best recipe beside the base, the one that won the finals where there were some, its rungs, its trials.

    Raises:
        InputError: there is none of this name, or it cannot be opened.
    """
    kept = shelf.read(name)
    metric, best = _metric(kept), kept.best()
    marks = _marks(kept, shelf.runs(name), name == current)
    counted = ", ".join(f"{count} {state}" for state, count in _counts(kept).items() if count) or "none"
    say(f"study {name}{f' ({marks})' if marks else ''}: {counted}; last written {_time(kept)}")
    say(f"metric {metric}, {'larger' if kept.sign > 0 else 'smaller'} is better{_rungs(kept)}")
    if best is not None:
        won, outcome = _won(kept, best)
        say(f"best{' in the search' if outcome else ''} {best.score:.4f}, trial {best.number}")
        if outcome:
            say(f"finals: {outcome}")
        _show_differences(kept, won)
    rows = [_trial(kept, each) for each in kept.tried]
    if rows:
        table("Trials", rows, ("trial", "state", metric, "epochs", "seconds", "values"))


def _row(kept: Kept, marks: str) -> tuple[str, ...]:
    counts, best = _counts(kept), kept.best()
    value = "" if best is None else f"{best.score:.4f}"
    numbers = [str(count) for count in (len(kept.tried), *counts.values())]
    return (kept.name, *numbers, value, _metric(kept), _time(kept), marks)


def _marks(kept: Kept, runs: bool, is_current: bool) -> str:
    """What is to be known of it: a trial that is on its way while nobody runs it was left by a driver that died."""
    left = not runs and _counts(kept)[RUNNING] > 0
    marks = {"params.yaml's": is_current, "runs now": runs, "interrupted": left}
    return ", ".join(word for word, holds in marks.items() if holds)


def _counts(kept: Kept) -> dict[str, int]:
    return {state: sum(each.state == state for each in kept.tried) for state in STATES}


def _metric(kept: Kept) -> str:
    return str(kept.about.get("metric", "value"))


def _time(kept: Kept) -> str:
    return "" if kept.written is None else f"{kept.written:%Y-%m-%d %H:%M}"


def _rungs(kept: Kept) -> str:
    policy = kept.about.get("policy")
    lasts = Counter(max(each.curve, default=0) for each in kept.tried)
    reached = rungs_reached(lasts, policy["min_epochs"], policy["reduction"], policy["pruner"]) if policy else []
    return "; rungs: " + ", ".join(f"{count} at epoch {epoch}" for epoch, count in reached) if reached else ""


def _won(kept: Kept, best: Tried) -> tuple[Tried, str]:
    """Who won the finals and what they found; where there were none the best trial and nothing, where they did not come
    to an end the best trial and how far they are."""
    finals = kept.finals()
    if finals is None:
        return best, ""
    if not finals.done:
        return best, f"{len(finals.told)} runs are done, {finals.left} more at most decide who wins."
    try:
        verdict = finals.verdict(CONFIDENCE)
    except InputError as nobody:
        return best, " ".join(nobody.sentences)
    return next(each for each in kept.tried if each.number == verdict.winner.number), said(verdict)


def _show_differences(kept: Kept, best: Tried) -> None:
    if kept.space is None:
        say("what it was searched from is not kept: the study is of an older Assay.")
    elif best.number == BASE_NUMBER:
        say("it is the base recipe.")
    else:
        base, differs = flat(kept.space.base), kept.space.differences(best.number, best.drawn)
        rows = [(name, short(base[name]), short(value)) for name, value in differs.items()]
        table("The best recipe differs from the base", rows, ("setting", "base", "best"))


def _trial(kept: Kept, one: Tried) -> tuple[str, ...]:
    value = "" if one.value is None else f"{one.value:.4f}"
    values = ", ".join(f"{name} {short(value)}" for name, value in kept.values_of(one).items())
    told = values if one.reason is None else f"{one.reason} ({values})"
    return (str(one.number), one.state, value, str(len(one.curve)), f"{one.seconds:.1f}", told)
