"""How a Ray of this machine comes up: what of it, and under what load."""

import subprocess
import sys
import time

import psutil
from ray._private import node, services

from assay.params import Search
from assay.search.local_ray import beginning
from assay.search.machine import Machine
from waits import LIMIT_S, until

RAY_WAITS_S = 35  # longer than Ray itself does
BEGINS = """
from assay.params import Search
from assay.search.machine import Machine
from assay.terminal import stage

def main():
    with Machine(Search()) as machine:
        machine.wait()

stage(main)
"""


def first_raylet(driver: int | None = None) -> psutil.Process:
    """The raylet of a driver's Ray, this process's or that of number `driver`, as soon as there is one."""
    children = psutil.Process(driver).children
    return until(lambda: next((child for child in children() if child.name() == "raylet"), None))


def test_a_machine_so_loaded_that_ray_gives_up_on_itself_is_waited_for() -> None:
    with Machine(Search()) as machine:
        raylet = first_raylet()
        raylet.suspend()
        overdue = time.monotonic() + RAY_WAITS_S
        until(lambda: time.monotonic() > overdue)
        raylet.resume()
        machine.wait()
        assert machine.workers() >= 1


def test_a_ray_that_dies_as_it_comes_up_is_one_sentence() -> None:
    with subprocess.Popen([sys.executable, "-c", BEGINS], stderr=subprocess.PIPE, stdout=subprocess.PIPE) as driver:
        first_raylet(driver.pid).kill()
        _, said = driver.communicate(timeout=LIMIT_S)
    assert driver.returncode == 2
    assert said.decode() == (
        "Ray does not start on this machine: its raylet died as it came up, as where memory or the disk ends\n"
    )


def below() -> set[str]:
    """Names of this process's children and theirs, however long they live."""
    return {child.name() for child in psutil.Process().children(recursive=True)}


def test_it_has_the_processes_that_a_search_needs_and_no_other() -> None:
    with Machine(Search()) as machine:
        machine.wait()
        until(lambda: {"ray::DashboardAgent", "ray::RuntimeEnvAgent"} <= below())
        assert below() == {"gcs_server", "raylet", "ray::DashboardAgent", "ray::RuntimeEnvAgent"}


def test_ray_begins_in_its_own_way_again_afterwards() -> None:
    def how() -> list[object]:
        return [vars(node.Node)["start_monitor"], vars(node.Node)["start_api_server"], services.start_raylet]

    before = how()
    with beginning():
        assert not set(map(id, before)) & set(map(id, how()))
    assert how() == before
