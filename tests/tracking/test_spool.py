import signal
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from assay.tracking import spool

DYING = """
import os, signal, sys
from pathlib import Path
from assay.tracking import spool
mine = spool.open_spool(Path(sys.argv[1]), "store")
for number in range(1000):
    mine.append({"number": number})
os.kill(os.getpid(), signal.SIGKILL)
"""
ENTRIES = st.lists(st.dictionaries(st.text(max_size=5), st.text(max_size=5) | st.floats(allow_nan=False), max_size=3))


def test_what_a_killed_process_appended_is_all_there(tmp_path: Path) -> None:
    died = subprocess.run([sys.executable, "-c", DYING, str(tmp_path)])
    assert died.returncode == -signal.SIGKILL
    [left] = spool.abandoned(tmp_path, "store")
    assert [entry["number"] for entry in left.entries()] == list(range(1000))
    left.remove()
    assert list(tmp_path.iterdir()) == []


def test_the_spool_of_a_living_process_is_left_alone(tmp_path: Path) -> None:
    mine = spool.open_spool(tmp_path, "store")
    assert list(spool.abandoned(tmp_path, "store")) == []
    mine.release()
    [left] = spool.abandoned(tmp_path, "store")
    assert list(spool.abandoned(tmp_path, "store")) == []  # held by us now
    left.remove()


def test_the_spool_of_another_store_is_left_alone(tmp_path: Path) -> None:
    spool.open_spool(tmp_path, "one").release()
    assert list(spool.abandoned(tmp_path, "two")) == []


def test_a_line_that_was_cut_by_a_kill_is_left_out(tmp_path: Path) -> None:
    mine = spool.open_spool(tmp_path, "store")
    mine.append({"whole": 1})
    with mine.path.open("ab") as file:
        file.write(b'{"cut": ')
    assert mine.entries() == [{"whole": 1}]
    mine.remove()


@given(settled=ENTRIES, left=ENTRIES, later=ENTRIES)
def test_what_is_settled_never_comes_back(
    tmp_path_factory: pytest.TempPathFactory,
    settled: list[spool.Entry],
    left: list[spool.Entry],
    later: list[spool.Entry],
) -> None:
    mine = spool.open_spool(tmp_path_factory.mktemp("spool"), "store")
    for entry in settled + left:
        mine.append(entry)
    mine.settle(len(left))
    for entry in later:
        mine.append(entry)
    assert mine.entries() == left + later
    mine.remove()


def test_a_file_is_kept_as_it_was(tmp_path: Path) -> None:
    mine = spool.open_spool(tmp_path / "spool", "store")
    picture = tmp_path / "grid.png"
    picture.write_bytes(b"first")
    kept = mine.keep(picture)
    picture.write_bytes(b"second")
    assert (kept.name, kept.read_bytes()) == ("grid.png", b"first")
    mine.settle(0)
    assert not kept.exists()
    mine.remove()


def test_nobody_else_may_read_a_spool(tmp_path: Path) -> None:
    mine = spool.open_spool(tmp_path, "store")
    assert mine.path.stat().st_mode & 0o077 == 0
    mine.remove()
