"""One driver a study in a database: who holds the lease, who may take it, and that nobody else writes."""

import json
import signal
import sqlite3
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy

import searches
from assay.errors import InputError
from assay.lease import LEASES, DatabaseLease, Superseded
from assay.search.mounts import network_file_system
from assay.search.store import database, is_held
from assay.search.study import Study
from searches import drive, opened
from waits import LIMIT_S, until

DRIVER = """
import json, sys, time
sys.path.insert(0, {tests!r})
from pathlib import Path
from assay import lease
from assay.terminal import stage
from searches import opened
lease.LEASE_S = {seconds}

def main():
    with opened(Path({folder!r}), 500, **json.loads({search!r})) as study:
        while True:
            with study.owned():
                asked = study.ask()
                for epoch in (1, 2, 3):
                    study.report(asked.number, epoch, 0.5, 0.1, finished=epoch == 3)
                    time.sleep(0.05)

stage(main)
"""


@pytest.fixture(params=["sqlite", "postgresql"])
def address(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path / 'studies.db'}"
    found: str = request.getfixturevalue("postgres")
    return found


def search_of(address: str, tmp_path: Path) -> dict[str, Any]:
    """Settings of a study that no other test here has: a seed of its own."""
    return {"storage": address, "seed": abs(hash(str(tmp_path))) % 2**31}


@contextmanager
def driving(folder: Path, search: dict[str, Any], seconds: float = 60.0) -> Iterator["subprocess.Popen[str]"]:
    """A driver in a process of its own that goes on until it is stopped; its lease lasts for so many seconds."""
    told = {"tests": str(Path(searches.__file__).parent), "folder": str(folder), "search": json.dumps(search)}
    command = [sys.executable, "-c", DRIVER.format(seconds=seconds, **told)]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as driver:
        try:
            yield driver
        finally:
            with suppress(ProcessLookupError):
                driver.kill()


def stop_outside_the_file(driver: "subprocess.Popen[str]", address: str) -> None:
    """Stop it where it has no lock on sqlite's file, not even to read: with one, nobody on its machine could go on."""

    def stopped() -> bool:
        driver.send_signal(signal.SIGSTOP)
        if not address.startswith("sqlite:///"):
            return True
        with closing(sqlite3.connect(address.removeprefix("sqlite:///"), timeout=0)) as connection:
            try:
                connection.execute("BEGIN EXCLUSIVE")
            except sqlite3.OperationalError:
                driver.send_signal(signal.SIGCONT)
                return False
        return True

    until(stopped)


def begun(address: str, name: str) -> int:
    """How many trials the study has; none where it is not there yet."""
    with suppress(Exception):
        store = database(address)
        try:
            return store.get_n_trials(store.get_study_id_from_name(name))
        finally:
            store.engine.dispose()
    return 0


def is_running(address: str, name: str) -> bool:
    store = database(address)
    try:
        return is_held(store, Path(), name)
    finally:
        store.engine.dispose()


def kept(study: Study) -> list[tuple[int, str, Any]]:
    return [(each.number, each.state, each.curve) for each in study.tried()]


def name_of(search: dict[str, Any], folder: Path) -> str:
    with opened(folder, 500, **search) as study:
        return study.name


def test_a_second_driver_is_told_who_runs_and_a_released_lease_is_free(address: str, tmp_path: Path) -> None:
    search = search_of(address, tmp_path)
    with opened(tmp_path, **search) as study:
        with pytest.raises(InputError, match=r"this search is running already on .+ \(process \d+\); wait for it"):
            opened(tmp_path, **search)
        assert is_running(address, study.name)
    assert not is_running(address, study.name)
    with opened(tmp_path, **search) as study:
        drive(study)
        assert study.left == 0


def test_the_lease_of_a_driver_that_was_killed_on_this_machine_is_taken_at_once(address: str, tmp_path: Path) -> None:
    search = search_of(address, tmp_path)
    name = name_of(search, tmp_path)
    with driving(tmp_path, search) as driver:
        until(lambda: begun(address, name) > 3)
        with pytest.raises(InputError, match=rf"process {driver.pid}"):
            opened(tmp_path, 500, **search)
        driver.kill()  # and not waited for: a zombie is dead
        with opened(tmp_path, 500, **search) as study:
            assert study.left < 500
            assert "running" not in {state for _, state, _ in kept(study)}


def test_a_driver_that_was_stopped_while_its_lease_ran_out_wakes_up_and_writes_nothing(
    address: str, tmp_path: Path
) -> None:
    search = search_of(address, tmp_path)
    name = name_of(search, tmp_path)
    with driving(tmp_path, search, seconds=2.0) as driver:
        until(lambda: begun(address, name) > 3)
        stop_outside_the_file(driver, address)
        until(lambda: not is_running(address, name))
        with opened(tmp_path, 500, **search) as study:
            drive(study, 2)
            found = kept(study)
            driver.send_signal(signal.SIGCONT)
            _, said = driver.communicate(timeout=LIMIT_S)
            assert driver.returncode == 2
            assert said.startswith("search: another driver on ")
            assert said.endswith("has taken this search over; this one stops and leaves it as it is.\n")
            assert kept(study) == found
            study.check_owned()


def test_who_wants_the_lease_waits_for_a_write_under_way_and_finds_it_renewed(address: str, tmp_path: Path) -> None:
    ours, theirs = database(address), database(address)
    name = f"of {tmp_path.name}"
    lease, heard = DatabaseLease(ours.engine, name), []

    def take() -> None:
        try:
            DatabaseLease(theirs.engine, name)
        except InputError as error:
            heard.append(str(error))
        theirs.engine.dispose()

    with theirs.engine.begin() as connection:
        connection.execute(LEASES.update().where(LEASES.c.study == name).values(expiry=0.0))
    other = threading.Thread(target=take)
    with ours.engine.begin() as connection:
        connection.execute(sqlalchemy.text("UPDATE studies SET study_name = study_name"))
        other.start()
        other.join(1.0)
        assert heard == [] or "running already" in heard[0]
    other.join(LIMIT_S)
    assert len(heard) == 1
    assert lease.holds()
    lease.release()


def test_an_epoch_never_comes_again_and_the_older_one_cannot_write(address: str, tmp_path: Path) -> None:
    ours, theirs = database(address), database(address)
    name = f"of {tmp_path.name}"
    older = DatabaseLease(ours.engine, name)
    with theirs.engine.begin() as connection:
        connection.execute(LEASES.update().where(LEASES.c.study == name).values(expiry=0.0))
    newer = DatabaseLease(theirs.engine, name)
    assert (older.holds(), newer.holds()) == (False, True)
    with pytest.raises(Superseded, match="another driver on"), ours.engine.begin() as connection:
        connection.execute(sqlalchemy.text("UPDATE studies SET study_name = study_name"))
    assert older.lost
    older.release()
    assert newer.holds(), "what an older owner gives back is not the newer one's"
    newer.release()
    last = DatabaseLease(ours.engine, name)
    assert (older.holds(), newer.holds(), last.holds()) == (False, False, True)
    last.release()
    theirs.engine.dispose()


MOUNTED = """\
/dev/sda1 / ext4 rw,relatime 0 0
server:/srv /srv nfs4 rw,vers=4.2 0 0
/dev/sdb1 /srv/ada/fast xfs rw 0 0
//server/share /mnt/with\\040blank cifs rw 0 0
ada@server: /mnt/far fuse.sshfs rw 0 0
/dev/sdc1 /mnt/far ext4 rw 0 0
"""


@pytest.mark.parametrize(
    ("path", "kind"),
    [
        ("/var/x.db", None),
        ("/srv/ada/x.db", "nfs4"),
        ("/srv/ada/fast/x.db", None),
        ("/mnt/with blank/x.db", "cifs"),
        ("/mnt/far/x.db", None),
    ],
)
def test_a_network_file_system_is_known_by_its_deepest_mount(tmp_path: Path, path: str, kind: str | None) -> None:
    (tmp_path / "mounts").write_text(MOUNTED)
    assert network_file_system(Path(path), tmp_path / "mounts") == kind
