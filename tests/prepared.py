"""A small prepared data set on disk, of real digits."""

from hashlib import blake2b
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from assay.data.dataset import About, write_about
from samples import digits


def content_keys(samples: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """N × 16: keys that follow from content, as prepare's."""
    return np.stack([np.frombuffer(blake2b(one.tobytes(), digest_size=16).digest(), np.uint8) for one in samples])


def write_train(folder: Path, rows: NDArray[np.int64], task: str = "classification") -> About:
    """The digits `rows` as the training split of a data set in `folder`; the other splits are small."""
    data = digits(task, train=400, validation=8)
    for split, part, chosen in (
        ("train", data.train.parts[0], rows),
        ("validation", data.validation.parts[0], np.arange(8)),
    ):
        place = folder / split
        place.mkdir(parents=True)
        for name, array in (("samples", part.samples), ("lengths", part.lengths), ("targets", part.targets)):
            np.save(place / f"{name}.npy", array[chosen])
        np.save(place / "keys.npy", content_keys(part.samples[chosen]))
    write_about(data.about, folder)
    return data.about
