"""The limits that a person set for a model in use: size, latency, calibration. Owns how each is measured and
the sentence of one that is exceeded; what follows from it is decided elsewhere.
"""

import time
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from assay.errors import InputError
from assay.model_files import TENSORS, Trained
from assay.outputs import outputs_of
from assay.usage import Promote
from assay.verdict import calibration_error

WARM, CALLS = 10, 50  # the first calls allocate; the median of so many is steady beside a busy machine
MEGABYTE = 1e6


def refuse_unfit(how: Promote, task: str) -> None:
    """Refuse a limit that says nothing of this task.

    Raises:
        InputError: a calibration error is limited where there are no classes.
    """
    if how.max_ece is not None and task != "classification":
        raise InputError(f"promote.max_ece is {how.max_ece:g}, which is of classification; in {task} it must be null.")


def untested(
    how: Promote, folder: Path, trained: Trained, samples: NDArray[Any], lengths: NDArray[np.int32]
) -> list[str]:
    """A sentence for each limit that the model in `folder` exceeds, of those that need no test sample.

    Args:
        samples, lengths: some that it may be tried on.
    """
    found = []
    if how.max_size_mb is not None and (size := (folder / TENSORS).stat().st_size / MEGABYTE) > how.max_size_mb:
        found.append(f"its weights are {size:.4g} MB, above promote.max_size_mb: {how.max_size_mb:g}.")
    if how.max_latency_ms is not None and (took := latency_ms(trained, samples, lengths)) > how.max_latency_ms:
        said = f"it takes {took:.3g} ms a sample on this machine's CPU"
        found.append(f"{said}, above promote.max_latency_ms: {how.max_latency_ms:g}.")
    return found


def tested(how: Promote, outputs: NDArray[Any], targets: NDArray[Any]) -> list[str]:
    """A sentence for each limit that is exceeded on the test samples."""
    if how.max_ece is None or (error := calibration_error(outputs, targets)) <= how.max_ece:
        return []
    return [f"its calibration error is {error:.4f}, above promote.max_ece: {how.max_ece:g}."]


def latency_ms(trained: Trained, samples: NDArray[Any], lengths: NDArray[np.int32]) -> float:
    """The median time of one sample at a time, decoded already, on the CPU."""
    took = []
    for call in range(WARM + CALLS):
        at = call % len(samples)
        began = time.perf_counter()
        outputs_of(trained.model, samples[at : at + 1], lengths[at : at + 1], torch.device("cpu"))
        took.append(time.perf_counter() - began)
    return 1000 * median(took[WARM:])
