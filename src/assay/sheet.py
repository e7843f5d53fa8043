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

DPI = 110
CELL, GAP = 1.15, 0.06  # inches: the side of a place, and what is left free between two
MARGIN = 1.05  # inches at the left, for the rows' names
HEAD, COLUMN_HEAD, CAPTION = 0.62, 0.24, 0.34  # inches: the title; the columns' names; two lines under a sample
NARROWEST = 4.8  # inches, so that a title has room
NAME_LETTERS, NAME_LINES, CAPTION_LETTERS, CAPTION_LINES = 14, 6, 20, 2  # what fits; longer ends in …


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
    under = CAPTION if any(cell and cell.caption for row in rows for cell in row.cells) else GAP
    head, margin = HEAD + (COLUMN_HEAD if columns else 0), MARGIN if any(row.name for row in rows) else GAP
    height = head + max(len(rows), 1) * (CELL + under) + GAP
    figure = Figure(figsize=(max(margin + across * CELL + GAP, NARROWEST), height), dpi=DPI, facecolor="white")
    _write(figure, GAP, height - 0.12, title, ha="left", va="top", fontsize=9)
    for column, name in enumerate(columns):
        _write(figure, margin + (column + 0.5) * CELL, height - head + 0.05, name, ha="center", va="bottom", fontsize=8)
    for line, row in enumerate(rows):
        bottom = height - head - line * (CELL + under) - CELL
        name = _short(row.name, NAME_LETTERS, NAME_LINES)
        _write(figure, margin - 2 * GAP, bottom + CELL / 2, name, ha="right", va="center", fontsize=8)
        for column, cell in enumerate(row.cells):
            if cell is not None:
                left = margin + column * CELL
                _place(figure, room.draw(cell.x, cell.weights), left, bottom)
                caption = _short(cell.caption, CAPTION_LETTERS, CAPTION_LINES)
                _write(figure, left + CELL / 2, bottom - 0.03, caption, ha="center", va="top", fontsize=7)
    return figure


def _write(figure: "Figure", x: float, y: float, text: str, **how: Any) -> None:
    """Text at inches from the lower left corner, letter by letter as it is: a name may hold a $."""
    if text:
        width, height = figure.get_size_inches()
        figure.text(x / width, y / height, text, parse_math=False, **how)


def _short(text: str, letters: int, lines: int) -> str:
    kept = [line if len(line) <= letters else line[: letters - 1] + "…" for line in text.splitlines()]
    return "\n".join(kept if len(kept) <= lines else [*kept[: lines - 1], "…"])


def _place(figure: "Figure", drawn: "Figure", left: float, bottom: float) -> None:
    """Put a room's drawing into a place, pixel for pixel: many times cheaper than axes of its own for each."""
    width, height = drawn.get_size_inches()
    drawn.set_dpi((CELL - GAP) * DPI / max(width, height))
    pixels = _raster(drawn)
    free = [(CELL * DPI - side) / 2 for side in pixels.shape[1::-1]]
    figure.figimage(pixels, left * DPI + free[0], bottom * DPI + free[1], origin="upper")


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
