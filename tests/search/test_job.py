"""What a submitted job must have, and what it must not lose; and the code that goes to workers."""

import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from assay.errors import InputError
from assay.params import Params
from assay.search.job import code, refuse_absent, refuse_fleeting
from imports import ROOT

PREPARED = Path("results/prepare/data")
LASTING = {"search": {"storage": "postgresql://db/assay"}, "tracking": {"uri": "http://mlflow:5000"}}


@pytest.fixture
def unpacked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder as Ray unpacks a job's."""
    folder = tmp_path / "runtime_resources/working_dir_files/_ray_pkg_0"
    folder.mkdir(parents=True)
    monkeypatch.chdir(folder)
    return folder


def test_a_job_without_prepared_data_says_so_before_anything_else(unpacked: Path) -> None:
    (unpacked / "params.yaml").write_text("data: {source: folder, path: photos}")
    command = [sys.executable, str(ROOT / "pipeline/search.py")]
    ended = subprocess.run(command, cwd=unpacked, capture_output=True, text=True, check=False)
    assert ended.returncode == 2
    assert ended.stderr.startswith("results/prepare/data did not come with this job: prepare it before you submit, ")
    assert ended.stderr.count("\n") == 1


def test_prepared_data_that_came_along_are_nothing_to_speak_of(unpacked: Path) -> None:
    PREPARED.mkdir(parents=True)
    (PREPARED / "dataset.json").touch()
    refuse_absent(PREPARED)


@pytest.mark.parametrize(
    "section, name, value",
    [
        ("search", "storage", None),
        ("search", "storage", "sqlite:///study.db"),
        ("search", "storage", "sqlite+pysqlite:///study.db"),
        ("tracking", "uri", None),
        ("tracking", "uri", "sqlite:///mlruns/mlflow.db"),
    ],
)
def test_what_would_go_with_the_job_is_refused(section: str, name: str, value: str | None, unpacked: Path) -> None:
    said: dict[str, Any] = LASTING | {section: {name: value}}
    with pytest.raises(InputError, match=rf"^{section}\.{name} is a place in this job's folder, which is thrown away;"):
        refuse_fleeting(Params.model_validate(said))


def test_both_are_said_at_once(unpacked: Path) -> None:
    with pytest.raises(InputError, match=r"search\.storage is") as refused:
        refuse_fleeting(Params())
    assert [sentence.split(" ")[0] for sentence in refused.value.sentences] == ["search.storage", "tracking.uri"]


@pytest.mark.parametrize(
    "storage", ["postgresql://db/assay", "sqlite:////shared/study.db", "sqlite+pysqlite:////shared/study.db"]
)
def test_what_lasts_is_not_refused(storage: str, unpacked: Path) -> None:
    refuse_fleeting(Params.model_validate(LASTING | {"search": {"storage": storage}}))


def test_a_project_that_is_no_job_keeps_all_it_has(folder: Path) -> None:
    refuse_fleeting(Params())
    refuse_absent(PREPARED)


def test_workers_get_the_code_and_nothing_that_lies_between(tmp_path: Path) -> None:
    packed = code(tmp_path)
    assert {path.relative_to(packed) for path in packed.rglob("*.py")} == {
        path.relative_to(ROOT / "src/assay") for path in (ROOT / "src/assay").rglob("*.py")
    }
    assert {path.suffix for path in packed.rglob("*") if path.is_file()} == {".py", ".css", ".js", ".typed"}
    sent = Path(shutil.make_archive(str(tmp_path / "sent"), "zip", packed))  # as Ray sends it
    assert sent.stat().st_size < 2**19
