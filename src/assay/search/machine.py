"""Ray, from its start to its end. Owns the processes of a local Ray and what they leave behind; a cluster that a person
named by RAY_ADDRESS is joined and left as it was.

It comes up in a thread while the rest of a stage is opened. The thread lives as long as Ray does: on Linux the kernel
ends Ray's processes with the thread that began them, and so they also die with a driver that is killed (two idle agents
of Ray wait a minute for an answer before they do).
"""

import gc
import os
import re
import shlex
import shutil
import socket
import sys
import tempfile
import threading
from collections.abc import Mapping
from contextlib import nullcontext
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import psutil

from assay.errors import InputError
from assay.params import Resources, Search
from assay.search import local_ray
from assay.search.job import code
from assay.terminal import say

QUIET = {  # of a process that has not set them otherwise; each was seen to save lines or seconds
    "RAY_AIR_NEW_OUTPUT": "0",
    "RAY_USAGE_STATS_ENABLED": "0",
    "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0",
    "RAY_DISABLE_FAILURE_SIGNAL_HANDLER": "1",  # its six lines of addresses at SIGTERM, before our one
    "RAY_CHDIR_TO_TRIAL_DIR": "0",  # a trial stays in the working directory
    # Ray gives a worker only to who asks for its very environment, and Tune asks for one of its own: those that come up
    # with Ray would take seconds of the machine and never be used.
    "RAY_enable_worker_prestart": "0",
    "RAY_prestart_worker_first_driver": "0",
    "RAY_worker_niceness": "0",  # of 15: beside any other work on the machine a trial would all but stand still
    "TUNE_DISABLE_AUTO_CALLBACK_LOGGERS": "1",
    "TUNE_DISABLE_SIGINT_HANDLER": "1",  # Ctrl-C is ours: KeyboardInterrupt, as everywhere
    "TUNE_PRINT_ALL_TRIAL_ERRORS": "0",
    "TUNE_GLOBAL_CHECKPOINT_S": "1000000000",  # the study is the truth; Tune's snapshot is not read
    "TUNE_WARN_EXCESSIVE_EXPERIMENT_CHECKPOINT_SYNC_THRESHOLD_S": "0",
}
TRIES = (
    "RAY_gcs_server_port_wait_time_s"  # of half a minute each, to speak with a cluster; Ray's own are for ten minutes
)
ANSWER_S = 10  # to take a connection
FOLDER = "assay-ray-"  # short: Ray's sockets lie below it, and a socket's path may have 107 bytes
NEARLY = 1e-6  # three thirds are a whole
STORE_SHARE = 0.5  # of the object store that data may fill: the rest is for weights and results


class Machine:
    """Where trials run. Begins at once, is there after `wait`, ends with `stop` or with its `with`."""

    def __init__(self, search: Search) -> None:
        self._search = search
        self.address = os.environ.get("RAY_ADDRESS") or "local"
        for name, value in (QUIET | (local_ray.ENVIRONMENT if self.local else {})).items():
            os.environ.setdefault(name, value)
        self.folder = _folder()
        self._code = None if self.local else str(code(self.folder))
        self._error: BaseException | None = None
        self._raylet: psutil.Process | None = None  # of a local Ray
        self.without_gpu: set[str] = set()  # nodes that promised a GPU and have none, as the person knows it by now
        self._up, self._over = threading.Event(), threading.Event()
        self._thread = threading.Thread(target=self._live, name="ray", daemon=True)
        self._thread.start()

    @property
    def local(self) -> bool:
        return self.address == "local"

    def wait(self) -> None:
        """Return once Ray answers.

        Raises:
            InputError: it does not start, or the cluster that RAY_ADDRESS names does not answer.
        """
        self._up.wait()
        if self._error is not None:
            where = "on this machine" if self.local else f"at RAY_ADDRESS={self.address}"
            if isinstance(self._error, InputError):
                raise self._error
            raise InputError(f"Ray does not start {where}: {_reason(self._error)}") from self._error

    def check(self) -> None:
        """Raise where the Ray of this machine is dead: it would take this process along, seconds later.

        Raises:
            InputError: it is. Nothing is lost, and the next start has another.
        """
        if self._raylet is not None and not local_ray.runs(self._raylet):
            raise InputError(
                "search: Ray's process on this machine (raylet) died, as where memory ends; what is done is kept. Run "
                "the same command again to go on."
            )

    def workers(self) -> int:
        """How many trials run at once: what was asked for, or what the machine holds.

        Raises:
            InputError: a local machine does not hold a single trial; a cluster may still grow.
        """
        import ray

        asked, each, held = self._search.workers, self._search.resources, ray.cluster_resources()
        most = sum(rooms(node["Resources"], each) for node in ray.nodes() if node["Alive"])
        if most == 0:
            asks = f"search.resources asks for cpu {each.cpu:g} and gpu {each.gpu:g} a trial"
            if self.local:
                has = f"{held.get('CPU', 0):g} CPU cores and {held.get('GPU', 0):g} GPUs"
                raise InputError(f"{asks}; this machine has {has}.")
            say(f"search: {asks}; no node of the cluster has as much, so the search waits for one that joins.")
        if held.get("GPU") and not each.gpu:
            say("search: there is a GPU, but search.resources.gpu is 0: trials train on the CPU; 0.5 puts two on it.")
        if asked == "auto":
            return max(1, most)
        if self.local and int(asked) > most:
            say(f"search: search.workers is {asked}; this machine holds {most} trials at once, so {most} run.")
        return min(int(asked), most) if self.local else int(asked)

    def files(self) -> str:
        """Where Tune keeps its files of a search; see `files_of`."""
        return files_of(self._search.storage_path, self.folder)

    def holds(self, num_bytes: int) -> bool:
        """Whether the object store has room for data of this size."""
        import ray

        return num_bytes <= STORE_SHARE * float(ray.available_resources().get("object_store_memory", 0))

    def retire(self) -> None:
        """Begin to end, in the background: no more trials will come."""
        self._over.set()

    def stop(self) -> None:
        """End what was begun here, and its files. A cluster that does not answer is not waited for."""
        self.retire()
        if self.local or self._up.is_set():
            self._thread.join()
        else:
            shutil.rmtree(self.folder, ignore_errors=True)

    def _live(self) -> None:
        try:
            import ray

            if not self.local:
                _reach(self.address)
                os.environ.setdefault(TRIES, "1")
            with local_ray.beginning() if self.local else nullcontext():
                ray.init(**self._how())
            self._raylet = local_ray.raylet() if self.local else None
        except Exception as error:  # noqa: BLE001  # border to Ray; `wait` raises it in the thread that waits
            self._error = error
        finally:
            self._up.set()
        self._over.wait()
        if self._error is None:
            _shut_down()
        shutil.rmtree(self.folder, ignore_errors=True)

    def _how(self) -> dict[str, Any]:
        quiet = {"log_to_driver": False, "logging_level": "ERROR"}
        if not self.local:  # nodes have what Assay stands on, and get the very code that this driver runs
            return {"address": self.address, "runtime_env": {"py_modules": [self._code]}, **quiet}
        how = {"address": "local", "include_dashboard": False, "_temp_dir": str(self.folder), **quiet}
        python = shlex.quote(sys.executable)
        if python != sys.executable:  # Ray starts workers by a shell's line, in which it does not quote the interpreter
            how["runtime_env"] = {"py_executable": python}
        return how

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()


def _shut_down() -> None:
    """End Ray beside other work. That must collect no handle or reference which Tune has left meanwhile: told of one
    while it ends, Ray ends the process."""
    import ray

    gc.disable()
    try:
        ray.shutdown()
    finally:
        gc.enable()


def rooms(node: Mapping[str, float], each: Resources) -> int:
    """How many trials a node holds at once; a trial lies on one node, and a fraction of a GPU on one card."""
    cores, cards = node.get("CPU", 0.0), node.get("GPU", 0.0)
    places = [cores / each.cpu]
    if 0 < each.gpu < 1:
        places.append(int(cards) * int(1 / each.gpu + NEARLY))
    elif each.gpu:
        places.append(cards / each.gpu)
    return int(min(places) + NEARLY)


def files_of(asked: str | None, folder: Path) -> str:
    """Where Tune keeps its files: the place that was `asked` for, or one in `folder`.

    None of them is read again, and nodes need not share the place, since trials write no checkpoints through Tune.

    Raises:
        InputError: nothing can be written there.
    """
    if asked is None:
        return str(folder / "tune")
    from pyarrow.fs import FileSystem

    place = asked if "://" in asked else str(Path(asked).resolve())
    try:
        system, path = FileSystem.from_uri(place)
        system.create_dir(path)
    except (OSError, ValueError) as error:
        said = str(error).splitlines()[0]
        raise InputError(f"search.storage_path is {asked!r}; nothing can be written there: {said}") from error
    return place


def _reach(address: str) -> None:
    """See that somebody listens at `host:port`; Ray would ask for minutes.

    Raises:
        OSError: nobody does.
        InputError: the address is none that a driver can join at.
    """
    if "://" in address:
        raise InputError(
            f"RAY_ADDRESS is {address}; a search joins at host:port, as 10.0.0.1:6379, and http://… is for "
            "`ray job submit`."
        )
    host, _, port = address.rpartition(":")
    if address == "auto":  # Ray's word for the one that runs on this machine
        return
    if not (host and port.isdecimal() and int(port) < 65536):
        raise InputError(f"RAY_ADDRESS is {address}; it must be host:port, as 10.0.0.1:6379, or auto.")
    socket.create_connection((host.strip("[]"), int(port)), ANSWER_S).close()


def _reason(error: BaseException) -> str:
    """Ray's own word for it, in a line; ours where Ray's leaves a person alone."""
    if "No node info found" in str(error.__cause__):
        return "this machine is no node of it; `ray start --address=HOST:PORT --num-cpus=0` here makes it one."
    said = (str(error).strip().splitlines() or [type(error).__name__])[0]
    token = "Failed to connect" in said
    return f"{said}; RAY_AUTH_MODE and RAY_AUTH_TOKEN must be those of the cluster." if token else said


def _folder() -> Path:
    """A folder of this process for Ray's files; those of processes that were killed are taken away."""
    place = Path("/tmp" if os.name == "posix" else tempfile.gettempdir())
    for old in place.glob(f"{FOLDER}*"):
        found = re.fullmatch(rf"{FOLDER}(\d+)", old.name)
        if found and old.owner() == Path.home().owner() and not psutil.pid_exists(int(found[1])):
            shutil.rmtree(old, ignore_errors=True)
    folder = place / f"{FOLDER}{os.getpid()}"
    folder.mkdir(exist_ok=True)
    return folder
