"""From the bytes of a photo to upright RGB pixels.

Every way a real file goes wrong ends in a `PhotoError` with a reason to count by, never in a
half-grey picture. (What no reader can tell is bytes overwritten in place where the format has no
checksum: WebP, BMP, TIFF, the middle of a JPEG.) JPEGs far larger than needed are decoded at a
reduced scale (libjpeg's scaled inverse DCT), which costs a fraction of the time and memory.
"""

from __future__ import annotations

import io
import re
import stat
import struct
import zlib
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
from PIL import ExifTags, Image, ImageFile, JpegImagePlugin, TiffImagePlugin, UnidentifiedImageError

from shoplens.errors import PhotoError
from shoplens.records import Box, BoxFrame

MAX_PIXELS = 89_478_485
"""Photos of more pixels are refused as `too_large`: Pillow's own limit against decompression
bombs (256 MiB of RGB)."""

FORMATS = ("JPEG", "PNG", "WEBP", "GIF", "BMP", "TIFF")
"""Accepted formats, by content and not by file name. MPO, the JPEG of many phones, is opened as a
JPEG; Pillow has no opener of that name."""

OVERSAMPLING = 2.0
"""A JPEG is decoded at reduced scale only while the region of interest keeps at least this many
times the pixels per side that it will be resized to; the result then differs from that of a full
decode by less than a grey level on average (`tests/test_images.py`)."""

_TURNS = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
"""What brings a photo of each EXIF orientation upright."""

_MIRROR_X = (2, 3, 7, 8)
_MIRROR_Y = (3, 4, 6, 7)
"""EXIF orientations whose turn mirrors an axis of the pixels as stored."""

_DECODE_ERRORS = (
    OSError,
    SyntaxError,
    ValueError,
    EOFError,
    struct.error,
    zlib.error,
    TypeError,
    LookupError,
    ArithmeticError,
    AttributeError,
    AssertionError,
    RuntimeError,
    Warning,  # Damaged metadata, where the caller turns warnings into errors.
)
"""What Pillow's decoders raise on damaged data."""

_JPEG_END = b"\xff\xd9"
_JPEG_MARKER = re.compile(rb"\xff[^\x00\xd0-\xd7\xff]")
"""What ends a scan of a JPEG; restart markers and stuffed bytes belong to the scan."""
_NOISE = bytes(range(1, 127)) * 2
_JPEG_TAIL = b"".join(_NOISE + bytes((0xFF, restart)) for restart in range(0xD0, 0xD8)) + _JPEG_END
"""More data for a scan, whichever restart it waits for, and the end marker."""


@dataclass(frozen=True, slots=True)
class Decoded:
    """A decoded photo, upright."""

    image: Image.Image
    """Mode RGB; `size` times `scale`, rounded up."""
    size: tuple[int, int]
    """Width and height in pixels of the upright photo at full scale."""
    scale: float
    """1.0, or 1/2, 1/4, 1/8 for a JPEG decoded at reduced scale."""
    box: Box | None
    """The region asked for, in pixels of the upright photo at full scale, clipped to it."""
    clipped: bool
    """Whether a part of the region asked for lay outside the photo."""


def read_bytes(path: Path) -> bytes:
    """Read a photo's file.

    Raises `PhotoError` with reason `missing`, `unreadable` or `empty`.
    """
    try:
        # A pipe or a device would be waited for without end.
        if not stat.S_ISREG(path.stat().st_mode):
            raise PhotoError("unreadable", f"{path} is no regular file")
        data = path.read_bytes()
    except FileNotFoundError:
        raise PhotoError("missing", f"no file {path}") from None
    except OSError as error:
        raise PhotoError("unreadable", f"{path}: {error.strerror or error}") from error
    if not data:
        raise PhotoError("empty", f"{path} has no bytes")
    return data


def decode(
    data: bytes,
    *,
    box: Box | None = None,
    box_frame: BoxFrame = "upright",
    target: int | None = None,
    target_side: Literal["longer", "shorter"] = "longer",
    max_pixels: int = MAX_PIXELS,
) -> Decoded:
    """Decode a photo and turn it upright.

    Args:
        data: the file's bytes.
        box: the region of interest; None means the whole photo.
        box_frame: whether `box` counts pixels after the EXIF turn or as stored.
        target: length in pixels that a side of the region will be resized to; lets large JPEGs
            be decoded at reduced scale. None decodes at full scale.
        target_side: the side that `target` means.
        max_pixels: photos of more pixels are refused.

    Returns:
        A `Decoded` photo: RGB, alpha flattened on white, first frame of an animation, 16-bit
        grey scaled to 8 bits. Colour profiles are not applied.

    Raises:
        PhotoError: reason `empty`, `not_an_image`, `too_large`, `truncated`, `corrupt`,
            `unsupported`, `bad_box` or `outside_box`.
    """
    image = _open(data, max_pixels)
    stored = _stored_size(image)
    orientation = _orientation(image)
    size = stored if orientation < 5 else (stored[1], stored[0])
    region, clipped = None, False
    if box is not None:
        upright = _turn_box(box, orientation, stored) if box_frame == "stored" else box
        region, clipped = upright.clip(size), not upright.is_within(size)
    shrink = 1
    if target is not None and isinstance(image, JpegImagePlugin.JpegImageFile):
        sides = size if region is None else (region.width, region.height)
        length = max(sides) if target_side == "longer" else min(sides)
        # The shorter side of the picture must keep a pixel: a strip may be 20,000 x 4.
        room = min(length / (target * OVERSAMPLING), *stored)
        shrink = _shrink(room, orientation, stored)
    pixels = _load(image, shrink, data)
    if orientation in _TURNS and image.format != "TIFF":  # Pillow turns TIFFs itself.
        pixels = pixels.transpose(_TURNS[orientation])
    return Decoded(pixels, size, 1 / shrink, region, clipped)


def read_size(data: bytes, frame: BoxFrame = "upright") -> tuple[int, int]:
    """Return the width and height in pixels of a photo, from its header where that tells its turn.

    `frame` says whether of the photo after its EXIF turn or as stored.

    Raises `PhotoError` as `decode` does for headers.
    """
    image = _open(data, MAX_PIXELS)
    width, height = _stored_size(image)
    turned = frame == "upright" and _orientation(image) >= 5
    return (height, width) if turned else (width, height)


def _open(data: bytes, max_pixels: int) -> ImageFile.ImageFile:
    if not data:
        raise PhotoError("empty", "no bytes")
    try:
        image = Image.open(io.BytesIO(data), formats=FORMATS)
    except (Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
        raise PhotoError("too_large", str(error)) from None
    except UnidentifiedImageError:
        problem = f"not an image in a known format ({', '.join(FORMATS)})"
        if data[4:8] == b"ftyp":
            problem = "HEIC or AVIF, as some phones write them, is not read: convert to JPEG"
        raise PhotoError("not_an_image", problem) from None
    except _DECODE_ERRORS as error:
        raise PhotoError("corrupt", f"damaged header: {error}") from error
    width, height = image.size
    if width * height > max_pixels:
        raise PhotoError(
            "too_large",
            f"{width} x {height} pixels are more than the limit of {max_pixels:,}",
        )
    return image


def _stored_size(image: ImageFile.ImageFile) -> tuple[int, int]:
    if not isinstance(image, TiffImagePlugin.TiffImageFile):
        return image.size
    # Pillow versions differ in whether they give a TIFF's size before or after its turn.
    tags = image.tag_v2
    try:
        return int(tags[ExifTags.Base.ImageWidth]), int(tags[ExifTags.Base.ImageLength])
    except _DECODE_ERRORS as error:
        raise PhotoError("corrupt", f"damaged header: {error}") from error


def _orientation(image: Image.Image) -> int:
    try:
        value = image.getexif().get(ExifTags.Base.Orientation, 1)
    except _DECODE_ERRORS:
        return 1  # A damaged EXIF block does not spoil the pixels.
    return value if value in _TURNS else 1


def _turn_box(box: Box, orientation: int, stored: tuple[int, int]) -> Box:
    """Carry a box in stored pixels over to the upright photo."""
    width, height = stored
    x0, y0, x1, y1 = box.x0, box.y0, box.x1, box.y1
    if orientation in _MIRROR_X:
        x0, x1 = width - x1, width - x0
    if orientation in _MIRROR_Y:
        y0, y1 = height - y1, height - y0
    return Box(y0, x0, y1, x1) if orientation >= 5 else Box(x0, y0, x1, y1)


def _shrink(room: float, orientation: int, stored: tuple[int, int]) -> int:
    """Return the largest of libjpeg's scales 8, 4, 2 and 1 that is within `room` and fits.

    A last column that lies partly outside the photo does no harm on the right; where the EXIF turn
    would bring it to the left it would shift the picture, so there it must be whole. So for rows.
    """
    axes = zip(stored, (_MIRROR_X, _MIRROR_Y), strict=True)
    mirrored = [length for length, turns in axes if orientation in turns]
    scales = (n for n in (8, 4, 2) if n <= room and not any(length % n for length in mirrored))
    return next(scales, 1)


def _load(image: ImageFile.ImageFile, shrink: int, data: bytes) -> Image.Image:
    try:
        _load_scaled(image, shrink)
        if isinstance(image, JpegImagePlugin.JpegImageFile):
            _refuse_cut_jpeg(image, shrink, data)
        elif image.format == "PNG":
            _refuse_damaged_png(data)
        return _to_rgb(image)
    except PhotoError:
        raise
    except MemoryError as error:
        raise PhotoError("too_large", "not enough memory to decode it") from error
    except _DECODE_ERRORS as error:
        reason = "truncated" if "truncated" in str(error).lower() else "corrupt"
        raise PhotoError(reason, f"{image.format} {reason}: {error}") from error


def _load_scaled(image: ImageFile.ImageFile, shrink: int) -> None:
    if shrink > 1:
        width, height = image.size
        image.draft(None, (width // shrink, height // shrink))
    image.load()


def _refuse_cut_jpeg(image: JpegImagePlugin.JpegImageFile, shrink: int, data: bytes) -> None:
    """Refuse a JPEG whose scans end before its picture, though it looks complete to Pillow.

    libjpeg fills the rest with grey when an end marker comes too early, and decodes zeros left by
    a broken copy as if they were pixels; it warns, but Pillow does not pass that on. Such files
    are suspected by traits that cost nothing to see. One with a grey corner is decoded again with
    noise in front of its end marker: only a picture that still lacked data changes. A progressive
    one must have begun all its passes. One cut within the last is not told from a whole one; what
    it lacks is mostly the finest detail.
    """
    corner = image.crop((image.width - 1, image.height - 1, image.width, image.height))
    grey = all(value in (127, 128) for value in corner.tobytes())
    if data.endswith(_JPEG_END) and not grey and "progressive" not in image.info:
        return
    end, n_coefficients = _scan_jpeg(data)
    if end < 0:
        raise PhotoError("truncated", "JPEG truncated: it has no end marker")
    if n_coefficients < 64 * image.layers:
        raise PhotoError("truncated", "JPEG truncated: passes of its progressive picture lack")
    if grey:
        probe = Image.open(io.BytesIO(data[:end].rstrip(b"\xff") + _JPEG_TAIL), formats=("JPEG",))
        _load_scaled(probe, shrink)
        if probe.tobytes() != image.tobytes():
            raise PhotoError("truncated", "JPEG truncated: its end marker comes too early")


def _scan_jpeg(data: bytes) -> tuple[int, int]:
    """Return where a JPEG's end marker is (-1: nowhere), and its coefficients sent in full."""
    finished: set[tuple[int, int]] = set()
    position = 2
    while marker := _JPEG_MARKER.search(data, position):
        position, code = marker.end(), data[marker.end() - 1]
        if code == 0xD9:
            return marker.start(), len(finished)
        if code in (0x01, 0xD8):  # These carry no segment.
            continue
        length = int.from_bytes(data[position : position + 2], "big")
        if code == 0xDA:
            n = data[position + 2]
            first, last, precision = data[position + 3 + 2 * n : position + 6 + 2 * n]
            if precision & 15 == 0:
                components = data[position + 3 : position + 3 + 2 * n : 2]
                finished |= {(c, k) for c in components for k in range(first, last + 1)}
        position += length
    return -1, len(finished)


def _refuse_damaged_png(data: bytes) -> None:
    """Refuse a PNG with a wrong checksum over its pixels, which Pillow does not look at."""
    position = 8
    while position + 12 <= len(data):
        end = position + 8 + int.from_bytes(data[position : position + 4], "big")
        if data[position + 4 : position + 8] == b"IDAT" and end + 4 <= len(data):
            checksum = zlib.crc32(memoryview(data)[position + 4 : end])
            if checksum.to_bytes(4, "big") != data[end : end + 4]:
                raise PhotoError("corrupt", "PNG corrupt: its pixels do not fit their checksum")
        position = end + 4


def _to_rgb(image: Image.Image) -> Image.Image:
    if image.mode == "RGB" and "transparency" not in image.info:
        return image
    if image.mode.startswith("I;16"):
        # Pillow's own conversion would clip 16-bit grey at 255 instead of scaling it.
        grey = np.asarray(image)
        levels = (grey >> 8).astype(np.uint8)
        if isinstance(transparent := image.info.get("transparency"), int):
            levels[grey == transparent] = 255
        return Image.fromarray(levels).convert("RGB")
    if image.mode == "I":
        raise PhotoError("unsupported", "32-bit integer pixels have no defined way to RGB")
    if image.mode == "F":
        raise PhotoError("unsupported", "floating-point pixels have no defined way to RGB")
    if "transparency" in image.info or image.mode in ("RGBA", "LA", "PA", "RGBa", "La"):
        rgba = image.convert("RGBA")
        flat = Image.new("RGB", rgba.size, "white")
        flat.paste(rgba, mask=rgba.getchannel("A"))
        return flat
    return image.convert("RGB")
