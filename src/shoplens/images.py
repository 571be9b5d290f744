"""From the bytes of a photo to upright RGB pixels.

Every way a real file goes wrong ends in a `PhotoError` with a reason to count by, never in a
half-grey picture. JPEGs far larger than needed are decoded at a reduced scale (libjpeg's scaled
inverse DCT), which costs a fraction of the time and memory.
"""

from __future__ import annotations

import io
import math
import struct
import zlib
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import ExifTags, Image, ImageFile, JpegImagePlugin, UnidentifiedImageError

from shoplens.errors import PhotoError
from shoplens.records import Box, BoxFrame

MAX_PIXELS = 89_478_485
"""Photos of more pixels are refused as `too_large`: Pillow's own limit against decompression
bombs (256 MiB of RGB)."""

FORMATS = ("JPEG", "MPO", "PNG", "WEBP", "GIF", "BMP", "TIFF")
"""Accepted formats, by content and not by file name. MPO is the JPEG of many phones."""

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

_DECODE_ERRORS = (
    OSError,
    SyntaxError,
    ValueError,
    EOFError,
    struct.error,
    zlib.error,
    TypeError,
    KeyError,
    IndexError,
    OverflowError,
)
"""What Pillow's decoders raise on damaged data."""


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
    max_pixels: int = MAX_PIXELS,
) -> Decoded:
    """Decode a photo and turn it upright.

    Args:
        data: the file's bytes.
        box: the region of interest; None means the whole photo.
        box_frame: whether `box` counts pixels after the EXIF turn or as stored.
        target: length in pixels that the region's longer side will be resized to; lets large
            JPEGs be decoded at reduced scale. None decodes at full scale.
        max_pixels: photos of more pixels are refused.

    Returns:
        A `Decoded` photo: RGB, alpha flattened on white, first frame of an animation, 16-bit
        grey scaled to 8 bits. Colour profiles are not applied.

    Raises:
        PhotoError: reason `empty`, `not_an_image`, `too_large`, `truncated`, `corrupt`,
            `unsupported`, `bad_box` or `outside_box`.
    """
    image = _open(data, max_pixels)
    stored = image.size
    orientation = _orientation(image)
    size = stored if orientation < 5 else (stored[1], stored[0])
    region, clipped = None, False
    if box is not None:
        upright = _turn_box(box, orientation, stored) if box_frame == "stored" else box
        region, clipped = upright.clip(size), not upright.is_within(size)
    shrink = 1
    if target is not None and isinstance(image, JpegImagePlugin.JpegImageFile):
        longest = max(size) if region is None else max(region.width, region.height)
        shrink = _shrink(longest, target)
    pixels = _load(image, shrink)
    if orientation in _TURNS:
        pixels = pixels.transpose(_TURNS[orientation])
    return Decoded(pixels, size, 1 / shrink, region, clipped)


def read_size(data: bytes) -> tuple[int, int]:
    """Return the width and height in pixels of the upright photo, from its header alone.

    Raises `PhotoError` as `decode` does for headers.
    """
    image = _open(data, MAX_PIXELS)
    width, height = image.size
    return (width, height) if _orientation(image) < 5 else (height, width)


def _open(data: bytes, max_pixels: int) -> ImageFile.ImageFile:
    if not data:
        raise PhotoError("empty", "no bytes")
    try:
        image = Image.open(io.BytesIO(data), formats=FORMATS)
    except (Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
        raise PhotoError("too_large", str(error)) from None
    except UnidentifiedImageError:
        raise PhotoError(
            "not_an_image", f"not an image in a known format ({', '.join(FORMATS)})"
        ) from None
    except _DECODE_ERRORS as error:
        raise PhotoError("corrupt", f"damaged header: {error}") from error
    width, height = image.size
    if width * height > max_pixels:
        raise PhotoError(
            "too_large",
            f"{width} x {height} pixels are more than the limit of {max_pixels:,}",
        )
    return image


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
    if orientation in (2, 3, 7, 8):  # These mirror the stored x axis.
        x0, x1 = width - x1, width - x0
    if orientation in (3, 4, 6, 7):  # These mirror the stored y axis.
        y0, y1 = height - y1, height - y0
    return Box(y0, x0, y1, x1) if orientation >= 5 else Box(x0, y0, x1, y1)


def _shrink(longest: float, target: int) -> int:
    room = longest / (target * OVERSAMPLING)
    return 1 if room < 2 else min(8, 2 ** int(math.log2(room)))


def _load(image: ImageFile.ImageFile, shrink: int) -> Image.Image:
    try:
        if shrink > 1:
            width, height = image.size
            image.draft(None, (width // shrink, height // shrink))
        image.load()
        return _to_rgb(image)
    except PhotoError:
        raise
    except _DECODE_ERRORS as error:
        reason = "truncated" if "truncated" in str(error).lower() else "corrupt"
        raise PhotoError(reason, f"{image.format} {reason}: {error}") from error


def _to_rgb(image: Image.Image) -> Image.Image:
    if image.mode == "RGB" and "transparency" not in image.info:
        return image
    if image.mode.startswith("I"):
        # 16-bit grey; Pillow's own conversion would clip it at 255 instead of scaling it.
        grey = np.asarray(image).astype(np.int64)
        if grey.min(initial=0) < 0 or grey.max(initial=0) > 65535:
            raise PhotoError("unsupported", "32-bit integer pixels have no defined way to RGB")
        return Image.fromarray((grey >> 8).astype(np.uint8)).convert("RGB")
    if image.mode == "F":
        raise PhotoError("unsupported", "floating-point pixels have no defined way to RGB")
    if "transparency" in image.info or image.mode in ("RGBA", "LA", "PA", "RGBa", "La"):
        rgba = image.convert("RGBA")
        white = Image.new("RGBA", rgba.size, (255, 255, 255, 255))
        return Image.alpha_composite(white, rgba).convert("RGB")
    return image.convert("RGB")
