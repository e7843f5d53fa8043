"""A search as one page to be looked at: report.html. Owns what stands on it; asks nothing of a network.

svg.py marks and axes · charts.py, timeline.py what is drawn · page.css, page.js how it looks and what moves. The page
has times in it, so neither git nor DVC keeps it; it is made of the study alone, and so can be made again.
"""

import html
from collections.abc import Iterator, Mapping, Sequence
from importlib.resources import files
from pathlib import Path
from typing import Any

from assay.params import flat
from assay.search.page import charts
from assay.search.page.charts import Seen
from assay.search.page.timeline import timeline
from assay.search.select import Choice, second_half
from assay.search.study import Study
from assay.search.trial import BASE_NUMBER, COMPLETE, FAILED, PRUNED, Tried, short
from assay.terminal import numbered

NAME = "report.html"
MOST = 1000  # trials in the pictures: beyond it a browser gets slow and nobody sees more
BEST = 200  # of those the best ones; the others are an even sample

# Nothing may be fetched, whatever a name of a parameter or a reason of a failure says.
POLICY = "default-src 'none'; style-src 'unsafe-inline'; script-src 'unsafe-inline'; img-src data:"
LEGEND = (
    ("won", "the winner"),
    ("base", "the base recipe"),
    ("complete", "ran to its end"),
    ("pruned", "stopped early"),
    ("failed", "failed"),
)


def write_page(study: Study, choice: Choice, out: Path) -> Path:
    """Write report.html into `out`."""
    tried, won = study.tried(), choice.won
    values = {each.number: study.values_of(each.number, each.drawn) for each in tried}
    seen = Seen(study, _sample(study, tried), won, values)
    parts = [_head(study, choice, tried), *_figures(seen, choice), _table(study, won, tried, values)]
    if len(seen.tried) < len(tried):
        parts.insert(1, f"<p>The pictures show {len(seen.tried)} of the trials, the best {BEST} among them.</p>")
    return _write("".join(parts), f"Search {study.name}", out)


def write_nothing(out: Path) -> Path:
    """The same file where nothing was tried."""
    said = "<h1>No search</h1><p>search.trials is 0, or the space is empty: the base recipe stands.</p>"
    return _write(said, "No search", out)


def _write(body: str, title: str, out: Path) -> Path:
    style, script = (files(__package__).joinpath(name).read_text(encoding="utf-8") for name in ("page.css", "page.js"))
    whole = (
        '<!doctype html><html lang="en"><head><meta charset="utf-8">'
        f'<meta http-equiv="Content-Security-Policy" content="{POLICY}">'
        '<meta name="viewport" content="width=device-width"><link rel="icon" href="data:,">'
        f"<title>{title}</title><style>{style}</style></head><body>{body}"
        f'<div id="tip" role="status"></div><script>{script}</script></body></html>\n'
    )
    (out / NAME).write_text(whole, encoding="utf-8")
    return out / NAME


def _head(study: Study, choice: Choice, tried: Sequence[Tried]) -> str:
    """Who won, against what, of how many."""
    won = choice.won
    counts = {state: sum(each.state == state for each in tried) for state in (COMPLETE, PRUNED, FAILED)}
    counted = ", ".join(f"{count} {state}" for state, count in counts.items() if count)
    base = next((each for each in tried if each.number == BASE_NUMBER and each.value is not None), None)
    beside = "" if base is None or base.number == won.number else f", the base recipe {base.score:.4f}"
    epochs = sum(len(each.curve) for each in tried)
    said = f"Trial {won.number} won: validation {study.metric} <b>{won.score:.4f}</b> in search{beside}."
    legend = "".join(f'<span><i class="key {kind}"></i>{words}</span>' for kind, words in LEGEND)
    counted = f"{numbered(len(tried), 'trial')} ({counted}), {numbered(epochs, 'epoch')}."
    return (
        f"<header><h1>Search <code>{study.name}</code></h1><p class=lead>{said}</p>"
        f"<p>{counted} {_brought(study)}{_flatters(choice)}</p>"
        f"{_changes(study, won)}<p class=legend>{legend}</p></header>"
    )


def _brought(study: Study) -> str:
    """What twice the budget might bring."""
    by = second_half(study)
    return "" if by is None else f"The second half of them made the best score better by {by:.4g}. "


def _flatters(choice: Choice) -> str:
    """What a person must know of the choice, and how much of the score is luck."""
    told = [f"<b>{_said(' '.join(choice.said))}</b>"] if choice.said else []
    if choice.verdict is None:
        told.append("A score that was chosen as the best of many flatters; only <code>evaluate</code> judges.")
    return " ".join(told)


def _changes(study: Study, won: Tried) -> str:
    """What the winner's recipe has that the base has not."""
    base, changed = flat(study.space.base), study.space.differences(won.number, won.drawn)
    if not changed:
        return "<p>The base recipe itself won.</p>"
    cells = [
        f"<div><dt>{_said(name)}</dt><dd>{_said(short(base[name]))} → <b>{_said(short(value))}</b></dd></div>"
        for name, value in changed.items()
    ]
    return f"<dl>{''.join(cells)}</dl>"


def _figures(seen: Seen, choice: Choice) -> Iterator[str]:
    """Every chart with its title and how it is read."""
    if not seen.valued:
        yield "<p>No trial reported a value.</p>"
        return
    yield _figure("History", charts.history(seen), "Line: the best so far. Triangles at the edge lie outside.")
    yield _figure("Learning curves", charts.curves(seen), "Pale: stopped early. Dashed: the base recipe.")
    if seen.study.costs:
        panels = "".join(f"<div><h3>{_said(name)}</h3>{picture}</div>" for name, picture in charts.fronts(seen))
        how = f"{seen.study.metric} against what a recipe costs. Line: nobody is better in all."
        yield _figure("Front", f'<div class="slices">{panels}</div>', how)
    if choice.finals is not None and choice.verdict is not None:
        yield _figure("Finals", *charts.finals(seen, choice.finals, choice.verdict))
    yield _figure("Importance", *charts.shares(seen))
    yield _figure("Workers", *timeline(seen))
    yield _figure(
        "Which values led where",
        charts.parallel(seen),
        "A line is a trial: the darker, the better. It skips a parameter that does not count in it.",
        "whole",
    )
    panels = "".join(f"<div><h3>{_said(name)}</h3>{picture}</div>" for name, picture in charts.slices(seen))
    how = f"{seen.study.metric} of each trial in which the parameter counts, against its value."
    yield _figure("Slices", f'<div class="slices">{panels}</div>', how, "whole")


def _figure(title: str, picture: str, how: str, kind: str = "half") -> str:
    return f'<figure class="{kind}"><h2>{title}</h2>{picture}<figcaption>{_said(how)}</figcaption></figure>'


def _table(study: Study, won: Tried, tried: Sequence[Tried], values: Mapping[int, Mapping[str, Any]]) -> str:
    """A row a trial; a click on a head sorts by it."""
    names = list(study.space.parameters)
    heads = ["trial", "state", study.metric, "epochs", "seconds", "worker", *study.costs, *names]
    if any(each.reason for each in tried):
        heads.append("reason")
    head = "".join(f'<th scope="col"><button type="button">{_said(name)}</button></th>' for name in heads)
    reasons = heads[-1] == "reason"
    rows = "".join(
        _row(each, won, each.costs | dict(values[each.number]), [*study.costs, *names], reasons) for each in tried
    )
    caption = "Empty: the parameter does not count there. A click on a head sorts, a click on a row marks its trial."
    return (
        f'<section><h2>Trials</h2><p>{caption}</p><div class="scroll"><table><thead><tr>{head}</tr></thead>'
        f"<tbody>{rows}</tbody></table></div></section>"
    )


def _row(one: Tried, won: Tried, values: Mapping[str, Any], names: Sequence[str], reasons: bool) -> str:
    cells: list[Any] = [one.number, one.state, one.value, len(one.curve), round(one.seconds, 1)]
    cells += [one.stay.worker if one.stay is not None else None, *(values.get(name) for name in names)]
    cells += [one.reason] if reasons else []
    kind = f"{one.state} won" if one.number == won.number else one.state
    return f'<tr class="{kind}" data-t="{one.number}">{"".join(map(_cell, cells))}</tr>'


def _cell(value: Any) -> str:
    if value is None:
        return "<td></td>"
    if isinstance(value, float):
        return f'<td class="n" data-v="{value!r}">{value:.4g}</td>'
    return f"<td{' class=n' if isinstance(value, int) else ''}>{_said(short(value))}</td>"


def _sample(study: Study, tried: Sequence[Tried]) -> list[Tried]:
    """All of them, or of too many the best and an even sample of the others; trial 0 always."""
    if len(tried) <= MOST:
        return list(tried)
    valued = [each for each in tried if each.value is not None]
    ranked = sorted(valued, key=lambda one: (one.state != COMPLETE, -study.sign * one.score))
    kept = {BASE_NUMBER, *(each.number for each in ranked[:BEST])}
    others = [each for each in tried if each.number not in kept]
    step = -(-len(others) // (MOST - len(kept)))
    kept |= {each.number for each in others[::step]}
    return [each for each in tried if each.number in kept]


def _said(words: str) -> str:
    return html.escape(words, quote=True)
