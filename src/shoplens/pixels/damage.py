"""Damage that Pillow does not report: files cut short, or changed where a checksum would tell."""

from __future__ import annotations

import io
import re
import zlib

from PIL import Image, ImageFile, JpegImagePlugin

from shoplens.errors import PhotoError

_JPEG_END = b"\xff\xd9"
_JPEG_MARKER = re.compile(rb"\xff[^\x00\xd0-\xd7\xff]")
"""What ends a scan of a JPEG; restart markers and stuffed bytes belong to the scan."""
_NOISE = bytes(range(1, 127)) * 2
_JPEG_TAIL = b"".join(_NOISE + bytes((0xFF, restart)) for restart in range(0xD0, 0xD8)) + _JPEG_END
"""More data for a scan, whichever restart it waits for, and the end marker."""


def load_scaled(image: ImageFile.ImageFile, shrink: int) -> None:
    """Decode a photo, a JPEG at 1/2, 1/4 or 1/8 of its scale where `shrink` says so."""
    if shrink > 1:
        width, height = image.size
        image.draft(None, (width // shrink, height // shrink))
    image.load()


def refuse_cut_jpeg(image: JpegImagePlugin.JpegImageFile, shrink: int, data: bytes) -> None:
    """Refuse a JPEG whose scans end before its picture, though it looks complete to Pillow.

    libjpeg fills the rest with grey when an end marker comes too early, and decodes zeros left by
    a broken copy as if they were pixels; it warns, but Pillow does not pass that on. Such files are
    suspected by signs that cost nothing to check. A file with a grey corner is decoded again with
    noise in front of its end marker: the picture changes only if data were missing. A progressive
    file must have begun all its passes. If it is cut within the last pass, that is not noticed;
    mostly the finest detail is missing then.
    """
    corner = image.crop((image.width - 1, image.height - 1, image.width, image.height))
    grey = all(value in (127, 128) for value in corner.tobytes())
    if data.endswith(_JPEG_END) and not grey and "progressive" not in image.info:
        return
    end, n_coefficients = _scan_jpeg(data)
    if end < 0:
        raise PhotoError("truncated", "JPEG truncated: it has no end marker")
    if n_coefficients < 64 * image.layers:
        raise PhotoError("truncated", "JPEG truncated: it lacks passes of its progressive picture")
    if grey:
        probe = Image.open(io.BytesIO(data[:end].rstrip(b"\xff") + _JPEG_TAIL), formats=("JPEG",))
        load_scaled(probe, shrink)
        if probe.tobytes() != image.tobytes():
            raise PhotoError("truncated", "JPEG truncated: its end marker comes too early")


def _scan_jpeg(data: bytes) -> tuple[int, int]:
    """Return the position of a JPEG's end marker (-1 if there is none), and how many coefficients
    are complete."""
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


def refuse_damaged_png(data: bytes) -> None:
    """Refuse a PNG whose pixels do not match their checksum, which Pillow does not verify."""
    position = 8
    while position + 12 <= len(data):
        end = position + 8 + int.from_bytes(data[position : position + 4], "big")
        if data[position + 4 : position + 8] == b"IDAT" and end + 4 <= len(data):
            checksum = zlib.crc32(memoryview(data)[position + 4 : end])
            if checksum.to_bytes(4, "big") != data[end : end + 4]:
                raise PhotoError("corrupt", "PNG corrupt: its pixels do not match their checksum")
        position = end + 4


def refuse_cut_boxes(data: bytes) -> None:
    """Refuse a HEIC or AVIF that ends inside its description or its pixels.

    Phones write HEIC in tiles, and libheif leaves missing tiles blank.
    """
    position = 0
    while position + 16 <= len(data):
        size = int.from_bytes(data[position : position + 4], "big")
        if size == 1:  # The size follows in 64 bits.
            size = int.from_bytes(data[position + 8 : position + 16], "big")
        if data[position + 4 : position + 8] in (b"meta", b"mdat") and position + size > len(data):
            raise PhotoError("truncated", "truncated: the file ends before its pixels do")
        if size < 8:  # The rest of the file, or something that is no box.
            return
        position += size
