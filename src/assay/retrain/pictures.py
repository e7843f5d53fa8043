"""The samples on which two models differ, drawn and in words. Owns what is said under each; its room draws it."""

import io
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from assay import modality
from assay.data.dataset import About
from assay.retrain.told import Apart, differing, winners

DPI = 100
SHOWN_LABELS = 3  # of a sample, in words


def apart(
    about: About,
    samples: NDArray[Any],
    names: Sequence[str],
    targets: NDArray[Any],
    challenger: NDArray[Any],
    champion: NDArray[Any],
) -> tuple[list[Apart], int]:
    """The samples to show, and how many differ at all; arrays are of the same samples, outputs in the data's order."""
    rows, count = differing(about.task, challenger, champion, targets)
    winner = winners(about.task, challenger, champion, targets)
    who = {1: "challenger", -1: "champion", 0: ""}
    shown = [
        Apart(
            names[row],
            _png(about.spec.modality, samples[row]),
            _truth(about, targets[row]),
            _answer(about, champion[row]),
            _answer(about, challenger[row]),
            who[int(winner[row])],
        )
        for row in rows
    ]
    return shown, count


def _png(kind: str, sample: NDArray[Any]) -> bytes:
    from torch import from_numpy

    file = io.BytesIO()
    figure = modality.of(kind).draw(from_numpy(np.array(sample)), None)
    figure.savefig(file, format="png", dpi=DPI, metadata={"Software": None})
    return file.getvalue()


def _truth(about: About, target: Any) -> str:
    if about.task == "classification":
        return (about.classes or ())[int(target)]
    return _labels(about, np.asarray(target) == 1) if about.task == "multilabel" else _numbers(about, target)


def _answer(about: About, outputs: NDArray[Any]) -> str:
    if about.task == "classification":
        return (about.classes or ())[int(outputs.argmax())]
    return _labels(about, outputs > 0) if about.task == "multilabel" else _numbers(about, outputs)


def _labels(about: About, has: NDArray[np.bool_]) -> str:
    named = [name for name, one in zip(about.classes or (), has, strict=True) if one]
    more = f" and {len(named) - SHOWN_LABELS} more" if len(named) > SHOWN_LABELS else ""
    return f"{', '.join(named[:SHOWN_LABELS])}{more}" or "none"


def _numbers(about: About, values: Any) -> str:
    shown = [f"{value:.4g}" for value in np.atleast_1d(values)[:SHOWN_LABELS]]
    if len(about.target_names) == 1:
        return shown[0]
    return ", ".join(f"{name} {value}" for name, value in zip(about.target_names, shown, strict=False))
