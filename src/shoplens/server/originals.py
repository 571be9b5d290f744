"""The photos of the catalogue, to be shown: their files, and small pictures of them."""

from __future__ import annotations

import hashlib
import io
import os
import threading
import time
from collections import OrderedDict
from dataclasses import dataclass
from typing import BinaryIO

from shoplens.catalog.entry import Entry
from shoplens.catalog.originals import Originals
from shoplens.errors import PhotoError
from shoplens.server.problems import Problem
from shoplens.sources import file_of
from shoplens.sources.columns import Cell
from shoplens.sources.file import MAX_BYTES, File
from shoplens.sources.remote import is_url

_AGAIN_SECONDS = 60.0
"""Sources that could not be opened are tried again after so long."""
_THUMBNAIL_BYTES = 64 * 2**20
"""Of all small pictures that are kept in memory."""
_HEAD_BYTES = 32

_STARTS = (
    (b"\xff\xd8\xff", "image/jpeg"),
    (b"\x89PNG\r\n\x1a\n", "image/png"),
    (b"GIF87a", "image/gif"),
    (b"GIF89a", "image/gif"),
    (b"II*\0", "image/tiff"),
    (b"MM\0*", "image/tiff"),
)
_BRANDS = {
    **dict.fromkeys((b"avif", b"avis"), "image/avif"),
    **dict.fromkeys((b"heic", b"heix", b"hevc", b"hevx", b"mif1", b"msf1"), "image/heic"),
}
SUFFIXES = {
    "image/jpeg": ".jpg",
    "image/png": ".png",
    "image/gif": ".gif",
    "image/tiff": ".tif",
    "image/avif": ".avif",
    "image/heic": ".heic",
    "image/webp": ".webp",
    "image/bmp": ".bmp",
}
"""How files of the types that are recognised are named."""


def media_type_of(head: bytes) -> str | None:
    """Return the type of a photo by the first bytes of its file; None for what is no photo."""
    for start, media_type in _STARTS:
        if head.startswith(start):
            return media_type
    if head[:4] == b"RIFF" and head[8:12] == b"WEBP":
        return "image/webp"
    if head[:2] == b"BM" and head[6:10] == bytes(4):
        return "image/bmp"
    return _BRANDS.get(head[8:12]) if head[4:8] == b"ftyp" else None


@dataclass(frozen=True, slots=True)
class StoredPhoto:
    """The file of a photo, ready to be sent."""

    media_type: str
    etag: str
    """Another one when the file is another."""
    content: File | bytes
    """The file itself where it is one on disk, which need not be read into memory; else its
    bytes."""

    @property
    def in_memory(self) -> bool:
        """Whether its bytes are in memory."""
        return isinstance(self.content, bytes)

    def opened(self) -> tuple[BinaryIO, int]:
        """Return a stream over it, and how many bytes it has. It blocks.

        Raises `Problem` (`not_found`) if it has just been removed.
        """
        if isinstance(self.content, bytes):
            return io.BytesIO(self.content), len(self.content)
        try:
            stream = self.content.open()
        except PhotoError:
            raise _gone() from None
        return stream, os.fstat(stream.fileno()).st_size

    def read(self) -> bytes:
        """Return its bytes. It blocks.

        Raises `Problem` (`not_found`) if it has just been removed, or is too large.
        """
        if isinstance(self.content, bytes):
            return self.content
        try:
            return _data(self.content)
        except PhotoError:
            raise _gone() from None


def fetched_photo(data: bytes) -> StoredPhoto:
    """Return a photo that was fetched; raises `Problem` (`not_found`) if it is no photo."""
    return StoredPhoto(_media_type(data), _tag(data), data)


class StoredPhotos:
    """Finds the files of the catalogue's photos, where their sources still have them.

    May be used from several threads; its methods block. What comes from a request is never part of
    a path: only what the catalogue says of a photo is. Photos behind URLs are not fetched.
    """

    def __init__(self) -> None:
        self._originals = Originals()
        self._opened = time.monotonic()
        self._guard = threading.Lock()

    def find(self, entry: Entry) -> StoredPhoto:
        """Return the file of a photo; one that is not on disk is read.

        Raises `Problem` (`not_found`) if it is not where it was, is no photo, or is read and too
        large.
        """
        file = self._file(entry)
        try:
            if not file.on_disk:
                data = _data(file)
                if isinstance(file, Cell):
                    _require_same(entry, data)
                return fetched_photo(data)
            media_type = _media_type(file.read_range(0, _HEAD_BYTES))
            return StoredPhoto(media_type, _tag(file.stamp().encode()), file)
        except PhotoError:
            self._begin_again()  # An archive may have been written anew.
            raise _gone() from None

    def _file(self, entry: Entry) -> File:
        photo = self._found().photo(entry)
        if photo.problem is not None:
            self._begin_again()
            photo = self._found().photo(entry)
        if photo.problem is None:
            return file_of(photo)
        if is_url(entry.path) or is_url(entry.source):
            raise Problem("not_found", "The photo is behind a URL, in a file with others.")
        raise _gone()

    def _found(self) -> Originals:
        with self._guard:
            return self._originals

    def _begin_again(self) -> None:
        """Forget sources that were opened: one may be back, or be another one."""
        with self._guard:
            if time.monotonic() - self._opened >= _AGAIN_SECONDS:
                self._originals, self._opened = Originals(), time.monotonic()


def _data(file: File) -> bytes:
    data = file.read_range(0, MAX_BYTES + 1)
    if len(data) > MAX_BYTES:
        raise Problem("not_found", "The file of the photo is too large.")
    return data


def _require_same(entry: Entry, data: bytes) -> None:
    """Raise `Problem` if a row of a table has another photo by now.

    What a Lance dataset is known by does not change with every change of its rows.
    """
    if entry.sha256 not in (None, hashlib.sha256(data).hexdigest()):
        raise _gone()


def _media_type(head: bytes) -> str:
    media_type = media_type_of(head)
    if media_type is None:
        raise Problem("not_found", "What is in the place of the photo is no photo.")
    return media_type


def _gone() -> Problem:
    return Problem("not_found", "The photo is not where it was.")


def _tag(data: bytes) -> str:
    return f'"{hashlib.sha256(data).hexdigest()[:32]}"'


class ThumbnailCache:
    """Small pictures in memory, by what they show. The one that was shown least recently goes
    first."""

    def __init__(self, most_bytes: int = _THUMBNAIL_BYTES) -> None:
        self._pictures: OrderedDict[object, bytes] = OrderedDict()
        self._most = most_bytes
        self.n_bytes = 0

    def get(self, key: object) -> bytes | None:
        """Return a picture; None if it is not here."""
        picture = self._pictures.get(key)
        if picture is not None:
            self._pictures.move_to_end(key)
        return picture

    def put(self, key: object, picture: bytes) -> None:
        """Keep a picture."""
        self.n_bytes += len(picture) - len(self._pictures.pop(key, b""))
        self._pictures[key] = picture
        while self.n_bytes > self._most:
            self.n_bytes -= len(self._pictures.popitem(last=False)[1])
