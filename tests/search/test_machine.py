"""What a machine holds, asked of a real Ray."""

import os
import signal
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from assay.errors import InputError
from assay.params import Resources, Search
from assay.search.machine import Machine, files_of, rooms


def test_more_workers_than_the_machine_holds_are_fewer_and_said(capsys: pytest.CaptureFixture[str]) -> None:
    with Machine(Search(workers=1000, resources=Resources(cpu=1.0))) as machine:
        machine.wait()
        most = machine.workers()
    assert 1 <= most < 1000
    assert (
        f"search.workers is 1000; this machine holds {most} trials at once, so {most} run." in capsys.readouterr().out
    )


def test_a_trial_that_no_machine_holds_is_one_sentence() -> None:
    with Machine(Search(resources=Resources(cpu=1000.0))) as machine:
        machine.wait()
        with pytest.raises(InputError, match=r"search\.resources asks for cpu 1000 and gpu 0 a trial;"):
            machine.workers()


def test_a_cluster_that_is_not_there_is_one_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RAY_ADDRESS", "127.0.0.1:1")
    with (
        Machine(Search()) as machine,
        pytest.raises(InputError, match=r"Ray does not start at RAY_ADDRESS=127\.0\.0\.1:1: .*refused"),
    ):
        machine.wait()


@pytest.mark.parametrize("address", ["http://127.0.0.1:8265", "ray://127.0.0.1:10001"])
def test_an_address_that_no_driver_joins_at_is_one_sentence(address: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RAY_ADDRESS", address)
    with (
        Machine(Search()) as machine,
        pytest.raises(InputError, match=rf"RAY_ADDRESS is {address}; a search joins at host:port,"),
    ):
        machine.wait()


@pytest.mark.parametrize("address", ["foo", "foo:", "10.0.0.1:6379x", "10.0.0.1:66379"])
def test_an_address_without_a_port_is_told_what_it_must_be(address: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RAY_ADDRESS", address)
    right = r"it must be host:port, as 10\.0\.0\.1:6379, or auto\."
    with Machine(Search()) as machine, pytest.raises(InputError, match=rf"^RAY_ADDRESS is {address}; {right}$"):
        machine.wait()


@pytest.mark.parametrize(
    "node, cpu, gpu, count",
    [
        ({"CPU": 4.0}, 1, 0, 4),
        ({"CPU": 4.0}, 1.5, 0, 2),
        ({"CPU": 4.0}, 1, 0.25, 0),
        ({"CPU": 16.0, "GPU": 2.0}, 1, 0.25, 8),
        ({"CPU": 16.0, "GPU": 2.0}, 1, 0.4, 4),  # two fit on a card, and none lies on two
        ({"CPU": 16.0, "GPU": 3.0}, 1, 2, 1),
        ({"CPU": 3.0, "GPU": 1.0}, 1, 1 / 3, 3),
        ({}, 1, 0, 0),  # a head that runs nothing
    ],
)
def test_a_node_holds_as_many_trials_as_its_cores_and_cards_do(
    node: dict[str, float], cpu: float, gpu: float, count: int
) -> None:
    assert rooms(node, Resources(cpu=cpu, gpu=gpu)) == count


def test_files_of_ray_lie_where_they_were_asked_for(tmp_path: Path) -> None:
    assert files_of(None, tmp_path) == str(tmp_path / "tune")
    assert files_of(str(tmp_path / "asked"), tmp_path) == str(tmp_path / "asked")
    assert (tmp_path / "asked").is_dir()


@pytest.mark.parametrize("place", ["a file/tune", "nowhere://tune"])
def test_a_place_that_cannot_be_written_is_one_sentence(place: str, folder: Path) -> None:
    (folder / "a file").touch()
    with pytest.raises(InputError, match=rf"search\.storage_path is '{place}'; nothing can be written there: .+"):
        files_of(place, folder)


SILENT = """
import os, signal, sys
from assay.params import Search
from assay.search.machine import Machine
from assay.terminal import stage

def main():
    with Machine(Search()) as machine:
        print(machine.folder, flush=True)
        machine.wait()

stage(main)
"""


def test_a_cluster_that_does_not_answer_is_left_by_ctrl_c() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:  # takes connections, says nothing
        environment = os.environ | {"RAY_ADDRESS": f"127.0.0.1:{server.getsockname()[1]}"}
        command = [sys.executable, "-c", SILENT]
        with subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as driver:
            assert driver.stdout is not None
            folder = Path(driver.stdout.readline().decode().strip())
            server.accept()[0].close()  # it is on its way in
            driver.send_signal(signal.SIGINT)
            _, said = driver.communicate(timeout=25)  # Ray itself would ask on for half a minute
    assert driver.returncode == 130
    assert "Run the same command again" in said.decode()
    assert not folder.exists()


RETIRING = """
import time
import ray
from assay.params import Search
from assay.search.machine import Machine

class Holds:
    def __init__(self, held):
        self.held, self.itself = held, self

with Machine(Search()) as machine:
    machine.wait()
    kept = ray.put(b"kept")
    held = [ray.ObjectRef(kept.binary()) for _ in range(300_000)]
    machine.retire()
    while machine._thread.is_alive() and held:
        for _ in range(50):
            Holds(held.pop())
        time.sleep(0.001)  # so that they last as long as Ray takes to end
    assert held, "it took longer than they last"
print("over")
"""


def test_what_is_collected_while_ray_ends_does_not_end_the_process() -> None:
    """As what Tune leaves behind, of which Ray would be told when it is no more."""
    ended = subprocess.run([sys.executable, "-c", RETIRING], capture_output=True, text=True, check=False)
    assert (ended.returncode, ended.stdout) == (0, "over\n"), ended.stderr
