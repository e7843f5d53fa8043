"""What training reads: samples by index, in blocks of many batches. Owns where they lie; knows no model and no epoch.

On the CPU samples stay where they are mapped (a prepared array, Ray's object store): the page cache is the memory, and
no copy is made. A GPU gets them all where they fit. Elsewhere a thread reads one block ahead.
"""

import warnings
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from assay.data.dataset import Part, Split
from assay.device import free_memory

BLOCK_BYTES = 2 * 2**20  # a block of float32 samples: large enough to hide a call's cost, small enough for the cache
RESIDENT_SHARE = 0.5  # of what is free: the rest is for weights, activations and everybody else


class Batch(NamedTuple):
    """On the device: `x` N × the sample's shape, float32 where stored as uint8; `length` N; `target` N or N × K."""

    x: Tensor
    length: Tensor
    target: Tensor


class Feed:
    """One split, read by index.

    `resident` says whether the samples are read where they lie (memory or GPU) or streamed a block ahead, because they
    are larger than `memory_limit` bytes (None: half of what is free).
    """

    def __init__(self, split: Split, device: torch.device, memory_limit: int | None) -> None:
        limit = RESIDENT_SHARE * free_memory(device) if memory_limit is None else memory_limit
        self.device = device
        self.resident = split.nbytes <= limit
        self._parts = [_Tensors(part) for part in split.parts]
        if self.resident and device.type != "cpu":
            self._parts = [_Tensors.joined(self._parts, device)]
        self._starts = np.cumsum([0, *(len(part.lengths) for part in self._parts)])

    def __len__(self) -> int:
        return int(self._starts[-1])

    def blocks(self, order: Tensor, batch_size: int) -> Iterator[Batch]:
        """The samples of `order` in blocks of whole batches, each block contiguous and on the device."""
        size = self._block_size(batch_size)
        pieces = order.split(size)
        if self.resident:
            yield from map(self._take, pieces)
            return
        with ThreadPoolExecutor(max_workers=1) as reader:
            ahead = reader.submit(self._take, pieces[0])
            for following in (*pieces[1:], None):
                block = ahead.result()
                if following is not None:
                    ahead = reader.submit(self._take, following)
                yield block

    def _block_size(self, batch_size: int) -> int:
        values = self._parts[0].samples[0].numel()
        return batch_size * max(1, BLOCK_BYTES // (4 * values * batch_size))

    def _take(self, order: Tensor) -> Batch:
        x, length, target = (self._gather(order, kind) for kind in range(3))
        if self.device.type == "cuda" and x.device.type == "cpu":
            x, length, target = (tensor.pin_memory() for tensor in (x, length, target))
        x, length, target = (tensor.to(self.device, non_blocking=True) for tensor in (x, length, target))
        x = x.float() if x.dtype == torch.uint8 else x
        return Batch(x.contiguous(memory_format=torch.channels_last) if x.ndim == 4 else x, length, target)

    def _gather(self, order: Tensor, kind: int) -> Tensor:
        if len(self._parts) == 1:
            source = self._parts[0][kind]
            return source[order.to(source.device)]
        first = self._parts[0][kind]
        gathered = torch.empty((len(order), *first.shape[1:]), dtype=first.dtype)
        for part, begin in zip(self._parts, self._starts[:-1], strict=True):
            inside = (order >= begin) & (order < begin + len(part.lengths))
            gathered[inside] = part[kind][order[inside] - int(begin)]
        return gathered


class _Tensors:
    """A part as tensors over the same memory."""

    def __init__(self, part: Part) -> None:
        self.samples, self.lengths, self.targets = map(_tensor, (part.samples, part.lengths, part.targets))

    def __getitem__(self, kind: int) -> Tensor:
        return (self.samples, self.lengths, self.targets)[kind]

    @classmethod
    def joined(cls, parts: "list[_Tensors]", device: torch.device) -> "_Tensors":
        whole = cls.__new__(cls)
        whole.samples = torch.cat([part.samples.to(device) for part in parts])
        whole.lengths = torch.cat([part.lengths.to(device) for part in parts])
        whole.targets = torch.cat([part.targets.to(device) for part in parts])
        return whole


def _tensor(array: NDArray[Any]) -> Tensor:
    with warnings.catch_warnings():
        # A mapped array is read-only, and training only reads; torch has no read-only tensors and warns.
        warnings.filterwarnings("ignore", message="The given NumPy array is not writable")
        return torch.from_numpy(array)
