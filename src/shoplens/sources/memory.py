"""Photos that are in memory: bytes, or pictures that Pillow has opened."""

from __future__ import annotations

import hashlib
import io
from dataclasses import dataclass, field
from pathlib import Path

from PIL import Image

from shoplens.sources.file import WholeFile

_PNG_MODES = frozenset({"1", "L", "LA", "I;16", "P", "RGB", "RGBA"})
"""What a PNG stores as it is; pictures of other modes become RGB first."""


@dataclass(frozen=True, slots=True)
class MemoryFile(WholeFile):
    """Bytes in memory."""

    data: bytes = field(repr=False)
    name: str = "photo in memory"

    def __str__(self) -> str:
        return self.name

    def __hash__(self) -> int:
        return hash(hashlib.sha256(self.data).digest())

    @property
    def path(self) -> Path:
        """Its name."""
        return Path(self.name)

    def read(self) -> bytes:
        """Return the bytes."""
        return self.data


def encoded(image: Image.Image) -> bytes:
    """Return a picture as a PNG without loss, so that it is decoded as any photo is.

    An EXIF turn that the picture still asks for stays in the PNG and is applied when it is decoded.
    """
    orientation = image.getexif()
    shown = image if image.mode in _PNG_MODES else image.convert("RGB")
    buffer = io.BytesIO()
    shown.save(buffer, "PNG", compress_level=1, exif=orientation)
    return buffer.getvalue()
