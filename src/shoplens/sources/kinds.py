"""What a path or URL means, by the first bytes of a file and, for a URL, by its name first."""

from __future__ import annotations

import re
from collections.abc import Collection
from pathlib import Path
from urllib.parse import urlsplit

from shoplens.errors import DataError, MissingError, PhotoError
from shoplens.sources.archives import HEAD_BYTES, Archive, kind_of_archive, read_archive
from shoplens.sources.columns import SUFFIXES, kind_of_columns, not_columns
from shoplens.sources.file import DiskFile, File, as_whole
from shoplens.sources.folder import DiskFolder, Folder
from shoplens.sources.images import is_image
from shoplens.sources.remote import RemoteFile, RemoteFolder, check_url, is_url, parent_folder

_FILE_SUFFIXES = {".csv", ".zip", ".tar", ".tgz", ".gz", ".bz2", ".xz", ".zst", *SUFFIXES}
"""URLs that end otherwise mean folders."""
_LANCE_SUFFIX = ".lance"
_LANCE_VERSIONS = "_versions"
"""The folder that every Lance dataset has."""


def open_source(
    source: str | Path, table_names: Collection[str] = ()
) -> tuple[Folder, File | None]:
    """Return what a path or URL means.

    Args:
        source: a folder, an archive or a table.
        table_names: of an archive whose files all lie in one folder with one of these files, that
            folder is meant.

    Returns:
        The folder or archive, and None; or the folder of a table, and the table. A Lance dataset
        counts as a file, and a file that is nothing else as a CSV table.

    Raises:
        DataError: it is of a kind that cannot be read, or cannot be read from there.
        MissingError: there is nothing there.
    """
    text = str(source)
    if is_url(text):
        return _open_url(text, table_names)
    path = Path(source)
    if path.is_dir():
        if (path / _LANCE_VERSIONS).is_dir():
            return DiskFolder(path.parent), DiskFile(path)
        return DiskFolder(path), None
    if not path.is_file():
        problem = "is not a regular file" if path.exists() else "is not there"
        raise MissingError(f"{path} {problem}")
    return _open_file(DiskFile(path), DiskFolder(path.parent), table_names)


def _open_url(url: str, table_names: Collection[str]) -> tuple[Folder, File | None]:
    try:
        check_url(url)
    except ValueError as error:
        raise DataError(f"{url} {error}") from None
    suffix = _suffix_of(url)
    if suffix == _LANCE_SUFFIX:
        raise DataError(f"{url}: Lance datasets are read from disk only; copy it")
    if (folder := folder_of_url(url)) is not None:
        # A CSV table is read whole: its server need not give parts of files.
        return folder, RemoteFile(url) if suffix == ".csv" else None
    return _open_file(RemoteFile(url), parent_folder(url), table_names)


def folder_of_url(url: str) -> RemoteFolder | None:
    """Return the folder that a URL means, or that of the CSV table that it means; nothing is asked.

    None if it means an archive or a table of columns, which holds the photos itself.
    """
    suffix = _suffix_of(url)
    if suffix == ".csv":
        return parent_folder(url)
    if suffix in _FILE_SUFFIXES or suffix == _LANCE_SUFFIX:
        return None
    if url.startswith("http"):
        url = re.split("[?#]", url, maxsplit=1)[0]
    return RemoteFolder(url.rstrip("/"))


def _suffix_of(url: str) -> str:
    # What follows // is a host on the web, elsewhere the first part of the path.
    scheme, _, rest = url.partition("://")
    return Path(urlsplit(url).path if scheme.startswith("http") else rest).suffix.lower()


def _open_file(
    file: File, parent: Folder, table_names: Collection[str]
) -> tuple[Folder, File | None]:
    try:
        head = file.read_range(0, HEAD_BYTES)
    except PhotoError as error:
        raise as_whole(file, error) from error
    suffix = file.path.suffix.lower()
    if kind_of_columns(head) is not None:
        return parent, file
    if archive := kind_of_archive(head, file.path.name):
        return _unwrapped(read_archive(file, archive), table_names), None
    if suffix in SUFFIXES:
        raise not_columns(file)
    if suffix == ".zip":
        raise DataError(
            f"{file} is not a zip archive, though it is named like one; it may be damaged"
        )
    if is_image(head):
        raise DataError(f"{file} is a photo; name the folder, archive or table that holds photos")
    return parent, file


def _unwrapped(archive: Archive, table_names: Collection[str]) -> Archive:
    """Return what is in the one folder of an archive that was packed with its folder around it."""
    names, _ = archive.listing()
    tops = {name.partition("/")[0] for name in names}
    if len(tops) == 1 and not any(map(archive.get, table_names)):
        inner = archive.below(tops.pop())
        if any(map(inner.get, table_names)):
            return inner
    return archive
