"""Which trial ran on which worker, from when to when. Owns how that is reckoned, for its picture and for the page; what
a study does not know of, it leaves out.
"""

from collections.abc import Iterable, Sequence
from itertools import pairwise

from assay.search.trial import Stay, Tried
from assay.terminal import duration

IDLE = 0.1  # of the time worked: a longer pause in which nothing ran is cut out
CUT = 0.02  # and stands there as this much

Ran = tuple[Tried, Stay]


def stays_of(tried: Iterable[Tried]) -> list[Ran]:
    """The trials of which it is known where they ran."""
    return [(each, each.stay) for each in tried if each.stay is not None]


class Clock:
    """Time as a picture shows it: seconds since the first begin, long pauses of everybody cut out."""

    def __init__(self, stays: Sequence[Stay]) -> None:
        spans = _merged(stays)
        self.begin, worked = spans[0][0], sum(end - begin for begin, end in spans)
        self.cuts: list[tuple[float, float]] = []  # from when, how much
        for (_, end), (begin, _) in pairwise(spans):
            if begin - end > IDLE * worked:
                self.cuts.append((end, begin - end - CUT * worked))
        self.length = self(max(stay.end for stay in stays))

    def __call__(self, time: float) -> float:
        return time - self.begin - sum(much for since, much in self.cuts if time > since)


def rows_of(ran: Sequence[Ran]) -> dict[str, int]:
    """Worker → row, in the order in which they began."""
    workers = dict.fromkeys(stay.worker for _, stay in sorted(ran, key=lambda one: one[1].begin))
    return {worker: row for row, worker in enumerate(workers)}


def at_work(ran: Sequence[Ran], clock: Clock, workers: int) -> float:
    """The share of the workers' time, without the pauses that are cut out, in which trials ran."""
    busy = sum(stay.end - stay.begin for _, stay in ran)
    return min(1.0, busy / max(clock.length * workers, 1e-9))


def mark(time: float) -> str:
    """A time beside an axis."""
    return f"{time:.2g} s" if 0 < time < 10 else duration(time).removesuffix(" 0 s").removesuffix(" 0 min")


def _merged(stays: Sequence[Stay]) -> list[tuple[float, float]]:
    """The spans of time in which anything ran."""
    spans: list[tuple[float, float]] = []
    for begin, end in sorted((stay.begin, stay.end) for stay in stays):
        if spans and begin <= spans[-1][1]:
            spans[-1] = (spans[-1][0], max(end, spans[-1][1]))
        else:
            spans.append((begin, end))
    return spans
