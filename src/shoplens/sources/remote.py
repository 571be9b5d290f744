"""Files and folders behind URLs.

The caller decides which hosts are asked: nothing here follows a URL that the caller did not pass.
"""

from __future__ import annotations

import io
import posixpath
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO
from urllib.parse import quote, urlsplit, urlunsplit

from shoplens.errors import DataError, MissingError, PhotoError
from shoplens.records import Fault
from shoplens.sources import requests
from shoplens.sources.file import File, as_whole
from shoplens.sources.folder import inside, is_hidden

SCHEMES = ("http", "https", "s3", "gs", "memory")
"""URLs that are read. `file:` is none of them: a table from a stranger would name any file."""

_BUFFER = 2**18
_URL = re.compile(r"[A-Za-z][A-Za-z0-9+.:-]*://")


def is_url(text: str) -> bool:
    """Whether a text is meant as a URL, of whatever scheme."""
    return _URL.match(text) is not None


def check_url(url: str) -> None:
    """Raise ValueError when `url` is of a scheme that is not read."""
    if requests.scheme_of(url) not in SCHEMES:
        raise ValueError(
            f"is a URL of a kind that cannot be read (supported: {', '.join(SCHEMES)})"
        )


@dataclass(frozen=True, slots=True)
class RemoteFile:
    """A file behind a URL: a `File`."""

    url: str
    otherwise: str = ""
    """A URL to read instead when there is nothing at the first."""

    def __str__(self) -> str:
        return requests.without_secrets(self.url)

    @property
    def path(self) -> Path:
        """Host and path, to name the file by."""
        parts = urlsplit(self.url)
        return Path(parts.netloc.rpartition("@")[2], parts.path.lstrip("/"))

    @property
    def on_disk(self) -> bool:
        """False."""
        return False

    def read(self) -> bytes:
        """Return the whole file."""
        try:
            return requests.fetch(self.url)
        except PhotoError as error:
            if not self.otherwise or error.reason != "missing":
                raise
        return requests.fetch(self.otherwise)

    def read_range(self, start: int, length: int) -> bytes:
        """Return `length` bytes from offset `start`; fewer where the file ends before."""
        return requests.fetch(self.url, start, length) if length > 0 else b""

    def open(self) -> BinaryIO:
        """Return a seekable, buffered stream; every buffer is a request."""
        return io.BufferedReader(_RangeStream(self, requests.size_of(self.url)), _BUFFER)

    def stamp(self) -> str:
        """Return its size."""
        return str(requests.size_of(self.url))


@dataclass(frozen=True, slots=True)
class RemoteFolder:
    """A folder behind a URL; what it holds is not known before it is asked for: a `Folder`."""

    url: str

    def __str__(self) -> str:
        return requests.without_secrets(self.url)

    @property
    def path(self) -> Path:
        """Host and path, to name the folder by."""
        return RemoteFile(self.url).path

    @property
    def is_near(self) -> bool:
        """False."""
        return False

    def listing(self) -> tuple[list[str], list[Fault]]:
        """Return the names of all files but hidden ones, in order, and no fault.

        Raises:
            DataError: the folder cannot be listed.
            MissingError: there is nothing there.
        """
        if requests.is_web(self.url):
            raise DataError(
                f"{self}: a folder on the web cannot be listed; give it a gallery.csv, or name an "
                "archive (.zip, .tar) or a Parquet file"
            )
        try:
            names = requests.list_below(self.url)
        except PhotoError as error:
            raise as_whole(self, error) from error
        if not any(names):
            raise MissingError(f"{self} is empty or not there")
        return sorted(name for name in names if not is_hidden(name)), []

    def file(self, name: str) -> RemoteFile:
        """Return the file of a name that `listing` returned."""
        return RemoteFile(self._below(name))

    def get(self, name: str) -> File | None:
        """Return the file of that very name, None when there is none: one request."""
        file = self.file(name)
        try:
            return file if requests.is_there(file.url) else None
        except PhotoError as error:
            raise as_whole(self, error) from error

    def locate(self, name: str) -> tuple[File, bool]:
        """Return the file that a table means by `name`, and True: nothing is asked yet."""
        relative = inside(name)
        return RemoteFile(self._below(relative), self._below(f"data/{relative}")), True

    def _below(self, name: str) -> str:
        # In the names of files, ? and # mean nothing; in URLs of the web they do.
        written = quote(name) if requests.is_web(self.url) else name
        return f"{self.url.rstrip('/')}/{written}"


class Web:
    """Where a table finds the URLs that it names: a `Folder` of whatever they lead to.

    Args:
        allowed: whether the caller lets tables name URLs.
    """

    path = Path()
    is_near = False

    def __init__(self, allowed: bool) -> None:
        self._allowed = allowed

    def __str__(self) -> str:
        return "the web"

    def listing(self) -> tuple[list[str], list[Fault]]:
        """Raise `DataError`: nobody knows."""
        raise DataError("the web cannot be listed")

    def file(self, name: str) -> File:
        """Return the file behind a URL."""
        return RemoteFile(name)

    def get(self, name: str) -> File | None:
        """Return the file behind a URL, None when there is none."""
        return RemoteFile(name) if requests.is_there(name) else None

    def locate(self, name: str) -> tuple[File, bool]:
        """Return the file behind a URL, and True: nothing is asked yet."""
        check_url(name)
        if not self._allowed:
            raise ValueError(
                "is a URL, and URLs in tables are not allowed here (--remote allows them)"
            )
        return RemoteFile(name), True


def parent_folder(url: str) -> RemoteFolder:
    """Return the folder that holds the file at `url`."""
    parts = urlsplit(url)
    return RemoteFolder(
        urlunsplit((parts.scheme, parts.netloc, posixpath.dirname(parts.path), "", ""))
    )


class _RangeStream(io.RawIOBase):
    """A file behind a URL as a raw stream."""

    def __init__(self, file: RemoteFile, size: int) -> None:
        self._file = file
        self._size = size
        self._position = 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._position

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        base = {io.SEEK_SET: 0, io.SEEK_CUR: self._position, io.SEEK_END: self._size}[whence]
        self._position = max(base + offset, 0)
        return self._position

    def readinto(self, buffer: Any) -> int:
        length = min(len(buffer), self._size - self._position)
        data = self._file.read_range(self._position, length)
        buffer[: len(data)] = data
        self._position += len(data)
        return len(data)
