"""A project with two models that can meet: prepared data, a good and a bad model, and an empty registry."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import torch

import judged
from assay.championship import Championship
from assay.data.dataset import SPLITS
from assay.model_files import Trained, save_model
from assay.params import Params
from prepared import content_keys

TASK = "classification"
PARAMS = Params.model_validate({"promote": {"alpha": 0.5, "slots": 5}})  # few samples, so large errors are allowed


def write_project(root: Path, task: str = TASK) -> Path:
    """Prepared data in `data`, and two models, `good` and `bad`."""
    judged.write_prepared(task, root / "data")
    for split in SPLITS:
        samples = np.load(root / "data" / split / "samples.npy")
        np.save(root / "data" / split / "keys.npy", content_keys(samples))
    good = judged.trained(task)
    save(good, root / "good")
    save(worse(good, 3.0, task=task), root / "bad")
    return root


def made(root: Path) -> Path:
    """`write_project`, and a store of MLflow that is made once."""
    write_project(root)
    with Championship(PARAMS, root):
        pass
    return root


def write_registry(root: Path) -> None:
    """`write_project`, and version 1 the bad model, version 2 the good one, which is champion."""
    write_project(root)
    with Championship(PARAMS, root) as house:
        house.challenge(root / "bad", root / "data")
        house.challenge(root / "good", root / "data")


def save(trained: Trained, folder: Path) -> None:
    save_model(folder, trained.model, trained.recipe, trained.about, trained.data)


def worse(trained: Trained, noise: float, seed: int | None = None, task: str = TASK) -> Trained:
    """The same model with a head that is partly noise; under another seed it errs elsewhere."""
    torch.manual_seed(0)
    model = judged.trained.__wrapped__(task).model  # of its own: the other's is shared by all tests
    if seed is not None:
        torch.manual_seed(seed)
    with torch.no_grad():
        weight = model.head.weight
        weight += noise * weight.std() * torch.randn_like(weight)
    return replace(trained, model=model)


def kinds(house: Championship) -> list[str]:
    return [one.kind for one in house.decisions()]
