"""Retraining, by hand or by a schedule. Owns its words; the work is done in retrain/."""

from pathlib import Path
from typing import Annotated

import typer
from typer import Option


def add_to(app: typer.Typer) -> None:
    """Give `app` these verbs."""
    app.command()(retrain)


def retrain(force: Annotated[bool, Option("--force", help="Also where there is no reason to.")] = False) -> None:
    """Look for new data, retrain where there is reason to, and promote what is shown to be better.

    Exit codes: 0 promoted, 10 the champion stays, 11 nothing new, 12 another retraining is at work, 1 failed, 2 wrong
    settings.

    Example: assay retrain
    """
    from assay.retrain import retrain as run

    raise SystemExit(run(Path(), force=force))
