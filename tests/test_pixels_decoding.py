from __future__ import annotations

import contextlib
import io
import os
import struct
import subprocess
import sys
import warnings
import zlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import ExifTags, Image, ImageCms, ImageFile
from pillow_heif import from_pillow

from shoplens.errors import PhotoError
from shoplens.pixels import decoding
from shoplens.pixels.crops import Fit, crop
from shoplens.pixels.decoding import MAX_PIXELS, Decoded, decode, read_bytes, read_size
from shoplens.records import Box

ORIENTATIONS = range(1, 9)
# What a camera held that way stores, made from the upright picture: the inverse of the EXIF turn.
STORE = {
    1: lambda a: a,
    2: lambda a: a[:, ::-1],
    3: lambda a: a[::-1, ::-1],
    4: lambda a: a[::-1],
    5: lambda a: a.swapaxes(0, 1),
    6: lambda a: a.swapaxes(0, 1)[::-1],
    7: lambda a: a[::-1, ::-1].swapaxes(0, 1),
    8: lambda a: a.swapaxes(0, 1)[:, ::-1],
}


def save(image: Image.Image, kind: str, **options: object) -> bytes:
    stream = io.BytesIO()
    image.save(stream, kind, **options)
    return stream.getvalue()


def heic(image: Image.Image, **options: object) -> bytes:
    stream = io.BytesIO()
    from_pillow(image).save(stream, **options)
    return stream.getvalue()


def stored_as(upright: npt.NDArray[np.uint8], orientation: int, kind: str, **more: object) -> bytes:
    exif = Image.Exif()
    exif[ExifTags.Base.Orientation] = orientation
    image = Image.fromarray(np.ascontiguousarray(STORE[orientation](upright)))
    return save(image, kind, exif=exif, **more)


def noisy(size: tuple[int, int], seed: int = 0, spread: int = 12) -> Image.Image:
    """A smooth picture with grain, so that its compressed data are long in every part."""
    rng = np.random.default_rng(seed)
    small = Image.fromarray(rng.integers(40, 216, size=(6, 8, 3), dtype=np.uint8))
    smooth = np.asarray(small.resize(size, Image.Resampling.BICUBIC)).astype(int)
    grain = rng.integers(-spread, spread + 1, size=smooth.shape)
    return Image.fromarray((smooth + grain).clip(0, 255).astype(np.uint8))


def natural(size: tuple[int, int], seed: int = 0) -> Image.Image:
    """A picture with the 1/f spectrum of photos, sharp detail included."""
    width, height = size
    rng = np.random.default_rng(seed)
    frequency = np.hypot(np.fft.rfftfreq(width), np.fft.fftfreq(height)[:, None])
    frequency[0, 0] = 1
    planes = []
    for _ in range(4):
        spectrum = np.fft.rfft2(rng.normal(size=(height, width))) / frequency
        spectrum[0, 0] = 0
        plane = np.fft.irfft2(spectrum, s=(height, width))
        planes.append(plane / plane.std())
    grey, *colours = planes
    pixels = np.stack([128 + 45 * (0.8 * grey + 0.6 * colour) for colour in colours], axis=2)
    return Image.fromarray(pixels.clip(0, 255).astype(np.uint8))


def rgb(data: bytes, **options: object) -> npt.NDArray[np.int64]:
    return np.asarray(decode(data, **options).image).astype(np.int64)


def reason(data: bytes, **options: object) -> str | None:
    try:
        decode(data, **options)
    except PhotoError as error:
        return error.reason
    return None


def png(width: int, height: int, depth: int, colour: int, rows: bytes, *more: bytes) -> bytes:
    """Build a PNG by hand; `more` are chunks (kind and data) before the pixels."""

    def chunk(body: bytes) -> bytes:
        return struct.pack(">I", len(body) - 4) + body + struct.pack(">I", zlib.crc32(body))

    header = b"IHDR" + struct.pack(">IIBBBBB", width, height, depth, colour, 0, 0, 0)
    bodies = (header, *more, b"IDAT" + zlib.compress(rows), b"IEND")
    return b"\x89PNG\r\n\x1a\n" + b"".join(chunk(body) for body in bodies)


PHOTO = noisy((96, 64))
FILES = {
    "jpeg": save(PHOTO, "JPEG"),
    "jpeg progressive": save(PHOTO, "JPEG", progressive=True),
    "jpeg restarts": save(PHOTO, "JPEG", restart_marker_blocks=4),
    "jpeg grey": save(PHOTO.convert("L"), "JPEG"),
    "jpeg cmyk": save(PHOTO.convert("CMYK"), "JPEG"),
    "png": save(PHOTO, "PNG"),
    "png palette": save(PHOTO.quantize(32), "PNG", transparency=3),
    "webp": save(PHOTO, "WEBP"),
    "webp lossless": save(PHOTO, "WEBP", lossless=True, exact=True),
    "gif": save(PHOTO.quantize(32), "GIF"),
    "bmp": save(PHOTO, "BMP"),
    "tiff": save(PHOTO, "TIFF"),
    "tiff lzw": save(PHOTO, "TIFF", compression="tiff_lzw"),
    "tiff deflate": save(PHOTO, "TIFF", compression="tiff_adobe_deflate"),
    "tiff jpeg": save(PHOTO, "TIFF", compression="jpeg"),
    "tiff packbits": save(PHOTO, "TIFF", compression="packbits"),
    "mpo": save(PHOTO, "MPO", save_all=True, append_images=[noisy((96, 64), 1)]),
    "avif": save(PHOTO, "AVIF"),
    "heic": heic(PHOTO),
    "heic tiles": heic(PHOTO, tile_size=64),
}
LOSSLESS = ("png", "webp lossless", "bmp", "tiff", "tiff lzw", "tiff deflate", "tiff packbits")
LOSSY = {
    "jpeg": 8,
    "jpeg progressive": 8,
    "jpeg restarts": 8,
    "webp": 8,
    "tiff jpeg": 8,
    "mpo": 8,
    "avif": 8,
    "heic": 8,
    "heic tiles": 8,
    "gif": 16,
    "jpeg cmyk": 12,
}


# Formats and pixel types


@pytest.mark.parametrize("name", LOSSLESS)
def test_lossless_formats_keep_every_pixel(name: str) -> None:
    decoded = decode(FILES[name])
    assert decoded.image.mode == "RGB"
    assert (decoded.size, decoded.scale, decoded.box) == ((96, 64), 1.0, None)
    assert np.array_equal(np.asarray(decoded.image), np.asarray(PHOTO))


@pytest.mark.parametrize(("name", "tolerance"), LOSSY.items())
def test_lossy_formats_show_the_same_picture(name: str, tolerance: int) -> None:
    difference = np.abs(rgb(FILES[name]) - np.asarray(PHOTO).astype(int))
    assert difference.mean() < tolerance
    assert decode(FILES[name]).image.mode == "RGB"


def test_formats_open_in_a_fresh_process(tmp_path: Path) -> None:
    """Pillow loads its readers lazily: no test that ran before may have loaded them for us."""
    code = (
        "import sys; from pathlib import Path; from shoplens.pixels.decoding import decode\n"
        "for name in sys.argv[1:]:\n"
        "    print(decode(Path(name).read_bytes()).size)"
    )
    for kind in ("webp", "png", "gif", "bmp", "tiff", "mpo", "avif", "heic"):
        (tmp_path / kind).write_bytes(FILES[kind])
        done = subprocess.run(
            [sys.executable, "-W", "error", "-c", code, str(tmp_path / kind)],
            capture_output=True,
            text=True,
            check=False,
        )
        assert (done.stdout, done.stderr) == ("(96, 64)\n", "")


def test_the_file_name_does_not_matter(tmp_path: Path) -> None:
    (tmp_path / "photo.jpg").write_bytes(FILES["png"])
    assert np.array_equal(rgb(read_bytes(tmp_path / "photo.jpg")), np.asarray(PHOTO))


def test_mpo_gives_its_first_picture() -> None:
    alone = save(PHOTO, "JPEG")
    assert np.array_equal(rgb(FILES["mpo"]), rgb(alone))


@pytest.mark.parametrize("kind", ["GIF", "WEBP", "PNG", "TIFF"])
def test_an_animation_gives_its_first_frame(kind: str) -> None:
    frames = [Image.new("RGB", (8, 6), colour) for colour in ("red", "lime", "blue")]
    options = {"lossless": True} if kind == "WEBP" else {}
    data = save(frames[0], kind, save_all=True, append_images=frames[1:], **options)
    assert (rgb(data) == (255, 0, 0)).all()


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "TIFF", "BMP", "GIF", "WEBP"])
def test_grey_stays_as_bright_as_it_is(kind: str) -> None:
    assert np.abs(rgb(save(Image.new("L", (8, 6), 77), kind)) - 77).max() <= 1


@pytest.mark.parametrize("kind", ["PNG", "TIFF", "BMP", "GIF"])
def test_one_bit_pictures_are_black_and_white(kind: str) -> None:
    image = Image.new("1", (8, 6), 1)
    image.putpixel((2, 1), 0)
    expected = np.full((6, 8, 3), 255)
    expected[1, 2] = 0
    assert np.array_equal(rgb(save(image, kind)), expected)


@pytest.mark.parametrize("kind", ["PNG", "TIFF", "BMP", "GIF"])
def test_palette_pictures_take_their_colours_from_the_palette(kind: str) -> None:
    image = Image.new("P", (4, 2), 0)
    image.putpalette([10, 20, 30, 200, 100, 50])
    image.putpixel((3, 1), 1)
    pixels = rgb(save(image, kind))
    assert (pixels[0, 0] == (10, 20, 30)).all()
    assert (pixels[1, 3] == (200, 100, 50)).all()


@pytest.mark.parametrize("kind", ["JPEG", "TIFF"])
def test_cmyk_is_not_inverted(kind: str) -> None:
    data = save(Image.new("RGB", (16, 16), (200, 100, 50)).convert("CMYK"), kind)
    assert np.abs(rgb(data) - (200, 100, 50)).max() <= 3


def test_ycbcr_and_lab_tiffs_become_rgb() -> None:
    flat = Image.new("RGB", (16, 16), (200, 100, 50))
    ycbcr = save(flat.convert("YCbCr"), "TIFF", compression="tiff_lzw")
    assert np.abs(rgb(ycbcr) - (200, 100, 50)).max() <= 2
    to_lab = ImageCms.buildTransform(
        ImageCms.createProfile("sRGB"), ImageCms.createProfile("LAB"), "RGB", "LAB"
    )
    lab = ImageCms.applyTransform(flat, to_lab)
    assert np.abs(rgb(save(lab, "TIFF")) - (200, 100, 50)).max() <= 2


@pytest.mark.parametrize("kind", ["PNG", "TIFF"])
def test_16_bit_grey_is_scaled_and_not_clipped(kind: str) -> None:
    levels = np.array([[0, 257 * 10, 257 * 100, 32768, 257 * 200, 65535]], dtype=np.uint16)
    pixels = rgb(save(Image.fromarray(levels), kind))
    assert pixels[0, :, 0].tolist() == [0, 10, 100, 128, 200, 255]
    assert (pixels == pixels[..., :1]).all()


def test_big_endian_16_bit_tiff_has_the_right_brightness() -> None:
    little = save(Image.fromarray(np.full((1, 2), 257 * 80, dtype=np.uint16)), "TIFF")
    image = Image.open(io.BytesIO(little))
    entries = {256: 2, 257: 1, 258: 16, 259: 1, 262: 1, 273: 8 + 2 + 9 * 12 + 4, 277: 1, 278: 1}
    entries[279] = 4
    assert image.mode == "I;16"
    data = b"MM\x00\x2a" + struct.pack(">IH", 8, len(entries))
    for tag, value in sorted(entries.items()):
        data += struct.pack(">HHII", tag, 4, 1, value)
    data += struct.pack(">IHH", 0, 257 * 80, 257 * 200)
    assert rgb(data)[0, :, 0].tolist() == [80, 200]


def test_16_bit_colour_png_keeps_its_colours() -> None:
    row = b"\0" + struct.pack(">6H", 257 * 200, 257 * 100, 257 * 50, 0, 65535, 32768)
    pixels = rgb(png(2, 1, 16, 2, row))
    assert pixels[0].tolist() == [[200, 100, 50], [0, 255, 128]]


def test_numbers_without_a_defined_brightness_are_unsupported() -> None:
    floats = save(Image.fromarray(np.full((4, 4), 0.5, dtype=np.float32)), "TIFF")
    assert reason(floats) == "unsupported"
    integers = save(Image.fromarray(np.full((4, 4), 200, dtype=np.int32)), "TIFF")
    assert reason(integers) == "unsupported"


@pytest.mark.parametrize("kind", ["PNG", "WEBP", "TIFF"])
def test_alpha_is_laid_on_white(kind: str) -> None:
    image = Image.new("RGBA", (3, 1), (200, 100, 0, 255))
    image.putpixel((1, 0), (200, 100, 0, 0))
    image.putpixel((2, 0), (200, 100, 0, 51))
    options = {"lossless": True, "exact": True} if kind == "WEBP" else {}
    pixels = rgb(save(image, kind, **options))[0]
    assert pixels[:2].tolist() == [[200, 100, 0], [255, 255, 255]]
    assert np.abs(pixels[2] - (244, 224, 204)).max() <= 1


@pytest.mark.parametrize("kind", ["PNG", "TIFF"])
def test_grey_with_alpha_is_laid_on_white(kind: str) -> None:
    image = Image.new("LA", (2, 1), (60, 255))
    image.putpixel((1, 0), (60, 0))
    assert rgb(save(image, kind))[0].tolist() == [[60] * 3, [255] * 3]


@pytest.mark.parametrize("kind", ["PNG", "GIF"])
def test_a_transparent_palette_colour_is_laid_on_white(kind: str) -> None:
    image = Image.new("P", (2, 1), 0)
    image.putpalette([10, 20, 30, 200, 100, 50])
    image.putpixel((1, 0), 1)
    assert rgb(save(image, kind, transparency=1))[0].tolist() == [[10, 20, 30], [255, 255, 255]]


def test_a_palette_with_half_transparent_colours_is_laid_on_white() -> None:
    image = Image.new("P", (2, 1), 0)
    image.putpalette([10, 20, 30, 200, 100, 0])
    image.putpixel((1, 0), 1)
    pixels = rgb(save(image, "PNG", transparency=bytes((255, 51))))[0]
    assert pixels[0].tolist() == [10, 20, 30]
    assert np.abs(pixels[1] - (244, 224, 204)).max() <= 1


def test_a_transparent_grey_colour_or_level_is_laid_on_white() -> None:
    grey = Image.fromarray(np.array([[70, 80]], dtype=np.uint8))
    assert rgb(save(grey, "PNG", transparency=80))[0].tolist() == [[70] * 3, [255] * 3]
    colour = Image.fromarray(np.array([[[1, 2, 3], [1, 2, 4]]], dtype=np.uint8))
    pixels = rgb(save(colour, "PNG", transparency=(1, 2, 3)))
    assert pixels[0].tolist() == [[255] * 3, [1, 2, 4]]
    row = b"\0" + struct.pack(">2H", 1000, 257 * 90)
    deep = png(2, 1, 16, 0, row, b"tRNS" + struct.pack(">H", 1000))
    assert rgb(deep)[0].tolist() == [[255] * 3, [90] * 3]


# Sizes


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "GIF", "BMP", "TIFF"])
def test_a_photo_of_one_pixel_is_a_photo(kind: str) -> None:
    decoded = decode(save(Image.new("RGB", (1, 1), (255, 255, 255)), kind), target=260)
    assert (decoded.size, decoded.image.size) == ((1, 1), (1, 1))
    assert decoded.image.getpixel((0, 0)) == (255, 255, 255)


@pytest.mark.parametrize("height", [1, 3, 7, 10])
@pytest.mark.parametrize("kind", ["JPEG", "PNG"])
def test_a_very_long_strip_decodes_at_any_target(kind: str, height: int) -> None:
    data = save(Image.new("RGB", (20_000, height), (200, 100, 50)), kind)
    for target in (None, 32, 260):
        decoded = decode(data, target=target)
        assert decoded.size == (20_000, height)
        scaled = (-(-20_000 * decoded.scale // 1), -(-height * decoded.scale // 1))
        assert tuple(-int(-side) for side in scaled) == decoded.image.size
        assert np.abs(np.asarray(decoded.image).astype(int) - (200, 100, 50)).max() <= 3


def bomb(width: int, height: int) -> bytes:
    return png(width, height, 1, 0, b"")


@pytest.mark.parametrize("action", ["error", "default", "ignore"])
@pytest.mark.parametrize(
    ("width", "height"),
    [(9460, 9459), (9460, 9600), (20_000, 20_000), (2**31 - 1, 2**31 - 1), (MAX_PIXELS + 1, 1)],
)
def test_more_pixels_than_the_limit_are_refused_before_decoding(
    action: str, width: int, height: int
) -> None:
    assert width * height > MAX_PIXELS
    with warnings.catch_warnings():
        warnings.simplefilter(action)
        if action == "default":
            warnings.filterwarnings("ignore", category=Image.DecompressionBombWarning)
        assert reason(bomb(width, height)) == "too_large"


def test_the_limit_is_the_callers_to_lower() -> None:
    assert reason(FILES["png"], max_pixels=96 * 64) is None
    assert reason(FILES["png"], max_pixels=96 * 64 - 1) == "too_large"


def test_the_limit_holds_when_pillows_own_is_switched_off(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", None)
    assert reason(bomb(9460, 9600)) == "too_large"
    with pytest.raises(PhotoError) as caught:
        read_size(bomb(9460, 9600))
    assert caught.value.reason == "too_large"


# Files that are none


def test_no_bytes_are_empty(tmp_path: Path) -> None:
    assert reason(b"") == "empty"
    (tmp_path / "empty.jpg").touch()
    with pytest.raises(PhotoError, match=r"empty\.jpg has no bytes") as caught:
        read_bytes(tmp_path / "empty.jpg")
    assert caught.value.reason == "empty"


@pytest.mark.parametrize(
    "data", [b"hello, I am a JPEG", b"<svg/>", b"\0" * 1000, b"%PDF-1.7", b"x"]
)
def test_other_bytes_are_no_image(data: bytes) -> None:
    assert reason(data) == "not_an_image"


def test_a_missing_file_and_a_folder_have_their_own_reasons(tmp_path: Path) -> None:
    for path, expected in ((tmp_path / "none.jpg", "missing"), (tmp_path, "unreadable")):
        with pytest.raises(PhotoError) as caught:
            read_bytes(path)
        assert caught.value.reason == expected
        assert str(path) in str(caught.value)


# Damaged files


@pytest.mark.parametrize("action", ["error", "ignore"])
@pytest.mark.parametrize("name", FILES)
def test_a_cut_file_is_refused_or_shows_the_whole_picture(name: str, action: str) -> None:
    data, whole = FILES[name], rgb(FILES[name])
    lengths = {len(data) * per_mille // 1000 for per_mille in range(1, 1000, 13)}
    refused = 0
    with warnings.catch_warnings():
        warnings.simplefilter(action)
        for length in sorted(lengths | set(range(len(data) - 20, len(data)))):
            try:
                pixels = rgb(data[:length])
            except PhotoError:
                refused += 1
            else:
                assert np.array_equal(pixels, whole), f"{length} of {len(data)} bytes"
    assert refused > (30 if name == "mpo" else 70)


def lengths_within_the_scan(data: bytes) -> list[int]:
    """Where to cut a JPEG: all over its compressed pixels, the last tenth left out."""
    start = data.index(b"\xff\xda") + 20
    return [start + (len(data) - start) * per_cent // 100 for per_cent in range(0, 90, 3)]


@pytest.mark.parametrize("target", [None, 8])
@pytest.mark.parametrize("name", ["jpeg", "jpeg restarts", "jpeg grey", "jpeg cmyk"])
def test_a_cut_jpeg_with_an_end_marker_is_truncated(name: str, target: int | None) -> None:
    """libjpeg fills such files up with grey, and Pillow does not tell."""
    data = FILES[name]
    for length in lengths_within_the_scan(data):
        cut = data[:length] + b"\xff\xd9"
        assert reason(cut, target=target) == "truncated", f"{length} of {len(data)} bytes"


def test_a_jpeg_cut_at_a_restart_is_truncated() -> None:
    data = FILES["jpeg restarts"]
    ends = [i for i in range(len(data) - 2) if data[i] == 0xFF and 0xD0 <= data[i + 1] <= 0xD7]
    assert len(ends) > 3
    for end in ends:
        assert reason(data[:end] + b"\xff\xd9") == "truncated"
        assert reason(data[: end + 2] + b"\xff\xd9") == "truncated"


def test_a_progressive_jpeg_that_lacks_a_pass_is_truncated() -> None:
    for mode in ("RGB", "L", "CMYK"):
        data = save(PHOTO.convert(mode), "JPEG", progressive=True)
        first_pass, last_pass = data.index(b"\xff\xda") + 12, data.rindex(b"\xff\xda")
        assert reason(data, target=8) is None
        for length in range(first_pass, last_pass, 7):
            assert reason(data[:length] + b"\xff\xd9") in ("truncated", "corrupt")


@pytest.mark.parametrize("extra", [0, 100_000])
@pytest.mark.parametrize("quality", [75, 98])
def test_a_jpeg_whose_tail_a_broken_copy_left_zero_is_truncated(quality: int, extra: int) -> None:
    data = save(PHOTO, "JPEG", quality=quality)
    for length in lengths_within_the_scan(data):
        assert reason(data[:length] + bytes(len(data) - length + extra)) == "truncated"


def test_a_whole_jpeg_with_a_grey_corner_is_no_truncated_one() -> None:
    for mode, progressive in (("RGB", False), ("RGB", True), ("L", False), ("CMYK", False)):
        grey = Image.new("RGB", (96, 64), (128, 128, 128))
        grey.paste(PHOTO.crop((0, 0, 48, 32)), (0, 0))
        data = save(grey.convert(mode), "JPEG", progressive=progressive, restart_marker_blocks=3)
        corner = rgb(data)[-1, -1]
        assert np.abs(corner - 128).max() <= 2
        assert reason(data, target=8) is None


def test_bytes_after_a_jpegs_end_do_no_harm() -> None:
    for trailer in (b"\0", b"\0" * 5000, b"\r\n", bytes(range(256)) * 9, FILES["png"]):
        assert np.array_equal(rgb(FILES["jpeg"] + trailer), rgb(FILES["jpeg"]))


def test_a_cut_jpeg_is_refused_where_others_let_pillow_accept_them(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(ImageFile, "LOAD_TRUNCATED_IMAGES", True)
    assert reason(FILES["jpeg"][:-500]) == "truncated"


def test_a_png_with_changed_pixel_data_is_refused() -> None:
    data = bytearray(FILES["png"])
    start = data.index(b"IDAT")
    for at in range(start + 10, len(data) - 30, 997):
        changed = bytes(data[:at]) + bytes([data[at] ^ 1]) + bytes(data[at + 1 :])
        assert reason(changed) in ("corrupt", "truncated")
    zeroed = bytes(data[: len(data) * 9 // 10]) + bytes(len(data) // 10)
    assert reason(zeroed) in ("corrupt", "truncated")


@pytest.mark.parametrize("name", [*FILES, "turned jpeg", "turned webp", "turned png"])
def test_changed_bytes_raise_nothing_but_photo_errors(name: str) -> None:
    upright = np.asarray(noisy((24, 16)))
    if name.startswith("turned"):
        kind = name.split()[1].upper()
        data = stored_as(upright, 6, kind)
    else:
        data = FILES[name]

    @settings(max_examples=60)
    @given(
        st.lists(
            st.tuples(
                st.one_of(st.integers(0, min(len(data), 300) - 1), st.integers(0, len(data) - 1)),
                st.integers(0, 255),
            ),
            min_size=1,
            max_size=6,
        ),
        st.sampled_from([None, 8]),
    )
    def check(changes: list[tuple[int, int]], target: int | None) -> None:
        mutated = bytearray(data)
        for position, value in changes:
            mutated[position] = value
        try:
            decoded = decode(bytes(mutated), target=target)
        except PhotoError:
            return
        assert decoded.image.mode == "RGB"

    check()


@settings(max_examples=150)
@given(
    st.sampled_from(
        [
            b"",
            b"\xff\xd8\xff\xe0\x00\x10JFIF\0",
            b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR",
            b"GIF89a",
            b"BM",
            b"II*\0\x08\0\0\0",
            b"RIFF\x20\0\0\0WEBPVP8 ",
            b"\0\0\0\x18ftypheic\0\0\0\0mif1heic",
            b"\0\0\0\x18ftypavif\0\0\0\0mif1avif",
        ]
    ),
    st.binary(max_size=200),
)
def test_arbitrary_bytes_raise_nothing_but_photo_errors(start: bytes, rest: bytes) -> None:
    for read in (decode, read_size):
        with contextlib.suppress(PhotoError):
            read(start + rest)


def test_damaged_exif_does_not_spoil_the_pixels() -> None:
    exif = b"Exif\0\0MM\0\x2a\0\0\0\x08\0\x09\x01\x12"
    data = save(PHOTO, "JPEG", exif=exif)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        assert np.array_equal(rgb(data), rgb(FILES["jpeg"]))


# The EXIF turn


@pytest.mark.parametrize("orientation", ORIENTATIONS)
@pytest.mark.parametrize(
    ("kind", "options"),
    [
        ("PNG", {}),
        ("WEBP", {"lossless": True}),
        ("TIFF", {}),
        ("TIFF", {"compression": "tiff_lzw"}),
    ],
)
def test_the_exif_turn_brings_the_photo_upright(
    kind: str, options: dict[str, object], orientation: int
) -> None:
    upright = np.asarray(noisy((21, 13)))
    data = stored_as(upright, orientation, kind, **options)
    assert np.array_equal(rgb(data), upright)
    assert decode(data).size == read_size(data) == (21, 13)


@pytest.mark.parametrize("orientation", [0, 9, 65535])
def test_an_orientation_that_does_not_exist_turns_nothing(orientation: int) -> None:
    exif = Image.Exif()
    exif[ExifTags.Base.Orientation] = orientation
    assert np.array_equal(rgb(save(PHOTO, "PNG", exif=exif)), np.asarray(PHOTO))


@pytest.mark.parametrize("orientation", ORIENTATIONS)
@settings(max_examples=25)
@given(st.data())
def test_a_stored_box_means_the_same_region_upright(orientation: int, data: st.DataObject) -> None:
    upright = np.asarray(noisy((21, 13)))
    stored = STORE[orientation](upright)
    height, width = stored.shape[:2]
    x0 = data.draw(st.integers(0, width - 1))
    y0 = data.draw(st.integers(0, height - 1))
    x1 = data.draw(st.integers(x0 + 1, width))
    y1 = data.draw(st.integers(y0 + 1, height))
    kind = data.draw(st.sampled_from(["PNG", "TIFF"]))
    decoded = decode(
        stored_as(upright, orientation, kind), box=Box(x0, y0, x1, y1), box_frame="stored"
    )
    assert decoded.box is not None
    assert not decoded.clipped
    left, top = int(decoded.box.x0), int(decoded.box.y0)
    right, bottom = int(decoded.box.x1), int(decoded.box.y1)
    cut = np.asarray(decoded.image)[top:bottom, left:right]
    # The stored region, turned as the whole photo is, is the upright region.
    assert np.array_equal(cut, turned(stored[y0:y1, x0:x1], orientation))


def turned(stored: npt.NDArray[np.uint8], orientation: int) -> npt.NDArray[np.uint8]:
    """The EXIF turn by its definition: which stored edge is the upright top and left."""
    rows_first = stored if orientation < 5 else stored.swapaxes(0, 1)
    flip_rows = orientation in (3, 4, 7, 8)
    flip_columns = orientation in (2, 3, 6, 7)
    return rows_first[:: -1 if flip_rows else 1, :: -1 if flip_columns else 1]


@pytest.mark.parametrize("orientation", ORIENTATIONS)
def test_an_upright_box_counts_pixels_after_the_turn(orientation: int) -> None:
    upright = np.zeros((13, 21, 3), np.uint8)
    upright[2:5, 4:9] = 255
    decoded = decode(stored_as(upright, orientation, "PNG"), box=Box.from_xywh(4, 2, 5, 3))
    assert decoded.box == Box(4, 2, 9, 5)
    assert (np.asarray(decoded.image)[2:5, 4:9] == 255).all()


# Boxes


def test_a_box_partly_outside_is_clipped_and_says_so() -> None:
    decoded = decode(FILES["png"], box=Box(-10, 20, 40, 900))
    assert (decoded.box, decoded.clipped) == (Box(0, 20, 40, 64), True)
    inside = decode(FILES["png"], box=Box(0, 0, 96, 64))
    assert (inside.box, inside.clipped) == (Box(0, 0, 96, 64), False)


def test_a_box_wholly_outside_is_refused() -> None:
    for box in (Box(96, 0, 100, 10), Box(-5, 0, 0, 10), Box(0, 64, 5, 70)):
        assert reason(FILES["png"], box=box) == "outside_box"


def test_an_upright_box_is_measured_against_the_upright_photo() -> None:
    tall = stored_as(np.asarray(PHOTO).swapaxes(0, 1), 6, "PNG")
    assert read_size(tall) == (64, 96)
    assert reason(tall, box=Box(0, 70, 10, 80)) is None
    assert reason(tall, box=Box(70, 0, 80, 10)) == "outside_box"
    assert reason(tall, box=Box(70, 0, 80, 10), box_frame="stored") is None


# Reduced scale

PICTURE = natural((1601, 1203))
REGIONS = [None, Box(0, 0, 1601, 1203), Box(160.4, 240.7, 1441, 1150), Box(400, 100, 1100, 1180)]


def reduced_and_full(
    data: bytes, box: Box | None, target: int, fit: Fit
) -> tuple[Decoded, npt.NDArray[np.int64]]:
    reduced = decode(
        data, box=box, target=target, target_side="longer" if fit == "pad" else "shorter"
    )
    full = decode(data, box=box)
    assert (full.scale, full.box, full.size) == (1.0, reduced.box, reduced.size)
    pixels = [crop(photo, size=target, fit=fit).astype(np.int64) for photo in (reduced, full)]
    return reduced, pixels[0] - pixels[1]


@pytest.mark.parametrize("fit", ["pad", "squash", "crop"])
@pytest.mark.parametrize("subsampling", [0, 2])
def test_reduced_scale_differs_by_less_than_a_grey_level(fit: Fit, subsampling: int) -> None:
    data = save(PICTURE, "JPEG", quality=85, subsampling=subsampling)
    scales = set()
    for box in REGIONS:
        for target in (64, 128, 260):
            reduced, difference = reduced_and_full(data, box, target, fit)
            assert np.abs(difference).mean() < 1
            assert np.abs(difference).max() <= 16
            scales.add(reduced.scale)
    assert scales >= {0.5, 0.25, 0.125}


@pytest.mark.parametrize("orientation", ORIENTATIONS)
def test_reduced_scale_keeps_its_place_under_every_turn(orientation: int) -> None:
    data = stored_as(np.asarray(PICTURE), orientation, "JPEG", quality=90)
    for box in (None, Box(160.4, 240.7, 1441, 1150)):
        _, difference = reduced_and_full(data, box, 64, "pad")
        assert np.abs(difference).mean() < 1
    even = np.asarray(PICTURE)[:1200, :1600]
    reduced, difference = reduced_and_full(
        stored_as(even, orientation, "JPEG", quality=90), None, 64, "pad"
    )
    assert np.abs(difference).mean() < 1
    assert reduced.scale == 0.125


def test_reduced_scale_of_a_large_photo_shows_a_marker_where_it_is() -> None:
    pixels = np.full((3000, 4000, 3), 255, np.uint8)
    pixels[1203:1803, 1601:2401] = 0
    data = save(Image.fromarray(pixels), "JPEG", quality=90)
    exact = decode(data, box=Box(1601, 1203, 2401, 1803), target=50)
    assert exact.scale == 0.125
    inner = crop(exact, size=40, fit="squash")
    assert inner[2:-2, 2:-2].max() <= 4
    assert inner.mean() < 10
    # A border of a tenth on each side: the marker's edges fall on the crop's pixels 4 and 36.
    wider = decode(data, box=Box(1501, 1128, 2501, 1878), target=40)
    assert wider.scale == 0.125
    assert wider.image.size == (500, 375)
    grey = crop(wider, size=40, fit="squash")[..., 0].astype(int)
    profile_x, profile_y = grey[20], grey[:, 20]
    for profile in (profile_x, profile_y):
        assert (profile[:3] > 245).all()
        assert (profile[-3:] > 245).all()
        assert (profile[5:35] < 10).all()
        # Symmetric: shifted by one pixel of the full photo already, the sums would differ by 10.
        assert abs(int(profile[:20].sum()) - int(profile[20:].sum())) <= 6


def test_only_regions_large_enough_are_decoded_at_reduced_scale() -> None:
    data = save(noisy((1024, 768)), "JPEG")
    scales = [decode(data, target=target).scale for target in (64, 65, 128, 129, 256, 257)]
    assert scales == [1 / 8, 1 / 4, 1 / 4, 1 / 2, 1 / 2, 1]
    small = decode(data, box=Box(0, 0, 100, 100), target=64)
    assert (small.scale, small.image.size) == (1, (1024, 768))
    shorter = decode(data, target=128, target_side="shorter")
    assert shorter.scale == 1 / 2


def test_other_formats_are_decoded_at_full_scale() -> None:
    assert decode(save(noisy((512, 384)), "PNG"), target=16).scale == 1


@pytest.mark.parametrize("orientation", [1, 3, 6])
def test_very_large_photos_of_other_formats_are_reduced(
    monkeypatch: pytest.MonkeyPatch, orientation: int
) -> None:
    monkeypatch.setattr(decoding, "REDUCED_ABOVE", 1600 * 1200 - 1)
    monkeypatch.setattr(decoding, "_STRIP", 50_000)
    even = np.asarray(PICTURE)[:1200, :1600]
    for kind in ("PNG", "TIFF", "WEBP"):
        data = stored_as(even, orientation, kind)
        for box in (None, Box(160.4, 240.7, 1441, 1150)):
            reduced, difference = reduced_and_full(data, box, 64, "pad")
            assert reduced.scale == 0.125
            assert np.abs(difference).mean() < 1
    assert decode(save(PICTURE.crop((0, 0, 1599, 1200)), "PNG"), target=16).scale == 1


@pytest.mark.parametrize("name", [*FILES, "png rgba", "png grey alpha", "png 16 bits"])
def test_converting_in_strips_gives_the_same_pixels(
    monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    alpha = Image.merge("RGBA", (*PHOTO.split(), PHOTO.getchannel("R")))
    more = {
        "png rgba": alpha,
        "png grey alpha": alpha.convert("LA"),
        "png 16 bits": Image.fromarray(np.asarray(PHOTO.convert("L")).astype(np.uint16) * 200),
    }
    data = save(more[name], "PNG") if name in more else FILES[name]
    whole = rgb(data)
    monkeypatch.setattr(decoding, "_STRIP", 96 * 7)
    assert np.array_equal(rgb(data), whole)


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="measured as Linux tells it")
@pytest.mark.parametrize(("mode", "megabytes"), [("1", 250), ("RGBA", 550)])
def test_a_small_file_of_very_many_pixels_needs_little_memory(
    tmp_path: Path, mode: str, megabytes: int
) -> None:
    side = 9400
    depth, colour, row = (
        (1, 0, b"\0" * (1 + side // 8)) if mode == "1" else (8, 6, b"\0" * (1 + 4 * side))
    )
    (tmp_path / "a.png").write_bytes(png(side, side, depth, colour, row * side))
    code = (
        "import sys; from pathlib import Path\n"
        "from shoplens.pixels.crops import crop; from shoplens.pixels.decoding import decode\n"
        "crop(decode(Path(sys.argv[1]).read_bytes(), target=384), size=384, fit='pad')\n"
        "lines = open('/proc/self/status').read().splitlines()\n"
        "print(next(line.split()[1] for line in lines if line.startswith('VmHWM')))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, str(tmp_path / "a.png")],
        capture_output=True,
        text=True,
        check=True,
    )
    assert int(done.stdout) / 1000 < megabytes


def test_a_pipe_is_not_waited_for(tmp_path: Path) -> None:
    if not hasattr(os, "mkfifo"):
        pytest.skip("needs named pipes")
    os.mkfifo(tmp_path / "pipe.jpg")
    with pytest.raises(PhotoError, match="no regular file") as caught:
        read_bytes(tmp_path / "pipe.jpg")
    assert caught.value.reason == "unreadable"


# What phones make


@pytest.mark.parametrize("orientation", ORIENTATIONS)
@pytest.mark.parametrize("kind", ["HEIF", "AVIF"])
def test_a_turned_photo_of_a_phone_looks_as_the_same_jpeg(kind: str, orientation: int) -> None:
    """EXIF tells the turn, and the container tells it as well: it is applied once."""
    upright = np.asarray(noisy((97, 63), spread=4))
    jpeg = stored_as(upright, orientation, "JPEG", quality=95)
    exif = Image.open(io.BytesIO(jpeg)).getexif()
    stored = Image.fromarray(np.ascontiguousarray(STORE[orientation](upright)))
    options = {"exif": exif.tobytes(), "quality": 95}
    data = heic(stored, **options) if kind == "HEIF" else save(stored, kind, **options)
    assert exif[ExifTags.Base.Orientation] == orientation
    assert decode(data).size == read_size(data) == read_size(jpeg) == (97, 63)
    assert np.abs(rgb(data) - rgb(jpeg)).mean() < 4
    region = decode(data, box=Box(10, 20, 200, 40))
    assert (region.box, region.clipped) == (Box(10, 20, 97, 40), True)


def test_exif_alone_does_not_turn_a_heic() -> None:
    """The container decides: so its standard says."""
    exif = Image.Exif()
    exif[ExifTags.Base.Orientation] = 6
    turned = bytearray(heic(PHOTO, exif=exif.tobytes()))
    at = turned.index(b"irot")
    turned[at + 4] = 0
    assert read_size(bytes(turned)) == (96, 64)
    assert np.abs(rgb(bytes(turned)) - np.asarray(PHOTO).astype(int)).mean() < 8


@pytest.mark.parametrize("read", [decode, read_size])
def test_a_heic_without_the_extra_says_what_to_install(
    read: Callable[[bytes], object], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "pillow_heif", None)
    with pytest.raises(PhotoError, match=r"pip install 'shoplens\[heic\]'") as caught:
        read(FILES["heic"])
    assert caught.value.reason == "not_installed"
    assert decode(FILES["avif"]).size == (96, 64)


def test_alpha_of_what_phones_make_is_laid_on_white() -> None:
    image = Image.new("RGBA", (64, 64), (200, 100, 0, 0))
    image.paste((200, 100, 0, 255), (0, 0, 32, 64))
    for data in (save(image, "AVIF"), heic(image)):
        pixels = rgb(data)
        assert np.abs(pixels[32, 8] - (200, 100, 0)).max() <= 6
        assert np.abs(pixels[32, 56] - 255).max() <= 2


def test_more_pixels_than_the_limit_are_refused_before_they_are_decoded() -> None:
    for name in ("avif", "heic", "heic tiles"):
        assert reason(FILES[name], max_pixels=96 * 64 - 1) == "too_large"
        assert reason(FILES[name], max_pixels=96 * 64) is None


def test_a_film_is_no_photo() -> None:
    assert reason(b"\0\0\0\x18ftypisom\0\0\0\0isommp42" + bytes(100)) == "not_an_image"


def test_what_other_software_appends_to_a_heic_does_no_harm() -> None:
    for trailer in (b"\0", bytes(40), b"SEFT" * 9, FILES["png"]):
        for name in ("heic", "heic tiles", "avif"):
            assert np.array_equal(rgb(FILES[name] + trailer), rgb(FILES[name]))


def test_a_jpeg_cut_after_half_a_marker_is_refused() -> None:
    stream = io.BytesIO()
    Image.effect_noise((200, 160), 60).convert("RGB").save(stream, "JPEG", quality=92)
    data = stream.getvalue()
    cuts = [i + 1 for i in range(700, len(data) - 400) if data[i] == 0xFF]
    assert len(cuts) > 20
    for cut in cuts[:: len(cuts) // 20]:
        with pytest.raises(PhotoError):
            decode(data[:cut] + b"\xff\xd9")
