"""Match stored rows to photos, and find out whether a photo has changed."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt

from shoplens.errors import PhotoError, RankingError
from shoplens.records import Photo, PhotoSet
from shoplens.sources import read_photo


def find_rows(
    file: Path,
    photos: PhotoSet,
    ids: npt.NDArray[np.int64],
    paths: Sequence[str | None],
) -> npt.NDArray[np.intp]:
    """Return the row of each photo, or -1 if there is none.

    Photos are found by their ids. If ids only count the photos of a folder (`PhotoSet.numbered`),
    they change when files are added, so these photos are found by path.

    Args:
        file: the file that holds the rows, for messages.
        photos: n photos.
        ids: (m,) the ids of the rows, unique.
        paths: the paths of the m rows; None if a row has none.

    Returns:
        (n,) positions among the rows.

    Raises `RankingError` if paths are needed and there are none.
    """
    if not photos.numbered:
        row_of_id = {int(photo_id): row for row, photo_id in enumerate(ids)}
        return np.array([row_of_id.get(photo.id, -1) for photo in photos], dtype=np.intp)
    if len(paths) and not any(paths):
        raise RankingError(
            f"{file} has no column path. The photos have no ids of their own, so their vectors are "
            "found by path (shoplens embed writes it)."
        )
    row_of_path = {path: row for row, path in enumerate(paths)}
    return np.array([row_of_path.get(stored_name(photo.name), -1) for photo in photos], np.intp)


def has_changed(photo: Photo, path: str | None, sha256: str | None, embedded_at: float) -> bool:
    """Return whether a photo is known to have changed since it was embedded.

    Reading every file would take longer than a search. So only files that are newer than their
    vector, or that had another name, are read.

    Args:
        photo: the photo now.
        path: its name when it was embedded; None if unknown.
        sha256: SHA-256 of its bytes then, in hex; None if unknown.
        embedded_at: when the vectors were written, in seconds since the epoch.
    """
    if sha256 is None or photo.problem is not None:
        return False
    renamed = path is not None and path != stored_name(photo.name)
    if not renamed:
        if photo.file is not None:
            return False
        try:
            if photo.path.stat().st_mtime < embedded_at:
                return False
        except OSError:
            return False  # It is gone; its vector is all that is left of it.
    try:
        return hashlib.sha256(read_photo(photo)).hexdigest() != sha256
    except PhotoError:
        return False


def stored_name(name: str) -> str:
    """Return a file name as text that can be stored; on Linux, a name can hold any bytes."""
    return name.encode(errors="backslashreplace").decode()
