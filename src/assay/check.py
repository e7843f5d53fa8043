"""Everything that can be known before anything runs. Owns the check that every stage begins with; writes nothing."""

from collections.abc import Iterator
from pathlib import Path

from assay.data.dataset import read_about
from assay.params import PARAMS_PATH, Params
from assay.settings import load_document, refuse
from assay.settings.agreement import misfits
from assay.settings.document import Problem

PREPARED = Path("results/prepare/data")


def checked(path: str | Path = PARAMS_PATH) -> Params:
    """Read params.yaml and check it against all that is known: files, networks, weights, the prepared data.

    Raises:
        InputError: every problem, one sentence each.
    """
    params, document = load_document(path)
    refuse(document, [*_places(params), *_prepared(params)])
    return params


def _places(params: Params) -> Iterator[Problem]:
    """Whether what `data.path` names is there and of the right kind."""
    data = params.data
    if data.path is None or data.source not in ("folder", "table"):
        return
    where, place = ("data", "path"), Path(data.path)
    if data.source == "folder" and not place.is_dir():
        yield Problem(where, f"data.path is {data.path!r}; it must be a folder that exists, with one folder a class.")
    elif data.source == "table" and not place.is_file():
        yield Problem(where, f"data.path is {data.path!r}; it must be a table that exists (CSV or Parquet).")


def _prepared(params: Params) -> Iterator[Problem]:
    """What the prepared data tells about the settings; nothing where data is not prepared yet, or not opened."""
    if (PREPARED / "dataset.json").exists():
        yield from misfits(params, {read_about(PREPARED).task})
