"""Which trial ran on which worker, from when to when. Owns that chart; what a study does not know of, it leaves out."""

from collections.abc import Sequence
from datetime import UTC, datetime

from assay.search.page.charts import HALF, Seen
from assay.search.page.svg import Chart, Scale, round_values
from assay.search.stays import CUT, Clock, at_work, mark, rows_of, stays_of
from assay.search.trial import Stay, Tried
from assay.terminal import duration, numbered

ROW, LEFT = 26, 76  # pixels: a worker's height, and the room for its name
STEPS = (1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 10800, 21600, 43200)  # seconds


def timeline(seen: Seen) -> tuple[str, str]:
    """A bar a trial, a row a worker; and what it says in a sentence."""
    ran = stays_of(seen.tried)
    if not ran:
        return "", "Of this search no times are kept."
    clock, rows = Clock([stay for _, stay in ran]), rows_of(ran)
    chart = Chart(HALF, 14 + ROW * len(rows) + 50)
    across, floor = Scale(0, max(clock.length, 1e-3), LEFT, HALF - 20), 14 + ROW * len(rows)
    marks = [(tick, mark(tick)) for tick in round_times(across.high, 5)]
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


def _said(chart: Chart, clock: Clock, ran: Sequence[tuple[Tried, Stay]], rows: dict[str, int]) -> tuple[str, str]:
    began = datetime.fromtimestamp(clock.begin, UTC).strftime("%Y-%m-%d %H:%M UTC")
    trials, workers = numbered(len(ran), "trial"), numbered(len(rows), "worker")
    words = f"{trials} in {duration(clock.length)} on {workers}, begun {began}; trials ran in "
    words += f"{at_work(ran, clock, len(rows)):.0%} of the workers' time."
    if clock.cuts:
        paused = duration(sum(much for _, much in clock.cuts))
        words += f" Dashed: pauses in which nothing ran, {paused} in all, are cut out."
    return chart.svg(words), words


def _bar(chart: Chart, across: Scale, clock: Clock, one: Tried, stay: Stay, y: float, kind: str) -> None:
    begin, end = across(clock(stay.begin)), across(clock(stay.end))
    chart.bar(begin, y + 3, end - begin - 1, ROW - 6, f"stay {kind}", one.number)
    if end - begin > 9 * len(str(one.number)) + 4:
        chart.text((begin + end) / 2, y + 17, str(one.number), kind=f"inside {kind}")
