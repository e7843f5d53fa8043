"""A run as the rest of Assay sees it. Owns the names, tags and states of a run; hands entries to the writer, and never
reads a result back to decide by it.
"""

import contextlib
import json
import time
import uuid
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from assay.params import Tracking
from assay.tracking import address
from assay.tracking.address import Address
from assay.tracking.source import source_tags
from assay.tracking.spool import Entry
from assay.tracking.store import MlflowStore
from assay.tracking.writer import Writer

RUNNING, FINISHED, KILLED, FAILED, PRUNED = "RUNNING", "FINISHED", "KILLED", "FAILED", "PRUNED"
LEFT = "LEFT"  # to another process; ours alone, MLflow never hears it
MLFLOW_STATUS = {FINISHED: FINISHED, KILLED: KILLED, FAILED: FAILED, PRUNED: KILLED}


class Run:
    """One run. Every method returns at once, may be called from any thread, and never fails for the store's sake."""

    def __init__(self, tracker: "Tracker", key: str, name: str, tags: Mapping[str, str], status: str = RUNNING) -> None:
        self._tracker, self._key = tracker, key
        self.name, self.tags, self.status = name, dict(tags), status

    @property
    def key(self) -> str:
        """Ours, known before the store has given its own; the tag `assay.run`."""
        return self._key

    def log(self, metrics: Mapping[str, float], step: int) -> None:
        """Numbers by name (`val/loss`); NaN and infinity are kept as such. `step` is the epoch."""
        values = {key: float(value) for key, value in metrics.items()}
        self._tracker.put(self, {"op": "metrics", "step": step, "time": _now_ms(), "values": values})

    def tag(self, name: str, value: object) -> None:
        """A name without a dot becomes `assay.<name>`."""
        self._tracker.put(self, {"op": "tags", "tags": _tags({name: value})})

    def picture(self, path: Path) -> None:
        """The picture as it is now, shown under `pictures/`."""
        self.file(path, "pictures")

    def file(self, path: Path, folder: str | None = None) -> None:
        """The file or folder as it is now, put into the run's `folder`."""
        self._tracker.put_file(self, {"op": "file", "folder": folder}, path)

    def end(self, status: str = FINISHED, reason: str | None = None) -> None:
        """FINISHED, PRUNED or KILLED (both KILLED in MLflow), or FAILED; a second end says nothing."""
        if self.status == RUNNING:
            tags = _tags({"state": status.lower()} | ({} if reason is None else {"reason": reason}))
            self._tracker.put(self, {"op": "end", "status": MLFLOW_STATUS[status], "time": _now_ms(), "tags": tags})
            self.status = MLFLOW_STATUS[status]

    def leave(self) -> None:
        """Tell nothing more of it, not even its end: another process goes on with it."""
        self._tracker.leave(self)

    def place(self) -> tuple[str | None, str | None]:
        """MLflow's ids of the run and of its experiment; waits until the store has the run, None where it is away."""
        return self._tracker.place(self)

    @property
    def address(self) -> Address:
        return self._tracker.address


class Tracker:
    """An experiment, open. Give it back with `close`, or use it in a `with`; runs left open by then are KILLED."""

    def __init__(self, address: Address, root: Path, tags: Mapping[str, object]) -> None:
        self.address, self._tags = address, _tags(tags) | source_tags(root)
        self._store = MlflowStore(address, root / ".assay" / "mlflow.lock")
        self._writer = Writer(self._store, address.shown, root / ".assay" / "spool", address.id)
        self._open: dict[str, Run] = {}

    def start(
        self,
        name: str,
        *,
        kind: str,
        params: Mapping[str, Any] | None = None,
        tags: Mapping[str, object] | None = None,
        parent: Run | None = None,
        key: str | None = None,
        again: bool = False,
    ) -> Run:
        """A run, to be ended by its `end`. Tags without a dot become `assay.<name>`.

        `key`: its own, the same in every process that may write it; None: a new one. `again`: where a run with this key
        is there, it is gone on with, whoever began it, also if that process still lives and is stopped.
        """
        key = key or uuid.uuid4().hex
        told = self._tags | _tags(
            {"kind": kind, "state": "running", "run": key, "writer": self._writer.id} | dict(tags or {})
        )
        shown = {param: _shown(value) for param, value in (params or {}).items()}
        start = {"op": "start", "name": name, "time": _now_ms(), "tags": told, "params": shown, "again": again}
        run = Run(self, key, name, told)
        self._open[key] = run
        self.put(run, start | {"parent": parent.key if parent else None})
        return run

    @contextlib.contextmanager
    def run(
        self,
        name: str,
        *,
        kind: str,
        params: Mapping[str, Any] | None = None,
        tags: Mapping[str, object] | None = None,
        parent: Run | None = None,
    ) -> Iterator[Run]:
        """A new run around a block: an error ends it as FAILED with the reason, a stop as KILLED; both go on."""
        run = self.start(name, kind=kind, params=params, tags=tags, parent=parent)
        with ending(run):
            yield run

    def find(self, *, kind: str, **tags: object) -> Run | None:
        """The newest run with these tags (`kind="trial", study=…, trial=7`); logging to it continues it."""
        return next(iter(self.find_all(kind=kind, **tags)), None)

    def find_all(self, *, kind: str, **tags: object) -> list[Run]:
        """All runs with these tags, newest first; none while the store is away."""
        wanted = _tags({"kind": kind} | tags)
        found = self._writer.ask(lambda: self._store.find(wanted)) or []
        return [self._open.get(one.key) or Run(self, one.key, one.name, one.tags, one.status) for one in found]

    def put(self, run: Run, entry: Entry) -> None:
        self._continue(run)
        self._writer.put({**entry, "run": run.key})

    def put_file(self, run: Run, entry: Entry, path: Path) -> None:
        self._continue(run)
        self._writer.put_file({**entry, "run": run.key}, path)

    def leave(self, run: Run) -> None:
        self._open.pop(run.key, None)
        run.status = LEFT
        self._writer.doubt()

    def place(self, run: Run) -> tuple[str | None, str | None]:
        return self._writer.ask(lambda: (self._store.run_id(run.key), self._store.experiment)) or (None, None)

    def close(self) -> None:
        """Write what is left; where the store is away it waits in the spool for the next start."""
        for run in list(self._open.values()):
            run.end(KILLED, "its stage ended first")
        self._writer.close()

    def _continue(self, run: Run) -> None:
        """A run that was found belongs to this process from the first word that is logged to it."""
        if run.key not in self._open:
            self._open[run.key], run.status = run, RUNNING
            self._writer.put({"op": "continue", "run": run.key, "writer": self._writer.id})

    def __enter__(self) -> "Tracker":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def open_tracker(tracking: Tracking, root: Path, tags: Mapping[str, object]) -> Tracker:
    """The store of `tracking`, seen from `root`; `tags` (`study`, `data_version`) stand on every run.

    Raises:
        InputError: the store cannot be written; found within about ten seconds.
    """
    found = address.resolve(tracking, root)
    address.reach(found)
    address.make_place(found)
    return Tracker(found, root.resolve(), tags)


@contextlib.contextmanager
def ending(run: Run) -> Iterator[None]:
    """End `run` with the block: FINISHED, KILLED by Ctrl-C or SIGTERM, or FAILED with the reason; errors go on."""
    try:
        yield
    except (KeyboardInterrupt, SystemExit) as error:  # Ctrl-C, and what terminal.py makes of SIGTERM
        run.end(KILLED, "stopped by hand" if isinstance(error, KeyboardInterrupt) else "stopped from outside")
        raise
    except BaseException as error:
        run.end(FAILED, f"{type(error).__name__}: {error}")
        raise
    run.end(FINISHED)


def _tags(tags: Mapping[str, object]) -> dict[str, str]:
    return {name if "." in name else f"assay.{name}": str(value) for name, value in tags.items()}


def _shown(value: object) -> str:
    """A parameter as params.yaml would write it."""
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, default=str)


def _now_ms() -> int:
    return int(time.time() * 1000)
