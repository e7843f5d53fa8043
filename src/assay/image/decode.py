"""Bytes of a picture become `uint8 C×H×W`. Owns file kinds, colour, orientation and size; never draws at random.

A file that cannot be read is Unreadable with one reason; nothing is ever put in its place.
"""

import io
import warnings
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps, UnidentifiedImageError

from assay.modality import Finding, Sample, Spec, Unreadable
from assay.params import Data

# Pillow would also open kinds that run programs (EPS), are not pictures (MPEG, HDF5) or have no mark of their own (CUR
# begins as TGA does): those named here and no others; TGA, which knows itself least, is tried last.
FORMATS = (
    *(
        "PNG",
        "JPEG",
        "WEBP",
        "TIFF",
        "BMP",
        "DIB",
        "GIF",
        "PPM",
        "JPEG2000",
        "AVIF",
        "ICO",
        "ICNS",
        "PCX",
        "DCX",
        "SGI",
    ),
    *("SUN", "PSD", "DDS", "QOI", "XBM", "XPM", "MSP", "FLI", "PIXAR", "BLP", "TGA"),
)
SUFFIXES = frozenset(
    {".png", ".apng", ".jpg", ".jpeg", ".jpe", ".jfif", ".mpo", ".webp", ".tif", ".tiff", ".bmp", ".dib", ".gif"}
    | {".ppm", ".pgm", ".pbm", ".pnm", ".pfm", ".jp2", ".j2k", ".jpc", ".jpf", ".jpx", ".j2c", ".avif", ".avifs"}
    | {".ico", ".icns", ".pcx", ".dcx", ".sgi", ".bw", ".rgb", ".rgba", ".ras", ".psd", ".dds", ".qoi", ".xbm", ".xpm"}
    | {".msp", ".fli", ".flc", ".pxr", ".blp", ".tga", ".icb", ".vda", ".vst"}
)
WHITE = (255, 255, 255, 255)
ORIENTATION = 0x0112  # the EXIF tag; 1 is upright
LOW_SIDE = 8  # cosine frequencies a side whose signs lead the fingerprint: 64 bits
HASH_SIDE = 16  # and in all: 192 bits more, which tell pictures with few frequencies (digits, scans) apart
THUMB_SIDE = 32  # pixels a side that the coefficients are taken from


def decode(raw: bytes, how: Data) -> Sample:
    """Decode the first frame of a picture: upright, transparency over white, in the size and channels of `how`.

    16-bit grey is scaled to 8 (65535 → 255). Without `how.image_size` the picture keeps its own size.

    Returns:
        A sample whose array is `uint8 C×H×W`, whose length is its width, and whose size is (height, width) on arrival.

    Raises:
        Unreadable: damaged, cut short, empty, not a picture, or in a kind that has no 8-bit meaning.
    """
    if not raw:
        raise Unreadable("the file is empty")
    try:
        with warnings.catch_warnings():  # Pillow warns of odd metadata in files that it reads well
            warnings.simplefilter("ignore")
            with Image.open(io.BytesIO(raw), formats=FORMATS) as picture:
                return _sample(picture, how)
    except Unreadable:
        raise
    except UnidentifiedImageError as error:
        raise Unreadable("it is not a picture of a known kind") from error
    except Image.DecompressionBombError as error:
        raise Unreadable(f"it has more than {2 * (Image.MAX_IMAGE_PIXELS or 0):,} pixels") from error
    except Exception as error:  # a damaged file makes Pillow raise almost anything; the reason is handed on
        raise Unreadable(_reason(error)) from error


def check(sample: Sample, how: Data) -> list[Finding]:
    """What is odd about a decoded picture: `constant` (one colour), `enlarged` (it had less than half the pixels)."""
    findings = []
    flat = sample.array.reshape(sample.array.shape[0], -1)
    if bool((flat == flat[:, :1]).all()):
        findings.append(Finding("constant", f"every pixel is {tuple(int(value) for value in flat[:, 0])}"))
    if how.image_size is not None and min(sample.size) * 2 < how.image_size:
        findings.append(Finding("enlarged", f"it is {sample.size[1]}×{sample.size[0]}, shown at {how.image_size}"))
    return findings


def fingerprint(sample: Sample) -> bytes:
    """Signs of the cosine frequencies of the grey picture, 32 bytes: the lowest 8×8 first, then the rest of 16×16.

    Re-encoding, resizing and brightening leave nearly all of them alone. After Zauner, Implementation and benchmarking
    of perceptual image hash functions (2010).
    """
    cosines = _cosine_matrix(HASH_SIDE, THUMB_SIDE)
    signs = cosines @ _grey_thumb(sample.array) @ cosines.T > 0
    signs[0, 0] = False  # the mean: brightness is not content
    low = signs[:LOW_SIDE, :LOW_SIDE]
    rest = (signs[:LOW_SIDE, LOW_SIDE:], signs[LOW_SIDE:, :])
    return np.packbits(np.concatenate([low.ravel(), *(part.ravel() for part in rest)])).tobytes()


def spec(how: Data) -> Spec:
    """Shape and type of every decoded picture; `how.image_size` must be known by now."""
    assert how.image_size is not None, "prepare finds the pictures' own size before it asks for a spec"
    shape = (how.channels, how.image_size, how.image_size)
    return Spec("image", shape, "uint8", ("channel", "height", "width"))


def _sample(picture: Image.Image, how: Data) -> Sample:
    width, height = picture.size
    if picture.format == "JPEG" and how.image_size is not None:
        # Decoding at 1/2, 1/4 or 1/8 where that is still large enough: the cosine transform does the averaging.
        picture.draft("L" if how.channels == 1 else "RGB", (how.image_size, how.image_size))
    if picture.format == "PNG":
        picture.load()  # its orientation may stand behind its pixels
    # Pillow turns a TIFF by itself, its size at opening included.
    turned = picture.getexif().get(ORIENTATION, 1) if picture.format != "TIFF" and "exif" in picture.info else 1
    flat = _eight_bit(picture)
    if turned in range(2, 9):
        flat = ImageOps.exif_transpose(_with_orientation(flat, turned))
        width, height = (height, width) if turned >= 5 else (width, height)
    sized = _resized(flat.convert("L" if how.channels == 1 else "RGB"), how)
    array = np.asarray(sized)
    planes = array[None] if array.ndim == 2 else np.moveaxis(array, -1, 0)
    return Sample(np.ascontiguousarray(planes), sized.width, (height, width))


def _with_orientation(picture: Image.Image, turned: int) -> Image.Image:
    """`picture` with the orientation of its file, which conversions may have dropped."""
    exif = picture.getexif()
    exif[ORIENTATION] = turned
    return picture


def _eight_bit(picture: Image.Image) -> Image.Image:
    """The picture as L or RGB, transparency laid over white.

    Raises:
        Unreadable: floating point or 32-bit values, which have no agreed white.
    """
    mode = picture.mode
    if mode in ("L", "RGB") and "transparency" not in picture.info:
        return picture
    if mode.startswith("I"):
        return _from_wide(picture)
    if mode == "F":
        raise Unreadable("its pixels are floating-point numbers; save it with 8 or 16 bits")
    if mode in ("RGBA", "RGBa", "LA", "La", "PA") or "transparency" in picture.info:
        ground = Image.new("RGBA", picture.size, WHITE)
        return Image.alpha_composite(ground, picture.convert("RGBA")).convert("RGB")
    return picture.convert("L" if mode == "1" else "RGB")


def _from_wide(picture: Image.Image) -> Image.Image:
    values: NDArray[Any] = np.asarray(picture)
    low, high = int(values.min()), int(values.max())
    if low < 0 or high > 65535:
        raise Unreadable(f"its pixels run from {low} to {high}; save it with 8 or 16 bits")
    narrow = np.round(values / 257.0).astype(np.uint8)
    narrow[values == picture.info.get("transparency", -1)] = WHITE[0]  # Pillow's RGBA of such a picture is wrong
    return Image.fromarray(narrow)


def _resized(picture: Image.Image, how: Data) -> Image.Image:
    side = how.image_size
    if side is None or picture.size == (side, side):
        return picture
    bilinear = Image.Resampling.BILINEAR  # antialiased in Pillow, whatever the factor
    width, height = picture.size
    if how.resize == "stretch" or width == height:
        return picture.resize((side, side), bilinear)
    if how.resize == "crop":
        short = min(width, height)
        left, top = (width - short) / 2, (height - short) / 2
        return picture.resize((side, side), bilinear, box=(left, top, left + short, top + short))
    scale = side / max(width, height)
    inner = (max(1, round(width * scale)), max(1, round(height * scale)))
    ground = Image.new(picture.mode, (side, side))
    ground.paste(picture.resize(inner, bilinear), ((side - inner[0]) // 2, (side - inner[1]) // 2))
    return ground


def _grey_thumb(array: NDArray[np.uint8]) -> NDArray[np.float32]:
    picture = Image.fromarray(array[0] if len(array) == 1 else np.moveaxis(array, 0, -1)).convert("L")
    return np.asarray(picture.resize((THUMB_SIDE, THUMB_SIDE), Image.Resampling.BOX), dtype=np.float32)


@lru_cache(maxsize=4)
def _cosine_matrix(rows: int, columns: int) -> NDArray[np.float32]:
    """The first `rows` cosine waves over `columns` places (DCT-II without its scale, which signs do not need)."""
    place = (np.arange(columns) + 0.5) * np.pi / columns
    return np.cos(np.arange(rows)[:, None] * place[None, :]).astype(np.float32)


def _reason(error: Exception) -> str:
    """One line of what Pillow says, without memory addresses, so that reports repeat."""
    said = str(error).split("<_io.")[0].split("\n")[0].strip().rstrip(".:")
    return said if said else type(error).__name__
