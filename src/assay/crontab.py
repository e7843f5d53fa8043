"""The five fields of a crontab line, and when they are due. Owns what such a line may say; APScheduler reckons the
times, here and in retrain/ only.

APScheduler 3 reads a line in its own way: 0 is Monday, a step behind a name is dropped, and of two days both must hold.
So each field is read here, as cron does, and handed over as the numbers that it means.
"""

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta, tzinfo
from typing import Any
from zoneinfo import ZoneInfoNotFoundError

from apscheduler.triggers.base import BaseTrigger
from apscheduler.triggers.cron import CronTrigger
from tzlocal import get_localzone

from assay.errors import InputError

EXAMPLE = "'0 3 * * 1', Mondays at 3:00"
TICK = timedelta(microseconds=1)
LONGEST = 200  # characters that a sentence quotes
DAYS = ("sun", "mon", "tue", "wed", "thu", "fri", "sat")
MONTHS = ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")
LENGTHS = (31, 29, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31)
PART = re.compile(r"(?P<first>\*|\w+)(-(?P<last>\w+))?(/(?P<step>\d+))?", re.ASCII)


@dataclass(frozen=True)
class Field:
    """One of the five: its name for a person, the numbers that it may have, and words for them."""

    name: str
    low: int
    high: int
    words: Mapping[str, int]

    def numbers(self, text: str) -> list[int]:
        """What `text` means.

        Raises:
            ValueError: it means nothing; in words for a person.
        """
        return sorted({number for part in text.split(",") for number in self._part(part)})

    def _part(self, text: str) -> Iterator[int]:
        found = PART.fullmatch(text)
        if found is None:
            raise ValueError(f"{text!r} as the {self.name}, which must be *, a number, a range, or a list of these")
        first, last, step = found["first"], found["last"], found["step"]
        if first == "*":
            if last is not None:
                raise ValueError(f"{text!r} as the {self.name}; a range must be of two numbers")
            low, high = self.low, self.high
        else:
            low = self._number(first)
            high = low if last is None else self._number(last)
            if step is not None and last is None:
                raise ValueError(f"{text!r} as the {self.name}; a step stands behind * or a range")
        if low > high:
            raise ValueError(f"{text!r} as the {self.name}; a range must begin with the smaller number")
        if step is not None and not 1 <= int(step) <= self.high - self.low:
            raise ValueError(f"{text!r} as the {self.name}; a step must be 1 to {self.high - self.low}")
        yield from range(low, high + 1, int(step or 1))

    def _number(self, word: str) -> int:
        known = self.words.get(word.lower())
        if known is None and re.fullmatch(r"\d{1,4}", word):
            known = int(word)
        if known is None or not self.low <= known <= self.high:
            words = f", or {next(iter(self.words))} and so on" if self.words else ""
            raise ValueError(f"{word!r} as the {self.name}, which must be {self.low} to {self.high}{words}")
        return known


FIELDS = (
    Field("minute", 0, 59, {}),
    Field("hour", 0, 23, {}),
    Field("day of the month", 1, 31, {}),
    Field("month", 1, 12, {name: number for number, name in enumerate(MONTHS, 1)}),
    Field("weekday", 0, 7, {name: number for number, name in enumerate(DAYS)}),  # 0 and 7 are Sunday
)


def problem(line: str) -> str | None:
    """What is wrong with a line, as the rest of a sentence that begins with its setting; None: nothing.

    >>> problem("0 3 * * 1")
    >>> problem("0 25 * * *")
    "has '25' as the hour, which must be 0 to 23"
    """
    try:
        _read(line)
    except ValueError as error:
        return f"has {error}"
    return None


class Times(BaseTrigger):  # type: ignore[misc]  # APScheduler ships no types
    """When a line is due, as a trigger of APScheduler.

    A time that a change of the clock leaves out is due an hour later, and one that comes twice is due once, unless the
    line says every hour.
    """

    def __init__(self, line: str, zone: tzinfo | None = None) -> None:
        """Read a line, of which `problem` says nothing.

        Args:
            line: of a crontab.
            zone: in which it is meant; None: the machine's.

        Raises:
            InputError: the machine does not say in which time zone it is.
        """
        minutes, hours, days, months, weekdays = _read(line)
        every: dict[str, Any] = {"minute": _listed(minutes), "hour": _listed(hours), "month": _listed(months)}
        every["timezone"] = zone or _local()
        day, weekday = {"day": _listed(days)}, {"day_of_week": _listed(DAYS[number % 7] for number in weekdays)}
        which = [day, weekday] if _either(line) else [day | weekday]
        self._triggers = [CronTrigger(**every, **given) for given in which]
        self._twice = line.split()[1].startswith("*")

    def get_next_fire_time(self, previous: datetime | None, now: datetime) -> datetime | None:
        """The first time after `previous`, or from `now` on where that is None or later; as APScheduler asks for it."""
        return self.due(now if previous is None else min(previous.astimezone(UTC) + TICK, now.astimezone(UTC)))

    def due(self, since: datetime) -> datetime | None:
        """The first time from `since` on."""
        while True:
            asked = (one.get_next_fire_time(None, since) for one in self._triggers)
            found: datetime | None = min(filter(None, asked), default=None)
            if found is None or self._twice or not found.fold:
                return found
            since = found.astimezone(UTC) + TICK  # in UTC, where no hour comes twice


def _listed(numbers: Iterable[int | str]) -> str:
    return ",".join(dict.fromkeys(map(str, numbers)))


def _read(line: str) -> list[list[int]]:
    """The numbers of each field.

    Raises:
        ValueError: in words for a person.
    """
    fields = line.split()
    if len(fields) != len(FIELDS):
        said = "1 field" if len(fields) == 1 else f"{len(fields)} fields"
        raise ValueError(f"{said}; it must have 5: minute, hour, day of the month, month, weekday")
    if len(line) > LONGEST:
        raise ValueError(f"{len(line)} characters; it may have {LONGEST}")
    read = [field.numbers(text) for field, text in zip(FIELDS, fields, strict=True)]
    if not _either(line) and min(read[2]) > max(LENGTHS[month - 1] for month in read[3]):
        raise ValueError(f"day {min(read[2])} of a month that is shorter, so it would never be due")
    return read


def _either(line: str) -> bool:
    """Whether one of the two days is enough: in cron it is where both are given, a * in front is none."""
    _, _, day, _, weekday = line.split()
    return not day.startswith("*") and not weekday.startswith("*")


def _local() -> tzinfo:
    try:
        return get_localzone()
    except (ZoneInfoNotFoundError, ValueError, OSError) as error:
        says = "TZ or /etc/localtime names no time zone that is known here; set TZ to one, as Europe/Berlin."
        raise InputError(says) from error
