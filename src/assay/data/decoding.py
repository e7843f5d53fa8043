"""Samples decoded side by side. Owns the processes that decode and how much is in flight; writes nothing.

Results come in the order of the source whatever the number of processes, so nothing downstream depends on it.
"""

import multiprocessing
import os
import signal
import threading
import time
from collections import deque
from collections.abc import Iterable, Iterator
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass

from assay.data.sources import Raw
from assay.data.splits import content_key
from assay.errors import InputError
from assay.modality import Finding, Sample, Unreadable, of
from assay.params import Data

CHUNK = 32  # samples a task: small against a window, large against the half millisecond that a task costs
CHUNK_BYTES = 8 << 20  # of a task's results, and of the bytes it is sent; bounds memory where pictures are large
IN_FLIGHT = 3  # tasks a process: one runs, one waits, one is being written
ALONE_S = 0.5  # `auto` starts processes, 0.4 s each, only for work that is not done in so many seconds without them


@dataclass(frozen=True)
class Decoded:
    """One sample after decoding, or the reason why there is none."""

    raw: Raw  # without its bytes
    key: bytes = b""
    sample: Sample | None = None
    fingerprint: bytes = b""
    findings: tuple[Finding, ...] = ()
    reason: str | None = None  # why it cannot be read


def decode_one(raw: Raw, data: Data) -> Decoded:
    """Read, decode and look at one sample; never raises for a bad one."""
    bare = Raw(raw.name, b"", raw.labels, raw.group)
    room = of(data.modality)
    try:
        content = raw.read()
    except OSError as error:
        return Decoded(bare, reason=f"it cannot be read ({error.strerror or error})")
    key = content_key(content)
    try:
        sample = room.decode(content, data)
    except Unreadable as error:
        return Decoded(bare, key, reason=str(error))
    return Decoded(bare, key, sample, room.fingerprint(sample), tuple(room.check(sample, data)))


def decode_all(raws: Iterable[Raw], data: Data, sample_bytes: int) -> Iterator[Decoded]:
    """Every sample of `raws`, decoded, in their order; `sample_bytes` is what one takes when decoded.

    Raises:
        InputError: a process was killed from outside, most often for want of memory.
    """
    tasks = _tasks(raws, max(1, min(CHUNK, CHUNK_BYTES // sample_bytes)))
    workers = _cores() if data.workers == "auto" else data.workers
    until = time.monotonic() + ALONE_S if data.workers == "auto" else 0.0
    for task in tasks:
        yield from _decode_task(task, data)
        if workers > 1 and time.monotonic() >= until:
            break
    try:
        yield from _decode_apart(tasks, data, workers)
    except BrokenProcessPool as error:
        raise InputError(
            "data.workers: a process that decodes was killed, most often for want of memory; set a smaller number."
        ) from error


def _cores() -> int:
    """Cores that this process may use; macOS does not say, so all of them there."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _decode_apart(tasks: Iterator[list[Raw]], data: Data, workers: int) -> Iterator[Decoded]:
    first = next(tasks, None)
    if first is None:
        return
    # spawn, since a fork would copy the locks of threads that other rooms may have started.
    context = multiprocessing.get_context("spawn")
    pool = ProcessPoolExecutor(workers, mp_context=context, initializer=_live_and_die_with_parent)
    running: deque[Future[list[Decoded]]] = deque([pool.submit(_decode_task, first, data)])
    try:
        for task in tasks:
            running.append(pool.submit(_decode_task, task, data))
            if len(running) >= workers * IN_FLIGHT:
                yield from running.popleft().result()
        while running:
            yield from running.popleft().result()
    finally:
        pool.shutdown(wait=True, cancel_futures=True)


def _decode_task(task: list[Raw], data: Data) -> list[Decoded]:
    return [decode_one(raw, data) for raw in task]


def _tasks(raws: Iterable[Raw], size: int) -> Iterator[list[Raw]]:
    task: list[Raw] = []
    held = 0
    for raw in raws:
        task.append(raw)
        held += len(raw.content) if isinstance(raw.content, bytes) else 0
        if len(task) == size or held >= CHUNK_BYTES:
            yield task
            task, held = [], 0
    if task:
        yield task


def _live_and_die_with_parent() -> None:
    """Leave Ctrl-C to the parent, and end when it ends, however it ends: a killed parent closes no pipe of ours."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    parent = multiprocessing.parent_process()
    assert parent is not None, "runs in a process of the pool"

    def wait_for_its_end() -> None:
        parent.join()
        os._exit(1)

    threading.Thread(target=wait_for_its_end, daemon=True).start()
