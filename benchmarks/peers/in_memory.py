"""Pictures in memory as a data set of Assay."""

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from assay.data.dataset import Dataset


def dataset_of(images: np.ndarray, labels: np.ndarray, train: int, end: int, version: str) -> "Dataset":
    """The first `train` pictures to train, those up to `end` to validate.

    Args:
        images: n × 1 × side × side bytes.
        labels: n classes, from 0.
        version: what the data are known by.
    """
    from assay.data.dataset import About, Dataset, Part, Split
    from assay.modality import Spec

    side = images.shape[-1]

    def split(begin: int, end: int) -> Split:
        part = Part(images[begin:end], np.full(end - begin, side, np.int32), labels[begin:end])
        return Split((part,), np.zeros((end - begin, 16), np.uint8))

    spec = Spec("image", (1, side, side), "uint8", ("channel", "height", "width"))
    classes = tuple(map(str, range(int(labels.max()) + 1)))
    counts = {"train": train, "validation": end - train, "test": 0}
    about = About(spec, "classification", ("label",), classes, counts, version)
    return Dataset(about, split(0, train), split(train, end))
