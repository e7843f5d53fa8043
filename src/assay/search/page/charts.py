"""The charts of a search: history, learning curves, importance, slices, parallel coordinates. Owns what each shows and
says of itself in words; computes no figure that pictures.py has.
"""

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution, IntDistribution

from assay.finals import Finals, Verdict, said, said_beside
from assay.search.front import front_of
from assay.search.importance import FEWEST, importance_of
from assay.search.page.svg import Chart, Scale, as_words
from assay.search.pictures import range_that_matters, shortened
from assay.search.space import place_of
from assay.search.study import Study
from assay.search.trial import BASE_NUMBER, COMPLETE, FAILED, PRUNED, Tried, short
from assay.terminal import numbered

HALF, WHOLE, TALL = 640, 1300, 300  # pixels: of two side by side, of one alone; height
LETTER = 6.4  # pixels of a letter on an axis, about
LEFT, RIGHT, TOP, BOTTOM = 56, 16, 34, 44  # around the place of the marks
PALEST, DEEPEST = (214, 222, 230), (8, 48, 107)  # of the worst and of the best


@dataclass(frozen=True)
class Seen:
    """What there is to draw: the trials that are shown, all of them where they are not too many."""

    study: Study
    tried: Sequence[Tried]
    won: Tried
    values: Mapping[int, Mapping[str, Any]]  # number → the recipe's values of the parameters that count

    @property
    def valued(self) -> list[Tried]:
        return [each for each in self.tried if each.value is not None]

    @property
    def varying(self) -> dict[str, BaseDistribution]:
        return self.study.space.varying

    def focus(self, values: Sequence[float], others: Sequence[float], start: float, end: float) -> Scale:
        """The range that matters."""
        return Scale(*range_that_matters(values or others, others, self.study.sign), start, end)

    def of_scores(self, start: float, end: float) -> Scale:
        complete = [each.score for each in self.valued if each.state == COMPLETE]
        return self.focus(complete, [each.score for each in self.valued], start, end)

    def kind(self, one: Tried) -> str:
        """The classes of its marks; page.css has their colours."""
        extra = " won" if one.number == self.won.number else " base" if one.number == BASE_NUMBER else ""
        return one.state + extra

    def counts(self, name: str, one: Tried) -> bool:
        return name in one.drawn and name in self.values[one.number]

    def colours(self) -> Callable[[Tried], str]:
        """The better the deeper; all below the median are alike."""
        sign = self.study.sign
        scores = sorted(sign * each.score for each in self.valued)
        middle, best = scores[len(scores) // 2], scores[-1]

        def colour(one: Tried) -> str:
            share = min(1.0, max(0.0, (sign * one.score - middle) / (best - middle))) if best > middle else 1.0
            mixed = [round(pale + share * (deep - pale)) for pale, deep in zip(PALEST, DEEPEST, strict=True)]
            return "#" + "".join(f"{part:02x}" for part in mixed)

        return colour


def history(seen: Seen) -> str:
    """Each trial's value, and the best so far."""
    chart = Chart(HALF, TALL)
    last = max(each.number for each in seen.tried)
    across, up = Scale(0, max(last, 1), LEFT, HALF - RIGHT), seen.of_scores(TALL - BOTTOM, TOP)
    chart.upright(up, LEFT, HALF - RIGHT, f"validation {seen.study.metric}")
    chart.across(across, TALL - BOTTOM, "trial", _whole_ticks(across))
    chart.line([(across(at), up(value)) for at, value in _best_so_far(seen, last)], "best")
    for each in seen.valued:
        _dot(chart, across(each.number), up, each, seen.kind(each))
    for each in [one for one in seen.tried if one.value is None and one.state == FAILED]:
        chart.text(across(each.number), TALL - BOTTOM - 4, "×", kind="tick")
    ended = {state: sum(each.state == state for each in seen.tried) for state in (COMPLETE, PRUNED, FAILED)}
    counts = ", ".join(f"{count} {state}" for state, count in ended.items() if count)
    won = f"Trial {seen.won.number} won, with {seen.study.metric} {seen.won.score:.4f} in search."
    return chart.svg(f"The value of each of {numbered(len(seen.tried), 'trial')} ({counts}) by its number. {won}")


def curves(seen: Seen) -> str:
    """Each trial's value after each epoch."""
    chart = Chart(HALF, TALL)
    ends = [value for each in seen.valued if each.state == COMPLETE for value in each.curve.values()]
    up = seen.focus(ends, [value for each in seen.valued for value in each.curve.values()], TALL - BOTTOM, TOP)
    longest = max(max(each.curve) for each in seen.valued)
    across = Scale(1, max(longest, 2), LEFT, HALF - RIGHT)
    chart.upright(up, LEFT, HALF - RIGHT, f"validation {seen.study.metric}")
    chart.across(across, TALL - BOTTOM, "epoch", _whole_ticks(across))
    for each in sorted(seen.valued, key=lambda one: (one.state == COMPLETE, one.number == seen.won.number)):
        points = [(across(epoch), up(value)) for epoch, value in each.curve.items()]
        chart.line(points, f"curve {seen.kind(each)}", each.number)
        if len(points) == 1:
            chart.dot(*points[0], seen.kind(each), each.number)
    stopped = sum(each.state == PRUNED for each in seen.valued)
    return chart.svg(f"Learning curves of {len(seen.valued)} trials, {longest} epochs; {stopped} were stopped early.")


def finals(seen: Seen, finals: Finals, verdict: Verdict) -> tuple[str, str]:
    """Each finalist's runs on fresh seeds, what the search said of it, and what the best ones are worth."""
    told = {key: value for key, value in finals.told.items() if value is not None}
    rows = [number for number in finals.finalists if any(number == each for each, _ in told)]
    searched = {each.number: each.score for each in seen.valued if each.number in rows}
    worth = {each.number: each.score for each in (verdict.winner, verdict.runner_up, verdict.base) if each is not None}
    step, left, values = 26, 76, [*told.values(), *searched.values()]
    chart = Chart(HALF, max(TALL - BOTTOM, step * len(rows) + BOTTOM))
    room = 0.05 * (max(values) - min(values)) or 1e-3
    across = Scale(min(values) - room, max(values) + room, left, HALF - RIGHT)
    chart.across(across, 8 + step * len(rows), f"validation {seen.study.metric}")
    for row, number in enumerate(rows):
        y = 8 + step * (row + 0.5)
        kind = "won" if number == seen.won.number else "base" if number == BASE_NUMBER else ""
        chart.text(left - 10, y + 4, f"trial {number}", "end", "tick")
        chart.line([(left, y), (HALF - RIGHT, y)], "grid")
        for value in [value for (each, _), value in told.items() if each == number]:
            chart.dot(across(value), y, f"complete {kind}".strip(), number)
        if number in searched:
            chart.text(across(searched[number]), y + 5, "×", kind="tick halo")
        if number in worth:
            chart.line([(across(worth[number]), y - 10), (across(worth[number]), y + 10)], "best")
    how = "Dots: runs on fresh seeds. ×: what the search said. Upright: what it is worth, drawn back by its luck."
    beside = said_beside(verdict)
    return chart.svg(f"{how} {said(verdict)} {beside}".strip()), f"{how} {beside}".strip()


def fronts(seen: Seen) -> Iterator[tuple[str, str]]:
    """For each cost the value of each trial against it, and those that no other one beats in all."""
    front = front_of(seen.valued, seen.study.sign)
    for name in seen.study.costs:
        width, height, left = 310, 240, 48
        chart = Chart(width, height)
        costs = [each.costs[name] for each in seen.valued]
        across = Scale(min(costs), max(costs), left + 12, width - 20, log=max(costs) > min(costs))
        up = seen.focus([each.score for each in front], [each.score for each in seen.valued], height - 28, 16)
        chart.grid(up, left, width - 8, up.ticks(4))
        chart.across(across, height - 28, "", [(tick, short(tick)) for tick in across.ticks(3)])
        line = sorted((each.costs[name], each.score) for each in front)
        chart.line([(across(cost), up(value)) for cost, value in line], "best")
        for each in seen.valued:
            _dot(chart, across(each.costs[name]), up, each, seen.kind(each))
        said = ", ".join(f"trial {each.number} {each.score:.4g} at {short(each.costs[name])}" for each in front)
        yield name, chart.svg(f"{seen.study.metric} against {name}. Nobody is better in all than {said}.")


def shares(seen: Seen) -> tuple[str, str]:
    """How much of the trials' order each parameter predicts alone, and of what that was computed."""
    importance = importance_of(seen.varying, seen.valued)
    if importance is None:
        return "", f"Importance needs at least {FEWEST} trials."
    found = importance.shares
    order = sorted(found, key=lambda name: -found[name].value)
    step, left = 24, 190
    chart = Chart(HALF, max(TALL - BOTTOM, step * len(order) + 16))
    across = Scale(0, 1, left, HALF - 60)
    for row, name in enumerate(order):
        y = 8 + row * step
        chart.text(left - 8, y + 13, name[-28:], "end", "tick")
        share, middle = found[name], y + (step - 7) / 2
        chart.bar(left, y, across(share.value) - left, step - 7, "share")
        chart.line([(across(share.low), middle), (across(share.high), middle)], "reach")
        chart.text(across(share.high) + 6, y + 13, f"{share.value:.0%}", "start", "tick")
    said = ", ".join(f"{name} {found[name].value:.0%}" for name in order)
    what = f"the order of {seen.study.metric} at epoch {importance.epoch} of {importance.num_trials} trials"
    how = f"Which share of {what} each parameter predicts alone, with its 95% interval."
    return chart.svg(f"{how} {said}."), how


def slices(seen: Seen) -> Iterator[tuple[str, str]]:
    """For each parameter the value of each trial against it, where it counts."""
    for name, distribution in seen.varying.items():
        there = [each for each in seen.valued if seen.counts(name, each)]
        yield name, _slice(seen, name, distribution, there)


def _slice(seen: Seen, name: str, distribution: BaseDistribution, there: Sequence[Tried]) -> str:
    width, floor, left = 310, 172, 48
    across, marks, turned = _axis_of(distribution, left + 12, width - 20)
    longest = max((len(words) for _, words in marks), default=0)
    chart = Chart(width, round(floor + (LETTER * longest + 12 if turned else 28)))
    up = seen.of_scores(floor, 16)
    chart.grid(up, left, width - 8, up.ticks(4))
    chart.across(across, floor, "", [] if turned else marks)
    for value, words in marks if turned else []:
        chart.text(across(value) + 4, floor + 8, words, "end", "tick", turned=-90)
    for each in there:
        place = across(_value_on(distribution, each.drawn[name]))
        if isinstance(distribution, CategoricalDistribution):
            place += (each.number * 7) % 11 - 5  # side by side, not on top of each other
        _dot(chart, place, up, each, seen.kind(each))
    top = max(there, key=lambda one: seen.study.sign * one.score, default=None)
    best = "" if top is None else f"; the best has {short(top.drawn[name])}"
    return chart.svg(f"{seen.study.metric} against {name}, of {len(there)} trials in which it counts{best}.")


def parallel(seen: Seen) -> str:
    """Each trial as a line through its values; the last axis is what it reached."""
    varying, colour = seen.varying, seen.colours()
    names = list(varying)
    gap, longest = (WHOLE - 140) / max(1, len(names)), max(map(len, names), default=0)
    turned = 35 if longest * LETTER > 1.7 * gap else 0
    chart = Chart(WHOLE, round(TALL + 60 + (0.57 * LETTER * longest if turned else 0)))
    tops, bottom = TOP, TALL + 10
    places = {name: 40 + at * gap for at, name in enumerate(names)}
    up, end = seen.of_scores(bottom, tops), 40 + len(names) * gap
    for each in sorted(seen.valued, key=lambda one: (one.number == seen.won.number, seen.study.sign * one.score)):
        there = [name for name in names if seen.counts(name, each)]
        points = [(places[name], _height(varying[name], each.drawn[name], tops, bottom)) for name in there]
        kind = f"thread {seen.kind(each)}"
        chart.line([*points, (end, up(each.score))], kind, each.number, "" if " won" in kind else colour(each))
    for at, name in enumerate(names):
        _upright_of(chart, places[name], varying[name], bottom, round(gap / LETTER) - 2)
        lower = 18 if at % 2 and not turned else 0  # neighbours' names pass each other
        chart.text(places[name], bottom + 22 + lower, name, "start" if turned else "middle", "label", turned)
    chart.line([(end, tops), (end, bottom)], "axis")
    for tick, words in zip(up.ticks(), as_words(up.ticks()), strict=True):
        chart.text(end + 6, up(tick) + 4, words, "start", "tick halo")
    chart.text(end, bottom + 22, seen.study.metric, "start" if turned else "middle", "label", turned)
    won = ", ".join(f"{name} {short(value)}" for name, value in seen.values[seen.won.number].items())
    return chart.svg(f"The values of {len(seen.valued)} trials, a line each. The winner has {won}.")


def _upright_of(chart: Chart, x: float, distribution: BaseDistribution, bottom: int, room: int) -> None:
    chart.line([(x, TOP), (x, bottom)], "axis")
    if isinstance(distribution, CategoricalDistribution):
        marks: list[Any] = list(distribution.choices)
    else:
        assert isinstance(distribution, (IntDistribution, FloatDistribution))
        marks = [distribution.low, distribution.high]
    for mark in marks:
        words = shortened(in_words(mark), max(room, 6))
        chart.text(x + 6, _height(distribution, mark, TOP, bottom) + 4, words, "start", "tick halo")


def _height(distribution: BaseDistribution, value: Any, top: float, bottom: float) -> float:
    return bottom - place_of(distribution, value) * (bottom - top)


def _axis_of(distribution: BaseDistribution, start: float, end: float) -> tuple[Scale, list[tuple[float, str]], bool]:
    """The scale with its marks, and whether these are so long that they must stand upright."""
    if isinstance(distribution, CategoricalDistribution):
        words = [shortened(in_words(choice), 40) for choice in distribution.choices]
        scale = Scale(0, max(1, len(words) - 1), start + 12, end - 12)
        room = (scale.end - scale.start) / max(1, len(words) - 1)
        return scale, [(float(at), word) for at, word in enumerate(words)], max(map(len, words)) * LETTER > room
    assert isinstance(distribution, (IntDistribution, FloatDistribution))
    scale = Scale(float(distribution.low), float(distribution.high), start, end, distribution.log)
    ticks = scale.ticks(4)
    return scale, list(zip(ticks, as_words(ticks), strict=True)), False


def in_words(choice: Any) -> str:
    """A choice as a person wrote it: a list or a mapping is JSON to Optuna (space.py)."""
    return short(json.loads(choice) if isinstance(choice, str) and choice[:1] in ("{", "[") else choice)


def _value_on(distribution: BaseDistribution, value: Any) -> float:
    return float(distribution.to_internal_repr(value))


def _whole_ticks(scale: Scale) -> list[tuple[float, str]]:
    return [(tick, f"{tick:.0f}") for tick in scale.ticks(8) if tick % 1 == 0]


def _dot(chart: Chart, x: float, up: Scale, one: Tried, kind: str) -> None:
    edge = 0 if up.holds(one.score) else 1 if one.score < up.low else -1
    chart.dot(x, up(one.score) - edge * 5, kind, one.number, edge)


def _best_so_far(seen: Seen, last: int) -> list[tuple[float, float]]:
    """Corners of the steps."""
    corners: list[tuple[float, float]] = []
    best: float | None = None
    for each in [one for one in seen.valued if one.state == COMPLETE]:
        if best is None or seen.study.sign * each.score > seen.study.sign * best:
            corners += ([] if best is None else [(each.number, best)]) + [(each.number, each.score)]
            best = each.score
    return [*corners, (last, best)] if best is not None else [(0, seen.valued[0].score)]
