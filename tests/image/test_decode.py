"""Pictures of every kind become the same arrays; damaged ones say one reason."""

import contextlib
import io
import struct
import zlib

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from assay.image.decode import FORMATS, SUFFIXES, check, decode, fingerprint, spec
from assay.modality import Unreadable
from assay.params import Data
from photographs import crop, encoded, picture

RGB, GREY = Data(image_size=16, channels=3), Data(image_size=16, channels=1)
LOSSLESS = [("PNG", {}), ("WEBP", {"lossless": True}), ("TIFF", {}), ("BMP", {}), ("PPM", {}), ("TGA", {})]
LOSSLESS += [("PCX", {}), ("SGI", {}), ("DDS", {}), ("QOI", {}), ("ICO", {"sizes": [(16, 16)]})]


def planes(image: Image.Image) -> np.ndarray:
    array = np.asarray(image)
    return array[None] if array.ndim == 2 else np.moveaxis(array, -1, 0)


@pytest.mark.parametrize(("kind", "how"), LOSSLESS)
def test_a_lossless_kind_gives_the_very_pixels(kind: str, how: dict[str, object]) -> None:
    original = picture(1)
    sample = decode(encoded(original, kind, **how), RGB)
    assert sample.array.dtype == np.uint8 and sample.array.flags.c_contiguous
    assert np.array_equal(sample.array, planes(original))
    assert (sample.length, sample.size) == (16, (16, 16))


@pytest.mark.parametrize(
    ("kind", "how"), [("JPEG", {"quality": 95}), ("WEBP", {"quality": 95}), ("AVIF", {"quality": 95}), ("JPEG2000", {})]
)
def test_a_lossy_kind_gives_nearly_the_pixels(kind: str, how: dict[str, object]) -> None:
    original = crop(3).resize((64, 64), Image.Resampling.BOX)
    sample = decode(encoded(original, kind, **how), Data(image_size=64))
    assert np.abs(sample.array.astype(int) - planes(original)).mean() < 6


def test_grey_fills_three_channels_and_colour_becomes_grey() -> None:
    grey = picture(2, channels=1)
    assert np.array_equal(decode(encoded(grey), RGB).array, np.repeat(planes(grey), 3, axis=0))
    assert np.array_equal(decode(encoded(grey), GREY).array, planes(grey))
    colour = picture(2)
    assert np.array_equal(decode(encoded(colour), GREY).array, planes(colour.convert("L")))


def test_transparency_lies_over_white() -> None:
    image = Image.new("RGBA", (16, 16), (200, 0, 0, 0))
    image.paste((0, 0, 255, 255), (0, 0, 8, 16))
    array = decode(encoded(image), RGB).array
    assert (array[:, :, 8:] == 255).all()
    assert tuple(array[:, 0, 0]) == (0, 0, 255)


def test_half_transparent_grey_lies_over_white() -> None:
    array = decode(encoded(Image.new("LA", (16, 16), (0, 128))), GREY).array
    assert abs(int(array[0, 0, 0]) - 127) <= 1


def test_a_palette_shows_its_colours_and_its_transparent_entry_is_white() -> None:
    image = Image.new("P", (16, 16), 0)
    image.putpalette([10, 20, 30, 200, 100, 50])
    image.paste(1, (8, 0, 16, 16))
    plain = decode(encoded(image), RGB).array
    assert tuple(plain[:, 0, 0]) == (10, 20, 30) and tuple(plain[:, 0, 15]) == (200, 100, 50)
    through = decode(encoded(image, transparency=0), RGB).array
    assert tuple(through[:, 0, 0]) == (255, 255, 255) and tuple(through[:, 0, 15]) == (200, 100, 50)


def test_a_transparent_colour_of_a_picture_without_alpha_is_white() -> None:
    image = Image.new("RGB", (16, 16), (1, 2, 3))
    assert (decode(encoded(image, transparency=(1, 2, 3)), RGB).array == 255).all()


def test_cmyk_becomes_its_rgb() -> None:
    cyan = Image.new("CMYK", (16, 16), (255, 0, 0, 0))
    for kind in ("TIFF", "JPEG"):
        red, green, blue = decode(encoded(cyan, kind), RGB).array[:, 8, 8].astype(int)
        assert red < 20 and green > 235 and blue > 235, kind


def with_chunk(png: bytes, kind: bytes, content: bytes, before: bytes) -> bytes:
    """A PNG with one chunk more."""
    at = png.index(before) - 4
    chunk = struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))
    return png[:at] + chunk + png[at:]


def test_a_transparent_value_of_sixteen_bit_grey_is_white() -> None:
    values = np.linspace(0, 65535, 256).round().astype(np.uint16).reshape(16, 16)
    raw = with_chunk(encoded(Image.fromarray(values)), b"tRNS", struct.pack(">H", 257 * 7), before=b"IDAT")
    expected = np.arange(256)
    expected[7] = 255
    assert np.array_equal(decode(raw, GREY).array[0].ravel(), expected)


def test_an_orientation_behind_the_pixels_of_a_png_counts() -> None:
    upright = picture(4, side=24, channels=1).resize((24, 12))
    exif = Image.Exif()
    exif[0x0112] = 6
    stored = encoded(upright.transpose(Image.Transpose.ROTATE_90))
    raw = with_chunk(stored, b"eXIf", exif.tobytes().removeprefix(b"Exif\0\0"), before=b"IEND")
    sample = decode(raw, Data(channels=1))
    assert sample.size == (12, 24) and np.array_equal(sample.array, planes(upright))


@pytest.mark.parametrize("kind", ["PNG", "TIFF"])
def test_sixteen_bits_are_scaled_to_eight(kind: str) -> None:
    values = np.linspace(0, 65535, 256).round().astype(np.uint16).reshape(16, 16)
    array = decode(encoded(Image.fromarray(values), kind), GREY).array
    assert np.array_equal(array[0].ravel(), np.arange(256))


def test_one_bit_is_black_and_white() -> None:
    image = Image.new("1", (16, 16), 1)
    image.paste(0, (0, 0, 8, 16))
    array = decode(encoded(image), GREY).array
    assert set(np.unique(array)) == {0, 255}


def test_of_an_animation_the_first_frame_counts() -> None:
    first, second = picture(1).quantize(64), picture(2).quantize(64)
    raw = encoded(first, "GIF", save_all=True, append_images=[second], duration=100)
    assert np.array_equal(decode(raw, RGB).array, planes(first.convert("RGB")))


@pytest.mark.parametrize("turned", range(1, 9))
def test_every_orientation_stands_upright(turned: int) -> None:
    upright = picture(4, side=24, channels=1).resize((24, 12))
    back = {
        2: Image.Transpose.FLIP_LEFT_RIGHT, 3: Image.Transpose.ROTATE_180, 4: Image.Transpose.FLIP_TOP_BOTTOM,
        5: Image.Transpose.TRANSPOSE, 6: Image.Transpose.ROTATE_90, 7: Image.Transpose.TRANSVERSE,
        8: Image.Transpose.ROTATE_270,
    }  # fmt: skip
    stored = upright.transpose(back[turned]) if turned in back else upright
    exif = Image.Exif()
    exif[0x0112] = turned
    for kind in ("PNG", "TIFF", "JPEG"):
        sample = decode(encoded(stored, kind, exif=exif), Data(channels=1))
        assert sample.size == (12, 24), kind
        assert np.abs(sample.array.astype(int) - planes(upright)).mean() < 8, kind


def test_crop_takes_the_middle_pad_keeps_all_and_stretch_squeezes() -> None:
    image = Image.new("L", (48, 16), 50)
    image.paste(200, (16, 0, 32, 16))
    raw = encoded(image)
    assert (decode(raw, Data(image_size=16, channels=1, resize="crop")).array == 200).all()
    padded = decode(raw, Data(image_size=48, channels=1, resize="pad")).array[0]
    assert (padded[:16] == 0).all() and (padded[32:] == 0).all() and np.array_equal(padded[16:32], np.asarray(image))
    stretched = decode(raw, Data(image_size=16, channels=1, resize="stretch")).array[0]
    assert stretched[8, 0] == 50 and stretched[8, 8] == 200 and stretched[8, 15] == 50


def test_a_large_jpeg_decoded_at_a_fraction_looks_as_resized_in_full() -> None:
    large = crop(8, least=380).resize((1024, 1024), Image.Resampling.BICUBIC)
    raw = encoded(large, "JPEG", quality=95)
    full = planes(Image.open(io.BytesIO(raw)).resize((64, 64), Image.Resampling.BILINEAR)).astype(int)
    assert np.abs(decode(raw, Data(image_size=64)).array - full).mean() < 2


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "WEBP", "TIFF", "BMP", "GIF", "PPM"])
def test_a_file_cut_in_half_is_unreadable_for_a_reason(kind: str) -> None:
    raw = encoded(crop(5).convert("P") if kind == "GIF" else crop(5), kind)
    with pytest.raises(Unreadable, match=r"\w+") as caught:
        decode(raw[: len(raw) // 2], RGB)
    assert "\n" not in str(caught.value) and "0x" not in str(caught.value)


def test_no_bytes_no_picture_and_no_eight_bits_are_said() -> None:
    with pytest.raises(Unreadable, match="the file is empty"):
        decode(b"", RGB)
    with pytest.raises(Unreadable, match="not a picture of a known kind"):
        decode(b"name,age\nAnna,3\n", RGB)
    with pytest.raises(Unreadable, match="floating-point"):
        decode(encoded(Image.new("F", (16, 16), 0.5), "TIFF"), RGB)
    with pytest.raises(Unreadable, match="from 70000 to 70000"):
        decode(encoded(Image.fromarray(np.full((16, 16), 70000, np.int32)), "TIFF"), GREY)


def test_a_program_in_the_guise_of_a_picture_is_not_run() -> None:
    with pytest.raises(Unreadable, match="not a picture of a known kind"):
        decode(b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 16 16\nshowpage\n", RGB)


def test_a_picture_of_absurd_size_is_refused_before_it_fills_the_memory() -> None:
    said = b"IHDR" + struct.pack(">IIBBBBB", 60000, 60000, 8, 2, 0, 0, 0)
    head = b"\x89PNG\r\n\x1a\n" + struct.pack(">I", 13) + said + struct.pack(">I", zlib.crc32(said))
    with pytest.raises(Unreadable, match="more than"):
        decode(head + struct.pack(">I", 99) + b"IDAT" + bytes(99), RGB)


@given(
    st.binary(max_size=300),
    st.sampled_from([b"", b"\x89PNG\r\n\x1a\n", b"\xff\xd8\xff\xe0", b"GIF89a", b"BM", b"P5 4 4 255\n"]),
)
def test_any_bytes_decode_or_are_unreadable(tail: bytes, head: bytes) -> None:
    with contextlib.suppress(Unreadable):
        assert decode(head + tail, RGB).array.shape == (3, 16, 16)


def test_without_a_size_a_picture_keeps_its_own() -> None:
    sample = decode(encoded(picture(1).resize((20, 10))), Data(channels=3))
    assert sample.array.shape == (3, 10, 20)


def test_the_spec_is_what_decode_gives() -> None:
    said = spec(GREY)
    assert (said.shape, said.dtype, said.axes) == ((1, 16, 16), "uint8", ("channel", "height", "width"))
    assert decode(encoded(picture(1)), GREY).array.shape == said.shape


def test_one_colour_and_too_few_pixels_are_noted() -> None:
    flat = decode(encoded(Image.new("RGB", (4, 4), (9, 8, 7))), RGB)
    assert {finding.kind: finding.why for finding in check(flat, RGB)} == {
        "constant": "every pixel is (9, 8, 7)",
        "enlarged": "it is 4×4, shown at 16",
    }
    assert check(decode(encoded(picture(1)), RGB), RGB) == []


def test_a_fingerprint_is_32_bytes_and_alike_for_a_copy_and_not_for_another() -> None:
    how = Data(image_size=64)
    one, copy, other = (
        np.unpackbits(np.frombuffer(fingerprint(decode(raw, how)), np.uint8))
        for raw in (encoded(crop(1)), encoded(crop(1), "JPEG", quality=70), encoded(crop(2)))
    )
    assert one.shape == (256,)
    assert (one != copy).sum() < 40 < (one != other).sum()


def test_suffixes_are_lower_case_with_their_dot() -> None:
    assert {".png", ".jpg", ".jpeg", ".webp", ".tif", ".bmp", ".gif"} <= SUFFIXES
    assert all(suffix == suffix.lower() and suffix.startswith(".") for suffix in SUFFIXES)


def test_every_suffix_of_every_kind_that_is_read_counts_as_a_sample() -> None:
    Image.init()
    known = {suffix for suffix, kind in Image.registered_extensions().items() if kind in FORMATS}
    assert set(FORMATS) <= set(Image.OPEN)
    assert known | {".mpo"} == SUFFIXES
