"""A Ray of one machine, brought up with what a search needs of it. Owns what is changed of Ray's own way to begin, and
whether its raylet lives; when it begins and ends is machine.py's.

Ray 2.60 begins three processes of Python that nobody asks here, the autoscaler's monitor, the log monitor and the head
of its dashboard: 3.5 s of CPU and 280 MB. And it gives the others 15 and 30 s, by numbers in the midst of its code:
beside a build or a few other trainings that is too little, and the search ended with Ray's word that it "timed out". So
whatever comes up is waited for, and what dies meanwhile is said.
"""

import socket
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from inspect import signature
from random import SystemRandom
from typing import Any

import psutil

START_S = 300  # for a process to come up
LOOK_S = 0.1
ENVIRONMENT = {
    "RAY_AUTH_MODE": "disabled",  # loopback only
    # Where memory ends the kernel kills a worker, which costs its trial; what Ray's own watch kills, Tune does not take
    # for a worker's death, and the search would end.
    "RAY_memory_monitor_refresh_ms": "0",
    "RAY_gcs_server_port_wait_time_s": str(START_S),
    "RAY_agent_register_timeout_ms": str(1000 * START_S),
    "RAY_worker_register_timeout_seconds": str(START_S),
}
NOT_NEEDED = ("start_monitor", "start_log_monitor", "start_api_server")
PORTS = ("metrics_agent_port", "metrics_export_port", "dashboard_agent_listen_port", "runtime_env_agent_port")
QUIET_PORTS = range(20_000, 32_768)  # above those of Ray's workers


@contextmanager
def beginning() -> Iterator[None]:
    """Around `ray.init` of a local Ray; its environment is `ENVIRONMENT`.

    Raises:
        OSError: the raylet died as it came up.
    """
    from ray._private import node, services

    with ExitStack() as changed:
        for name in NOT_NEEDED:
            changed.enter_context(replaced(node.Node, name, lambda _node, **_: None))
        changed.enter_context(replaced(services, "start_raylet", _with_ports(services.start_raylet)))
        changed.enter_context(replaced(services, "get_node", _patient(services.get_node)))
        yield


def raylet() -> psutil.Process | None:
    """The raylet that this process began."""
    for child in psutil.Process().children():
        with suppress(psutil.NoSuchProcess):  # one that helped Ray to start and is over
            if child.name() == "raylet":
                return child
    return None


def runs(process: psutil.Process) -> bool:
    """Whether it has not ended; a child that nobody has waited for is no more either."""
    try:
        return process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


@contextmanager
def replaced(owner: Any, name: str, value: Any) -> Iterator[None]:
    """Around a block in which `owner` has another `value` under this name."""
    before = getattr(owner, name)
    setattr(owner, name, value)
    try:
        yield
    finally:
        setattr(owner, name, before)


def _with_ports(start: Callable[..., Any]) -> Callable[..., Any]:
    """`start_raylet` with ports for its agents: for those that they find themselves it waits 15 s, and dies."""
    from ray._raylet import DASHBOARD_AGENT_LISTEN_PORT_NAME, persist_port  # type: ignore[attr-defined]

    def started(*args: Any, **how: Any) -> Any:
        how |= dict(zip(PORTS, _free(len(PORTS)), strict=True))
        given = signature(start).bind(*args, **how).arguments
        node, folder = given["node_id"], given["session_dir"]  # where the raylet looks for the one that it is not told
        persist_port(folder, node, DASHBOARD_AGENT_LISTEN_PORT_NAME, how["dashboard_agent_listen_port"])
        return start(*args, **how)

    return started


def _free(count: int) -> list[int]:
    """Ports that nobody has, of those that no system gives to a connection: they are used seconds later."""
    found: list[int] = []
    with ExitStack() as held:  # until all are found, so that they differ
        while len(found) < count:
            port, tried = SystemRandom().choice(QUIET_PORTS), held.enter_context(socket.socket())
            with suppress(OSError):
                tried.bind(("", port))
                found.append(port)
    return found


def _patient(get_node: Callable[..., Any]) -> Callable[..., Any]:
    """`get_node`, asked until the raylet has told of itself; Ray ends its start where the answer takes 30 s."""
    end = time.monotonic() + START_S

    def asked(*which: Any) -> Any:
        while time.monotonic() < end:
            with suppress(RuntimeError):  # it has not told of itself
                return get_node(*which)
            found = raylet()
            if found is None or not runs(found):
                raise OSError("its raylet died as it came up, as where memory or the disk ends")
            time.sleep(LOOK_S)
        return get_node(*which)

    return asked
