"""The kill tests of the benchmarks, in short."""

import subprocess
import sys

import pytest

from imports import ROOT

pytestmark = pytest.mark.e2e


def test_what_is_hit_at_a_random_moment_loses_and_doubles_nothing() -> None:
    command = [sys.executable, str(ROOT / "benchmarks/kill_test.py"), "--moments", "2", "--kinds", "disk", "server"]
    ended = subprocess.run(command, capture_output=True, text=True, check=False)
    assert ended.returncode == 0, ended.stdout + ended.stderr
    assert ended.stdout.count("0 lost, 0 doubled, 0 left running, equal") + ended.stdout.count("is left out") == 2


def test_a_retraining_that_is_killed_at_a_random_moment_has_one_champion_and_a_whole_account() -> None:
    command = [sys.executable, str(ROOT / "benchmarks/retrain_kills.py"), "--moments", "2"]
    ended = subprocess.run(command, capture_output=True, text=True, check=False)
    assert ended.returncode == 0, ended.stdout + ended.stderr
    assert ended.stdout.endswith("2 of 2 moments cost nothing\n")
