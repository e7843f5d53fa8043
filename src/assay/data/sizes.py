"""The pictures' own size, where the settings name none. Owns the search for it; resizes nothing."""

from collections import Counter
from collections.abc import Iterator
from itertools import chain

from assay.data.decoding import Decoded
from assay.errors import InputError

LOOK_ON = 200  # samples looked at after the first that differs, so that the sentence tells what there is
SHOWN = 5
USUAL = (28, 32, 64, 96, 128, 160, 192, 224)  # sides that are suggested: the largest that the median picture fills


def same_size(stream: Iterator[Decoded]) -> tuple[int, Iterator[Decoded]]:
    """The side that all samples share, and the stream again, which raises where one differs.

    Raises:
        InputError: no sample can be read, the first is not square, or (while the stream is read) sizes differ.
    """
    seen: list[Decoded] = []
    for decoded in stream:
        seen.append(decoded)
        if decoded.sample is not None:
            break
    else:
        example = f"; {seen[0].raw.name}: {seen[0].reason}" if seen else ""
        raise InputError(f"data: none of {len(seen)} samples can be read{example}.")
    assert decoded.sample is not None
    size = decoded.sample.size
    if len(size) != 2 or size[0] != size[1]:
        raise _differing(Counter([size]), stream)
    return size[0], _checked(chain(seen, stream), size)


def _checked(stream: Iterator[Decoded], size: tuple[int, ...]) -> Iterator[Decoded]:
    seen: Counter[tuple[int, ...]] = Counter()
    for decoded in stream:
        if decoded.sample is not None:
            seen[decoded.sample.size] += 1
            if decoded.sample.size != size:
                raise _differing(seen, stream)
        yield decoded


def _differing(seen: Counter[tuple[int, ...]], stream: Iterator[Decoded]) -> InputError:
    for _, decoded in zip(range(LOOK_ON), stream, strict=False):
        if decoded.sample is not None:
            seen[decoded.sample.size] += 1
    commonest = sorted(seen.items(), key=lambda item: (-item[1], item[0]))
    said = ", ".join(f"{size[1]}×{size[0]} ({count})" for size, count in commonest[:SHOWN])
    more = f" and {len(commonest) - SHOWN} more" if len(commonest) > SHOWN else ""
    sides = sorted(min(size) for size in seen.elements())
    usual = max((side for side in USUAL if side <= sides[len(sides) // 2]), default=USUAL[0])
    return InputError(
        f"data.image_size: the pictures are not all of one square size: {said}{more}; set it, e.g. to {usual}."
    )
