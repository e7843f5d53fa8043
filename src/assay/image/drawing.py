"""One picture as a person should see it, and where a network looked. Owns its colours; places none side by side."""

import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray
from torch import Tensor

SIDE = 1.6  # inches of the longer side
FOR, AGAINST = (0.84, 0.15, 0.16), (0.12, 0.47, 0.71)  # matplotlib's red and blue, told apart by the colour-blind too
FADED = 0.35  # of its contrast a picture keeps beneath weights, so that it is seen and the weights are seen better


def draw(x: Tensor, weights: Tensor | None) -> Figure:
    """A figure without frame or axes: the picture `x` C×H×W in 0…255, each pixel a square.

    With `weights` H×W the picture is faded and what speaks for the output glows red, what speaks against it blue, the
    stronger the more opaque; the strongest 1% of pixels are all fully so.
    """
    height, width = x.shape[-2:]
    size = SIDE / max(height, width)
    figure = Figure(figsize=(width * size, height * size))
    axes = figure.add_axes((0, 0, 1, 1))
    axes.set_axis_off()
    axes.imshow(_rgb(x) if weights is None else _overlaid(_rgb(x), _plain(weights)), interpolation="nearest")
    return figure


def _plain(tensor: Tensor) -> NDArray[np.float64]:
    return tensor.detach().cpu().double().numpy()


def _rgb(x: Tensor) -> NDArray[np.float64]:
    """H×W×3 in 0…1."""
    picture = (_plain(x) / 255).clip(0, 1).transpose(1, 2, 0)
    return picture if picture.shape[2] == 3 else np.repeat(picture[:, :, :1], 3, axis=2)


def _overlaid(picture: NDArray[np.float64], weights: NDArray[np.float64]) -> NDArray[np.float64]:
    grey = picture.mean(2, keepdims=True)
    faded = 0.5 + FADED * (grey - 0.5)
    strongest = float(np.quantile(np.abs(weights), 0.99)) or float(np.abs(weights).max()) or 1.0
    opacity = (np.abs(weights) / strongest).clip(0, 1)[:, :, None]
    colour = np.where(weights[:, :, None] > 0, FOR, AGAINST)
    overlaid: NDArray[np.float64] = faded * (1 - opacity) + colour * opacity
    return overlaid
