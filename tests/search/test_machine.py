"""What a machine holds, asked of a real Ray."""

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
