"""Waiting for a state. No test races the clock: what is waited for comes, or something hangs."""

import subprocess
import time
from collections.abc import Callable, Iterable
from typing import Any, TypeVar

import psutil

LIMIT_S = 400  # nothing here takes so long; a loaded machine may
LOOK_S = 0.02
T = TypeVar("T")


def until(state: Callable[[], T], what: str = "the state", alive: "subprocess.Popen[Any] | None" = None) -> T:
    """The first true answer of `state`; `alive` must not end before it."""
    end = time.monotonic() + LIMIT_S
    while not (found := state()):
        if alive is not None and alive.poll() is not None:
            raise AssertionError(f"ended before {what}: {alive.communicate()}")
        assert time.monotonic() < end, f"{what}: never seen"
        time.sleep(LOOK_S)
    return found


def gone(processes: Iterable[psutil.Process]) -> None:
    """Wait until none of them runs; one that has ended and is not yet buried is gone."""
    left = list(processes)
    until(lambda: not any(map(_runs, left)), f"the end of {left}")


def _runs(process: psutil.Process) -> bool:
    try:
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False
