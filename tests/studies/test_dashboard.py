"""Studies in a browser: all of them, as they grow, and none can be changed there."""

import json
import os
import signal
import socket
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from assay.errors import InputError
from assay.search import STUDIES
from assay.studies.dashboard import Looked, serve_dashboard
from assay.studies.shelf import Shelf
from searches import drive, opened
from waits import LIMIT_S

SERVE = """
import sys
from pathlib import Path
from assay.studies.dashboard import serve_dashboard
from assay.studies.shelf import Shelf
serve_dashboard(Shelf(Path(sys.argv[1]), None))
"""


@pytest.fixture
def link(tmp_path: Path) -> Iterator[str]:
    """The pages of a project with two studies, one of them running; Ctrl-C ends them cleanly."""
    with opened(tmp_path / STUDIES) as study:
        drive(study)
    with opened(tmp_path / STUDIES, seed=1) as running:
        drive(running, 2)
        running.ask()
        command = [sys.executable, "-u", "-c", SERVE, str(tmp_path)]
        serving = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        assert serving.stdout is not None
        said = serving.stdout.readline()
        assert said.startswith("The studies are at http://127.0.0.1:")
        yield said.split()[4]
        os.kill(serving.pid, signal.SIGINT)
        _, errors = serving.communicate(timeout=LIMIT_S)
    assert (serving.returncode, errors) == (0, "")


def asked(link: str, method: str = "GET") -> Any:
    with urllib.request.urlopen(urllib.request.Request(link, method=method), timeout=LIMIT_S) as answer:
        return json.load(answer)


@pytest.mark.e2e
def test_every_study_is_there_and_none_can_be_changed(link: str) -> None:
    with urllib.request.urlopen(f"{link}/dashboard", timeout=LIMIT_S) as page:
        assert b"Optuna" in page.read()
    studies = asked(f"{link}/api/studies")["study_summaries"]
    assert len(studies) == 2
    trials = [len(asked(f"{link}/api/studies/{key}?after=0")["trials"]) for key in (0, 1)]
    assert sorted(trials) == [3, 6]
    for method in ("DELETE", "POST", "PUT"):
        with pytest.raises(urllib.error.HTTPError, match="403"):
            asked(f"{link}/api/studies/0", method)
    assert asked(f"{link}/api/studies")["study_summaries"] == studies


def test_a_study_that_grows_is_seen_to_grow_and_a_new_one_to_come(tmp_path: Path) -> None:
    looked = Looked(Shelf(tmp_path, None))
    assert looked.get_all_studies() == []
    with opened(tmp_path / STUDIES) as study:
        [found] = looked.get_all_studies()
        assert found.study_name == study.name
        for most in (2, 4):
            drive(study, 2)
            assert len(looked.get_all_trials(found._study_id)) == most
        assert looked.get_study_system_attrs(found._study_id)["study:metric_names"] == ["accuracy"]
    with pytest.raises(PermissionError, match="changed by their search alone"):
        looked.delete_study(found._study_id)


def test_a_port_that_is_taken_is_a_sentence(tmp_path: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        with pytest.raises(InputError, match=rf"--port: {port} is taken"):
            serve_dashboard(Shelf(tmp_path, None), port)
