"""Files and folders that are there whole or not at all, whatever stops their writer. Owns how they come to their place;
knows nothing of what is in them.
"""

import os
import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

from assay.errors import FULL, REFUSED, InputError, of_path

PARTIAL = ".partial"  # below a stage's results; one that was killed leaves it, and the next run takes it away


def write_whole(data: bytes, path: Path) -> None:
    """Write `path` so that nobody ever sees a part of it.

    Raises:
        InputError: the disk is full or not writable.
    """
    part = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        part.write_bytes(data)
        part.replace(path)
    except OSError as error:
        with suppress(OSError):  # the sentence is about `path`
            part.unlink(missing_ok=True)
        raise InputError(f"{path}: cannot be written ({error.strerror}).") from error


@contextmanager
def results_of(out: Path, names: Sequence[str]) -> Iterator[Path]:
    """A folder for a block that writes files and folders called `names`; they move into `out` when it ends well.

    The last of `names` is what says that the rest is there: the old one goes first and the new one comes last, so that
    in between there is nothing, and never half of each.

    Raises:
        InputError: the disk is full or not writable; what was in `out` stays as it was then.
    """
    partial = out / PARTIAL
    try:
        shutil.rmtree(partial, ignore_errors=True)
        partial.mkdir(parents=True)
        yield partial
        folders = [name for name in names if (partial / name).is_dir()]
        if names[-1] not in folders:
            (out / names[-1]).unlink(missing_ok=True)
        for name in reversed(folders):  # nothing can be moved onto them
            shutil.rmtree(out / name, ignore_errors=True)
        for name in names:
            (partial / name).replace(out / name)
    except OSError as error:
        if error.errno not in FULL | REFUSED:
            raise
        raise InputError(of_path(error, out)) from error
    finally:
        shutil.rmtree(partial, ignore_errors=True)
