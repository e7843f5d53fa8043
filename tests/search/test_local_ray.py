"""How a Ray of this machine comes up: what of it, and under what load."""

import functools
import signal
import subprocess
import sys
import time
from typing import Any

import psutil
import pytest
from ray._private import node, services

from assay.params import Search
from assay.search.local_ray import beginning
from assay.search.machine import Machine
from waits import until

RAY_WAITS_S = 35  # longer than Ray itself does
DIES = """
import functools
from assay.params import Search
from assay.search.machine import Machine
from assay.terminal import stage
from ray._private import services

start = services.start_raylet

@functools.wraps(start)
def killed(*args, **how):
    begun = start(*args, **how)
    begun.process.kill()
    return begun

def main():
    services.start_raylet = killed
    with Machine(Search()) as machine:
        machine.wait()

stage(main)
"""


def test_a_machine_so_loaded_that_ray_gives_up_on_itself_is_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    start, begun = services.start_raylet, []

    @functools.wraps(start)
    def suspended(*args: Any, **how: Any) -> Any:
        begun.append(start(*args, **how))
        begun[0].process.send_signal(signal.SIGSTOP)
        return begun[0]

    monkeypatch.setattr(services, "start_raylet", suspended)
    with Machine(Search()) as machine:
        until(lambda: begun)
        overdue = time.monotonic() + RAY_WAITS_S
        until(lambda: time.monotonic() > overdue)
        begun[0].process.send_signal(signal.SIGCONT)
        machine.wait()
        assert machine.workers() >= 1


def test_a_ray_that_dies_as_it_comes_up_is_one_sentence() -> None:
    ended = subprocess.run([sys.executable, "-c", DIES], capture_output=True, text=True, check=False)
    assert (ended.returncode, ended.stderr) == (
        2,
        "Ray does not start on this machine: its raylet died as it came up, as where memory or the disk ends\n",
    )


def test_it_begins_the_processes_that_a_search_needs_and_no_other() -> None:
    before = psutil.Process().children()
    with Machine(Search()) as machine:
        machine.wait()
        assert {child.name() for child in psutil.Process().children() if child not in before} == {
            "gcs_server",
            "raylet",
        }


def test_ray_begins_in_its_own_way_again_afterwards() -> None:
    def how() -> list[object]:
        return [vars(node.Node)["start_monitor"], vars(node.Node)["start_api_server"], services.start_raylet]

    before = how()
    with beginning():
        assert not set(map(id, before)) & set(map(id, how()))
    assert how() == before
