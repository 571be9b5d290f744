"""Requests for files behind URLs, made through fsspec (extra `[remote]`).

Every request has a time limit and is tried a few times. It ends with the bytes or with a
`PhotoError`.
"""

from __future__ import annotations

import functools
import os
import random
import time
from collections.abc import Callable
from typing import Any, TypeVar
from urllib.parse import urlsplit, urlunsplit

from shoplens.errors import MissingError, PhotoError
from shoplens.sources.file import MAX_BYTES, too_large

TRIES = 3
FIRST_WAIT_SECONDS = 0.25
"""Waited before the second try, twice that before the third; up to half as long again by chance,
so that many workers do not retry at the same time."""
REQUEST_SECONDS = 60.0
"""One request may take this long."""
LIST_SECONDS = 600.0
"""Listing a folder may take this long."""
_CHUNK = 2**18
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


def fetch(url: str, start: int = 0, length: int | None = None) -> bytes:
    """Return a range of a file, or the whole of it where `length` is None.

    Raises `PhotoError` with reason `missing`, `unreachable` or `too_large`.
    """
    return _retried(url, lambda: _fetch(url, start, length))


def size_of(url: str) -> int:
    """Return the length in bytes of a file of which ranges can be read; raises as `fetch`."""
    return _retried(url, lambda: _size(url))


def is_there(url: str) -> bool:
    """Return whether there is a file; raises `PhotoError` `unreachable` where nobody says."""
    try:
        _retried(url, lambda: _ask(url))
    except PhotoError as error:
        if error.reason == "missing":
            return False
        raise
    return True


def list_below(url: str) -> list[str]:
    """Return the paths of all files below a folder that is not on the web; raises as `fetch`."""
    system = _filesystem(scheme_of(url))
    found = _retried(url, lambda: system.find(_path(url).rstrip("/"), timeout=LIST_SECONDS))
    root = _path(url).strip("/")
    names = [str(path).lstrip("/") for path in found]
    return [name[len(root) + 1 :] if root else name for name in names]


def scheme_of(url: str) -> str:
    """Return the part of a URL before `://`, in lower case."""
    return url.partition("://")[0].lower()


def is_web(url: str) -> bool:
    """Whether a URL is asked for by HTTP."""
    return scheme_of(url) in ("http", "https")


def without_secrets(url: str) -> str:
    """Return a URL without password and signature, fit for a message."""
    if not is_web(url):
        return url
    parts = urlsplit(url)
    return urlunsplit((parts.scheme, parts.netloc.rpartition("@")[2], parts.path, "", ""))


class _Answer(Exception):
    """An HTTP status that does not mean success."""

    def __init__(self, status: int, words: str) -> None:
        self.status = status
        super().__init__(f"the server answered {status} {words}".rstrip())


def _retried(url: str, request: Callable[[], _T]) -> _T:
    name = without_secrets(url)
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
    if is_web(url):
        data: bytes = _web(_get, url, start, length)[0]
        return data
    system, path = _filesystem(scheme_of(url)), _path(url)
    if length is not None:
        end = start + length
        return bytes(system.cat_file(path, start=start, end=end, timeout=REQUEST_SECONDS))
    size = _size(url)
    if size > MAX_BYTES:
        raise too_large(url, size)
    return bytes(system.cat_file(path, timeout=REQUEST_SECONDS))


def _size(url: str) -> int:
    if is_web(url):
        return int(_web(_get, url, 0, 1)[1])
    info = _filesystem(scheme_of(url)).info(_path(url), timeout=REQUEST_SECONDS)
    if info["type"] == "directory":
        raise FileNotFoundError(url)
    return int(info["size"] or 0)


def _ask(url: str) -> None:
    if is_web(url):
        _web(_look, url)
    else:
        _size(url)


async def _look(system: Any, url: str) -> None:
    """Ask an HTTP server for a byte; a server without ranges is not made to send the rest."""
    session = await system.set_session()
    headers = {"Range": "bytes=0-0"}
    async with session.get(system.encode_url(url), headers=headers) as answer:
        _check_status(answer, url)


async def _get(system: Any, url: str, start: int, length: int | None) -> tuple[bytes, int]:
    """Return what an HTTP server gives, and the length of the whole file."""
    # Compressed on the way, ranges and lengths would count other bytes.
    headers = {"Accept-Encoding": "identity"}
    limit = MAX_BYTES if length is None else length
    if length is not None:
        headers["Range"] = f"bytes={start}-{start + length - 1}"
    session = await system.set_session()
    async with session.get(system.encode_url(url), headers=headers) as answer:
        _check_status(answer, url)
        if answer.status == 416:  # Nothing from there on: an empty file, or past its end.
            return b"", int(answer.headers.get("Content-Range", "*/0").rpartition("/")[2])
        if length is not None and answer.status != 206:
            raise PhotoError(
                "unreachable",
                f"{without_secrets(url)}: the server does not deliver parts of files, which an "
                "archive or a table needs; download the file and name it",
            )
        parts, n = [], 0
        async for part in answer.content.iter_chunked(_CHUNK):
            parts.append(part)
            n += len(part)
            if n > limit:
                raise too_large(without_secrets(url), max(n, answer.content_length or 0))
        total = answer.headers.get("Content-Range", "").rpartition("/")[2]
        return b"".join(parts), int(total) if total.isdigit() else n


def _check_status(answer: Any, url: str) -> None:
    if answer.status in (404, 410):
        raise FileNotFoundError(url)
    if answer.status not in (200, 206, 416):
        raise _Answer(answer.status, answer.reason or "")


def _web(function: Callable[..., Any], url: str, *args: Any) -> Any:
    """Run a request by HTTP on fsspec's own thread, with a time limit."""
    system = _filesystem(scheme_of(url))
    return _fsspec().asyn.sync(system.loop, function, system, url, *args, timeout=REQUEST_SECONDS)


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


def _path(url: str) -> str:
    """Return what a filesystem that is not HTTP calls the file."""
    return "/" * (scheme_of(url) == "memory") + url.partition("://")[2].lstrip("/")
