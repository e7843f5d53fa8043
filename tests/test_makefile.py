"""`make` says what it can do, and CI does nothing else than `make test`."""

import re
import subprocess

from imports import ROOT

TARGETS = {"help", "repro", "test", "lint", "bench", "ui", "clean"}


def test_make_help_lists_every_target() -> None:
    ended = subprocess.run(["make", "help"], cwd=ROOT, capture_output=True, text=True, check=True)
    assert set(re.findall(r"^  make (\w+) ", ended.stdout, flags=re.MULTILINE)) == TARGETS


def test_every_listed_target_exists() -> None:
    text = (ROOT / "Makefile").read_text(encoding="utf-8")
    assert set(re.findall(r"^\.PHONY: (.*)$", text, flags=re.MULTILINE)[0].split()) == TARGETS
    assert set(re.findall(r"^(\w+):", text, flags=re.MULTILINE)) >= TARGETS


def test_ci_runs_the_tests_and_nothing_else() -> None:
    path = ROOT / ".ci" / "run"
    assert path.stat().st_mode & 0o111
    lines = [line for line in path.read_text(encoding="utf-8").splitlines() if line and not line.startswith("#")]
    assert lines == ["set -eu", 'cd "$(dirname "$0")/.."', "exec make test"]
