"""What a search looks like: seven pictures as PNG. Owns how they are drawn; reads the study, decides nothing."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.colors import Normalize
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, LogLocator, MaxNLocator, NullFormatter
from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution, IntDistribution

from assay.search.front import front_of
from assay.search.importance import FEWEST, importance_of
from assay.search.space import place_of
from assay.search.stays import CUT, Clock, at_work, mark, rows_of, stays_of
from assay.search.study import Study
from assay.search.trial import BASE_NUMBER, COMPLETE, FAILED, PRUNED, Tried, short
from assay.terminal import numbered

if TYPE_CHECKING:
    from matplotlib.axes import Axes

BLUE, ORANGE, PALE, GREY = "#0072b2", "#d55e00", "#c4ccd4", "#6b7280"  # told apart by colour-blind eyes too
COLOURS = "viridis"
SLICES_ACROSS = 4
DPI = 120
NAMES = ("history.png", "importance.png", "parallel.png", "slices.png", "curves.png", "pareto.png", "timeline.png")
ROW_INCHES, TALLEST_INCHES = 0.32, 9  # of the timeline: a worker, all of them at most
ACROSS = 24  # letters of choices that have room side by side below a slice
SLANTED = 8  # parameters: with more their names stand steeper
NUMBERED = 0.025  # of its length: the shortest trial that has its number written in it


def draw(study: Study, won: Tried, out: Path) -> list[Path]:
    """Draw history, importance, parallel coordinates, slices, learning curves, Pareto front and timeline into `out`."""
    tried = [each for each in study.tried() if each.value is not None]
    drawings = (_history, _importance, _parallel, _slices, _curves, _pareto, _timeline)
    for name, drawing in zip(NAMES, drawings, strict=True):
        figure = Figure(figsize=(9, 4.2), layout="constrained")
        FigureCanvasAgg(figure)
        drawing(figure, study, tried, won)
        figure.savefig(out / name, dpi=DPI, metadata={"Software": None})
    return [out / name for name in NAMES]


def draw_nothing(out: Path) -> None:
    """The same files where nothing was tried, each with a word of it."""
    for name in NAMES:
        figure = Figure(figsize=(9, 1.2), layout="constrained")
        FigureCanvasAgg(figure)
        _say(figure, "no search: the base recipe stands")
        figure.savefig(out / name, dpi=DPI, metadata={"Software": None})


def _history(figure: Figure, study: Study, tried: Sequence[Tried], won: Tried) -> None:
    axes = _axes(
        figure, f"{numbered(len(tried), 'trial')}; trial {won.number} won, {study.metric} {won.score:.4f} in search"
    )
    complete = [each for each in tried if each.state == COMPLETE]
    stopped = [each for each in tried if each.state in (PRUNED, FAILED)]
    axes.scatter([p.number for p in complete], [p.score for p in complete], c=BLUE, label="complete", zorder=3, s=36)
    best = np.array([study.sign * each.score for each in complete])
    steps = study.sign * np.maximum.accumulate(best) if len(best) else best
    ends = [each.number for each in complete] + [max(each.number for each in tried)]
    axes.step(ends, [*steps, steps[-1]], where="post", color=ORANGE, label="best so far", linewidth=1.8)
    axes.scatter([won.number], [won.score], s=150, facecolors="none", edgecolors=ORANGE, linewidths=1.8, zorder=4)
    _focus(axes, study, [each.score for each in complete], [each.score for each in stopped])
    low, high = sorted(axes.get_ylim())
    edge = 0.02 * (high - low)  # what lies outside the picture stands at its edge, as a triangle
    for each in stopped:
        shown = min(max(each.score, low + edge), high - edge)
        marker = "o" if shown == each.score else "v" if shown > each.score else "^"
        axes.scatter([each.number], [shown], c=PALE, marker=marker, zorder=3, s=36)
    axes.scatter([], [], c=PALE, marker="v", label="stopped early (at the edge: outside)")
    axes.set(xlabel="trial", ylabel=f"validation {study.metric}")
    axes.xaxis.set_major_locator(_whole())
    axes.legend(framealpha=0.8, edgecolor="none")


def _importance(figure: Figure, study: Study, tried: Sequence[Tried], _won: Tried) -> None:
    found = importance_of(study.space.varying, tried)
    if found is None:
        _say(figure, f"importance: at least {FEWEST} trials are needed")
        return
    shares = found.shares
    axes = _axes(figure, f"what moved {study.metric} at epoch {found.epoch}, of {found.num_trials} trials")
    order = sorted(shares, key=lambda name: shares[name].value)
    told = [shares[name] for name in order]
    reach = np.array([[each.value - each.low, each.high - each.value] for each in told]).T
    bars = axes.barh(order, [each.value for each in told], xerr=reach, ecolor=GREY, color=BLUE, height=0.62)
    axes.bar_label(bars, labels=[f"{each.value:.0%}" for each in told], padding=4, color=GREY)
    how = "share of the trials' order that it predicts alone, with its 95% interval"
    axes.set(xlabel=how, xlim=(0, 1.08))


def _parallel(figure: Figure, study: Study, tried: Sequence[Tried], won: Tried) -> None:
    names = list(study.space.varying)
    axes = _axes(figure, f"which values led where: lines are trials, coloured by {study.metric}")
    values = [each.score for each in tried]
    low, high = np.quantile(values, [0.5, 1] if study.sign > 0 else [0, 0.5])
    alike = 1e-3 if high <= low else 0.0  # all are as good as the best
    scale = Normalize(low - alike * (study.sign > 0), high + alike * (study.sign < 0))
    colours = _colours(study)
    for each in sorted(tried, key=lambda one: study.sign * one.score):
        counts = each.drawn.keys() & study.values_of(each.number, each.drawn).keys()
        drawn = [(name, each.drawn.get(name)) for name in names]
        places = [place_of(study.space.distributions[name], at) if name in counts else np.nan for name, at in drawn]
        width, alpha = (3.0, 1.0) if each.number == won.number else (1.3, 0.85 if each.state == COMPLETE else 0.35)
        axes.plot(places, color=colours(scale(each.score)), linewidth=width, alpha=alpha, marker="o", markersize=3)
    for at, name in enumerate(names):
        _label_axis(axes, at, study.space.distributions[name], max(6, 110 // len(names)))
    axes.set(xticks=range(len(names)), yticks=[], ylim=(-0.1, 1.1), xlim=(-0.3, max(len(names) - 0.4, 0.7)))
    axes.set_xticklabels(names, rotation=20 if len(names) <= SLANTED else 50, ha="right", rotation_mode="anchor")
    axes.spines[:].set_visible(False)
    bar = figure.colorbar(_mappable(scale, study), ax=axes, pad=0.01, extend="min" if study.sign > 0 else "max")
    bar.set_label(f"{study.metric} (thick: the winner)")
    bar.outline.set_visible(False)


def _label_axis(axes: "Axes", at: int, distribution: BaseDistribution, room: int) -> None:
    """One upright line with its ends, or its choices, written beside it in `room` letters."""
    axes.axvline(at, color=PALE, linewidth=1, zorder=0)
    if isinstance(distribution, CategoricalDistribution):
        marks = [(place_of(distribution, choice), short(choice)) for choice in distribution.choices]
    else:
        assert isinstance(distribution, (IntDistribution, FloatDistribution))
        marks = [(0.0, f"{distribution.low:g}"), (1.0, f"{distribution.high:g}")]
    for place, text in marks:
        words = shortened(text, room)
        axes.annotate(
            words, (at, place), xytext=(4, 0), textcoords="offset points", fontsize=7.5, color=GREY, va="center"
        )


def _slices(figure: Figure, study: Study, tried: Sequence[Tried], won: Tried) -> None:
    """Each trial's value against each parameter that counts in it."""
    varying = study.space.varying
    if not varying:
        _say(figure, "slices: nothing varies")
        return
    rows = -(-len(varying) // SLICES_ACROSS)
    longest = max((len(word) for each in varying.values() for word in _upright_words(each)), default=0)
    figure.set_size_inches(9, (2.1 + 0.07 * longest) * rows + 0.4)
    grid = figure.subplots(rows, SLICES_ACROSS, squeeze=False, sharey=True)
    complete = [each.score for each in tried if each.state == COMPLETE]
    limits = range_that_matters(complete or [won.score], [each.score for each in tried], study.sign)
    for axes, (name, distribution) in zip(grid.flat, varying.items(), strict=False):
        there = [each for each in tried if name in study.values_of(each.number, each.drawn) and name in each.drawn]
        for each in sorted(there, key=lambda one: (one.number == won.number, one.state == COMPLETE)):
            colour = ORANGE if each.number == won.number else BLUE if each.state == COMPLETE else PALE
            place = distribution.to_internal_repr(each.drawn[name])
            axes.scatter([place], [np.clip(each.score, *limits)], c=colour, s=20)
        _scale_across(axes, distribution)
        axes.set_title(name, fontsize=9)
        axes.set_ylim(*limits)
        axes.ticklabel_format(axis="y", useOffset=False)
        axes.tick_params(labelsize=7)
        axes.spines[["top", "right"]].set_visible(False)
    for axes in grid.flat[len(varying) :]:
        axes.set_visible(False)
    figure.suptitle(
        f"validation {study.metric} against each parameter, where it counts", x=0.01, ha="left", fontsize=11
    )


def _scale_across(axes: "Axes", distribution: BaseDistribution) -> None:
    """Choices by their names, a logarithm where the range has one."""
    if isinstance(distribution, CategoricalDistribution):
        words, turned = [short(choice) for choice in distribution.choices], _upright_words(distribution)
        axes.set_xticks(range(len(words)), turned or words, rotation=90 if turned else 0)
        axes.set_xlim(-0.5, len(words) - 0.5)
    elif isinstance(distribution, (IntDistribution, FloatDistribution)) and distribution.log:
        axes.set_xscale("log")
        steps = (1.0, 2.0, 5.0) if distribution.high / distribution.low <= 100 else (1.0,)
        axes.xaxis.set_major_locator(LogLocator(subs=steps, numticks=5))
        axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
        axes.xaxis.set_minor_formatter(NullFormatter())


def _upright_words(distribution: BaseDistribution) -> list[str]:
    """The choices, where they have no room side by side."""
    if not isinstance(distribution, CategoricalDistribution):
        return []
    words = [short(choice) for choice in distribution.choices]
    return [shortened(word, 40) for word in words] if max(map(len, words)) * len(words) > ACROSS else []


def shortened(text: str, room: int) -> str:
    """With its end, in which names of one family differ."""
    return text if len(text) <= room else f"{text[: room // 2 - 1]}…{text[len(text) - (room - room // 2) :]}"


def _curves(figure: Figure, study: Study, tried: Sequence[Tried], won: Tried) -> None:
    stopped = sum(each.state == PRUNED for each in tried)
    axes = _axes(figure, f"learning curves; {stopped} of {len(tried)} stopped early (pale)")
    for each in sorted(tried, key=lambda one: (one.state == COMPLETE, one.number == won.number)):
        epochs, values = list(each.curve), list(each.curve.values())
        style: dict[str, Any] = {"color": PALE, "linewidth": 1.2, "marker": "o", "markersize": 2.5}
        if each.number == won.number:
            style |= {"color": ORANGE, "linewidth": 2.4, "label": f"the winner, trial {won.number}"}
        elif each.number == BASE_NUMBER:
            style |= {"color": "#222222", "linestyle": "--", "label": "the base recipe, trial 0"}
        elif each.state == COMPLETE:
            style |= {"color": BLUE, "alpha": 0.7}
        axes.plot(epochs, values, **style)
    complete = [value for each in tried if each.state == COMPLETE for value in each.curve.values()]
    _focus(axes, study, complete, [value for each in tried for value in each.curve.values()])
    axes.set(xlabel="epoch", ylabel=f"validation {study.metric}")
    axes.xaxis.set_major_locator(_whole())
    axes.legend(framealpha=0.8, edgecolor="none")


def _pareto(figure: Figure, study: Study, tried: Sequence[Tried], won: Tried) -> None:
    """The metric against each cost, and those that no other trial beats in all."""
    if not study.costs:
        _say(figure, "pareto: search.metric is a single one; with [accuracy, cost/seconds] there is a front")
        return
    front = front_of(tried, study.sign)
    for axes, name in zip(np.atleast_1d(figure.subplots(1, len(study.costs))), study.costs, strict=True):
        for each in tried:
            colour = BLUE if each.state == COMPLETE else PALE
            axes.scatter([each.costs[name]], [each.score], c=colour, s=36, zorder=2)
        line = sorted((each.costs[name], each.score) for each in front)
        axes.plot(*zip(*line, strict=True), color=ORANGE, marker="o", label=f"nobody is better in all ({len(front)})")
        axes.scatter([won.costs[name]], [won.score], s=150, facecolors="none", edgecolors=ORANGE, linewidths=1.8)
        axes.annotate(f"trial {won.number}", (won.costs[name], won.score), xytext=(8, -12), textcoords="offset points")
        axes.set(xlabel=name, ylabel=f"validation {study.metric}", xscale="log")
        _focus(axes, study, [each.score for each in front], [each.score for each in tried])
        axes.spines[["top", "right"]].set_visible(False)
        axes.legend(frameon=False)


def _timeline(figure: Figure, study: Study, _tried: Sequence[Tried], won: Tried) -> None:
    """A bar a trial, a row a worker. Alone among the pictures it has times in it, and differs from run to run."""
    ran = stays_of(study.tried())
    if not ran:
        _say(figure, "timeline: of this search no times are kept")
        return
    clock, rows = Clock([stay for _, stay in ran]), rows_of(ran)
    figure.set_size_inches(9, 1.3 + min(ROW_INCHES * len(rows), TALLEST_INCHES))
    axes = _axes(
        figure, f"{numbered(len(ran), 'trial')} ran in {at_work(ran, clock, len(rows)):.0%} of the workers' time"
    )
    for each, stay in ran:
        colour = ORANGE if each.number == won.number else BLUE if each.state == COMPLETE else PALE
        begin, length = clock(stay.begin), clock(stay.end) - clock(stay.begin)
        axes.broken_barh([(begin, length)], (rows[stay.worker] - 0.4, 0.8), color=colour, edgecolor="white")
        if length > NUMBERED * clock.length:
            axes.text(begin + length / 2, rows[stay.worker], str(each.number), ha="center", va="center", fontsize=7.5)
    for since, _ in clock.cuts:
        axes.axvline(clock(since) + CUT / 2 * clock.length, color=GREY, linestyle="--", linewidth=1)
    axes.set(xlabel="time worked", xlim=(0, max(clock.length, 1e-3)), ylabel="worker", ylim=(len(rows) - 0.5, -0.5))
    axes.yaxis.set_major_locator(_whole())
    axes.yaxis.set_major_formatter(lambda row, _: f"{row + 1:.0f}")
    axes.xaxis.set_major_formatter(lambda time, _: mark(time))


def _focus(axes: "Axes", study: Study, values: Sequence[float], others: Sequence[float]) -> None:
    axes.set_ylim(range_that_matters(values, others, study.sign))


def range_that_matters(values: Sequence[float], others: Sequence[float], sign: int) -> tuple[float, float]:
    """That of `values`, of complete trials, whole, and of the `others` that are worse no more than as much again."""
    low, high = min(values), max(values)
    room = max(high - low, 1e-3)
    edge = 0.08 * room
    if sign > 0:
        return max(low - room, min([low, *others]) - edge), high + edge
    return low - edge, min(high + room, max([high, *others]) + edge)


def _axes(figure: Figure, title: str) -> "Axes":
    axes: Axes = figure.subplots()
    axes.set_title(title, loc="left", fontsize=11)
    axes.spines[["top", "right"]].set_visible(False)
    axes.ticklabel_format(axis="y", useOffset=False)  # a value is read off where it stands
    return axes


def _whole() -> MaxNLocator:
    """Whole numbers, also where there is one alone."""
    return MaxNLocator(integer=True, min_n_ticks=1)


def _say(figure: Figure, text: str) -> None:
    figure.text(0.5, 0.5, text, ha="center", va="center", color=GREY)


def _colours(study: Study) -> Any:
    import matplotlib

    return matplotlib.colormaps[COLOURS if study.sign > 0 else f"{COLOURS}_r"]


def _mappable(scale: Normalize, study: Study) -> Any:
    from matplotlib.cm import ScalarMappable

    return ScalarMappable(scale, _colours(study))
