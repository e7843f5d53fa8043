"""Processes that call one function on what they are sent. Owns their start, their end and what is in flight.

Plain processes behind pipes, not multiprocessing's: those import the program's main module again, and outlive a parent
that was killed. A worker here ends when its pipe does, however that comes about.
"""

import contextlib
import importlib
import os
import pickle
import signal
import subprocess
import sys
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from queue import SimpleQueue
from types import TracebackType
from typing import Any, Self

WAITING = 2  # tasks a worker whose results may wait to be taken, beside the one that runs


class WorkerDied(Exception):
    """A worker was killed from outside, most often for want of memory."""


class Workers:
    """`count` processes that call `function`, a public one of a module; a context manager that ends them."""

    def __init__(self, count: int, function: Callable[..., Any]) -> None:
        program = f"from {__name__} import serve; serve({function.__module__!r}, {function.__qualname__!r})"
        environment = os.environ | {"PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
        self._idle: SimpleQueue[subprocess.Popen[bytes]] = SimpleQueue()
        self._processes = [
            subprocess.Popen(
                [sys.executable, "-P", "-c", program], stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=environment
            )
            for _ in range(count)
        ]
        for process in self._processes:
            self._idle.put(process)
        self._threads = ThreadPoolExecutor(count, thread_name_prefix="assay-worker")

    def map(self, tasks: Iterable[tuple[Any, ...]]) -> Iterator[Any]:
        """What the function returns for each task's arguments, in the order of the tasks; few are held at once.

        Raises:
            WorkerDied: a worker ended in the middle.
        """
        running: deque[Future[Any]] = deque()
        for task in tasks:
            running.append(self._threads.submit(self._call, task))
            if len(running) > len(self._processes) * WAITING:
                yield running.popleft().result()
        while running:
            yield running.popleft().result()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, _kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None) -> None:
        if error is not None:
            for process in self._processes:
                process.kill()
        self._threads.shutdown(wait=True, cancel_futures=True)
        for process in self._processes:
            _close(process)

    def _call(self, task: tuple[Any, ...]) -> Any:
        process = self._idle.get()
        assert process.stdin is not None and process.stdout is not None, "both were asked for"
        try:
            pickle.dump(task, process.stdin, protocol=5)
            process.stdin.flush()
            succeeded, outcome = pickle.load(process.stdout)
        except (EOFError, OSError, pickle.UnpicklingError) as error:
            raise WorkerDied("a worker ended in the middle of a task") from error
        finally:
            self._idle.put(process)
        if not succeeded:
            raise outcome
        return outcome


def serve(module: str, name: str) -> None:
    """What a worker runs: answer every task from standard input until it ends."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the parent's business
    answers = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # whatever prints must not end up among the answers
    function = getattr(importlib.import_module(module), name)
    while True:
        try:
            task = pickle.load(sys.stdin.buffer)
        except EOFError:
            return
        try:
            outcome = (True, function(*task))
        except Exception as error:  # noqa: BLE001 - a border between processes; it is raised again on the other side
            outcome = (False, error)
        try:
            pickle.dump(outcome, answers, protocol=5)
            answers.flush()
        except BrokenPipeError:
            os._exit(1)  # the parent is gone


def _close(process: "subprocess.Popen[bytes]") -> None:
    for pipe in (process.stdin, process.stdout):
        assert pipe is not None, "both were asked for"
        with contextlib.suppress(BrokenPipeError):  # it was killed with half a task in the pipe
            pipe.close()
    process.wait()
