"""How often a retraining was due and did not run. Owns that count; when it is due is crontab.py's, and who runs it then
is no matter here: cron, systemd, Kubernetes or `assay schedule`.
"""

from datetime import UTC, datetime, tzinfo

from assay.crontab import TICK, Times

MOST = 1000  # counted, in half a second; who missed more misses no number


def missed(schedule: str, since: float, now: float, zone: tzinfo | None = None) -> int:
    """How often `schedule` was due after `since` and up to `now`, without the one that runs now; at most `MOST`.

    Args:
        schedule: a line of a crontab that is sound.
        since: when the last retraining began, in seconds since 1970.
        now: when this one began.
        zone: in which the schedule is meant; None: the machine's.

    Raises:
        InputError: the machine does not say in which time zone it is.
    """
    times, due = Times(schedule, zone), 0
    at: datetime | None = datetime.fromtimestamp(since, UTC)
    end = datetime.fromtimestamp(now, UTC)
    while due <= MOST and at is not None and (at := times.due(at.astimezone(UTC) + TICK)) is not None and at <= end:
        due += 1
    return max(0, due - 1)
