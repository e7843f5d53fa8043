"""How often a retraining was due and did not run, by the machine's own time."""

import os
import subprocess
import sys
import time
from datetime import datetime
from zoneinfo import ZoneInfo

import pytest
import time_machine

from assay.retrain.due import MOST, missed

BERLIN = ZoneInfo("Europe/Berlin")
WEEKLY = "0 3 * * 1"


def at(text: str) -> float:
    return datetime.fromisoformat(text).replace(tzinfo=BERLIN).timestamp()


@pytest.mark.parametrize(
    "since, now, count",
    [
        ("2026-11-16 03:00:02", "2026-11-23 03:00:01", 0),  # as it should be
        ("2026-11-16 03:00:02", "2026-11-23 03:00:00", 0),
        ("2026-11-16 03:00:02", "2026-11-20 12:00:00", 0),  # by hand, between two
        ("2026-11-16 03:00:02", "2026-11-30 03:00:01", 1),
        ("2026-11-16 03:00:02", "2026-12-02 09:00:00", 1),  # the machine came back on a Wednesday: that is the catch-up
        ("2026-11-16 03:00:02", "2026-12-14 03:00:01", 3),
        ("2026-11-16 03:00:02", "2026-11-16 03:00:02", 0),
        ("2026-11-16 03:00:02", "2026-11-01 03:00:00", 0),  # the clock was set back
    ],
)
def test_those_between_the_last_and_this_one_were_missed(since: str, now: str, count: int) -> None:
    assert missed(WEEKLY, at(since), at(now), BERLIN) == count


@pytest.mark.parametrize("since, now", [("2026-03-28", "2026-03-30"), ("2026-10-24", "2026-10-26")])
def test_a_change_of_the_clock_neither_adds_nor_hides_one(since: str, now: str) -> None:
    assert missed("30 2 * * *", at(f"{since} 02:30:01"), at(f"{now} 02:30:01"), BERLIN) == 1


def test_years_of_minutes_are_counted_no_further_than_anybody_reads() -> None:
    began = time.monotonic()
    assert missed("* * * * *", 0.0, at("2026-11-28 03:00:00"), BERLIN) == MOST
    assert time.monotonic() - began < 60


def test_a_week_that_the_machine_slept_is_counted() -> None:
    with time_machine.travel(datetime(2026, 11, 16, 3, 0, 5, tzinfo=BERLIN), tick=False) as clock:
        began = time.time()
        clock.shift(15 * 24 * 3600)
        assert missed(WEEKLY, began, time.time(), BERLIN) == 1


def test_the_time_zone_is_the_machines() -> None:
    """At 3:00 in Tokyo, which is the evening before in London."""
    program = "from assay.retrain.due import missed; print(missed('0 3 * * *', 1000.0 * 86400, 1000.5 * 86400 + 86400))"
    due = {}
    for zone in ("Asia/Tokyo", "Europe/London"):
        ended = subprocess.run(
            [sys.executable, "-c", program], env=os.environ | {"TZ": zone}, capture_output=True, text=True, check=True
        )
        due[zone] = int(ended.stdout)
    assert due == {"Asia/Tokyo": 0, "Europe/London": 1}


def test_a_time_zone_that_nobody_knows_is_said() -> None:
    program = "from assay.retrain.due import missed; missed('0 3 * * *', 0, 9)"
    environment = os.environ | {"TZ": "Europe/Nowhere"}
    command = [sys.executable, "-c", program]
    ended = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert "TZ or /etc/localtime names no time zone that is known here" in ended.stderr
