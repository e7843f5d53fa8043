"""Pictures of a verdict, as PNG. Owns how they look; computes no figure.

Colours are Okabe and Ito's, which colour-blind readers can tell apart. Files carry no time and no version.
"""

from collections.abc import Sequence
from itertools import zip_longest
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.colors import PowerNorm
from matplotlib.figure import Figure
from matplotlib.ticker import NullFormatter
from numpy.typing import NDArray
from torch import nn

from assay import modality
from assay.explain import where_it_looked
from assay.intervals import Interval, wilson
from assay.judged import Judged, in_words, worst
from assay.verdict import BINS, calibration_bins

if TYPE_CHECKING:
    from matplotlib.axes import Axes

BLUE, ORANGE, GREY = "#0072b2", "#d55e00", "#8c8c8c"
NUMBERS_MOST = 20  # classes up to which a confusion matrix shows its counts
TICKS_MOST = 40  # names along an axis that can still be read
TARGETS_MOST = 4  # of regression in one picture
WHY_MOST = 10  # mistakes that are explained; each costs some 24 passes
DPI = 110


def draw_all(judged: Judged, model: nn.Module, names: Sequence[str], out: Path) -> None:
    """Draw what fits the task into `out`; `names` are the test samples'."""
    drawn = {"gap.png": gap(judged)}
    if judged.about.task == "classification":
        drawn |= {"confusion.png": confusion(judged), "reliability.png": reliability(judged)}
    elif judged.about.task == "multilabel":
        drawn |= {"labels.png": labels(judged), "reliability.png": reliability(judged)}
    else:
        drawn |= {"predicted.png": predicted(judged), "residuals.png": residuals(judged)}
    drawn["mistakes.png"] = mistakes(judged, names)
    if judged.about.task == "classification" and len(worst(judged, WHY_MOST)):
        drawn["why.png"] = why(judged, model)
    for name, figure in drawn.items():
        FigureCanvasAgg(figure)
        figure.savefig(out / name, dpi=DPI, metadata={"Software": None})


def gap(judged: Judged) -> Figure:
    """The headline figure of each split with its interval: how much of what was learned carries over."""
    figure = Figure(figsize=(7.2, 2.8), layout="constrained")
    axes = figure.subplots()
    parts = list(judged.gap.items())[::-1]
    for place, (name, part) in enumerate(parts):
        colour = ORANGE if name == "test" else BLUE
        axes.barh(place, part.value, height=0.55, color=colour, alpha=0.25)
        axes.errorbar(part.value, place, xerr=_ends(part), fmt="o", color=colour, capsize=5, markersize=7, linewidth=2)
        axes.annotate(f"{part.value:.4f}", (part.value, place), (0, 9), textcoords="offset points", ha="center")
    axes.set_yticks(range(len(parts)), [name for name, _ in parts])
    ends = [end for _, part in parts for end in (part.low, part.high)]
    margin = 0.25 * max(max(ends, default=1) - min(ends, default=0), 0.004)
    axes.set_xlim(min(ends, default=0) - margin, max(ends, default=1) + margin)
    axes.set_ylim(-0.6, len(parts) - 0.3)
    axes.set_xlabel(f"{_spoken(judged.headline)}, with its {judged.how.confidence:.0%} interval (the axis is cut)")
    _title(axes, "The gap between what was learned and what was not")
    return figure


def confusion(judged: Judged) -> Figure:
    """Counts of said against true; the shade is the share of the true class, its root so that rare mistakes show."""
    classes, said = judged.names, judged.said.argmax(1)
    many = len(classes)
    counts = np.bincount(judged.targets * many + said, minlength=many**2).reshape(many, many)
    shares = counts / np.maximum(counts.sum(1, keepdims=True), 1)
    side = float(np.clip(2.2 + 0.5 * many, 4.5, 12))
    figure = Figure(figsize=(side + 1, side), layout="constrained")
    axes = figure.subplots()
    image = axes.imshow(shares, cmap="Blues", norm=PowerNorm(0.5, 0, 1))
    figure.colorbar(image, ax=axes, shrink=0.8, label="share of the true class", ticks=[0, 0.05, 0.25, 0.5, 1])
    _class_ticks(axes, classes)
    if many <= NUMBERS_MOST:
        for row, column in zip(*np.nonzero(counts), strict=True):
            shade = "white" if shares[row, column] > 0.35 else "black"
            axes.text(column, row, str(counts[row, column]), ha="center", va="center", color=shade, fontsize=9)
    axes.set(xlabel="said", ylabel="true")
    _title(axes, f"Said against true, {len(said):,} test samples")
    return figure


def reliability(judged: Judged) -> Figure:
    """How often the model is right when it says so and so sure: points on the diagonal keep their word."""
    said, targets = judged.said.astype(np.float64), judged.targets
    if judged.about.task == "classification":
        sure, right = said.max(1), said.argmax(1) == targets
        what, of = "probability of what was said", "share that was right"
    else:
        sure, right = said.ravel(), targets.ravel() > 0.5
        what, of = "probability of a label", "share that has it"
    bins = calibration_bins(sure)
    totals, hits = np.bincount(bins, minlength=BINS), np.bincount(bins, right, BINS).astype(int)
    figure = Figure(figsize=(5.6, 6.2), layout="constrained")
    above, below = figure.subplots(2, 1, sharex=True, height_ratios=[3, 1])
    above.plot([0, 1], [0, 1], color=GREY, linestyle="--", linewidth=1, label="keeps its word")
    for place in np.flatnonzero(totals):
        share = wilson(int(hits[place]), int(totals[place]), judged.how.confidence)
        middle = sure[bins == place].mean()
        above.errorbar(middle, share.value, yerr=_ends(share), fmt="o", color=BLUE, capsize=3, markersize=5)
    above.set(xlim=(-0.02, 1.02), ylim=(-0.02, 1.02), ylabel=of)
    above.legend(frameon=False, loc="upper left")
    error = judged.verdicts["test"].figures.get("ece")
    _title(above, "Calibration" + (f": error {error.value:.4f} [{error.low:.4f}, {error.high:.4f}]" if error else ""))
    below.bar((np.arange(BINS) + 0.5) / BINS, totals, width=0.9 / BINS, color=BLUE, alpha=0.5)
    below.set(xlabel=what, ylabel="samples" if judged.about.task == "classification" else "labels", yscale="log")
    below.set_ylim(bottom=0.8)
    below.yaxis.set_major_formatter("{x:,.0f}")
    below.yaxis.set_minor_formatter(NullFormatter())
    _plain(below)
    return figure


def labels(judged: Judged) -> Figure:
    """Average precision of every label with its interval, worst first."""
    figures = judged.verdicts["test"].figures
    found = {
        name: figures[f"average_precision/{name}"] for name in judged.names if f"average_precision/{name}" in figures
    }
    ordered = sorted(found.items(), key=lambda item: -item[1].value)[-TICKS_MOST:]
    figure = Figure(figsize=(7, 1.4 + 0.32 * max(3, len(ordered))), layout="constrained")
    axes = figure.subplots()
    for place, (_, part) in enumerate(ordered):
        axes.errorbar(part.value, place, xerr=_ends(part), fmt="o", color=BLUE, capsize=4)
    axes.set_yticks(range(len(ordered)), [name for name, _ in ordered])
    axes.set(
        ylim=(-0.7, len(ordered) - 0.3), xlabel=f"average precision, with its {judged.how.confidence:.0%} interval"
    )
    _title(axes, "Labels, the weakest at the top")
    return figure


def predicted(judged: Judged) -> Figure:
    """Said against true, a target a panel: on the diagonal is right."""
    figure, panels = _target_panels(judged)
    for axes, name, said, true in panels:
        ends = [min(said.min(), true.min()), max(said.max(), true.max())]
        axes.plot(ends, ends, color=GREY, linestyle="--", linewidth=1)
        _cloud(axes, true, said)
        axes.set(xlabel=f"true {name}", ylabel=f"said {name}")
        figures = judged.verdicts["test"].figures
        r2 = figures.get(f"r2/{name}", figures.get("r2"))
        _title(axes, f"R² {r2.value:.3f} [{r2.low:.3f}, {r2.high:.3f}]" if r2 else name)
    return figure


def residuals(judged: Judged) -> Figure:
    """Said minus true against said, a target a panel: a slope or a funnel is something the model has not learned."""
    figure, panels = _target_panels(judged)
    for axes, name, said, true in panels:
        axes.axhline(0, color=GREY, linestyle="--", linewidth=1)
        _cloud(axes, said, said - true)
        axes.set(xlabel=f"said {name}", ylabel="said − true")
        _title(axes, f"Errors of {name}")
    return figure


def mistakes(judged: Judged, names: Sequence[str]) -> Figure:
    """The worst mistakes, each with its picture, what was said and what is true."""
    rows = worst(judged, judged.how.mistakes)
    across = int(np.ceil(np.sqrt(max(len(rows), 4))))
    down = max(1, int(np.ceil(len(rows) / across)))
    figure = Figure(figsize=(2.1 * across, 2.45 * down + 0.6), layout="constrained")
    first = "largest error first" if judged.about.task == "regression" else "least belief in the truth first"
    title = f"The worst mistakes, {first}" if len(rows) else "No mistake in the test split"
    figure.suptitle(title, x=0.01, ha="left", fontsize=12, fontweight="bold")
    figure.get_layout_engine().set(h_pad=0.1)  # type: ignore[union-attr, call-arg]  # a caption belongs to its picture
    room = modality.of(judged.about.spec.modality)
    samples = judged.split.parts[0].samples
    places = figure.subplots(down, across, squeeze=False).ravel()
    for axes, row in zip_longest(places, rows):
        axes.axis("off")
        if row is not None:
            said, true = in_words(judged, int(row))
            axes.imshow(_pixels(room.draw(torch.from_numpy(np.array(samples[row])), None)))
            axes.set_title(f"said {_short(said)}\ntrue {_short(true)}", fontsize=9, loc="left", color="black")
            axes.text(0, -0.02, _short(names[row], 28), transform=axes.transAxes, fontsize=6.5, va="top", color=GREY)
    return figure


def why(judged: Judged, model: nn.Module) -> Figure:
    """The worst mistakes, each beside what in it spoke for the class that was said."""
    rows, part = worst(judged, WHY_MOST), judged.split.parts[0]
    device = next(model.parameters()).device
    x, length = (torch.from_numpy(np.array(array[rows])).to(device) for array in (part.samples, part.lengths))
    words = [in_words(judged, int(row)) for row in rows]
    captions = [f"said {_short(said)}\ntrue {_short(true)}" for said, true in words]
    said = judged.said[rows].argmax(1).tolist()
    title = "What spoke for the class that was said (red) and against it (blue)"
    return where_it_looked(judged.about.spec.modality, model, x, length, said, captions, title)


def _pixels(figure: Figure) -> NDArray[np.uint8]:
    canvas: Any = FigureCanvasAgg(figure)
    canvas.draw()
    return np.asarray(canvas.buffer_rgba())


def _target_panels(judged: Judged) -> tuple[Figure, list[tuple["Axes", str, NDArray[Any], NDArray[Any]]]]:
    shown = min(len(judged.names), TARGETS_MOST)
    figure = Figure(figsize=(4.6 * shown, 4.4), layout="constrained")
    all_axes = figure.subplots(1, shown, squeeze=False).ravel()
    true = judged.targets.reshape(judged.said.shape)
    panels = [(axes, judged.names[k], judged.said[:, k], true[:, k]) for k, axes in enumerate(all_axes)]
    return figure, panels


def _cloud(axes: "Axes", across: NDArray[Any], up: NDArray[Any]) -> None:
    faint = float(np.clip(200 / len(across), 0.05, 0.6))
    axes.scatter(across, up, s=14, color=BLUE, alpha=faint, linewidths=0, rasterized=True)


def _ends(part: Interval) -> NDArray[np.float64]:
    return np.array([[part.value - part.low], [part.high - part.value]])


def _class_ticks(axes: "Axes", classes: Sequence[str]) -> None:
    step = int(np.ceil(len(classes) / TICKS_MOST))
    places = range(0, len(classes), step)
    shown = [_short(classes[place], 18) for place in places]
    long = max(map(len, shown)) > 3
    axes.set_xticks(places, shown, rotation=90 if long else 0)
    axes.set_yticks(places, shown)


def _short(text: str, most: int = 24) -> str:
    """At most `most` letters, the end of them (a file's name), and no letter that matplotlib reads as mathematics."""
    return (text if len(text) <= most else "…" + text[1 - most :]).replace("$", r"\$")


def _spoken(figure: str) -> str:
    return {"r2": "R²", "macro_f1": "macro F1"}.get(figure, figure.replace("_", " "))


def _title(axes: "Axes", text: str) -> None:
    axes.set_title(text, loc="left", fontsize=11, fontweight="bold")
    _plain(axes)


def _plain(axes: "Axes") -> None:
    axes.spines[["top", "right"]].set_visible(False)
