"""What Assay stands on: versions, cores, GPU, Ray, MLflow's store, disk. Owns one line each; changes nothing."""

import os
import platform
import shutil
import sys
from collections.abc import Callable, Sequence
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from assay.errors import InputError
from assay.terminal import say

SMALLEST_FREE_GB = 2.0  # a prepared set, a study and a model of the shipped settings take far less
PACKAGES = {"torch": "PyTorch", "ray": "Ray", "optuna": "Optuna", "mlflow": "MLflow", "dvc": "DVC", "timm": "timm"}


class Wrong(Exception):
    """Something that will stop a run; the message says what would be right."""


def examine(root: Path) -> bool:
    """Print a line about each thing that a run in `root` needs; whether all of them are well."""
    looks: dict[str, Callable[[], str]] = {"Python": _python, "machine": _machine}
    looks |= {label: lambda name=name: _package(name) for name, label in PACKAGES.items()}  # type: ignore[misc]
    looks |= {"GPU": _gpu, "Ray starts": _ray, "settings": _settings, "MLflow's store": lambda: _store(root)}
    looks |= {"disk": lambda: _disk(root)}
    well = [_line(label, look) for label, look in looks.items()]  # every line, also after a wrong one
    return all(well)


def _line(label: str, look: Callable[[], str]) -> bool:
    try:
        found, well = look(), True
    except (Wrong, InputError) as error:
        found, well = "; ".join(_sentences(error)), False
    except Exception as error:  # noqa: BLE001  a broken library may raise anything: that is what is looked for
        found, well = f"{type(error).__name__}: {error}", False
    say(f"{'ok   ' if well else 'WRONG'}  {label}: {found}")
    return well


def _sentences(error: Wrong | InputError) -> Sequence[str]:
    from assay.check import placed

    return placed(error).sentences if isinstance(error, InputError) else [str(error)]


def _python() -> str:
    return f"{platform.python_version()} in {sys.prefix}"


def _machine() -> str:
    import psutil

    memory = psutil.virtual_memory()
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    free, total = memory.available / 2**30, memory.total / 2**30
    return f"{platform.system()} on {platform.machine()}, {cores} cores, {free:.1f} of {total:.1f} GiB memory free"


def _package(name: str) -> str:
    try:
        return version(name)
    except PackageNotFoundError as error:
        raise Wrong("is not installed; run `make repro` again") from error


def _gpu() -> str:
    import torch

    if torch.cuda.is_available():
        cards = [torch.cuda.get_device_properties(number) for number in range(torch.cuda.device_count())]
        return ", ".join(f"{card.name} with {card.total_memory / 2**30:.0f} GiB" for card in cards)
    if torch.backends.mps.is_available():
        return "Apple's, through MPS"
    return "none; training runs on the CPU"


def _ray() -> str:
    """Start one, on this machine or where RAY_ADDRESS says, and leave it."""
    from assay.params import Search
    from assay.search.machine import Machine

    with Machine(Search()) as machine:
        machine.wait()
        return f"{machine.workers()} trials of one core at once"


def _settings() -> str:
    from assay.check import checked
    from assay.params import PARAMS_PATH

    checked()
    return f"{PARAMS_PATH} is sound"


def _store(root: Path) -> str:
    from assay.params import PARAMS_PATH, Tracking
    from assay.settings import load
    from assay.tracking.address import reach, resolve

    address = resolve(load().tracking if (root / PARAMS_PATH).exists() else Tracking(), root)
    reach(address)
    return f"{address.shown} answers"


def _disk(root: Path) -> str:
    free = shutil.disk_usage(root).free / 1e9
    if free < SMALLEST_FREE_GB:
        raise Wrong(f"{free:.1f} GB free; it must be at least {SMALLEST_FREE_GB:g}")
    if not os.access(root, os.W_OK):
        raise Wrong(f"{root} cannot be written by this user")
    return f"{free:.1f} GB free"
