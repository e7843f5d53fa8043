"""A retraining as one page to be looked at. Owns what stands on it; asks nothing of a network and decides nothing.

page.css how it looks, on a screen, a phone and paper, by day and by night.
"""

import base64
import html
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from importlib.resources import files
from pathlib import Path
from typing import Any

from assay.retrain.told import Apart, Data, Ruled, Told
from assay.terminal import numbered
from assay.whole import write_whole

POLICY = (
    "default-src 'none'; style-src 'unsafe-inline'; img-src data:"  # nothing is fetched, whatever a class is called
)
MOST_CLASSES = 100  # rows of the table; those that changed most come first
WIDTH, HEIGHT, EDGE = 640, 84, 40  # of the picture of the gain
MISSING = object()


def write_page(told: Told, path: Path) -> Path:
    """Write the page of a retraining to `path`, whole or not at all.

    Raises:
        InputError: the disk is full or not writable.
    """
    style = files(__package__).joinpath("page.css").read_text(encoding="utf-8")
    title = _said(f"{told.model}: {told.kind}")
    whole = (
        '<!doctype html><html lang="en"><head><meta charset="utf-8">'
        f'<meta http-equiv="Content-Security-Policy" content="{POLICY}">'
        '<meta name="viewport" content="width=device-width, initial-scale=1"><link rel="icon" href="data:,">'
        f"<title>{title}</title><style>{style}</style></head><body>{''.join(_parts(told))}</body></html>\n"
    )
    write_whole(whole.encode("utf-8", "backslashreplace"), path)
    return path


def _parts(told: Told) -> Iterator[str]:
    yield _head(told)
    yield _section("Why", _line(told.why))
    yield _section("What changed in the data", "" if told.data is None else _data(told.data))
    yield _section("Drift", _listed(told.drift))
    yield _section("The recipe", _recipe(told.recipe_before, told.recipe_now))
    yield _section("The screen on validation", _line(told.validation))
    yield _section("The test", "" if told.test is None else _test(told.test))
    yield _section("Vetoes", _listed(told.vetoes))
    yield _section("Where the two models differ", _pictures(told))


def _head(told: Told) -> str:
    at = datetime.fromtimestamp(told.at).astimezone()
    said = [f"{at:%A %Y-%m-%d %H:%M %Z}"]
    said += [f"the challenger is version {told.version}"] if told.version is not None else []
    said += [f"champion is version {told.champion}"] if told.champion is not None else []
    missed = f"{numbered(told.missed, 'retraining')} before this one did not run." if told.missed else ""
    kind = told.kind.split()[0] if told.kind else ""
    title = f'<h1>{_said(told.model)} <span class="kind {_said(kind)}">{_said(told.kind)}</span></h1>'
    lead = f'<p class="lead">{_said(told.sentence)}</p><p class="grey">{_said(" · ".join(said))}</p>'
    return f"<header>{title}{lead}{_line(missed)}</header>"


def _section(title: str, body: str) -> str:
    """Nothing where there is nothing to tell."""
    return f"<section><h2>{title}</h2>{body}</section>" if body else ""


def _line(words: str) -> str:
    return f"<p>{_said(words)}</p>" if words else ""


def _listed(sentences: Any) -> str:
    return f"<ul>{''.join(f'<li>{_said(each)}</li>' for each in sentences)}</ul>" if sentences else ""


def _table(
    caption: str, head: Sequence[str], rows: Sequence[Sequence[str]], fresh: frozenset[str] = frozenset()
) -> str:
    """Words at the left, numbers at the right of their columns; rows named in `fresh` are marked."""
    heads = "".join(f'<th scope="col"{_side(place)}>{_said(name)}</th>' for place, name in enumerate(head))
    body = "".join(
        f"<tr{' class=new' if row[0] in fresh else ''}>"
        + "".join(f"<td{_side(place)}>{_said(cell)}</td>" for place, cell in enumerate(row))
        + "</tr>"
        for row in rows
    )
    said = f"<caption>{_said(caption)}</caption>" if caption else ""
    return f'<div class="scroll"><table>{said}<thead><tr>{heads}</tr></thead><tbody>{body}</tbody></table></div>'


def _side(place: int) -> str:
    return ' class="n"' if place else ""


def _data(data: Data) -> str:
    said = f"{numbered(data.new, 'new sample')}, {data.gone:,} gone."
    names = list(dict.fromkeys([*data.before, *data.now]))
    splits = [(name, f"{data.before.get(name, 0):,}", f"{data.now.get(name, 0):,}") for name in names]
    parts = [_line(said), _table("samples", ("split", "before", "now"), splits)]
    return "".join(parts) + _classes(data)


def _classes(data: Data) -> str:
    before, now = data.classes_before, data.classes_now
    names = list(dict.fromkeys([*now, *before]))
    if not names:
        return ""
    shares = {name: (_share(before, name), _share(now, name)) for name in names}
    names.sort(key=lambda name: (name in before, -abs(shares[name][1] - shares[name][0])))
    rows = [(name, f"{shares[name][0]:.1%}", f"{shares[name][1]:.1%}", f"{now.get(name, 0):,}") for name in names]
    fresh = frozenset(name for name in now if before and name not in before)
    new = f"New: {', '.join(sorted(fresh))}." if fresh else ""
    more = f"and {numbered(len(rows) - MOST_CLASSES, 'more class')}" if len(rows) > MOST_CLASSES else ""
    more = more.replace("classs", "classes")
    head = ("class", "share before", "share now", "samples now")
    return _line(new) + _table("classes", head, rows[:MOST_CLASSES], fresh) + _line(more)


def _share(counts: Mapping[str, int], name: str) -> float:
    total = sum(counts.values())
    return counts.get(name, 0) / total if total else 0.0


def _recipe(before: Mapping[str, Any], now: Mapping[str, Any]) -> str:
    if not now:
        return ""
    names = [name for name in dict.fromkeys([*before, *now]) if before.get(name, MISSING) != now.get(name, MISSING)]
    if not names:
        return _line("It is the champion's, field by field.")
    rows = [(name, _value(before.get(name, MISSING)), _value(now.get(name, MISSING))) for name in names]
    return _table("", ("field", "before", "now"), rows)


def _value(value: Any) -> str:
    if value is MISSING:
        return "–"
    return f"{value:.5g}" if isinstance(value, float) else "null" if value is None else str(value)


def _test(test: Ruled) -> str:
    facts = [f"α of this look {test.alpha:.4f}"] if test.alpha is not None else []
    facts += [f"{numbered(test.looks_left, 'look')} left this year"] if test.looks_left is not None else []
    last = f'<p class="grey">{_said("; ".join(facts))}.</p>' if facts else ""
    return f"{_line(test.said)}{_gain(test)}{last}"


def _gain(test: Ruled) -> str:
    """The gain with its interval, beside no gain and beside the margin."""
    marks = [0.0, -test.margin, test.low, test.high, test.value]
    low, high = min(marks), max(marks)
    room = (high - low) * 0.1 or 1.0
    scale = (WIDTH - 2 * EDGE) / (high - low + 2 * room)

    def x(value: float) -> float:
        return EDGE + (value - low + room) * scale

    says = f"gain in {test.metric} {test.value:+.4g}, from {test.low:+.4g} to {test.high:+.4g}"
    margin = (
        f'<line class="margin" x1="{x(-test.margin):.1f}" x2="{x(-test.margin):.1f}" y1="22" y2="62"/>'
        f'<text x="{x(-test.margin):.1f}" y="14" text-anchor="middle">margin</text>'
        if test.margin
        else ""
    )
    far = x(0) - x(-test.margin) if test.margin else WIDTH
    zero = f'<text x="{x(0):.1f}" y="{14 if far > 60 else 78}" text-anchor="middle">no gain</text>'
    return (
        f'<svg viewBox="0 0 {WIDTH} {HEIGHT}" role="img" aria-label="{_said(says)}">'
        f'<line class="axis" x1="{EDGE}" x2="{WIDTH - EDGE}" y1="42" y2="42"/>{margin}'
        f'<line class="zero" x1="{x(0):.1f}" x2="{x(0):.1f}" y1="22" y2="62"/>{zero}'
        f'<line class="reach" x1="{x(test.low):.1f}" x2="{x(test.high):.1f}" y1="42" y2="42"/>'
        f'<circle class="value" cx="{x(test.value):.1f}" cy="42" r="6"/></svg><p class="grey">{_said(says)}</p>'
    )


def _pictures(told: Told) -> str:
    if not told.apart:
        return ""
    shown = len(told.apart)
    count = f"{numbered(max(told.num_apart, shown), 'sample')} of validation"
    said = f"On {count} the two differ; {shown} are shown, those first that exactly one has right."
    return f'{_line(said)}<div class="grid">{"".join(map(_figure, told.apart))}</div>'


def _figure(one: Apart) -> str:
    encoded = base64.b64encode(one.png).decode()
    picture = f'<img alt="{_said(one.name)}" title="{_said(one.name)}" src="data:image/png;base64,{encoded}">'
    cells = "".join(
        f"<dt>{who}</dt><dd class=right>{_said(words)} ✓</dd>"
        if who == one.right
        else f"<dt>{who}</dt><dd>{_said(words)}</dd>"
        for who, words in {"truth": one.truth, "champion": one.champion, "challenger": one.challenger}.items()
    )
    return f"<figure>{picture}<dl>{cells}</dl></figure>"


def _said(words: str) -> str:
    return html.escape(words, quote=True)
