"""Which files of a folder are photos: by their names, or else by their first bytes."""

from __future__ import annotations

import posixpath

from shoplens.errors import PhotoError
from shoplens.sources.folder import Folder

IMAGE_SUFFIXES = frozenset(
    {".jpg", ".jpeg", ".jpe", ".jfif", ".pjpeg", ".mpo", ".png", ".webp", ".gif", ".bmp", ".dib"}
    | {".tif", ".tiff", ".heic", ".heif", ".avif", ".jp2", ".jxl"}
)
"""Files that count as photos by their names. Those in formats that are not read become counted
failures: leaving them out would lose them silently."""

_RAW_SUFFIXES = frozenset(
    {".3fr", ".arw", ".cr2", ".dng", ".erf", ".iiq", ".kdc", ".mef", ".mos", ".nef", ".nrw"}
    | {".orf", ".pef", ".rw2", ".sr2", ".srw", ".thm"}
)
"""Files of cameras that start as a TIFF or JPEG, and whose first picture is a thumbnail."""

HEAD_BYTES = 16
"""How much of a file's beginning `is_image` looks at."""
_STARTS = (
    b"\xff\xd8\xff",  # JPEG, MPO
    b"\x89PNG\r\n\x1a\n",
    b"GIF87a",
    b"GIF89a",
    b"II*\0",  # TIFF
    b"MM\0*",
    b"\0\0\0\x0cjP  ",  # JPEG 2000
    b"\0\0\0\x0cJXL ",
)
_BRANDS = frozenset({b"avif", b"avis", b"heic", b"heix", b"hevc", b"hevx", b"mif1", b"msf1"})
"""What files of the ISO format that hold pictures say they are; videos say otherwise."""


def is_image(head: bytes) -> bool:
    """Whether a file's first `HEAD_BYTES` bytes are those of a picture."""
    return (
        head.startswith(_STARTS)
        or (head[:4] == b"RIFF" and head[8:12] == b"WEBP")
        or (head[:2] == b"BM" and head[6:10] == bytes(4))
        or (head[4:8] == b"ftyp" and head[8:12] in _BRANDS)
    )


def photos_among(folder: Folder, names: list[str]) -> list[str]:
    """Return the names of a folder's photos, in the order of `names`.

    Names that say nothing are looked into where that costs little; over a network they are not.
    """
    return [name for name in names if _is_photo(folder, name)]


def _is_photo(folder: Folder, name: str) -> bool:
    suffix = posixpath.splitext(name)[1].lower()
    if suffix in IMAGE_SUFFIXES:
        return True
    if suffix in _RAW_SUFFIXES or not folder.is_near:
        return False
    try:
        return is_image(folder.file(name).read_range(0, HEAD_BYTES))
    except PhotoError:
        return False  # It cannot be read, so it is counted as a file that is not a photo.
