"""Copies of a picture are found, different pictures are left alone."""

from itertools import combinations
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageEnhance

from assay.data.leaks import Leak, are_near, find_leaks
from assay.data.sources import Digits
from assay.data.splits import content_key
from assay.data.writing import OpenSplits, Row
from assay.image.decode import decode, fingerprint, spec
from assay.params import Data
from photographs import crop, encoded

HOW = Data(image_size=64, channels=3)
NUM = 40


def resized(picture: Image.Image, factor: float) -> Image.Image:
    return picture.resize([round(side * factor) for side in picture.size], Image.Resampling.BICUBIC)


COPIES = {
    "jpeg of quality 70": lambda picture: encoded(picture, "JPEG", quality=70),
    "a fifth smaller": lambda picture: encoded(resized(picture, 0.8), "JPEG", quality=90),
    "a fifth larger": lambda picture: encoded(resized(picture, 1.2), "JPEG", quality=90),
    "a little brighter": lambda picture: encoded(ImageEnhance.Brightness(picture).enhance(1.1), compress_level=1),
}


def put(splits: OpenSplits, split: str, raw: bytes, name: str = "", how: Data = HOW) -> None:
    sample = decode(raw, how)
    row = Row(name, content_key(raw), None, np.asarray(0), sample.length, fingerprint(sample))
    splits[split].append(row, sample.array)


@pytest.mark.parametrize("copy", COPIES.values(), ids=COPIES)
def test_at_least_95_of_100_copies_of_photographs_are_found(tmp_path: Path, copy: object) -> None:
    with OpenSplits(tmp_path, spec(HOW)) as splits:
        for number in range(NUM):
            put(splits, "test", encoded(crop(number), compress_level=1))
            put(splits, "train", copy(crop(number)))  # type: ignore[operator]
        found = {leak.row for leak in find_leaks(splits)}
    assert len(found) >= 0.95 * NUM


def test_of_5000_digits_hardly_any_is_taken_for_another(tmp_path: Path) -> None:
    how = Data(image_size=28, channels=1)
    with OpenSplits(tmp_path, spec(how)) as splits:
        for number, raw in enumerate(Digits()):
            put(splits, ("train", "validation", "test")[number % 3], raw.read(), raw.name, how)
        assert len(find_leaks(splits)) <= 5


def test_the_lower_split_gives_way_and_what_is_gone_protects_nothing(tmp_path: Path) -> None:
    photo = crop(1)
    with OpenSplits(tmp_path, spec(HOW)) as splits:
        put(splits, "test", encoded(crop(2)))
        put(splits, "validation", encoded(crop(2), "JPEG", quality=80))
        put(splits, "validation", encoded(photo))
        put(splits, "train", encoded(photo, "JPEG", quality=80))
        put(splits, "train", encoded(crop(2), "JPEG", quality=70))
        put(splits, "train", encoded(crop(5)))
        leaks = find_leaks(splits)
    assert leaks == [Leak("validation", 0, "test", 0), Leak("train", 1, "test", 0), Leak("train", 0, "validation", 1)]


def test_pictures_of_one_colour_are_near_only_in_nearly_that_colour(tmp_path: Path) -> None:
    with OpenSplits(tmp_path, spec(HOW)) as splits:
        put(splits, "test", encoded(Image.new("RGB", (64, 64), (10, 10, 10))))
        put(splits, "train", encoded(Image.new("RGB", (64, 64), (200, 200, 200))))
        put(splits, "train", encoded(Image.new("RGB", (64, 64), (11, 10, 10))))
        assert [leak.row for leak in find_leaks(splits)] == [1]


def test_the_same_shape_in_another_colour_is_another_picture() -> None:
    def disc(colour: tuple[int, int, int]) -> np.ndarray:
        picture = Image.new("RGB", (64, 64))
        picture.paste(colour, (16, 16, 48, 48))
        return decode(encoded(picture), HOW).array

    colours = [(255, 0, 0), (0, 255, 0), (0, 0, 255), (255, 255, 0)]
    assert not any(are_near(disc(one), disc(other)) for one, other in combinations(colours, 2))


def test_an_empty_split_has_no_leak(tmp_path: Path) -> None:
    with OpenSplits(tmp_path, spec(HOW)) as splits:
        put(splits, "train", encoded(crop(1)))
        assert find_leaks(splits) == []


def test_thousands_of_equal_pictures_are_one_comparison(tmp_path: Path) -> None:
    flat = encoded(Image.new("RGB", (64, 64)))
    with OpenSplits(tmp_path, spec(HOW)) as splits:
        sample = decode(flat, HOW)
        for number in range(3000):
            row = Row("", number.to_bytes(16), None, np.asarray(0), 64, fingerprint(sample))
            splits[("train", "train", "test")[number % 3]].append(row, sample.array)
        assert len(find_leaks(splits)) == 2000
