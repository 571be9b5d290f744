"""Which stored row is which photo's, and whether the photo is still the same."""

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
    """Return the row that is meant for each photo, -1 where there is none.

    Photos with ids of their own are found by them. Where ids only count the photos of a folder
    (`PhotoSet.numbered`), another file in it gives them other ids, so they are found by path.

    Args:
        file: what holds the rows, for messages.
        photos: n photos.
        ids: (m,) the rows' ids, each once.
        paths: of the m rows; None where the row has none.

    Returns:
        (n,) positions among the rows.

    Raises `RankingError` when paths are needed and there are none.
    """
    if not photos.numbered:
        row_of_id = {int(photo_id): row for row, photo_id in enumerate(ids)}
        return np.array([row_of_id.get(photo.id, -1) for photo in photos], dtype=np.intp)
    if len(paths) and not any(paths):
        raise RankingError(
            f"{file} has no column path: the photos have no ids of their own, so their vectors "
            "are found by path (shoplens embed writes it)"
        )
    row_of_path = {path: row for row, path in enumerate(paths)}
    return np.array([row_of_path.get(stored_name(photo.name), -1) for photo in photos], np.intp)


def has_changed(photo: Photo, path: str | None, sha256: str | None, embedded_at: float) -> bool:
    """Return whether a photo is known to have other bytes than those that were embedded.

    Reading every file would cost more than a search, so only those are read that give a reason: a
    file that is newer than its vector, or that had another name.

    Args:
        photo: as it is now.
        path: its name when it was embedded; None when not known.
        sha256: of its bytes then, in hex; None when not known.
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
    """Return a file name as text that can be stored: on Linux one may hold any bytes."""
    return name.encode(errors="backslashreplace").decode()
