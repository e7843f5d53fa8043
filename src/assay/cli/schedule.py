"""Retraining at set times: `assay schedule`. Owns its words; the work is done in retrain/timetable.py."""

import typer


def add_to(app: typer.Typer) -> None:
    """Give `app` this verb."""
    app.command()(schedule)


def schedule() -> None:
    """Run `assay retrain` at the times of retrain.schedule, until Ctrl-C.

    Where one was due since the last and nobody kept the schedule, it is made up for at once. A retraining that runs
    when this ends is stopped and waited for; the next one goes on from there. Notices that nobody took are sent again
    every ten minutes.

    Example: assay schedule
    """
    from assay.crontab import EXAMPLE, Times
    from assay.errors import InputError
    from assay.retrain.notice import Notify
    from assay.retrain.timetable import keep
    from assay.settings import load

    how = load().retrain
    if (line := how.schedule) is None:
        raise InputError(f"retrain.schedule is null; `assay schedule` needs a crontab line, such as {EXAMPLE}.")
    keep(Times(line), Notify.of(how.notify))
