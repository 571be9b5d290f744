"""Galleries and queries: test set folders, CSV tables, plain folders of images."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from shoplens.errors import DataError, MissingError
from shoplens.records import BoxFrame, Fault, Photo, PhotoSet
from shoplens.tables import TABLE_NAMES, Folder, Table, read_table

IMAGE_SUFFIXES = frozenset(
    {".jpg", ".jpeg", ".jpe", ".png", ".webp", ".gif", ".bmp", ".tif", ".tiff"}
    | {".heic", ".heif", ".avif", ".jp2", ".jxl"}
)
"""Files that count as images when a plain folder is read. The second line's formats are not read:
such photos become counted failures, for leaving them out would lose them silently."""


@dataclass(frozen=True, slots=True)
class Dataset:
    """A test set: seller photos to search in, user photos to search with."""

    root: Path
    gallery: PhotoSet
    queries: PhotoSet

    @property
    def has_products(self) -> bool:
        """Whether the ground truth (`product_id`) of every photo is known."""
        return self.gallery.has_products and self.queries.has_products


def read_dataset(
    folder: str | Path,
    *,
    columns: Mapping[str, str] | None = None,
    box_frame: BoxFrame = "upright",
) -> Dataset:
    """Read a test set folder: `gallery.csv`, `queries.csv` and the images they name.

    Args:
        folder: the folder. An `img_path` not found in it is tried under its `data/` subfolder.
        columns: the tables' own column names, keyed by ours (`{"img_path": "file"}`).
        box_frame: `upright` when boxes count pixels of the photo after its EXIF turn, `stored`
            when they count pixels as stored in the file.

    Returns:
        A `Dataset`, gallery and queries in table order.

    Raises:
        MissingError: the folder or one of its tables is not there.
        DataError: the tables are faulty; every fault is in its `faults`.
    """
    root = _existing_folder(folder)
    gallery = read_table(root / TABLE_NAMES["seller"], "seller", columns, box_frame)
    queries = read_table(root / TABLE_NAMES["user"], "user", columns, box_frame)
    _refuse(str(root), [*gallery.faults, *queries.faults])
    return Dataset(root, PhotoSet(gallery.photos), PhotoSet(queries.photos))


def read_gallery(source: str | Path, *, columns: Mapping[str, str] | None = None) -> PhotoSet:
    """Read seller photos from a test set folder, a CSV file, or any folder of images.

    A folder without `gallery.csv` is walked through (hidden files left out); its images are
    numbered from 0 in order of their paths, and their products are not known.

    Raises:
        MissingError: there is nothing at `source`.
        DataError: the table is faulty, or the folder holds no image.
    """
    table = read_gallery_table(source, columns)
    _refuse(str(source), table.faults)
    return PhotoSet(table.photos)


def read_gallery_table(source: str | Path, columns: Mapping[str, str] | None = None) -> Table:
    """Like `read_gallery`, with the faults returned beside the photos instead of raised."""
    path = Path(source)
    if path.is_file():
        return read_table(path, "seller", columns)
    root = _existing_folder(path)
    if (root / TABLE_NAMES["seller"]).is_file():
        return read_table(root / TABLE_NAMES["seller"], "seller", columns)
    return _read_image_folder(root)


def _read_image_folder(root: Path) -> Table:
    folder = Folder(root)
    names = []
    for parent, folders, files in os.walk(root):
        folders[:] = [name for name in folders if not name.startswith((".", "__MACOSX"))]
        for file in files:
            path = Path(parent, file)
            if path.suffix.lower() in IMAGE_SUFFIXES and not file.startswith("."):
                names.append(path.relative_to(root).as_posix())
    photos: list[Photo] = []
    faults: list[Fault] = []
    for name in sorted(names):
        try:
            path = folder.find(name)
        except ValueError as error:
            faults.append(Fault(root.name, 0, "", name, str(error)))
            continue
        photos.append(Photo(id=len(photos), name=name, path=path, domain="seller"))
    if not names:
        known = ", ".join(sorted(IMAGE_SUFFIXES))
        problem = f"holds neither a gallery.csv nor any image ({known})"
        faults.append(Fault(str(root), 0, "", "", problem))
    return Table(root.name, tuple(photos), (0,) * len(photos), tuple(faults))


def _existing_folder(folder: str | Path) -> Path:
    root = Path(folder)
    if not root.is_dir():
        problem = "is a file, not a folder" if root.exists() else "is not there"
        raise MissingError(f"dataset folder {root} {problem}")
    return root


def _refuse(where: str, faults: Iterable[Fault]) -> None:
    faults = tuple(faults)
    if faults:
        count = "1 fault" if len(faults) == 1 else f"{len(faults)} faults"
        raise DataError(f"{where}: {count} in the tables (see also `shoplens check`)", faults)
