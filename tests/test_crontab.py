"""Crontab lines mean what they mean to cron: Sunday is 0, one of two days is enough, and a clock that is changed is no
reason to leave a day out.
"""

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from assay.crontab import FIELDS, Times, problem

BERLIN = ZoneInfo("Europe/Berlin")
LATE = datetime(2100, 1, 1, tzinfo=UTC)


def times(line: str, since: datetime, count: int) -> list[str]:
    """The first times of `line` from `since` on."""
    trigger, found = Times(line, BERLIN), [Times(line, BERLIN).get_next_fire_time(None, since)]
    while len(found) < count:
        found.append(trigger.get_next_fire_time(found[-1], LATE))
    return [f"{each:%a %m-%d %H:%M %z}" for each in found if each is not None]


@pytest.mark.parametrize(
    "day, found",
    [
        ("0", ["Sun", "Sun"]),
        ("7", ["Sun", "Sun"]),
        ("sun", ["Sun", "Sun"]),
        ("1", ["Mon", "Mon"]),
        ("6", ["Sat", "Sat"]),
        ("5-7", ["Fri", "Sat"]),
        ("*/3", ["Wed", "Sat"]),
        ("MON,fri", ["Mon", "Fri"]),
        ("mon-fri/2", ["Mon", "Wed"]),
    ],
)
def test_weekdays_are_those_of_cron_and_not_of_apscheduler(day: str, found: list[str]) -> None:
    monday = datetime(2026, 11, 23, tzinfo=BERLIN)
    assert [each.split()[0] for each in times(f"0 3 * * {day}", monday, 2)] == found


def test_of_two_days_that_are_given_one_is_enough() -> None:
    since = datetime(2026, 11, 7, tzinfo=BERLIN)
    found = times("0 3 20 * 5", since, 3)
    assert [each[:9] for each in found] == ["Fri 11-13", "Fri 11-20", "Fri 11-27"]
    assert [each[:9] for each in times("0 3 18 * 5", since, 3)] == ["Fri 11-13", "Wed 11-18", "Fri 11-20"]
    assert [each[:9] for each in times("0 3 */10 * 5", since, 2)] == ["Fri 12-11", "Fri 01-01"], "a * gives no day"


def test_a_time_that_the_change_to_summer_leaves_out_is_due_all_the_same() -> None:
    found = times("30 2 * * *", datetime(2026, 3, 28, 12, tzinfo=BERLIN), 2)
    assert [each[:9] for each in found] == ["Sun 03-29", "Mon 03-30"]


def test_a_time_that_comes_twice_in_autumn_is_due_once_and_every_hour_is_every_hour() -> None:
    eve = datetime(2026, 10, 24, 12, tzinfo=BERLIN)
    assert times("30 2 * * *", eve, 2) == ["Sun 10-25 02:30 +0200", "Mon 10-26 02:30 +0100"]
    night = datetime(2026, 10, 25, 1, 30, tzinfo=BERLIN)
    assert [each[10:] for each in times("0 * * * *", night, 3)] == ["02:00 +0200", "02:00 +0100", "03:00 +0100"]


def test_a_leap_day_is_waited_for() -> None:
    assert times("0 0 29 2 *", datetime(2026, 11, 1, tzinfo=BERLIN), 1) == ["Tue 02-29 00:00 +0100"]


@pytest.mark.parametrize(
    "line, said",
    [
        ("", "has 0 fields; it must have 5"),
        ("@daily", "has 1 field; it must have 5"),
        ("0 3 * *", "has 4 fields"),
        ("60 3 * * *", "has '60' as the minute, which must be 0 to 59"),
        ("0 24 * * *", "has '24' as the hour, which must be 0 to 23"),
        ("0 3 0 * *", "has '0' as the day of the month, which must be 1 to 31"),
        ("0 3 * foo *", "has 'foo' as the month, which must be 1 to 12, or jan and so on"),
        ("0 3 * * 8", "has '8' as the weekday, which must be 0 to 7, or sun and so on"),
        ("0 3 * * fri-mon", "has 'fri-mon' as the weekday; a range must begin with the smaller number"),
        ("5/15 * * * *", "has '5/15' as the minute; a step stands behind * or a range"),
        ("*/0 * * * *", "has '*/0' as the minute; a step must be 1 to 59"),
        ("*-5 * * * *", "has '*-5' as the minute; a range must be of two numbers"),
        ("0 3 ? * 1", "has '?' as the day of the month, which must be *, a number, a range, or a list of these"),
        ("² 3 * * *", "has '²' as the minute, which must be *"),
        ("0 3 30 2 *", "has day 30 of a month that is shorter, so it would never be due"),
        ("0 3 31 4,6 *", "has day 31 of a month that is shorter, so it would never be due"),
        (f"{'1,' * 200}1 * * * *", "has 409 characters; it may have 200"),
    ],
)
def test_a_line_that_means_nothing_says_why(line: str, said: str) -> None:
    found = problem(line)
    assert found is not None
    assert found.startswith(said)


def parts(low: int, high: int) -> st.SearchStrategy[str]:
    numbers = st.integers(low, high)
    ranges = st.tuples(numbers, numbers).map(lambda ends: f"{min(ends)}-{max(ends)}")
    steps = st.integers(1, high - low).map(lambda step: f"*/{step}")
    return st.lists(st.one_of(numbers.map(str), ranges, steps, st.just("*")), min_size=1, max_size=3).map(",".join)


@given(st.tuples(*(parts(field.low, field.high) for field in FIELDS)).map(" ".join))
def test_a_sound_line_is_due_at_times_that_it_names(line: str) -> None:
    if problem(line) is not None:
        assert "shorter" in str(problem(line))
        return
    found = Times(line, UTC).get_next_fire_time(None, datetime(2026, 1, 1, tzinfo=UTC))
    assert found is not None
    minutes, hours, days, months, weekdays = (
        field.numbers(text) for field, text in zip(FIELDS, line.split(), strict=True)
    )
    assert found.minute in minutes
    assert found.hour in hours
    assert found.month in months
    fits = found.day in days, found.isoweekday() % 7 in {number % 7 for number in weekdays}
    day, weekday = line.split()[2], line.split()[4]
    assert any(fits) if not (day.startswith("*") or weekday.startswith("*")) else all(fits)
    assert Times(line, UTC).get_next_fire_time(found, LATE) > found + timedelta(seconds=59)
