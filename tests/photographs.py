"""Pictures for tests: no two alike, and folders and tables of them; real photographs where content matters."""

import io
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

SIDE = 16


def picture(number: int, side: int = SIDE, channels: int = 3) -> Image.Image:
    """A picture of soft spots, another for every number, that no perceptual hash takes for another."""
    rng = np.random.default_rng(number)
    small = rng.integers(0, 256, (8, 8, channels), dtype=np.uint8).squeeze()
    return Image.fromarray(small).resize((side, side), Image.Resampling.BICUBIC)


@cache
def _photos() -> tuple[Any, ...]:
    from sklearn.datasets import load_sample_images

    return tuple(load_sample_images().images)


def crop(number: int, least: int = 128) -> Image.Image:
    """A square crop of a real photograph, `least` to 384 pixels a side."""
    rng = np.random.default_rng(number)
    photo = _photos()[number % 2]
    side = int(rng.integers(least, 385))
    top, left = (int(rng.integers(0, length - side + 1)) for length in photo.shape[:2])
    return Image.fromarray(photo[top : top + side, left : left + side])


def encoded(image: Image.Image, kind: str = "PNG", **how: Any) -> bytes:
    """The bytes of a file of that kind."""
    stream = io.BytesIO()
    image.save(stream, kind, **how)
    return stream.getvalue()


def fill(folder: Path, classes: dict[str, int], side: int = SIDE) -> Path:
    """A folder a class with so many pictures each; numbers go on over the classes."""
    number = 0
    for name, count in classes.items():
        (folder / name).mkdir(parents=True, exist_ok=True)
        for _ in range(count):
            (folder / name / f"{number}.png").write_bytes(encoded(picture(number, side)))
            number += 1
    return folder
