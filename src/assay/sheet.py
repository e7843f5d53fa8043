"""Drawn samples side by side, with words. Owns the layout of the sheet; the samples' room draws each of them."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from assay import modality

if TYPE_CHECKING:
    from matplotlib.figure import Figure
    from numpy.typing import NDArray
    from torch import Tensor

CELL = 1.15  # inches a side
MARGIN = 0.95  # inches at the left, for the rows' names
HEAD, COLUMN_HEAD, CAPTION = 0.62, 0.24, 0.34  # inches: the title; the columns' names; two lines under a sample
DPI = 110


@dataclass(frozen=True)
class Cell:
    """One sample on a sheet, and a line or two under it; `weights` say why, as `Modality.draw` takes them."""

    x: "Tensor"
    weights: "Tensor | None" = None
    caption: str = ""


@dataclass(frozen=True)
class Row:
    """Samples side by side under a name at the left; None leaves a place empty."""

    name: str
    cells: Sequence[Cell | None]


def draw_sheet(kind: str, rows: Sequence[Row], columns: Sequence[str], title: str) -> "Figure":
    """A figure of `rows` of samples of modality `kind`, with the columns' names above (none: no line for them)."""
    from matplotlib.figure import Figure

    room = modality.of(kind)
    across = max([len(columns), 1, *(len(row.cells) for row in rows)])
    under = CAPTION if any(cell and cell.caption for row in rows for cell in row.cells) else 0.06
    head, margin = HEAD + (COLUMN_HEAD if columns else 0), MARGIN if any(row.name for row in rows) else 0.1
    width, height = max(margin + across * CELL + 0.1, 4.5), head + max(len(rows), 1) * (CELL + under) + 0.05
    figure = Figure(figsize=(width, height), dpi=DPI, facecolor="white")
    figure.text(0.1 / width, 1 - 0.12 / height, title, ha="left", va="top", fontsize=9)
    for column, name in enumerate(columns):
        centre = margin + (column + 0.5) * CELL
        figure.text(centre / width, 1 - (head - 0.05) / height, name, ha="center", va="bottom", fontsize=8)
    for line, row in enumerate(rows):
        bottom = height - head - line * (CELL + under) - CELL
        figure.text((margin - 0.1) / width, (bottom + CELL / 2) / height, row.name, ha="right", va="center", fontsize=8)
        for column, cell in enumerate(row.cells):
            if cell is None:
                continue
            place = ((margin + column * CELL + 0.03) / width, bottom / height, (CELL - 0.06) / width, CELL / height)
            axes = figure.add_axes(place)
            axes.set_axis_off()
            axes.imshow(_raster(room.draw(cell.x, cell.weights)), interpolation="nearest")
            axes.text(0.5, -0.03, cell.caption, transform=axes.transAxes, ha="center", va="top", fontsize=7)
    return figure


def save(figure: "Figure", path: Path) -> None:
    """Write a PNG whose bytes follow from the drawing alone: no date, no version of the program that wrote it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, format="png", metadata={"Software": None})


def _raster(figure: "Figure") -> "NDArray[np.uint8]":
    """The figure as pixels, H×W×4."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg

    canvas: Any = FigureCanvasAgg(figure)  # matplotlib ships no types for it
    canvas.draw()
    return np.array(canvas.buffer_rgba())
