"""Where a network looked, on a sheet. Owns which samples are explained for which output; the room says how."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import torch

from assay import modality
from assay.sheet import Cell, Row, draw_sheet

if TYPE_CHECKING:
    from matplotlib.figure import Figure
    from torch import Tensor
    from torch.nn import Module

PAIRS = 5  # samples beside each other, each followed by where the network looked


def attributions(kind: str, model: "Module", x: "Tensor", length: "Tensor", outputs: Sequence[int]) -> "Tensor":
    """One weight for each place of each sample of `x`, each for its own output number of `outputs`: N × the places."""
    room = modality.of(kind)
    wanted = torch.tensor(list(outputs), device=x.device)
    weights: Tensor | None = None
    for output in sorted(set(outputs)):
        chosen = wanted == output
        found = room.attribute(model, x[chosen], length[chosen], output)
        weights = found.new_zeros(len(x), *found.shape[1:]) if weights is None else weights
        weights[chosen] = found
    assert weights is not None, "there is a sample to explain"
    return weights


def where_it_looked(
    kind: str,
    model: "Module",
    x: "Tensor",
    length: "Tensor",
    outputs: Sequence[int],
    captions: Sequence[str],
    title: str,
) -> "Figure":
    """A sheet of samples, each followed by what in it spoke for and against its output number of `outputs`."""
    weights = attributions(kind, model, x, length, outputs)
    cells: list[Cell] = []
    for sample, weight, caption in zip(x, weights, captions, strict=True):
        cells += [Cell(sample, caption=caption), Cell(sample, weight)]
    return draw_sheet(
        kind, [Row("", cells[start : start + 2 * PAIRS]) for start in range(0, len(cells), 2 * PAIRS)], [], title
    )
