"""Removing metadata from a photo's file: place, time, camera, owner, texts.

The picture is not encoded again: segments (JPEG) or chunks (PNG, WebP) are left out and the rest is
copied. What changes the look of the picture stays: the colour profile (ICC), Adobe's segment about
colour channels, gamma, transparency. Of EXIF only the orientation stays, and only if it turns the
photo.

From other formats metadata cannot be cut out. Their pixels, as shoplens decodes them, are saved as
a PNG.
"""

from __future__ import annotations

import io
import struct
import zlib
from collections.abc import Iterator
from dataclasses import dataclass

from PIL import ExifTags, Image

from shoplens.errors import PhotoError
from shoplens.pixels.decoding import decode
from shoplens.pixels.opening import open_image, orientation

_EXIF = b"Exif\0\0"
_ICC = b"ICC_PROFILE\0"
_PNG_HEAD = b"\x89PNG\r\n\x1a\n"
_PNG_KEPT = frozenset(
    # The picture and its transparency; how its numbers are meant; its pixels' shape.
    {b"IHDR", b"PLTE", b"IDAT", b"IEND", b"tRNS"}
    | {b"cHRM", b"gAMA", b"iCCP", b"sRGB", b"sBIT", b"cICP", b"mDCV", b"cLLI"}
    | {b"pHYs"}
)
_WEBP_KEPT = frozenset({b"VP8X", b"VP8 ", b"VP8L", b"ALPH", b"ICCP", b"ANIM", b"ANMF"})
_WEBP_EXIF_FLAG, _WEBP_XMP_FLAG = 0x08, 0x04

_SOI, _EOI, _SOS, _APP0, _APP1, _APP2, _APP14, _APP15, _COM = (
    0xD8, 0xD9, 0xDA, 0xE0, 0xE1, 0xE2, 0xEE, 0xEF, 0xFE,
)  # fmt: skip
_ALONE = frozenset({0x01, *range(0xD0, 0xD9)})
"""JPEG markers without a segment."""


@dataclass(frozen=True, slots=True)
class Stripped:
    """A photo's bytes without metadata."""

    data: bytes
    suffix: str
    """The suffix of its file name: `.jpg`, `.png` or `.webp`."""
    converted_from: str | None = None
    """The original format, if metadata could not be cut out of it."""


def strip(data: bytes) -> Stripped:
    """Leave out all metadata of a photo.

    Raises:
        PhotoError: the photo cannot be decoded, or its pixels would change without the metadata
            (reason `unsupported`).
    """
    before = decode(data).image
    kind, turn = kind_and_turn(data)
    if kind == "JPEG":
        stripped = Stripped(_strip_jpeg(data, turn), ".jpg")
    elif kind == "PNG":
        stripped = Stripped(_strip_png(data, turn), ".png")
    elif kind == "WEBP":
        stripped = Stripped(_strip_webp(data, turn), ".webp")
    else:
        stripped = Stripped(_as_png(data, before), ".png", converted_from=kind)
    after = decode(stripped.data).image
    if before.size != after.size or before.tobytes() != after.tobytes():
        raise PhotoError("unsupported", f"{kind}: without its metadata it would look different")
    return stripped


def kind_and_turn(data: bytes) -> tuple[str, int]:
    """Return a photo's format and its EXIF orientation (1 if it has none).

    For a photo that `decode` takes. MPO counts as JPEG.
    """
    image = open_image(data)
    kind = "JPEG" if image.format == "MPO" else image.format or ""
    return kind, orientation(image, data)


def _minimal_exif(turn: int) -> bytes:
    """Return a TIFF block with one entry, the orientation."""
    entry = struct.pack("<HHIHH", ExifTags.Base.Orientation, 3, 1, turn, 0)
    return b"II*\0" + struct.pack("<IH", 8, 1) + entry + struct.pack("<I", 0)


def _strip_jpeg(data: bytes, turn: int) -> bytes:
    parts = [b"\xff\xd8"]
    segments = list(_jpeg_parts(data))
    # JFIF asks to come first.
    if segments and segments[0][0] == _APP0:
        parts.append(_jfif(segments.pop(0)[1]))
    if turn != 1:
        parts.append(_segment(_APP1, _EXIF + _minimal_exif(turn)))
    for marker, part in segments:
        payload = part[4:]
        if marker == _APP2 and payload.startswith(_ICC):
            parts.append(part)
        elif marker == _APP14 and payload.startswith(b"Adobe"):
            parts.append(part[:16] if part[2:4] == b"\0\x0e" else _segment(_APP14, payload[:12]))
        elif marker == _APP0 and payload.startswith(b"JFIF\0"):
            parts.append(_jfif(part))
        elif not (_APP0 <= marker <= _APP15 or marker == _COM):
            parts.append(part)
    return b"".join([*parts, b"\xff\xd9"])


def _jfif(part: bytes) -> bytes:
    """Return a JFIF segment without its thumbnail, nothing of another APP0."""
    payload = part[4:]
    if not payload.startswith(b"JFIF\0") or len(payload) < 14:
        return b""
    return _segment(_APP0, payload[:12] + b"\0\0")


def _segment(marker: int, payload: bytes) -> bytes:
    return bytes((0xFF, marker)) + struct.pack(">H", len(payload) + 2) + payload


def _jpeg_parts(data: bytes) -> Iterator[tuple[int, bytes]]:
    """Yield each segment of a JPEG with its marker, up to the end of the picture.

    A segment that starts a scan comes with the scan's data. What follows the end marker (the second
    picture of an MPO, the film of a moving photo) is not yielded.
    """
    position = 2
    while position < len(data) - 1:
        if data[position] != 0xFF:
            position += 1  # Stray bytes between segments: decoders skip them as well.
            continue
        marker = data[position + 1]
        if marker == 0xFF:
            position += 1
            continue
        if marker == _EOI:
            return
        if marker in _ALONE or marker == 0:
            position += 2
            continue
        end = position + 2 + int.from_bytes(data[position + 2 : position + 4], "big")
        if marker == _SOS:
            end = _scan_end(data, end)
        yield marker, data[position:end]
        position = end


def _scan_end(data: bytes, position: int) -> int:
    """Return where a scan's data end: at a marker other than a restart."""
    while True:
        position = data.find(b"\xff", position)
        if position < 0 or position + 1 >= len(data):
            return len(data)
        following = data[position + 1]
        if following == 0xFF:
            position += 1
        elif following == 0 or 0xD0 <= following <= 0xD7:
            position += 2
        else:
            return position


def _strip_png(data: bytes, turn: int) -> bytes:
    parts = [_PNG_HEAD]
    position = len(_PNG_HEAD)
    turned = turn == 1
    while position + 12 <= len(data):
        name = data[position + 4 : position + 8]
        end = position + 12 + int.from_bytes(data[position : position + 4], "big")
        if name == b"IDAT" and not turned:
            parts.append(_png_chunk(b"eXIf", _minimal_exif(turn)))
            turned = True
        if name in _PNG_KEPT:
            parts.append(data[position:end])
        if name == b"IEND":
            break
        position = end
    return b"".join(parts)


def _png_chunk(name: bytes, payload: bytes) -> bytes:
    checksum = zlib.crc32(name + payload)
    return struct.pack(">I", len(payload)) + name + payload + struct.pack(">I", checksum)


def _strip_webp(data: bytes, turn: int) -> bytes:
    chunks = []
    position, end = 12, min(len(data), 8 + int.from_bytes(data[4:8], "little"))
    while position + 8 <= end:
        name = data[position : position + 4]
        size = int.from_bytes(data[position + 4 : position + 8], "little")
        payload = data[position + 8 : position + 8 + size]
        position += 8 + size + size % 2
        if name == b"VP8X":
            flags = payload[0] & ~(_WEBP_EXIF_FLAG | _WEBP_XMP_FLAG)
            flags |= _WEBP_EXIF_FLAG if turn != 1 else 0
            payload = bytes((flags,)) + payload[1:]
        if name in _WEBP_KEPT:
            chunks.append(_webp_chunk(name, payload))
    if turn != 1:
        chunks.append(_webp_chunk(b"EXIF", _minimal_exif(turn)))
    body = b"WEBP" + b"".join(chunks)
    return b"RIFF" + struct.pack("<I", len(body)) + body


def _webp_chunk(name: bytes, payload: bytes) -> bytes:
    return name + struct.pack("<I", len(payload)) + payload + b"\0" * (len(payload) % 2)


def _as_png(data: bytes, upright: Image.Image) -> bytes:
    profile = open_image(data).info.get("icc_profile")
    stream = io.BytesIO()
    fresh = Image.frombytes("RGB", upright.size, upright.tobytes())
    # The pixels are RGB now, whatever they were: a profile of ink or grey would be wrong.
    is_rgb = isinstance(profile, bytes) and profile[16:20] == b"RGB "
    fresh.save(stream, "PNG", **({"icc_profile": profile} if is_rgb else {}))
    return stream.getvalue()
