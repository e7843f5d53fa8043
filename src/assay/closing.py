"""The closing table: what won, how sure that is, against what, where to look. Owns its words; computes no figure."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from assay.errors import InputError
from assay.terminal import table

PICTURES = ("mistakes.png", "confusion.png", "predicted.png")  # those that a person should see first
ENDS = ("value", "low", "high")

Row = tuple[str, str]
Figures = dict[str, dict[str, float]]


def closing_table(results: Path) -> None:
    """Print it.

    Raises:
        InputError: nothing was evaluated yet.
    """
    table("Result", closing_rows(results))


def closing_rows(results: Path) -> list[Row]:
    """What it says, a row a statement; what a stage has not written is not spoken of.

    Raises:
        InputError: nothing was evaluated yet, or a file is not what its stage writes.
    """
    figures, report = (results / "evaluate" / name for name in ("metrics.json", "report.json"))
    with _as_written(figures):
        known = {name: {end: float(figure[end]) for end in ENDS} for name, figure in _read(figures).items()}
    with _as_written(report):
        judged, beneath = _judged(known, _read(report))
    rows = [("won", _won(results)), *judged, *_search(results), *beneath, ("look at", _places(results))]
    return [row for row in rows if row[1]]


def _judged(figures: Figures, report: dict[str, Any]) -> tuple[list[Row], list[Row]]:
    """What evaluate found: the rows above those of the search, and beneath."""
    rows = [(f"test {report['headline']}", _figure(figures, report["headline"], report))]
    rows += [(f"test {name}", _interval(figures[name])) for name in _others(report) if name in figures]
    if report.get("base"):
        base = report["base"]
        rows.append(("to beat", f"{_interval(base['accuracy'])} by always saying {base['says']!r}"))
    beneath = []
    gap = report.get("gap", {})
    if "train" in gap and "test" in gap:
        beneath.append(("gap", " → ".join(f"{name} {part['value']:.4f}" for name, part in gap.items())))
    beneath += [*_weakest(figures), *(("know", str(note)) for note in report.get("notes", []))]
    return rows, beneath


@contextmanager
def _as_written(path: Path) -> Iterator[None]:
    """Around what is taken from `path`: another shape than its stage gives it is a sentence."""
    try:
        yield
    except (KeyError, TypeError, AttributeError, ValueError) as error:
        stage, why = path.parent.name, f"{type(error).__name__}: {error}"
        raise InputError(f"{path}: is not what {stage} writes ({why}); run `assay {stage}` again.") from error


def _read(path: Path) -> dict[str, Any]:
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise InputError(f"{path}: there is no result yet; run `make repro` or `assay evaluate` first.") from error
    except ValueError as error:
        raise InputError(f"{path}: is damaged ({error}); run `assay {path.parent.name}` again.") from error
    if not isinstance(found, dict):
        raise TypeError(f"{type(found).__name__} in place of names and values")
    return found


def _won(results: Path) -> str:
    """The recipe in a line: what tells it from others."""
    from assay.settings import read_recipe

    path = results / "train" / "model" / "recipe.yaml"
    if not path.exists():
        return ""
    recipe = read_recipe(path)
    begun = "" if recipe.pretrained is False else ", pretrained"
    rate = f"{recipe.optimizer.lr:.2g}"
    steps = f"{recipe.optimizer.name} {rate}, batch {recipe.batch_size}, {recipe.epochs} epochs"
    return f"{recipe.backbone}{begun} · {steps} · dropout {recipe.dropout:.2g}"


def _others(report: dict[str, Any]) -> tuple[str, ...]:
    return {"classification": ("macro_f1", "ece"), "multilabel": ("exact_match",)}.get(report["task"], ())


def _figure(figures: Figures, name: str, report: dict[str, Any]) -> str:
    if name not in figures:
        return f"not known: {report.get('missing', {}).get(name, 'see report.json')}"
    return f"{_interval(figures[name])} at {report['confidence']:.0%} on {report['samples']:,} samples"


def _interval(figure: dict[str, float]) -> str:
    return f"{figure['value']:.4f} [{figure['low']:.4f}, {figure['high']:.4f}]"


def _search(results: Path) -> list[Row]:
    """How many trials there were, and the best of them against trial 0, the base recipe, on validation."""
    path = results / "search" / "report.json"
    if not path.exists():
        return []
    with _as_written(path):
        return _searched(_read(path))


def _searched(report: dict[str, Any]) -> list[Row]:
    trials, won, base = report["trials"], report["winner"], report["base"]
    if not trials["total"]:
        return []
    stopped, epochs = trials["pruned"], report["epochs"]
    rows = [("search", f"{trials['total']} trials, {stopped} of them stopped early, {epochs} epochs")]
    if won and base:
        said = f"validation {report['metric']} {won['value']:.4f} in search, the base recipe {base['value']:.4f}"
        rows.append(("against base", said))
    if report.get("finals"):
        rows.append(("beyond luck", str(report["finals"]["said"])))
    return rows


def _weakest(figures: Figures) -> list[Row]:
    """The class that is missed most."""
    recalls = {name.partition("/")[2]: figure for name, figure in figures.items() if name.startswith("recall/")}
    if len(recalls) < 2:
        return []
    name = min(recalls, key=lambda one: recalls[one]["value"])
    return [("weakest", f"{name!r}: recall {_interval(recalls[name])}")]


def _places(results: Path) -> str:
    shown = [path for name in PICTURES if (path := results / "evaluate" / "pictures" / name).exists()]
    return ", ".join([*map(str, shown), "`assay ui`"])
