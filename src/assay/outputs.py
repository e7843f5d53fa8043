"""A trained model's outputs over many samples, in batches. Owns batch size, device and layout; judges nothing.

Numbers are fp32 whatever the recipe's precision, so that a model is judged and served by the same numbers.
"""

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

BATCH_BYTES = 64 * 2**20  # of float32 samples at once; activations are a few times that
BATCH_MOST = 512  # samples; more gained nothing on the CPU for the small network


def batch_size(shape: tuple[int, ...]) -> int:
    """Samples of `shape` that fit into one batch."""
    return max(1, min(BATCH_MOST, BATCH_BYTES // (4 * int(np.prod(shape)))))


def outputs_of(
    model: nn.Module, samples: NDArray[Any], lengths: NDArray[np.int32], device: torch.device
) -> NDArray[np.float32]:
    """N raw samples (a memory map too) to N × K float32: logits, or values of regression.

    The model is left on `device` and in evaluation mode.
    """
    assert len(samples) == len(lengths), f"{len(samples)} samples, {len(lengths)} lengths"
    model.to(device).eval()
    size = batch_size(samples.shape[1:])
    parts = []
    with torch.inference_mode():
        for start in range(0, len(samples), size):
            x, length = (np.array(array[start : start + size]) for array in (samples, lengths))
            parts.append(model(as_batch(x, device), torch.from_numpy(length).to(device)).float().cpu().numpy())
    return np.concatenate(parts) if parts else np.empty((0, 0), dtype=np.float32)


def as_batch(samples: NDArray[Any], device: torch.device) -> Tensor:
    """Raw samples on the device; pictures channels last."""
    x = torch.from_numpy(samples).to(device)
    return x.contiguous(memory_format=torch.channels_last) if x.ndim == 4 else x


def probabilities(task: str, outputs: NDArray[np.float32]) -> NDArray[np.float32]:
    """What outputs say, N × K: a share of each class, a probability of each label, or the values as they are."""
    if task == "regression":
        return outputs
    logits = torch.from_numpy(outputs).double()
    said = logits.softmax(1) if task == "classification" else logits.sigmoid()
    return said.float().numpy()
