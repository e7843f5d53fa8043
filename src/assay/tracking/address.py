"""Where MLflow's store is, and whether it answers. Owns the reading of `tracking.uri`; writes no run."""

import base64
import hashlib
import http.client
import json
import os
import re
import sqlite3
import ssl
import threading
import urllib.error
import urllib.parse
import urllib.request
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from assay.errors import InputError
from assay.params import Tracking

ANSWER_S = 5  # a server in reach answers in milliseconds; a slow one in a few seconds
LIMIT_S = 9  # of the whole check, names looked up included
DATABRICKS = ("databricks", "databricks-uc")  # alone, or with a profile behind ://
OWN_TABLES = {"experiments", "runs", "metrics", "params", "tags"}  # MLflow's first, while it creates the rest
RIGHT = "right would be null, sqlite:///mlruns/mlflow.db or the address of a running server, http://127.0.0.1:5000"


@dataclass(frozen=True)
class Address:
    """A store, resolved: `uri` is absolute; `artifacts` is the root of files, None where the server decides."""

    uri: str
    artifacts: str | None
    experiment: str

    @property
    def scheme(self) -> str:
        return self.uri.split(":", 1)[0].split("+", 1)[0]

    @property
    def remote(self) -> bool:
        return self.scheme in ("http", "https")

    @property
    def database(self) -> Path | None:
        """The file of a sqlite store."""
        return Path(self.uri.split(":///", 1)[1]) if self.scheme == "sqlite" else None

    @property
    def shown(self) -> str:
        """The uri without a password."""
        return masked(self.uri)

    @property
    def id(self) -> str:
        """A short name of store and experiment, the same in every process."""
        return hashlib.blake2b(f"{self.uri} {self.experiment}".encode(), digest_size=6).hexdigest()


def resolve(tracking: Tracking, root: Path) -> Address:
    """The store that `tracking.uri` means, seen from `root`; null is sqlite in `<root>/mlruns/`.

    Raises:
        InputError: no address, a store that MLflow no longer has (a folder), or one that forgets (sqlite in memory).
    """
    local, uri = root.resolve() / "mlruns", tracking.uri
    if uri is None:
        return Address(f"sqlite:///{local / 'mlflow.db'}", (local / "artifacts").as_uri(), tracking.experiment)
    _check_form(uri)
    scheme = uri if uri in DATABRICKS else uri.split(":", 1)[0] if ":" in uri else ""
    if scheme in ("", "file") or uri.startswith((".", "/")):
        raise InputError(f"tracking.uri: {uri!r} is a folder, which MLflow no longer writes runs to; {RIGHT}.")
    if scheme.split("+")[0] == "sqlite":
        return _sqlite(uri, root, tracking.experiment)
    if scheme in ("http", "https"):
        return Address(uri.rstrip("/"), None, tracking.experiment)
    return Address(uri, (local / "artifacts").as_uri(), tracking.experiment)


def _check_form(uri: str) -> None:
    try:
        parts = urllib.parse.urlsplit(uri)
        server = parts.scheme not in ("http", "https") or (parts.hostname, parts.port)[0]  # a wrong port raises
    except ValueError as error:
        raise InputError(f"tracking.uri: {masked(uri)!r} is no address ({error}); {RIGHT}.") from error
    if not server:
        raise InputError(f"tracking.uri: {masked(uri)!r} names no server; {RIGHT}.")


def masked(uri: str) -> str:
    """An address without its password."""
    return re.sub(r"(://[^/@:]*:)[^/@]*@", r"\1***@", uri)


def _sqlite(uri: str, root: Path, experiment: str) -> Address:
    head, slashes, name = uri.partition(":///")
    if not slashes or name in ("", ":memory:"):
        raise InputError(f"tracking.uri: {uri!r} names no file, so its runs would be forgotten; {RIGHT}.")
    path = root.resolve() / name
    return Address(f"{head}:///{path}", (path.parent / "artifacts").as_uri(), experiment)


def reach(address: Address) -> None:
    """Find out within about ten seconds whether runs can be written there.

    Raises:
        InputError: names tracking.uri, what was tried, and what would be right.
    """
    check = _check_server if address.remote else _check_sqlite if address.database else _check_database
    failed: list[Exception] = []

    def attempt() -> None:
        try:
            check(address)
        except Exception as error:  # noqa: BLE001  carried over to the caller's thread, below
            failed.append(error)

    thread = threading.Thread(target=attempt, daemon=True)  # a name that nobody resolves blocks for minutes
    thread.start()
    thread.join(LIMIT_S)
    if thread.is_alive():
        raise InputError(f"tracking.uri: {address.shown} did not answer within {LIMIT_S} seconds; {RIGHT}.")
    if failed:
        raise failed[0]


def make_place(address: Address) -> None:
    """The folder of a sqlite store, for whoever is about to write there."""
    if address.database is not None:
        address.database.parent.mkdir(parents=True, exist_ok=True)


def answers(address: Address) -> bool:
    """Whether a server is up right now; a store that is no server always is."""
    if not address.remote:
        return True
    try:
        reach(address)
    except InputError:
        return False
    return True


def _check_server(address: Address) -> None:
    asked = "/api/2.0/mlflow/experiments/get-by-name?" + urllib.parse.urlencode({"experiment_name": address.experiment})
    try:
        with _opener().open(_request(address.uri + asked), timeout=ANSWER_S) as answer:
            status, body = answer.status, answer.read()
    except urllib.error.HTTPError as error:
        with error:
            status, body = error.code, error.read()
    except (OSError, ValueError, http.client.HTTPException) as error:  # away, no HTTP, or no address at all
        why = getattr(error, "reason", error)
        raise InputError(f"tracking.uri: no MLflow server at {address.shown} ({why}); {RIGHT}.") from error
    _judge(address, status, body)


def _judge(address: Address, status: int, body: bytes) -> None:
    if status in (401, 403):
        said = body.decode(errors="replace").strip()[:100]
        raise InputError(
            f"tracking.uri: {address.shown} refuses us ({status}: {said}); it wants MLFLOW_TRACKING_USERNAME and "
            "MLFLOW_TRACKING_PASSWORD or MLFLOW_TRACKING_TOKEN, or this host among the server's --allowed-hosts."
        )
    told = _json(body)
    if status == 200 and "experiment" in told:
        _check_experiment(address, told["experiment"].get("lifecycle_stage"))
    elif told.get("error_code") != "RESOURCE_DOES_NOT_EXIST":
        raise InputError(f"tracking.uri: {address.shown} answers, but is no MLflow server (status {status}); {RIGHT}.")


def _json(body: bytes) -> dict[str, Any]:
    try:
        told = json.loads(body)
    except ValueError:
        return {}
    return told if isinstance(told, dict) else {}


def _request(url: str) -> urllib.request.Request:
    parts = urllib.parse.urlsplit(url)
    user = parts.username or os.environ.get("MLFLOW_TRACKING_USERNAME")
    password = parts.password or os.environ.get("MLFLOW_TRACKING_PASSWORD")
    request = urllib.request.Request(parts._replace(netloc=parts.netloc.rpartition("@")[2]).geturl())
    if user is not None and password is not None:
        request.add_header("Authorization", "Basic " + base64.b64encode(f"{user}:{password}".encode()).decode())
    elif token := os.environ.get("MLFLOW_TRACKING_TOKEN"):
        request.add_header("Authorization", f"Bearer {token}")
    return request


def _opener() -> urllib.request.OpenerDirector:
    context = ssl.create_default_context(cafile=os.environ.get("MLFLOW_TRACKING_SERVER_CERT_PATH"))
    if os.environ.get("MLFLOW_TRACKING_INSECURE_TLS", "").lower() == "true":
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    return urllib.request.build_opener(urllib.request.HTTPSHandler(context=context))


def _check_sqlite(address: Address) -> None:
    path = address.database
    assert path is not None
    try:
        there = next(folder for folder in path.parents if folder.exists())
        if not there.is_dir():
            raise NotADirectoryError(f"{there} is a file")
        if not os.access(there, os.W_OK) or (path.exists() and not os.access(path, os.W_OK)):
            raise PermissionError("not writable")
    except OSError as error:
        raise InputError(f"tracking.uri: {path} cannot be written ({error}); {RIGHT}.") from error
    if path.exists():
        _check_tables(address, path)


def _check_tables(address: Address, path: Path) -> None:
    database = sqlite3.connect(path, timeout=ANSWER_S)
    try:
        tables = {name for (name,) in database.execute("select name from sqlite_master where type = 'table'")}
        stage = None
        if "experiments" in tables:
            rows = database.execute("select lifecycle_stage from experiments where name = ?", (address.experiment,))
            stage = next((stage for (stage,) in rows), None)
    except sqlite3.OperationalError:
        return  # being created by another process this very moment
    except sqlite3.DatabaseError as error:
        raise InputError(f"tracking.uri: {path} is no sqlite database ({error}); {RIGHT}.") from error
    finally:
        database.close()
    if tables - {"alembic_version"} and not tables & OWN_TABLES:
        raise InputError(f"tracking.uri: {path} is a database, but not MLflow's; {RIGHT}.")
    _check_experiment(address, stage)


def _check_experiment(address: Address, stage: str | None) -> None:
    if stage == "deleted":
        raise InputError(
            f"tracking.experiment: {address.experiment!r} was deleted in {address.shown}; restore it with "
            "`mlflow experiments restore`, or name another."
        )


def _check_database(address: Address) -> None:
    import sqlalchemy  # 0.3 s, for stores on a database server only

    if address.scheme in DATABRICKS:
        return
    try:
        limit = {"connect_timeout": ANSWER_S} if address.scheme in ("postgresql", "mysql") else {}
        engine = sqlalchemy.create_engine(address.uri, connect_args=limit)
        engine.connect().close()
        engine.dispose()
    except ImportError as error:
        raise InputError(f"tracking.uri: {address.shown} needs a package that is missing ({error}).") from error
    except sqlalchemy.exc.ArgumentError as error:
        raise InputError(f"tracking.uri: {address.shown} is no address of a store ({error}); {RIGHT}.") from error
    except sqlalchemy.exc.SQLAlchemyError as error:
        why = str(error).splitlines()[0]
        raise InputError(f"tracking.uri: no database at {address.shown} ({why}); {RIGHT}.") from error
