"""`assay drift`: whether what comes in is still like what the champion was chosen by. Owns its words; the work is done
in watch.py.
"""

from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from typer import Argument

from assay.places import PREPARED
from assay.terminal import say, table

if TYPE_CHECKING:
    from assay.drift import Finding
    from assay.label_shift import LabelShift
    from assay.registry.drifts import Look

FOUND = 10  # exit code: drift
SHOWN = 5  # outputs, of many


def add_to(app: typer.Typer) -> None:
    """Give `app` this verb."""
    app.command()(drift)


def drift(paths: Annotated[list[Path], Argument(help="Files, folders or tables.", show_default=False)]) -> None:
    """Look whether new samples are still like those that the champion was chosen by.

    Exit code 0 where no drift is shown, 10 where it is. Each look spends a part of one error rate for the champion's
    whole life; the same samples are looked at once.

    Example: assay drift photos/november
    """
    from assay.championship import Championship
    from assay.settings import load
    from assay.watch import Watch

    params = load()
    with Championship(params, Path()) as house, Watch(params, house) as watch:
        look = watch.at_paths(PREPARED, paths)
    _told(look)
    raise SystemExit(FOUND if look.drift.found else 0)


def _told(look: "Look") -> None:
    found = look.drift
    if look.again:
        when = datetime.fromtimestamp(look.at).strftime("%Y-%m-%d %H:%M")
        say(f"These samples were looked at by {look.who} on {when}; nothing is spent again.")
    outputs = sorted(found.outputs, key=lambda one: (one.p, -one.effect))
    rows = [_row(one, f"{one.effect:.3f} ({one.moved:+.3g})") for one in outputs[:SHOWN]]
    rows.append(_row(found.features, f"AUC {found.features.effect:.3f}"))
    title = f"look {look.number} under version {look.version}, α {found.alpha:.2g}"
    table(title, rows, ("what", "p", "drift at", "distance (mean moved)"))
    if found.labels is not None:
        say(_labels(found.labels, [one.of for one in found.outputs]))
    if found.features.found:
        say(f"These differ most: {', '.join(found.differ)}.")
    say(found.said)


def _row(one: "Finding", effect: str) -> tuple[str, str, str, str]:
    at = f"{one.threshold:.2g}" if one.threshold else "no part in it"
    return one.of, f"{one.p:.2g}{' !' if one.found else ''}", at, effect


def _labels(shift: "LabelShift", names: list[str]) -> str:
    now = shift.accuracy
    moved = max(range(len(names)), key=lambda k: abs(shift.today[k].value - shift.before[k]))
    one = shift.today[moved]
    today = f"accuracy is {now.value:.3f} today ({now.low:.3f} to {now.high:.3f}; {shift.accuracy_before:.3f} before)"
    share = f"{one.value:.1%} of all ({one.low:.1%} to {one.high:.1%}; {shift.before[moved]:.1%} before)"
    return f"If only the shares of the classes have changed, {today}, and {names[moved]!r} is {share}."
