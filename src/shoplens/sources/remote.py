"""Files behind URLs, read through fsspec (extra `[remote]`).

Every request has a time limit and is tried a few times; what it ends in is the bytes or a
`PhotoError`. Which hosts are asked is the caller's affair: nothing here follows a URL that the
caller did not pass on.
"""

from __future__ import annotations

import functools
import io
import os
import posixpath
import random
import re
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO, TypeVar
from urllib.parse import quote, urlsplit, urlunsplit

from shoplens.errors import DataError, MissingError, PhotoError
from shoplens.sources.members import inside
from shoplens.sources.places import MAX_BYTES, too_large

SCHEMES = ("http", "https", "s3", "gs", "memory")
"""URLs that are read. `file:` is none of them: a table from a stranger would name any file."""

TRIES = 3
FIRST_WAIT_SECONDS = 0.25
"""Waited before the second try, twice that before the third; up to half as long again by chance,
so that many workers do not come back together."""
REQUEST_SECONDS = 60.0
"""One request may take this long."""
LIST_SECONDS = 600.0
"""Listing a folder may take this long."""
_BUFFER = 2**18
_URL = re.compile(r"[A-Za-z][A-Za-z0-9+.:-]*://")
_TRANSIENT = (408, 425, 429, 500, 502, 503, 504)
"""HTTP answers after which another try may succeed."""
_PACKAGES = {
    "http": "shoplens[remote]",
    "https": "shoplens[remote]",
    "memory": "shoplens[remote]",
    "s3": "shoplens[remote]' 's3fs",
    "gs": "shoplens[remote]' 'gcsfs",
}
_T = TypeVar("_T")


def is_url(text: str) -> bool:
    """Whether a text is meant as a URL, of whatever scheme."""
    return _URL.match(text) is not None


def check_url(url: str) -> None:
    """Raise ValueError when `url` is of a scheme that is not read."""
    scheme = url.partition("://")[0].lower()
    if scheme not in SCHEMES:
        raise ValueError(f"is a URL of a kind that is not read (read are {', '.join(SCHEMES)})")


@dataclass(frozen=True, slots=True)
class RemoteFile:
    """A file behind a URL: a `Place`, and the `Origin` of a photo."""

    url: str
    otherwise: str = ""
    """A URL to read instead when there is nothing at the first."""

    def __str__(self) -> str:
        return _without_secrets(self.url)

    @property
    def path(self) -> Path:
        """Host and path, to name the file by."""
        parts = urlsplit(self.url)
        return Path(parts.netloc.rpartition("@")[2], parts.path.lstrip("/"))

    def read(self) -> bytes:
        """Return the whole file."""
        try:
            return _retried(str(self), lambda: _fetch(self.url, 0, None))
        except PhotoError as error:
            if not self.otherwise or error.reason != "missing":
                raise
        return RemoteFile(self.otherwise).read()

    def read_range(self, start: int, length: int) -> bytes:
        """Return `length` bytes from offset `start`; fewer where the file ends before."""
        if length <= 0:
            return b""
        return _retried(str(self), lambda: _fetch(self.url, start, length))

    def open(self) -> BinaryIO:
        """Return a seekable, buffered stream; every buffer is a request."""
        size = _retried(str(self), lambda: _size(self.url))
        return io.BufferedReader(_RangeStream(self, size), _BUFFER)

    def stamp(self) -> str:
        """Return its size."""
        return str(_retried(str(self), lambda: _size(self.url)))


@dataclass(frozen=True, slots=True)
class RemoteFolder:
    """The folder of a table behind a URL; what it holds is not known before it is asked for."""

    url: str

    def __str__(self) -> str:
        return _without_secrets(self.url)

    def locate(self, name: str) -> tuple[Path, RemoteFile, bool]:
        """Return a path to name the photo by, its origin, and True: nothing is asked yet."""
        relative = inside(name)
        file = RemoteFile(
            _below(self.url, relative), _below(self.url, posixpath.join("data", relative))
        )
        return file.path, file, True

    def file(self, name: str) -> RemoteFile:
        """Return the file of that name."""
        return RemoteFile(_below(self.url, name))

    def list(self) -> list[str]:
        """Return the paths of all files below, relative to the folder.

        Raises:
            DataError: the folder cannot be listed.
            MissingError: there is nothing.
        """
        scheme = _scheme(self.url)
        if scheme in ("http", "https"):
            raise DataError(
                f"{self}: a folder on the web cannot be listed; give it a gallery.csv, or name an "
                "archive (.zip, .tar) or a Parquet file"
            )
        system, root = _filesystem(scheme), _path(self.url).rstrip("/")
        try:
            found = _retried(str(self), lambda: _call(system, "find", root, seconds=LIST_SECONDS))
        except PhotoError as error:
            raise as_whole(self, error) from error
        root = root.lstrip("/")
        names = [str(path).lstrip("/") for path in found]
        names = [name[len(root) + 1 :] if root else name for name in names]
        if not names or names == [""]:
            raise MissingError(f"{self}: there is nothing")
        return names


def parent_folder(url: str) -> RemoteFolder:
    """Return the folder that holds the file at `url`."""
    parts = urlsplit(url)
    return RemoteFolder(
        urlunsplit((parts.scheme, parts.netloc, posixpath.dirname(parts.path), "", ""))
    )


def as_whole(source: object, error: PhotoError) -> DataError | MissingError:
    """Return the error of a run whose table or archive met `error`."""
    kind = MissingError if error.reason == "missing" else DataError
    text = str(error)
    return kind(text if str(source) in text else f"{source}: {text}")


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


class _Answer(Exception):
    """An HTTP status that is no success."""

    def __init__(self, status: int, words: str) -> None:
        self.status = status
        super().__init__(f"the server answered {status} {words}".rstrip())


def _retried(name: str, request: Callable[[], _T]) -> _T:
    wait = FIRST_WAIT_SECONDS
    for tries_left in reversed(range(TRIES)):
        try:
            return request()
        except FileNotFoundError:
            raise PhotoError("missing", f"nothing at {name}") from None
        except (PhotoError, MissingError):
            raise
        # What client libraries of services raise has no common base.
        except Exception as error:
            status = getattr(error, "status", None)
            final = isinstance(error, PermissionError) or (
                status is not None and status not in _TRANSIENT
            )
            if final or not tries_left:
                told = str(error) or type(error).__name__
                raise PhotoError("unreachable", f"{name}: {told}") from error
        time.sleep(wait * (1 + random.random() / 2))
        wait *= 2
    raise AssertionError("unreachable")


def _fetch(url: str, start: int, length: int | None) -> bytes:
    """Return a range of the file, or the whole of it where `length` is None."""
    scheme = _scheme(url)
    system = _filesystem(scheme)
    if scheme in ("http", "https"):
        data: bytes = _sync(system, _get, url, start, length)[0]
        return data
    path = _path(url)
    if length is None:
        size = int(_call(system, "info", path)["size"] or 0)
        if size > MAX_BYTES:
            raise too_large(url, size)
        return bytes(_call(system, "cat_file", path))
    return bytes(_call(system, "cat_file", path, start=start, end=start + length))


def _size(url: str) -> int:
    """Return the length of a file of which ranges can be read."""
    scheme = _scheme(url)
    system = _filesystem(scheme)
    if scheme in ("http", "https"):
        return int(_sync(system, _get, url, 0, 1)[1])
    return int(_call(system, "info", _path(url))["size"])


async def _get(system: Any, url: str, start: int, length: int | None) -> tuple[bytes, int]:
    """Return what an HTTP server gives, and the length of the whole file."""
    # Compressed on the way, ranges and lengths would count other bytes.
    headers = {"Accept-Encoding": "identity"}
    limit = MAX_BYTES if length is None else length
    if length is not None:
        headers["Range"] = f"bytes={start}-{start + length - 1}"
    session = await system.set_session()
    async with session.get(system.encode_url(url), headers=headers) as answer:
        if answer.status in (404, 410):
            raise FileNotFoundError(url)
        if answer.status == 416:  # Nothing from there on: an empty file, or past its end.
            return b"", int(answer.headers.get("Content-Range", "*/0").rpartition("/")[2])
        if answer.status not in (200, 206):
            raise _Answer(answer.status, answer.reason or "")
        if length is not None and answer.status != 206:
            raise PhotoError(
                "unreachable",
                f"{_without_secrets(url)}: the server gives no parts of files, which an archive "
                "or table needs; download it and name the file",
            )
        parts, n = [], 0
        async for part in answer.content.iter_chunked(2**18):
            parts.append(part)
            n += len(part)
            if n > limit:
                raise too_large(_without_secrets(url), max(n, answer.content_length or 0))
        total = answer.headers.get("Content-Range", "").rpartition("/")[2]
        return b"".join(parts), int(total) if total.isdigit() else n


def _call(system: Any, name: str, *args: Any, seconds: float = 0.0, **kwargs: Any) -> Any:
    """Call a method of a filesystem, with a time limit where it is one that waits for a network."""
    if getattr(system, "async_impl", False):
        method = getattr(system, f"_{name}")
        return _fsspec().asyn.sync(
            system.loop, method, *args, timeout=seconds or REQUEST_SECONDS, **kwargs
        )
    return getattr(system, name)(*args, **kwargs)


def _sync(system: Any, function: Callable[..., Any], *args: Any) -> Any:
    return _fsspec().asyn.sync(system.loop, function, system, *args, timeout=REQUEST_SECONDS)


def _filesystem(scheme: str) -> Any:
    return _filesystem_of(scheme, os.getpid())


@functools.cache
def _filesystem_of(scheme: str, process: int) -> Any:
    """Return the one filesystem of this process (fsspec would make one for each thread)."""
    try:
        return _fsspec().filesystem(scheme)
    except ImportError as error:
        raise _not_installed(scheme) from error


def _fsspec() -> Any:
    try:
        import fsspec  # noqa: PLC0415
        import fsspec.asyn  # noqa: PLC0415
    except ImportError as error:
        raise _not_installed("http") from error
    return fsspec


def _not_installed(scheme: str) -> MissingError:
    return MissingError(f"{scheme}:// needs fsspec: pip install '{_PACKAGES[scheme]}'")


def _scheme(url: str) -> str:
    return url.partition("://")[0].lower()


def _path(url: str) -> str:
    """Return what a filesystem that is not HTTP calls the file."""
    return "/" * (_scheme(url) == "memory") + url.partition("://")[2].lstrip("/")


def _below(url: str, name: str) -> str:
    # In the names of files, ? and # mean nothing; in URLs of the web they do.
    written = quote(name) if _scheme(url) in ("http", "https") else name
    return f"{url.rstrip('/')}/{written}"


def _without_secrets(url: str) -> str:
    """Return a URL without password and signature, fit for a message."""
    if _scheme(url) not in ("http", "https"):
        return url
    parts = urlsplit(url)
    return urlunsplit((parts.scheme, parts.netloc.rpartition("@")[2], parts.path, "", ""))
