"""A clean world around every test: no settings of the machine, no display, few threads, nothing left running."""

import os
import tempfile
from collections.abc import Iterator
from pathlib import Path

# Before any import of what reads them once.
os.environ |= {
    "MPLBACKEND": "Agg",
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "RAY_USAGE_STATS_ENABLED": "0",
    "HF_HUB_OFFLINE": "1",
    "OMP_NUM_THREADS": "1",
}

import psutil
import pytest
from hypothesis import HealthCheck, settings

settings.register_profile(
    "assay",
    deadline=None,  # a busy machine is no failure
    max_examples=60,
    database=None,  # nothing on disk
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture],
)
settings.load_profile("assay")

COSTLY = ("ran", "submitted", "undisturbed")  # fixtures that take a minute and more; the most work hangs on the first
FOREIGN = ("MLFLOW_TRACKING_URI", "MLFLOW_EXPERIMENT_NAME", "MLFLOW_RUN_ID", "RAY_ADDRESS", "DVC_EXP_NAME", "COLUMNS")


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> Iterator[None]:
    """Side by side, tests that share what takes long to make share a process. What takes minutes begins first, so that
    the rest is done meanwhile."""
    groups = {id(item): _group(item) for item in items}
    for item in items:
        item.add_marker(pytest.mark.xdist_group(groups[id(item)]))
    yield
    items.sort(key=lambda item: (item.get_closest_marker("e2e") is None, _place(groups[id(item)])))


def _group(item: pytest.Item) -> str:
    """The costly fixture, if there is one; of others that take minutes the test itself, of the rest its module."""
    costly = [name for name in COSTLY if name in getattr(item, "fixturenames", ())]
    alone = item.nodeid if item.get_closest_marker("e2e") else item.nodeid.partition("::")[0]
    return (costly or [alone])[0]


def _place(group: str) -> int:
    return COSTLY.index(group) if group in COSTLY else len(COSTLY)


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
    left = [child for child in psutil.Process().children(recursive=True) if child.pid not in before]
    _gone, alive = psutil.wait_procs(left, timeout=10)
    assert not alive, f"left running: {[' '.join(child.cmdline()) for child in alive]}"


@pytest.fixture
def short_folder() -> Iterator[Path]:
    """A folder with a short path: Ray's sockets end at 107 bytes."""
    with tempfile.TemporaryDirectory(prefix="a", dir="/tmp") as path:
        yield Path(path)
