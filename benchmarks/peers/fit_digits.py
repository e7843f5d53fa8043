"""The digits network by Assay's loop, on the same digits. Run by train_speed.py."""

import argparse
import json
import resource
import statistics

import numpy as np
import torch
from in_memory import dataset_of

from assay.fit import fit
from assay.params import Recipe, with_values

options = argparse.ArgumentParser()
options.add_argument("--digits")
options.add_argument("--epochs", type=int)
options.add_argument("--seed", type=int, default=0)
options.add_argument("--precision", default="fp32")
options.add_argument("--threads", type=int)
options.add_argument("--augment", action="store_true", help="rotate 12°, scale 10%%, translate 15%%")
chosen = options.parse_args()
if chosen.threads:
    torch.set_num_threads(chosen.threads)
kept = np.load(chosen.digits)
images, labels = kept["images"][:, None], kept["labels"]

policy = {"augmentation.rotate": 12.0, "augmentation.scale": 0.1, "augmentation.translate": 0.15}
recipe = with_values(
    Recipe(),
    {
        "optimizer.name": "adam",
        "optimizer.lr": 1e-3,
        "schedule.name": "constant",
        "batch_size": 32,
        "epochs": chosen.epochs,
        "precision": chosen.precision,
        "seed": chosen.seed,
    }
    | (policy if chosen.augment else {}),
)
epochs = list(fit(recipe, dataset_of(images, labels, 4000, 5000, "digits"), metric="accuracy"))
device = torch.cuda.get_device_name() if torch.cuda.is_available() else f"CPU, {torch.get_num_threads()} threads"
print(
    json.dumps(
        {
            "images_per_s": 4000 / statistics.median(epoch.metrics["cost/seconds"] for epoch in epochs[1:]),
            "accuracy": epochs[-1].best,
            "peak_mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
            "device": device,
        }
    )
)
