"""Small disks for tests: real ones, which fill up."""

import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest


@contextmanager
def small_disk(place: Path, size: str = "100k") -> Iterator[None]:
    """A file system of that size over the folder `place`; the test is skipped where none may be mounted."""
    place.mkdir(parents=True, exist_ok=True)
    command = ["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", str(place)]
    mounted = subprocess.run(command, capture_output=True, text=True, check=False)
    if mounted.returncode != 0:
        pytest.skip(f"missing: the right to mount a small disk ({mounted.stderr.strip()})")
    try:
        yield
    finally:
        subprocess.run(["umount", str(place)], check=True)
