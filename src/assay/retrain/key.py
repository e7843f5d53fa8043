"""What a retraining would be made of, as one word: equal data, settings and code give an equal model, and are not tried
twice. Owns what counts; decodes nothing.
"""

import json
from hashlib import blake2b
from importlib.metadata import version
from pathlib import Path

from assay.data.raw import Source
from assay.data.splits import content_key
from assay.params import Params, flat

FOREIGN = ("torch", "torchvision", "timm", "numpy")  # whose versions round differently
NO_MATTER = (  # where and how fast it runs, and who hears of it
    *("tracking.", "data.workers", "data.pull", "search.workers", "search.resources.", "search.trial_timeout"),
    *("search.storage", "search.storage_path", "promote.storage", "retrain.", "drift.", "serve."),
)
MATTERS = ("retrain.trials", "retrain.around")
RECIPE = ("augment.", "recipe.", "search.")  # what a person changes who wants another model
UNREADABLE = b"unreadable"


def key_of(params: Params, source: Source) -> str:
    """The key of a retraining that would begin now; reads every sample once.

    Raises:
        InputError: the source cannot be walked.
    """
    parts = (_of_data(source), of_settings(params), _of_code())
    return blake2b(" ".join(parts).encode(), digest_size=8).hexdigest()


def of_settings(params: Params, among: tuple[str, ...] = ("",)) -> str:
    """A hash of those settings that decide, of all or of those whose names begin with one of `among`."""
    said = {
        name: value
        for name, value in flat(params).items()
        if name.startswith(among) and (name in MATTERS or not name.startswith(NO_MATTER))
    }
    return _hash(json.dumps(said, default=str, sort_keys=True).encode())


def _of_data(source: Source) -> str:
    """Contents, labels and groups, in any order; names are no part of it."""
    found = []
    for raw in source:
        try:
            content = content_key(raw.read())
        except OSError:
            content = UNREADABLE + raw.name.encode(errors="surrogateescape")
        found.append(content + repr((raw.labels, raw.group)).encode(errors="surrogateescape"))
    return _hash(b"\0".join(sorted(found)))


def _of_code() -> str:
    import assay

    files = sorted(Path(assay.__file__).parent.rglob("*.py"))
    versions = " ".join(f"{name} {version(name)}" for name in FOREIGN).encode()
    return _hash(versions + b"".join(path.read_bytes() for path in files))


def _hash(said: bytes) -> str:
    return blake2b(said, digest_size=16).hexdigest()
