"""What a source is: told by its first bytes, and behind a URL by its name first."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Literal
from urllib.parse import urlsplit

from shoplens.errors import DataError, MissingError, PhotoError
from shoplens.sources.archives import HEAD_BYTES, kind_of_archive
from shoplens.sources.columns import SUFFIXES, kind_of_columns, not_columns
from shoplens.sources.places import DiskFile, Place
from shoplens.sources.remote import RemoteFile, RemoteFolder, as_whole, check_url, is_url

Kind = Literal["folder", "csv", "zip", "tar", "parquet", "arrow", "lance"]

_FILE_SUFFIXES = {".csv", ".zip", ".tar", ".tgz", ".gz", ".bz2", ".xz", ".zst", *SUFFIXES}
"""URLs that end otherwise mean folders."""
_LANCE_VERSIONS = "_versions"
"""The folder that every Lance dataset has."""


@dataclass(frozen=True, slots=True)
class Source:
    """A source, recognised."""

    kind: Kind
    place: Place | None = None
    """The file, where it is one (a Lance dataset counts as one)."""
    folder: Path | RemoteFolder | None = None


def recognise(source: str | Path) -> Source:
    """Tell what a path or URL means.

    A file that is nothing else is taken for a CSV table.

    Raises:
        DataError: a kind that is not read, by what it is or where it is.
        MissingError: there is nothing.
    """
    text = str(source)
    if is_url(text):
        return _recognise_url(text)
    path = Path(source)
    if path.is_dir():
        if (path / _LANCE_VERSIONS).is_dir():
            return Source("lance", DiskFile(path))
        return Source("folder", folder=path)
    if not path.is_file():
        problem = "is not a regular file" if path.exists() else "is not there"
        raise MissingError(f"{path} {problem}")
    return _recognise_file(DiskFile(path))


def _recognise_url(url: str) -> Source:
    try:
        check_url(url)
    except ValueError as error:
        raise DataError(f"{url} {error}") from None
    # What follows // is a host on the web, elsewhere the first part of the path.
    scheme, _, rest = url.partition("://")
    suffix = Path(urlsplit(url).path if scheme.startswith("http") else rest).suffix.lower()
    if suffix == ".lance":
        raise DataError(f"{url}: Lance datasets are read from disk only; copy it")
    if suffix not in _FILE_SUFFIXES:
        if scheme.startswith("http"):
            url = re.split("[?#]", url, maxsplit=1)[0]
        return Source("folder", folder=RemoteFolder(url.rstrip("/")))
    if suffix == ".csv":
        return Source("csv", RemoteFile(url))
    return _recognise_file(RemoteFile(url))


def _recognise_file(place: Place) -> Source:
    try:
        head = place.read_range(0, HEAD_BYTES)
    except PhotoError as error:
        raise as_whole(place, error) from error
    kind: Kind | None = kind_of_columns(head) or kind_of_archive(head, place.path.name)
    if kind is None and place.path.suffix.lower() in SUFFIXES:
        raise not_columns(place)
    return Source(kind or "csv", place)
