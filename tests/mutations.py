"""Photos of every format, and damage done to them: the same for the same number, on any machine."""

from __future__ import annotations

import io
import random
from collections.abc import Callable
from functools import cache
from typing import Any

import numpy as np
from conftest import picture
from PIL import Image, features

_SIZE = (120, 90)
_TELLING = (0x00, 0x01, 0x7F, 0x80, 0xFE, 0xFF)
"""Bytes that lengths and counts are often wrong by."""


def _saved(image: Image.Image, kind: str, **options: Any) -> bytes:
    stream = io.BytesIO()
    image.save(stream, kind, **options)
    return stream.getvalue()


@cache
def whole_photos() -> tuple[bytes, ...]:
    """Return small photos in each format that this machine reads, in several of its ways."""
    image, grey = picture(1, _SIZE), picture(2, _SIZE).convert("L")
    frames = [picture(number, _SIZE) for number in range(3)]
    clear = picture(3, _SIZE)
    clear.putalpha(grey)
    exif = Image.Exif()
    exif[0x0112] = 6
    sixteen = Image.fromarray(np.arange(120 * 90, dtype=np.uint16).reshape(90, 120) * 6)
    photos = [
        _saved(image, "JPEG", exif=exif, comment=b"a comment"),
        _saved(image, "JPEG", progressive=True, quality=90),
        _saved(image, "JPEG", restart_marker_blocks=2, subsampling=0),
        _saved(grey, "JPEG"),
        _saved(image.convert("CMYK"), "JPEG"),
        _saved(image, "MPO", save_all=True, append_images=frames),
        _saved(image, "PNG", exif=exif),
        _saved(clear, "PNG"),
        _saved(sixteen, "PNG"),
        _saved(image.quantize(), "PNG", transparency=3),
        _saved(image, "PNG", save_all=True, append_images=frames),
        _saved(image, "GIF", save_all=True, append_images=frames),
        _saved(image, "BMP"),
        _saved(grey, "BMP"),
        _saved(image, "WEBP", exif=exif),
        _saved(clear, "WEBP", lossless=True),
        _saved(image, "WEBP", save_all=True, append_images=frames),
        _saved(image, "TIFF"),
        _saved(clear, "TIFF", compression="tiff_lzw"),
        _saved(image, "TIFF", compression="tiff_adobe_deflate", exif=exif),
        _saved(image, "TIFF", compression="jpeg"),
        _saved(grey.convert("1"), "TIFF", compression="group4"),
    ]
    if features.check("avif"):
        photos += [_saved(image, "AVIF", speed=10), _saved(clear, "AVIF", speed=10)]
    try:
        import pillow_heif
    except ImportError:
        return tuple(photos)
    for shown in (image, clear):
        stream = io.BytesIO()
        pillow_heif.from_pillow(shown).save(stream, quality=50)
        photos.append(stream.getvalue())
    return tuple(photos)


def damaged_photo(number: int) -> bytes:
    """Return one of the whole photos after one or several mutations."""
    source = random.Random(number)
    data = bytearray(source.choice(whole_photos()))
    for _ in range(source.choice((1, 1, 1, 2, 4, 16))):
        source.choice(_MUTATIONS)(data, source)
    return bytes(data)


def damaged(data: bytes, number: int) -> bytes:
    """Return other bytes after one mutation."""
    source = random.Random(number)
    changed = bytearray(data)
    source.choice(_MUTATIONS)(changed, source)
    return bytes(changed)


def _place(data: bytearray, source: random.Random) -> int:
    """Return a place to damage: every fourth time one near the start, where headers are."""
    end = min(len(data), 200) if source.random() < 0.25 else len(data)
    return source.randrange(end) if end else 0


def _flip(data: bytearray, source: random.Random) -> None:
    if data:
        data[_place(data, source)] ^= 1 << source.randrange(8)


def _overwrite(data: bytearray, source: random.Random) -> None:
    at, n = _place(data, source), source.choice((1, 2, 4, 8))
    byte = source.choice(_TELLING)
    data[at : at + n] = bytes([byte]) * len(data[at : at + n])


def _randomise(data: bytearray, source: random.Random) -> None:
    at = _place(data, source)
    n = len(data[at : at + source.randrange(1, 64)])
    data[at : at + n] = source.randbytes(n)


def _number(data: bytearray, source: random.Random) -> None:
    """Write a whole number, as a width or a length."""
    width, order = source.choice((2, 4)), source.choice(("big", "little"))
    value = source.choice((0, 1, 2**7, 2**15, 2**16 - 1, 2**31 - 1, 2**31, 2**32 - 1, 65_500))
    at = _place(data, source)
    found = (value % 256**width).to_bytes(width, order)
    data[at : at + width] = found


def _insert(data: bytearray, source: random.Random) -> None:
    at = _place(data, source)
    data[at:at] = source.randbytes(source.randrange(1, 32))


def _remove(data: bytearray, source: random.Random) -> None:
    at = _place(data, source)
    del data[at : at + source.randrange(1, 32)]


def _repeat(data: bytearray, source: random.Random) -> None:
    at = _place(data, source)
    data[at:at] = data[at : at + source.randrange(1, 256)]


def _cut(data: bytearray, source: random.Random) -> None:
    del data[_place(data, source) :]


def _splice(data: bytearray, source: random.Random) -> None:
    """Go on with another photo."""
    other = source.choice(whole_photos())
    data[_place(data, source) :] = other[source.randrange(len(other)) :]


_MUTATIONS: tuple[Callable[[bytearray, random.Random], None], ...] = (
    _flip,
    _overwrite,
    _randomise,
    _number,
    _insert,
    _remove,
    _repeat,
    _cut,
    _splice,
)
