"""Where photos' bytes come from: files, archives, columns of tables, URLs.

::

    read_photo       any photo's bytes; what embedding, checking and pages call
    places           a file that is read whole or by ranges, on disk
    remote           the same behind a URL (extra [remote])
    members          named files below one root, and how a table's paths find them
    archives         zip and tar: members at known offsets
    columns          Parquet, Arrow and Lance: cells of a column of image bytes

What a photo carries is an `Origin`: a small value that says where its bytes are. It holds no open
file, so that it can be read from any thread and sent to another process.
"""

from __future__ import annotations

from shoplens.errors import PhotoError
from shoplens.pixels.decoding import read_bytes
from shoplens.records import Photo

__all__ = ["read_photo"]


def read_photo(photo: Photo) -> bytes:
    """Read a photo's bytes, from its file or its origin, whatever its `problem`.

    Safe to call from several threads at once.

    Raises:
        PhotoError: reason `missing`, `unreadable`, `unreachable`, `too_large`, `truncated`,
            `corrupt` or `empty`.
    """
    if photo.origin is None:
        return read_bytes(photo.path)
    data = photo.origin.read()
    if not data:
        raise PhotoError("empty", f"{photo.origin} has no bytes")
    return data
