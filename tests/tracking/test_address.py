import http.server
import re
import socket
import sqlite3
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from assay.errors import InputError
from assay.params import Tracking
from assay.tracking import address
from assay.tracking.address import Address
from databases import free_port


def at(uri: str | None, root: Path, experiment: str = "assay") -> Address:
    return address.resolve(Tracking(uri=uri, experiment=experiment), root)


def test_null_is_sqlite_in_mlruns_with_absolute_artifacts(bare_root: Path) -> None:
    found = at(None, bare_root)
    assert found.database == bare_root / "mlruns" / "mlflow.db"
    assert found.artifacts == (bare_root / "mlruns" / "artifacts").as_uri()


def test_a_place_is_looked_at_and_made_only_for_who_writes(bare_root: Path) -> None:
    found = at(None, bare_root)
    address.reach(found)
    assert list(bare_root.iterdir()) == []
    address.make_place(found)
    assert [path.name for path in bare_root.iterdir()] == ["mlruns"]


def test_a_relative_database_is_seen_from_the_root(bare_root: Path) -> None:
    found = at("sqlite:///runs/here.db", bare_root)
    assert found.database == bare_root / "runs" / "here.db"
    assert found.artifacts == (bare_root / "runs" / "artifacts").as_uri()


def test_an_absolute_database_stays_where_it_is(bare_root: Path, tmp_path: Path) -> None:
    assert at(f"sqlite:///{tmp_path}/here.db", bare_root).database == tmp_path / "here.db"


@pytest.mark.parametrize("uri", ["./mlruns", "mlruns", "/var/mlruns", "file:///var/mlruns", "file:mlruns"])
def test_a_folder_of_runs_is_refused_with_what_would_be_right(uri: str, bare_root: Path) -> None:
    with pytest.raises(InputError, match=r"tracking\.uri: '.*mlruns' is a folder.*sqlite:///mlruns/mlflow\.db"):
        at(uri, bare_root)


@pytest.mark.parametrize("uri", ["sqlite://", "sqlite:///", "sqlite:///:memory:"])
def test_a_store_that_forgets_is_refused(uri: str, bare_root: Path) -> None:
    with pytest.raises(InputError, match=r"tracking\.uri: 'sqlite:.*would be forgotten"):
        at(uri, bare_root)


def test_a_password_is_never_shown(bare_root: Path) -> None:
    found = at("postgresql://me:secret@db/runs", bare_root)
    assert found.shown == "postgresql://me:***@db/runs"


def test_two_experiments_have_spools_of_their_own(bare_root: Path) -> None:
    assert at(None, bare_root).id == at(None, bare_root).id != at(None, bare_root, "other").id


def test_a_server_that_is_not_there_is_found_at_once(bare_root: Path) -> None:
    uri = f"http://127.0.0.1:{free_port()}"
    with pytest.raises(InputError, match=rf"tracking\.uri: no MLflow server at {uri} \(.*refused\); right would be"):
        address.reach(at(uri, bare_root))


def test_a_host_that_nobody_knows_is_found_within_ten_seconds(bare_root: Path) -> None:
    began = time.monotonic()
    with pytest.raises(InputError, match=r"tracking\.uri: .*no-such-host\.invalid"):
        address.reach(at("http://no-such-host.invalid:5000", bare_root))
    assert time.monotonic() - began < 10


@pytest.mark.parametrize("uri", ["http://", "http://:80:80", "http://127.0.0.1:notaport", "http://[::1"])
def test_what_is_no_address_is_refused_before_anybody_is_asked(uri: str, bare_root: Path) -> None:
    said = rf"tracking\.uri: '{re.escape(uri)}' (is no address|names no server).*right would be"
    with pytest.raises(InputError, match=said):
        at(uri, bare_root)


def test_a_password_is_not_shown_in_what_is_no_address(bare_root: Path) -> None:
    with pytest.raises(InputError, match=r"'http://me:\*\*\*@h:port' is no address"):
        at("http://me:secret@h:port", bare_root)


def test_a_server_that_says_nothing_is_found_within_ten_seconds(
    bare_root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(address, "ANSWER_S", 0.2)
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        silent.listen()
        uri = f"http://127.0.0.1:{silent.getsockname()[1]}"
        with pytest.raises(InputError, match=r"tracking\.uri: no MLflow server at .*timed out"):
            address.reach(at(uri, bare_root))


class Stranger(http.server.BaseHTTPRequestHandler):
    """Some web server; answers with the status that its path begins with."""

    def do_GET(self) -> None:
        self.send_response(int(self.path.split("/")[1]))
        self.end_headers()
        self.wfile.write(b"<html>welcome</html>")

    def log_message(self, *_: object) -> None: ...


@pytest.fixture
def stranger() -> Iterator[str]:
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Stranger) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield f"http://127.0.0.1:{server.server_address[1]}"
        server.shutdown()
        thread.join()


@pytest.mark.parametrize("status", [200, 404, 500])
def test_a_server_that_is_not_mlflow_is_told_so(status: int, stranger: str, bare_root: Path) -> None:
    with pytest.raises(InputError, match=rf"answers, but is no MLflow server \(status {status}\)"):
        address.reach(at(f"{stranger}/{status}", bare_root))


def test_a_server_that_wants_a_login_is_told_how(stranger: str, bare_root: Path) -> None:
    with pytest.raises(InputError, match=r"refuses us \(401: .*MLFLOW_TRACKING_USERNAME"):
        address.reach(at(f"{stranger}/401", bare_root))


def test_a_file_that_is_no_database_is_refused(bare_root: Path) -> None:
    (bare_root / "notes.db").write_text("not a database at all, but long enough to be read as one" * 9)
    with pytest.raises(InputError, match=r"tracking\.uri: .*notes\.db is no sqlite database"):
        address.reach(at("sqlite:///notes.db", bare_root))


def test_another_programs_database_is_refused(bare_root: Path) -> None:
    database = sqlite3.connect(bare_root / "other.db")
    database.execute("create table alembic_version (version_num text)")
    database.execute("create table studies (name text)")
    database.close()
    with pytest.raises(InputError, match=r"tracking\.uri: .*other\.db is a database, but not MLflow's"):
        address.reach(at("sqlite:///other.db", bare_root))


def test_a_database_in_a_place_that_is_no_folder_is_refused(bare_root: Path) -> None:
    (bare_root / "file").write_text("")
    with pytest.raises(InputError, match=r"tracking\.uri: .*mlflow\.db cannot be written"):
        address.reach(at("sqlite:///file/mlflow.db", bare_root))


@pytest.mark.parametrize(
    ("uri", "why"),
    [
        ("postgresql+psycopg2://me:secret@127.0.0.1:1/runs", "needs a package that is missing"),
        ("nonsense://somewhere", "is no address of a store"),
        ("mysqll://me@host/runs", "is no address of a store"),
    ],
)
def test_a_database_that_cannot_be_opened_is_a_sentence_without_its_password(
    uri: str, why: str, bare_root: Path
) -> None:
    with pytest.raises(InputError, match=rf"tracking\.uri: .*{why}") as told:
        address.reach(at(uri, bare_root))
    assert "secret" not in str(told.value)


@pytest.mark.parametrize("uri", ["databricks", "databricks-uc", "databricks://profile"])
def test_databricks_is_a_store_by_its_word_alone(uri: str, bare_root: Path) -> None:
    assert at(uri, bare_root).scheme in ("databricks", "databricks-uc")
