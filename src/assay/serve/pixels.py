"""How many pixels a picture may have that strangers send. Owns that limit of Pillow, which holds for a whole process;
the decoder asks for it when it has read a picture's head, before its pixels.
"""

from collections.abc import Iterator
from contextlib import contextmanager

from PIL import Image


@contextmanager
def limited(most: int) -> Iterator[None]:
    """While the block lasts, a picture of more than `most` pixels is unreadable."""
    before = Image.MAX_IMAGE_PIXELS
    Image.MAX_IMAGE_PIXELS = most // 2  # Pillow warns from here on, and refuses what has more than twice as many
    try:
        yield
    finally:
        Image.MAX_IMAGE_PIXELS = before
