"""A project whose registry has two versions of a model that was trained on real digits: the second is champion."""

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

PARAMS = Params.model_validate({"promote": {"alpha": 0.5, "slots": 5}})  # few samples, so large errors are allowed


def write_project(root: Path, task: str) -> None:
    """Prepared data in `data`, and two models, `good` and `bad`."""
    judged.write_prepared(task, root / "data")
    for split in SPLITS:
        samples = np.load(root / "data" / split / "samples.npy")
        np.save(root / "data" / split / "keys.npy", content_keys(samples))
    good = judged.trained(task)
    save(good, root / "good")
    save(worse(good, 3.0, task), root / "bad")


def write_registry(root: Path) -> None:
    """`write_project`, and version 1 the bad model, version 2 the good one, which is champion."""
    write_project(root, "classification")
    with Championship(PARAMS, root) as house:
        house.challenge(root / "bad", root / "data")
        house.challenge(root / "good", root / "data")


def save(trained: Trained, folder: Path) -> None:
    save_model(folder, trained.model, trained.recipe, trained.about, trained.data)


def worse(trained: Trained, noise: float, task: str) -> Trained:
    """The same model with a head that is partly noise."""
    torch.manual_seed(0)
    model = judged.trained.__wrapped__(task).model  # of its own: the other's is shared by all tests
    with torch.no_grad():
        weight = model.head.weight
        weight += noise * weight.std() * torch.randn_like(weight)
    return replace(trained, model=model)
