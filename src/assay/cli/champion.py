"""Who is in use: the verbs of the championship. Owns their words; the work is done in championship.py."""

from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from typer import Argument, Option

from assay.places import MODEL, PREPARED
from assay.terminal import say, table

if TYPE_CHECKING:
    from assay.championship import Championship
    from assay.registry.ledger import Decision

KEPT = 10  # exit code: the champion stays

Reason = Annotated[str, Option("--reason", help="Why; the account keeps it.", show_default=False)]


def add_to(app: typer.Typer) -> None:
    """Give `app` these verbs."""
    for verb in (challenge, champion, history, promote, rollback):
        app.command()(verb)


def challenge(model: Annotated[Path, Option(help="Folder of the trained model.")] = MODEL) -> None:
    """Let the trained model try to become champion.

    It does where it is shown to be better than the champion on the test split; exit code 10 where the champion stays.

    Example: assay challenge
    """
    with _championship() as house:
        ended = house.challenge(model, PREPARED)
    raise SystemExit(0 if ended.won else KEPT)


def champion() -> None:
    """Say who is champion, since when and why.

    Example: assay champion
    """
    with _championship() as house:
        made = house.history()[-1]
    table(f"champion of {house.name}", _rows(made))


def history(
    day: Annotated[datetime | None, Argument(formats=["%Y-%m-%d"], help="Who was champion at its end.")] = None,
    every: Annotated[bool, Option("--all", help="Every decision, not only those that made a champion.")] = False,
) -> None:
    """List the champions, or say who it was on a day.

    Example: assay history 2026-11-28
    """
    with _championship() as house:
        made = house.decisions() if every else house.history()
    if day is not None:
        made = [one for one in made if datetime.fromtimestamp(one.at).date() <= day.date()][-1:]
        if not made:
            say(f"{house.name} had no champion on {day.date()}.")
            return
    rows = [(_when(one), one.kind, str(one.version), str(one.champion), one.who, one.reason) for one in made]
    table(f"decisions on {house.name}", rows, ("when", "what", "version", "champion", "who", "why"))


def promote(
    version: Annotated[int, Argument(min=1, help="Of the registered model.", show_default=False)], reason: Reason
) -> None:
    """Make a version champion without the test, as a person says.

    Example: assay promote 3 --reason "the new camera"
    """
    with _championship() as house:
        house.promote(version, reason)


def rollback(reason: Reason = "rolled back") -> None:
    """Give the championship back to who had it before.

    Example: assay rollback --reason "complaints since Monday"
    """
    with _championship() as house:
        house.rollback(reason)


def _championship() -> "Championship":
    from assay.championship import Championship
    from assay.settings import load

    return Championship(load(), Path())


def _rows(made: "Decision") -> list[tuple[str, str]]:
    return [
        ("version", str(made.champion)),
        ("since", _when(made)),
        ("by", f"{made.who}, {made.kind}"),
        ("why", made.reason),
        ("before it", "nobody" if made.previous is None else f"version {made.previous}"),
    ]


def _when(made: "Decision") -> str:
    return datetime.fromtimestamp(made.at).strftime("%Y-%m-%d %H:%M")
