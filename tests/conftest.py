"""A clean world around every test: no settings of the machine, no display, few threads, nothing left running."""

import os
import secrets
import signal
import tempfile
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

# Before any import of what reads them once.
os.environ |= {
    "MPLBACKEND": "Agg",
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "RAY_USAGE_STATS_ENABLED": "0",
    "HF_HUB_OFFLINE": "1",
    "OMP_NUM_THREADS": "1",
    (STARTED_BY := "ASSAY_TEST_RUN"): secrets.token_hex(8),  # by which a process is known whose parent has ended
}

# A shell starts what stands before an `&` deaf to Ctrl-C, and so would be every process of a test that presses it.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)

import psutil
import pytest
from hypothesis import HealthCheck, settings

from databases import postgres

settings.register_profile(
    "assay",
    deadline=None,  # a busy machine is no failure
    max_examples=60,
    database=None,  # nothing on disk
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture],
)
settings.load_profile("assay")

LONGEST = ("test_clone.py", "test_stopped.py", "test_lost.py", "test_cluster.py")
TOGETHER = {  # a file → the one whose fixtures it shares, which take a minute to make
    "tests/e2e/test_stopped.py": "tests/e2e/test_clone.py",
    "tests/search/test_search.py": "tests/search/test_lost.py",
}
FOREIGN = ("MLFLOW_TRACKING_URI", "MLFLOW_EXPERIMENT_NAME", "MLFLOW_RUN_ID", "RAY_ADDRESS", "DVC_EXP_NAME", "COLUMNS")


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """What takes minutes begins first, so that side by side the rest is done meanwhile."""
    items.sort(key=lambda item: (item.get_closest_marker("e2e") is None, item.path.name not in LONGEST))


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Any:
    """A file's tests stay on one worker, and those of files that share what takes long to make."""
    from xdist.scheduler import LoadFileScheduling

    class Together(LoadFileScheduling):
        def _split_scope(self, nodeid: str) -> str:
            file = super()._split_scope(nodeid)
            return TOGETHER.get(file, file)

    return Together(config, log)


class Failures:
    """Tells a failure where it happens: a run that is ended before its summary would keep it to itself."""

    def __init__(self, terminal: pytest.TerminalReporter) -> None:
        self.terminal = terminal

    @pytest.hookimpl(trylast=True)
    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        if report.failed:
            self.terminal.write_line(f"\n{report.when} of {report.nodeid} failed\n{report.longreprtext}")


@pytest.hookimpl(trylast=True)
def pytest_configure(config: pytest.Config) -> None:
    terminal = config.pluginmanager.get_plugin("terminalreporter")
    if terminal is not None:  # not so in a worker
        config.pluginmanager.register(Failures(terminal))


@pytest.fixture(autouse=True)
def clean_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """What the machine has set must not decide a test."""
    for name in FOREIGN:
        monkeypatch.delenv(name, raising=False)


@pytest.fixture(autouse=True)
def one_thread() -> None:
    """Torch keeps to one thread where a test imports it: two cores may hold several test runs."""
    import sys

    if "torch" in sys.modules:
        sys.modules["torch"].set_num_threads(1)


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty folder that is also the working directory."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture(scope="session", autouse=True)
def nothing_left_running() -> Iterator[None]:
    """Every process that the tests started has ended with them."""
    before = {child.pid for child in psutil.Process().children(recursive=True)}
    yield
    children = psutil.Process().children(recursive=True)
    left = {child for child in (*children, *orphans()) if child.pid not in before}
    _gone, alive = psutil.wait_procs(left, timeout=10)
    assert not alive, f"left running: {[' '.join(child.cmdline()) for child in alive]}"


def orphans() -> Iterator[psutil.Process]:
    """Processes that a process of this run started, and that may have outlived it."""
    for process in psutil.process_iter():
        with suppress(psutil.Error):
            if process.environ().get(STARTED_BY) == os.environ[STARTED_BY]:
                yield process


@pytest.fixture(scope="session", name="postgres")
def one_postgres() -> Iterator[str]:
    """The address of a PostgreSQL of our own."""
    with postgres() as address:
        yield address


@pytest.fixture
def short_folder() -> Iterator[Path]:
    """A folder with a short path: Ray's sockets end at 107 bytes."""
    with tempfile.TemporaryDirectory(prefix="a", dir="/tmp") as path:
        yield Path(path)
