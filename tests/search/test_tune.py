"""What Tune's scheduler says to the person."""

from types import SimpleNamespace
from typing import Any
from unittest.mock import Mock

import pytest

from assay.params import Resources, Search
from assay.search.tune import Judge


def test_a_machine_without_its_gpu_is_spoken_of_once_by_the_search_and_its_finals(
    capsys: pytest.CaptureFixture[str],
) -> None:
    jobs: Any = SimpleNamespace(report=lambda *_: True)
    machine: Any = SimpleNamespace(without_gpu=set())
    trial = Mock(trial_id="a")
    result = {"hostname": "node-3", "pid": 7, "device": "cpu", "epoch": 1, "value": 0.5}
    for _ in ("search", "finals"):
        ask: Any = SimpleNamespace(running={"a": 0})
        Judge(jobs, ask, Search(resources=Resources(gpu=0.5)), machine).on_trial_result(None, trial, result)
    assert capsys.readouterr().out.count("torch finds no GPU on node-3") == 1
