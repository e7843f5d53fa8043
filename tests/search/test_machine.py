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
from assay.search.machine import Machine


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
            _, said = driver.communicate(timeout=25)
    assert driver.returncode == 130
    assert "Run the same command again" in said.decode()
    assert not folder.exists()
