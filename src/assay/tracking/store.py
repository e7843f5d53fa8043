"""MLflow's border: entries in, client calls out. Owns MLflow's limits, its silence, and which of its errors may pass
(an outage) and which will never (a refusal, said once); every other module here is free of MLflow.
"""

import contextlib
import fcntl
import logging
import os
import re
import time
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from assay import terminal
from assay.tracking import address
from assay.tracking.address import Address
from assay.tracking.spool import Entry, younger
from assay.tracking.writer import Outage

if TYPE_CHECKING:
    from mlflow.entities import Metric, Param, RunTag
    from mlflow.tracking import MlflowClient

WRITER, STATE, REASON = "assay.writer", "assay.state", "assay.reason"  # tags: which process writes it, how it goes, why
LONGEST_PARAM, LONGEST_TAG, LONGEST_NAME = 6000, 5000, 250  # MLflow's limits in characters; 5,000 fits old servers too
MOST_METRICS = 1000  # a call; MLflow's client splits parameters and tags by their limit, 100, itself
PAGE = 1000  # runs of one answer
OPEN_S, GLANCE_S = 30, 0.1  # to open a store, several times what creating one takes; between two looks at its lock
# What the store will never take, however often it is asked; every other error is an outage.
REFUSALS = {
    "INVALID_PARAMETER_VALUE",
    "BAD_REQUEST",
    "RESOURCE_DOES_NOT_EXIST",
    "RESOURCE_ALREADY_EXISTS",
    "INVALID_STATE",
}
QUIET = {  # of a process that has not set them otherwise
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "MLFLOW_LOGGING_LEVEL": "CRITICAL",  # an outage is told once, in our words
    "MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT": "true",
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "1",  # the spool waits, not MLflow, whose seven tries take minutes
    "MLFLOW_HTTP_REQUEST_TIMEOUT": "30",
    "MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR": "false",
}

Result = TypeVar("Result")


class Refused(Exception):
    """The store will never take this."""


@dataclass
class Found:
    """A run as the store has it."""

    key: str
    run_id: str
    name: str
    status: str
    tags: dict[str, str]

    @property
    def writer(self) -> str:
        """The process that began it, or has gone on with it."""
        return self.tags.get(WRITER, "")


@dataclass
class _Batch:
    """What goes to one run in one call."""

    metrics: "list[Metric]" = field(default_factory=list)
    params: "list[Param]" = field(default_factory=list)
    tags: dict[str, str] = field(default_factory=dict)

    def parts(self) -> "Iterator[_Batch]":
        """In calls that MLflow's limits allow; none where there is nothing."""
        if self.params or self.tags:
            yield _Batch(self.metrics[:MOST_METRICS], self.params, self.tags)
        for begin in range(MOST_METRICS if self.params or self.tags else 0, len(self.metrics), MOST_METRICS):
            yield _Batch(self.metrics[begin : begin + MOST_METRICS])

    def pieces(self) -> "Iterator[_Batch]":
        yield from (_Batch(metrics=[metric]) for metric in self.metrics)
        yield from (_Batch(params=[param]) for param in self.params)
        yield from (_Batch(tags={name: value}) for name, value in self.tags.items())


class MlflowStore:
    """The store of one experiment; writer.Store says what its methods promise. Used by one thread."""

    def __init__(self, address: Address, lock: Path) -> None:
        self._address, self._lock = address, lock
        self._client: MlflowClient
        self.experiment: str | None = None
        self._ids: dict[str, str | None] = {}  # our key → MLflow's id; None: the store does not want this run
        self._batches: dict[str, _Batch] = defaultdict(_Batch)
        self._steps: dict[str, dict[str, set[int]]] = {}  # of continued runs: key, metric → the steps that are there
        self._refused = False

    def open(self) -> None:
        """Import MLflow, create the database where there is none, and the experiment; nothing the second time."""
        if self.experiment is not None:
            if not address.answers(self._address):
                raise Outage("no answer")
            return
        _import_mlflow()
        with _alone(self._lock):  # four processes that create one database at once spoil it
            _asked(lambda: _create(self._address))
            self._client = _asked(lambda: _client(self._address))
            self.experiment = self._find_experiment()

    @property
    def client(self) -> "MlflowClient":
        """MLflow's own, once it is open."""
        return self._client

    def write(self, entries: Sequence[Entry], writer: str, again: bool) -> None:
        """Write `entries` of process `writer` in order, in as few calls as that allows."""
        self._batches.clear()
        for entry in self._own(entries, writer) if again else entries:
            self._write(entry, again)
        for key in list(self._batches):
            self._flush(key)

    def close_orphans(self, writer: str) -> None:
        """End what a process that died left running."""
        for found in self.find({WRITER: writer}):
            if found.status == "RUNNING":
                self._ids[found.key] = found.run_id
                tags = {STATE: "killed", REASON: "its process died"}
                self._end({"run": found.key, "status": "KILLED", "time": int(time.time() * 1000), "tags": tags})

    def find(self, tags: Mapping[str, str]) -> list[Found]:
        """The runs with these tags, newest first."""
        wanted = " and ".join(f"tags.`{name}` = {_quoted(value)}" for name, value in tags.items())
        found: list[Found] = []
        token: str | None = None
        while True:
            page = _asked(
                partial(self._client.search_runs, [str(self.experiment)], wanted, max_results=PAGE, page_token=token)
            )
            for run in page:
                key = run.data.tags.get("assay.run", run.info.run_id)
                self._ids[key] = run.info.run_id
                found.append(Found(key, run.info.run_id, run.info.run_name, run.info.status, dict(run.data.tags)))
            token = page.token
            if not token:
                return found

    def run_id(self, key: str) -> str | None:
        """MLflow's id of our run, looked up where this process has not created it; None where there is none."""
        if key not in self._ids:
            found = self._look(key)
            self._ids[key] = found.run_id if found else None
        return self._ids[key]

    def _look(self, key: str) -> Found | None:
        """Our run, as it is now."""
        return next(iter(self.find({"assay.run": key})), None)

    def _own(self, entries: Sequence[Entry], writer: str) -> list[Entry]:
        """Without those of runs that a younger process has gone on with: what they say is said there."""
        runs = {key: self._look(key) for key in dict.fromkeys(entry["run"] for entry in entries)}
        others = {key for key, found in runs.items() if found is not None and younger(found.writer, writer)}
        return [entry for entry in entries if entry["run"] not in others]

    def _find_experiment(self) -> str:
        name = self._address.experiment
        for _ in range(2):  # on a server another machine may create it between our two calls
            found = _asked(lambda: self._client.get_experiment_by_name(name))
            if found is not None:
                return str(found.experiment_id)
            with contextlib.suppress(Refused):
                return str(answered(lambda: self._client.create_experiment(name, self._address.artifacts)))
        raise Outage(f"experiment {name!r} can be neither found nor created")

    def _write(self, entry: Entry, again: bool) -> None:
        if entry["op"] == "start":
            self._start(entry, again)
        elif self.run_id(entry["run"]) is None:
            self._refuse(f"run {entry['run']} is not there")
        elif entry["op"] == "continue":
            self._continue(entry["run"], entry["writer"])
        elif entry["op"] == "metrics":
            self._batches[entry["run"]].metrics += self._new(entry["run"], _metrics(entry))
        elif entry["op"] == "tags":
            self._batches[entry["run"]].tags |= entry["tags"]
        elif entry["op"] == "file":
            self._file(entry)
        else:
            self._end(entry)

    def _start(self, entry: Entry, again: bool) -> None:
        key = entry["run"]
        known = self.run_id(key) if again or entry["again"] else None
        tags = {name: _short(value, LONGEST_TAG) for name, value in entry["tags"].items()}
        if entry["parent"] and (parent := self.run_id(entry["parent"])):
            tags["mlflow.parentRunId"] = parent
        create = partial(self._client.create_run, str(self.experiment), entry["time"], tags, entry["name"])
        try:
            if known is None:
                self._ids[key] = answered(create).info.run_id
            elif entry["again"]:
                self._continue(key, tags[WRITER])
        except Refused as refused:
            self._ids[key] = None
            self._refuse(f"run {entry['name']}: {refused}")
            return
        self._batches[key].params += _params(entry["params"])

    def _continue(self, key: str, writer: str) -> None:
        self._flush(key)
        self._steps[key] = {}
        self._batches[key].tags |= {STATE: "running", WRITER: writer, REASON: "continued"}
        self._try(lambda: self._client.update_run(str(self.run_id(key)), status="RUNNING"))

    def _new(self, key: str, metrics: "list[Metric]") -> "list[Metric]":
        """Without the steps that a continued run has: an epoch that was logged and then lost is trained again."""
        if key not in self._steps:
            return metrics
        return [metric for metric in metrics if metric.step not in self._steps_of(key, metric.key)]

    def _steps_of(self, key: str, metric: str) -> set[int]:
        known = self._steps[key]
        if metric not in known:
            history = _asked(lambda: self._client.get_metric_history(str(self.run_id(key)), metric))
            known[metric] = {point.step for point in history}
        return known[metric]

    def _file(self, entry: Entry) -> None:
        run_id, path = str(self.run_id(entry["run"])), Path(entry["path"])
        if not path.exists():
            self._refuse(f"{path} is not there any more")
        elif path.is_dir():
            folder = "/".join(part for part in (entry["folder"], path.name) if part)
            self._try(lambda: self._client.log_artifacts(run_id, str(path), folder))
        else:
            self._try(lambda: self._client.log_artifact(run_id, str(path), entry["folder"]))

    def _end(self, entry: Entry) -> None:
        key = entry["run"]
        self._batches[key].tags |= entry["tags"]
        self._flush(key)
        self._try(lambda: self._client.set_terminated(str(self.run_id(key)), entry["status"], entry["time"]))

    def _flush(self, key: str) -> None:
        """Send what is gathered for one run; a refused call is sent again piece by piece, to lose only the piece."""
        batch = self._batches.pop(key, _Batch())
        run_id = str(self.run_id(key))
        for part in batch.parts():
            try:
                answered(partial(self._log, run_id, part))
            except Refused:
                for piece in part.pieces():
                    self._try(partial(self._log, run_id, piece))

    def _log(self, run_id: str, batch: _Batch) -> None:
        self._client.log_batch(run_id, batch.metrics, batch.params, _run_tags(batch.tags))

    def _try(self, call: Callable[[], object]) -> None:
        try:
            answered(call)
        except Refused as refused:
            self._refuse(str(refused))

    def _refuse(self, why: str) -> None:
        if not self._refused:
            self._refused = True
            terminal.say(f"MLflow's store {self._address.shown} did not take a part of what was logged ({why[:300]}).")


def _import_mlflow() -> None:
    """Import MLflow, silent and without telemetry: the seconds that no lock should be held for."""
    for name, value in QUIET.items():
        os.environ.setdefault(name, value)
    import mlflow.tracking  # noqa: F401

    for chatter in ("mlflow", "alembic", "urllib3.connectionpool"):
        logging.getLogger(chatter).setLevel(logging.CRITICAL)


@contextlib.contextmanager
def _alone(lock: Path) -> Iterator[None]:
    """No other process is within this block.

    Raises:
        Outage: one stays there, as a process that was stopped does.
    """
    lock.parent.mkdir(parents=True, exist_ok=True)
    end = time.monotonic() + OPEN_S
    with lock.open("w") as held:
        while True:
            try:
                fcntl.flock(held, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                if time.monotonic() > end:
                    raise Outage("another process has been opening it for long") from None
                time.sleep(GLANCE_S)
        yield


def _create(address: Address) -> None:
    """Let MLflow create its sqlite database beside its place and move it there whole: a kill among the hundred steps
    of its making would leave one that MLflow can neither use nor repair.
    """
    from mlflow.tracking import MlflowClient

    database = address.database
    if database is None or (database.exists() and database.stat().st_size):
        return
    beside = database.with_name(f"{database.name}.new")
    beside.unlink(missing_ok=True)
    MlflowClient(tracking_uri=f"sqlite:///{beside}").search_experiments(max_results=1)
    beside.replace(database)


def _client(address: Address) -> "MlflowClient":
    from mlflow.tracking import MlflowClient

    return MlflowClient(tracking_uri=address.uri)


def answered(call: Callable[[], Result]) -> Result:
    """One call of MLflow, with its errors sorted.

    Raises:
        Refused: the store will never take it.
        Outage: anything else; the same call may succeed later.
    """
    from mlflow.exceptions import MlflowException

    try:
        return call()
    except MlflowException as error:
        why = str(error).splitlines()[0]
        if error.error_code in REFUSALS:
            raise Refused(why) from error
        raise Outage(why) from error
    except Exception as error:  # requests, sqlalchemy and the artifact stores each have their own family
        raise Outage(f"{type(error).__name__}: {error}".splitlines()[0]) from error


def _asked(call: Callable[[], Result]) -> Result:
    """As `answered`, for a question: a store that refuses to answer is away.

    Raises:
        Outage: no answer.
    """
    try:
        return answered(call)
    except Refused as refused:
        raise Outage(str(refused)) from refused


def _metrics(entry: Entry) -> "list[Metric]":
    from mlflow.entities import Metric

    return [Metric(_name(key), value, entry["time"], entry["step"]) for key, value in entry["values"].items()]


def _params(params: Mapping[str, str]) -> "list[Param]":
    from mlflow.entities import Param

    return [Param(_name(key), _short(value, LONGEST_PARAM)) for key, value in params.items()]


def _run_tags(tags: Mapping[str, str]) -> "list[RunTag]":
    from mlflow.entities import RunTag

    return [RunTag(name, _short(value, LONGEST_TAG)) for name, value in tags.items()]


def _name(key: str) -> str:
    """A name that MLflow takes: letters, digits and `_-. :/`."""
    return re.sub(r"[^\w\-. :/]", "_", key)[:LONGEST_NAME]


def _short(value: str, longest: int) -> str:
    return value if len(value) <= longest else value[: longest - 1] + "…"


def _quoted(value: str) -> str:
    return f'"{value}"' if "'" in value else f"'{value}'"
