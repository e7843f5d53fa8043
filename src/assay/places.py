"""Where a project's stages write what verbs and stages read again. Names; opens nothing."""

from pathlib import Path

PREPARED = Path("results/prepare/data")
AUGMENTED = Path("results/augment/data")
MODEL = Path("results/train/model")
