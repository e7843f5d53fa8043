"""Which trial ran on which worker, from when to when. Owns that chart; what a study does not know of, it leaves out."""

from collections.abc import Sequence
from datetime import UTC, datetime
from itertools import pairwise

from assay.search.page.charts import HALF, Seen
from assay.search.page.svg import Chart, Scale, round_values
from assay.search.trial import Stay, Tried
from assay.terminal import duration

ROW, LEFT = 26, 76  # pixels: a worker's height, and the room for its name
IDLE = 0.1  # of the time worked: a longer pause in which nothing ran is cut out of the picture
CUT = 0.02  # and stands there as this much
STEPS = (1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 10800, 21600, 43200)  # seconds


class Clock:
    """Time as the picture shows it: seconds since the first begin, long pauses of everybody cut out."""

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


def timeline(seen: Seen) -> tuple[str, str]:
    """A bar a trial, a row a worker; and what it says in a sentence."""
    ran = [(each, each.stay) for each in seen.tried if each.stay is not None]
    if not ran:
        return "", "Of this search no times are kept."
    clock, rows = Clock([stay for _, stay in ran]), _rows(ran)
    chart = Chart(HALF, 14 + ROW * len(rows) + 50)
    across, floor = Scale(0, max(clock.length, 1e-3), LEFT, HALF - 20), 14 + ROW * len(rows)
    marks = [(tick, _mark(tick)) for tick in round_times(across.high, 5)]
    chart.across(across, floor, "time worked", marks)
    for row in rows.values():
        chart.text(LEFT - 8, 14 + row * ROW + 17, f"worker {row + 1}", "end", "tick")
    for each, stay in ran:
        _bar(chart, across, clock, each, stay, 14 + rows[stay.worker] * ROW, seen.kind(each))
    for since, _ in clock.cuts:
        x = across(clock(since) + CUT / 2 * clock.length)
        chart.line([(x, 6), (x, floor)], "cut")
    return _said(chart, clock, ran, rows)


def round_times(length: float, num: int) -> list[float]:
    """About `num` times within `length` seconds, at steps of a clock; round numbers beyond a day and below a second."""
    steps = [step for step in STEPS if 0.6 * step <= length / num <= 1.8 * step]
    return [float(at) for at in range(0, int(length) + 1, steps[0])] if steps else round_values(0, length, num)


def _mark(time: float) -> str:
    return f"{time:.2g} s" if 0 < time < 1 else duration(time).removesuffix(" 0 s").removesuffix(" 0 min")


def _said(chart: Chart, clock: Clock, ran: Sequence[tuple[Tried, Stay]], rows: dict[str, int]) -> tuple[str, str]:
    busy = sum(stay.end - stay.begin for _, stay in ran)
    began = datetime.fromtimestamp(clock.begin, UTC).strftime("%Y-%m-%d %H:%M UTC")
    words = f"{len(ran)} trials in {duration(clock.length)} on {len(rows)} workers, begun {began}; trials ran in "
    words += f"{min(1.0, busy / max(clock.length * len(rows), 1e-9)):.0%} of the workers' time."
    if clock.cuts:
        paused = duration(sum(much for _, much in clock.cuts))
        words += f" Dashed: pauses in which nothing ran, {paused} in all, are cut out."
    return chart.svg(words), words


def _bar(chart: Chart, across: Scale, clock: Clock, one: Tried, stay: Stay, y: float, kind: str) -> None:
    begin, end = across(clock(stay.begin)), across(clock(stay.end))
    chart.bar(begin, y + 3, end - begin - 1, ROW - 6, f"stay {kind}", one.number)
    if end - begin > 9 * len(str(one.number)) + 4:
        chart.text((begin + end) / 2, y + 17, str(one.number), kind=f"inside {kind}")


def _rows(ran: Sequence[tuple[Tried, Stay]]) -> dict[str, int]:
    """Worker → row, in the order in which they began."""
    workers = dict.fromkeys(stay.worker for _, stay in sorted(ran, key=lambda one: one[1].begin))
    return {worker: row for row, worker in enumerate(workers)}


def _merged(stays: Sequence[Stay]) -> list[tuple[float, float]]:
    """The spans of time in which anything ran."""
    spans: list[tuple[float, float]] = []
    for begin, end in sorted((stay.begin, stay.end) for stay in stays):
        if spans and begin <= spans[-1][1]:
            spans[-1] = (spans[-1][0], max(end, spans[-1][1]))
        else:
            spans.append((begin, end))
    return spans
