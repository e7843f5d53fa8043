"""Samples of many requests become batches: one thread computes, and what comes meanwhile is the next batch. Owns that
thread and what waits for it; knows nothing of HTTP.
"""

import threading
import time
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass, field
from queue import Empty, SimpleQueue

import numpy as np
from numpy.typing import NDArray

from assay.modality import Sample
from assay.serve.champion import Served

Values = NDArray[np.float32]


@dataclass(frozen=True, eq=False)
class _Waiting:
    served: Served
    samples: list[Sample]
    found: "Future[Values]" = field(default_factory=Future)


class Batches:
    """Give it back with `close`, which computes what still waits."""

    def __init__(self, most: int, wait_s: float, arrived: Callable[[], int], told: Callable[[int], object]) -> None:
        """Start the thread.

        Args:
            most: samples of a batch; a request that has more is a batch of its own.
            wait_s: how long the first of a batch waits for others that have arrived, at most.
            arrived: how many requests are to be answered at this moment; where all of them are in a batch, it does not
                wait.
            told: called with the samples of each batch.
        """
        self._most, self._wait_s, self._arrived, self._told = most, wait_s, arrived, told
        self._queue: SimpleQueue[_Waiting | None] = SimpleQueue()  # None: the end
        self._held: list[_Waiting | None] = []  # at most one
        self._thread = threading.Thread(target=self._run, name="batches", daemon=True)
        self._thread.start()

    def values(self, served: Served, samples: list[Sample]) -> "Future[Values]":
        """N × K of `samples`, by this version and no other; a future that is cancelled is not computed."""
        one = _Waiting(served, samples)
        self._queue.put(one)
        return one.found

    def close(self) -> None:
        """Compute what waits, and end."""
        self._queue.put(None)
        self._thread.join()

    def _run(self) -> None:
        while (first := self._next()) is not None:
            self._compute([one for one in self._gathered(first) if one.found.set_running_or_notify_cancel()])

    def _next(self) -> _Waiting | None:
        return self._held.pop() if self._held else self._queue.get()

    def _gathered(self, first: _Waiting) -> list[_Waiting]:
        """A batch of one version; what was taken from the queue and does not fit is held for the next."""
        batch, count, end = [first], len(first.samples), time.monotonic() + self._wait_s
        while count < self._most:
            try:
                left = end - time.monotonic() if len(batch) < self._arrived() else 0.0
                one = self._queue.get(timeout=max(0.0, left))
            except Empty:
                break
            if one is None or one.served is not first.served or count + len(one.samples) > self._most:
                self._held.append(one)
                break
            batch.append(one)
            count += len(one.samples)
        return batch

    def _compute(self, batch: list[_Waiting]) -> None:
        samples = [sample for one in batch for sample in one.samples]
        if not samples:
            return
        self._told(len(samples))
        try:
            values = batch[0].served.values(samples)
        except Exception as error:  # noqa: BLE001  told to each who waits for it; the thread lives
            for one in batch:
                one.found.set_exception(error)
            return
        start = 0
        for one in batch:
            one.found.set_result(values[start : start + len(one.samples)])
            start += len(one.samples)
