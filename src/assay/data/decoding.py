"""Samples decoded side by side. Owns what a task is and when processes are worth it; writes nothing.

Results come in the order of the source whatever the number of processes, so nothing downstream depends on it.
"""

import os
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from itertools import chain

from assay.data.raw import Raw
from assay.data.splits import content_key
from assay.data.workers import WorkerDied, Workers
from assay.errors import InputError
from assay.modality import Finding, Sample, Unreadable, of
from assay.params import Data

CHUNK = 32  # samples a task: small against a window, large against the half millisecond that a task costs
CHUNK_BYTES = 8 << 20  # of a task's results, and of the bytes it is sent; bounds memory where pictures are large
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
    bare = replace(raw, content=None)
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
        yield from decode_task(task, data)
        if workers > 1 and time.monotonic() >= until:
            break
    if (first := next(tasks, None)) is None:
        return
    try:
        with Workers(workers, decode_task) as pool:
            for decoded in pool.map((task, data) for task in chain([first], tasks)):
                yield from decoded
    except WorkerDied as error:
        raise InputError(
            "data.workers: a process that decodes was killed, most often for want of memory; set a smaller number."
        ) from error


def decode_task(task: list[Raw], data: Data) -> list[Decoded]:
    """`decode_one` of each."""
    return [decode_one(raw, data) for raw in task]


def _cores() -> int:
    """Cores that this process may use; macOS does not say, so all of them there."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


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
