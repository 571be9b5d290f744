"""From the bytes of a photo to its header: which format, how many pixels, which way up.

Formats are told by content, never by file name. This is where pillow-heif (extra `shoplens[heic]`)
is imported.
"""

from __future__ import annotations

import importlib
import io
import struct
import zlib

from PIL import ExifTags, Image, ImageFile, TiffImagePlugin, UnidentifiedImageError, features

from shoplens.errors import PhotoError

MAX_PIXELS = 89_478_485
"""Photos of more pixels are refused as `too_large`: Pillow's own limit against decompression
bombs (256 MiB of RGB)."""

FORMATS = ("JPEG", "PNG", "WEBP", "GIF", "BMP", "TIFF", "AVIF")
"""The formats that are read with Pillow. HEIC is read with pillow-heif. MPO, the JPEG of many
phones, is opened as a JPEG: Pillow has no opener of that name."""

_HEIF_BRANDS = {b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"mif1", b"mif2", b"msf1"}
_AVIF_BRANDS = {b"avif", b"avis"}
"""The brands in the first box of a file, which say what kind of file it is."""

_PNG_EXIF = (b"eXIf", b"exif", b"xmp")
"""One of these is in every PNG whose metadata may hold an orientation."""

DECODE_ERRORS = (
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
"""What decoders raise on damaged data."""


def open_image(data: bytes, max_pixels: int = MAX_PIXELS) -> ImageFile.ImageFile:
    """Read a photo's header. No pixels are decoded yet.

    Raises:
        PhotoError: reason `empty`, `not_an_image`, `not_installed`, `too_large` or `corrupt`.
    """
    if not data:
        raise PhotoError("empty", "no bytes")
    brands = _brands(data)
    try:
        if brands & _AVIF_BRANDS:
            _require_avif()
        elif brands & _HEIF_BRANDS:
            return _within(_open_heif(data), max_pixels)
        return _within(Image.open(io.BytesIO(data), formats=FORMATS), max_pixels)
    except PhotoError:
        raise
    except (Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
        raise PhotoError("too_large", str(error)) from None
    except UnidentifiedImageError:
        if brands & _AVIF_BRANDS:
            raise PhotoError("corrupt", "damaged header: not a complete AVIF file") from None
        known = ", ".join((*FORMATS, "HEIC"))
        raise PhotoError("not_an_image", f"not an image in a known format ({known})") from None
    except DECODE_ERRORS as error:
        raise PhotoError("corrupt", f"damaged header: {error}") from error


def stored_size(image: ImageFile.ImageFile) -> tuple[int, int]:
    """Return width and height of the pixels as stored, before the EXIF turn.

    The pixels of a HEIC are turned by its decoder: they count as stored upright.
    """
    if not isinstance(image, TiffImagePlugin.TiffImageFile):
        return image.size
    # Pillow versions differ in whether they give a TIFF's size before or after its turn.
    tags = image.tag_v2
    try:
        return int(tags[ExifTags.Base.ImageWidth]), int(tags[ExifTags.Base.ImageLength])
    except DECODE_ERRORS as error:
        raise PhotoError("corrupt", f"damaged header: {error}") from error


def orientation(image: Image.Image, data: bytes) -> int:
    """Return the EXIF orientation that brings the stored pixels upright: 1 to 8, 1 for none.

    Args:
        image: a photo that was opened.
        data: its bytes.
    """
    if image.format == "HEIF":
        return 1  # Its decoder has turned it; the same turn in EXIF is only a copy.
    if image.format == "PNG" and not any(mark in data for mark in _PNG_EXIF):
        return 1  # Pillow would decode the pixels, to see whether EXIF follows them.
    try:
        value = image.getexif().get(ExifTags.Base.Orientation, 1)
    except DECODE_ERRORS:
        return 1  # A damaged EXIF block does not spoil the pixels.
    return value if value in range(2, 9) else 1


def _within(image: ImageFile.ImageFile, max_pixels: int) -> ImageFile.ImageFile:
    width, height = image.size
    if width * height > max_pixels:
        raise PhotoError(
            "too_large",
            f"{width} x {height} pixels are more than the limit of {max_pixels:,}",
        )
    return image


def _brands(data: bytes) -> set[bytes]:
    """Return the brands of a file made of ISO boxes (HEIC, AVIF, films); none of another."""
    if data[4:8] != b"ftyp":
        return set()
    end = min(int.from_bytes(data[:4], "big"), len(data))
    return {data[8:12], *(data[at : at + 4] for at in range(16, end, 4))}


def _require_avif() -> None:
    if not features.check("avif"):
        raise PhotoError(
            "not_installed",
            "AVIF needs a Pillow built with it: pip install --force-reinstall 'pillow>=11.3'",
        )


def _open_heif(data: bytes) -> ImageFile.ImageFile:
    try:
        pillow_heif = importlib.import_module("pillow_heif")
    except ImportError:
        raise PhotoError(
            "not_installed", "HEIC needs pillow-heif: pip install 'shoplens[heic]'"
        ) from None
    image: ImageFile.ImageFile = pillow_heif.HeifImageFile(io.BytesIO(data))
    return image
