"""What the service and its decoder processes tell each other.

A message is a MessagePack object with its length before it. What comes from a decoder process is
checked against these types and never unpickled: a photo that took the process over through a fault
in a codec would gain nothing by it.
"""

from __future__ import annotations

import msgspec
import numpy as np

from shoplens.models.recipe import Recipe
from shoplens.models.views import Prepared
from shoplens.records import Domain

LENGTH_BYTES = 8
"""The length of a message comes before it, as a big-endian integer of so many bytes."""


class Setup(msgspec.Struct):
    """The first message to a process."""

    recipes: tuple[Recipe, ...]
    max_pixels: int
    memory_mb: int


class Prepare(msgspec.Struct, tag=True):
    """Prepare a photo for the encoder."""

    data: bytes
    box: str | None
    domain: Domain
    recipes: tuple[Recipe, ...] | None = None
    """None for those of the setup."""


class Shrink(msgspec.Struct, tag=True):
    """Make a thumbnail of a photo, `side` pixels at its longer side."""

    data: bytes
    side: int


class Ready(msgspec.Struct, tag=True):
    """The answer to `Setup`: the process waits for photos."""


class PackedViews(msgspec.Struct):
    """The views for one model: (v, s, s, 3) uint8."""

    n_views: int
    side: int
    data: memoryview
    """The bytes of all pixels, not copied: of the views, or of the message they came in."""


class PackedPhoto(msgspec.Struct, tag=True):
    """The answer to `Prepare`."""

    views: list[PackedViews]
    size: tuple[int, int]
    box: tuple[float, float, float, float] | None
    clipped: bool


class Thumbnail(msgspec.Struct, tag=True):
    """The answer to `Shrink`: a JPEG."""

    data: bytes


class Refused(msgspec.Struct, tag=True):
    """The answer where the photo cannot be used: the reason and the message of a `PhotoError`."""

    reason: str
    detail: str
    fault: str = ""
    """A traceback, where the decoder raised what no damaged photo should raise."""


Job = Prepare | Shrink
Answer = Ready | PackedPhoto | Thumbnail | Refused


def pack(message: msgspec.Struct) -> bytearray:
    """Return a message with its length before it."""
    packed = bytearray()
    _encode_into(message, packed, LENGTH_BYTES)
    packed[:LENGTH_BYTES] = (len(packed) - LENGTH_BYTES).to_bytes(LENGTH_BYTES, "big")
    return packed


def pack_views(prepared: Prepared) -> list[PackedViews]:
    """Return prepared views as they are sent."""
    return [
        PackedViews(len(views), views.shape[1], np.ascontiguousarray(views).data)
        for views in prepared
    ]


def unpack_views(packed: list[PackedViews]) -> Prepared:
    """Return what `pack_views` was given, read-only; raises `ValueError` for other shapes."""
    return tuple(
        np.frombuffer(views.data, np.uint8).reshape(views.n_views, views.side, views.side, 3)
        for views in packed
    )


_encode_into = msgspec.msgpack.Encoder().encode_into
read_setup = msgspec.msgpack.Decoder(Setup).decode
read_job = msgspec.msgpack.Decoder(Job).decode
read_answer = msgspec.msgpack.Decoder(Answer).decode
