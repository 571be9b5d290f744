"""The files of photos that were sent to a service: how they are named, and which nothing needs.

The service that keeps them owns them. It removes a file with its photo, but it does not see what
other processes remove from the catalogue, and a kill can come between the photo and its file.
"""

from __future__ import annotations

import hashlib
import os
import re
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path, PurePath

from shoplens.catalog.base import Catalog
from shoplens.catalog.entry import PhotoId
from shoplens.errors import DataError, MissingError, reason_of

_ID_DIGITS = 16
_NAME = re.compile(r"[0-9a-f]{64}-[0-9a-f]{16}\.[a-z]{3,4}")
SETTLED_SECONDS = 3600.0
"""A younger file may be one whose photo is just being put in."""


@dataclass(frozen=True, slots=True)
class UnusedUpload:
    """A file that no photo of the catalogue needs."""

    file: Path
    n_bytes: int


def uploads_beside(uri: str) -> Path | None:
    """Return the folder where uploads of a catalogue are kept if no other is named.

    It is beside a catalogue that is a folder; None for others.
    """
    if "://" in uri:
        return None
    folder = Path(uri).absolute()
    return folder.with_name(f"{folder.name}-uploads")


def upload_name(photo_id: PhotoId, sha256: str, suffix: str) -> str:
    """Return the name of the file of an uploaded photo: no other photo has it.

    Args:
        photo_id: the photo's id.
        sha256: of the file's bytes, in hex.
        suffix: of its kind of file, such as `.jpg`.
    """
    text = f"{type(photo_id).__name__} {photo_id}"
    digest = hashlib.sha256(text.encode(errors="surrogatepass")).hexdigest()
    return f"{sha256}-{digest[:_ID_DIGITS]}{suffix}"


def unused_uploads(catalog: Catalog, folder: Path) -> list[UnusedUpload]:
    """Return the uploads that no photo of a catalogue needs, in order of their names.

    Files that are younger than an hour, or are named otherwise than uploads, are never among them.

    Args:
        catalog: all of its photos are looked at.
        folder: where uploads are kept.

    Raises:
        MissingError: there is no such folder.
        DataError: the folder cannot be read.
        CatalogError: a stored photo is damaged, so that it is not known which file it needs.
    """
    # The files come first: one that is put in meanwhile is not among them.
    found = {one.file.name: one for one in _settled(folder)}
    for entry in catalog.entries():
        # By the name alone: the folder may have been moved with its catalogue.
        found.pop(PurePath(entry.path).name, None)
    # After the photos, for a migration may put one among those that failed.
    for failed in catalog.failures():
        found.pop(PurePath(failed.path).name, None)
    return [found[name] for name in sorted(found)]


def keep_upload(file: Path) -> None:
    """Take note that a file is just being needed again, so that it is not taken for unused."""
    status = file.stat()
    # Its times stay, by which it is known. That they were set is a time of its own.
    os.utime(file, ns=(status.st_atime_ns, status.st_mtime_ns))


def remove_upload(upload: UnusedUpload) -> bool:
    """Remove an unused upload; return False if it is gone, or was just put in again."""
    try:
        if not _is_settled(upload.file.lstat()):
            return False
        upload.file.unlink()
    except FileNotFoundError:
        return False
    except OSError as error:
        raise DataError(f"{upload.file} cannot be removed: {reason_of(error)}") from error
    return True


def _settled(folder: Path) -> Iterator[UnusedUpload]:
    if not folder.is_dir():
        raise MissingError(f"there is no folder {folder}")
    try:
        files = [file for file in folder.iterdir() if _NAME.fullmatch(file.name)]
    except OSError as error:
        raise DataError(f"{folder} cannot be read: {reason_of(error)}") from error
    for file in files:
        try:
            status = file.lstat()
        except OSError:
            continue  # It was removed just now.
        if _is_settled(status):
            yield UnusedUpload(file, status.st_size)


def _is_settled(status: os.stat_result) -> bool:
    return time.time() - max(status.st_mtime, status.st_ctime) >= SETTLED_SECONDS
