"""The photos of one side of a test set, and galleries of any kind, faults beside the photos."""

from __future__ import annotations

import posixpath
from collections.abc import Mapping
from pathlib import Path
from typing import get_args

from shoplens.datasets.format import TABLE_NAMES, table_files
from shoplens.datasets.tables import Table, is_column_table, read_column_table, read_table
from shoplens.errors import MissingError
from shoplens.records import BoxFrame, Domain, Fault, Photo, PhotoColumns
from shoplens.sources.columns import SUFFIXES
from shoplens.sources.file import File
from shoplens.sources.folder import Folder
from shoplens.sources.images import IMAGE_SUFFIXES, photos_among
from shoplens.sources.kinds import open_source


def open_dataset(source: str | Path) -> tuple[Folder, File | None]:
    """Return the folder or archive that a source is, and None; or a table's folder, and the table.

    Raises as `shoplens.sources.kinds.open_source`.
    """
    return open_source(source, [file for side in get_args(Domain) for file in table_files(side)])


def find_table(folder: Folder, domain: Domain) -> File | None:
    """Return the table of one side of a test set, None when the folder has none."""
    return next(filter(None, map(folder.get, table_files(domain))), None)


def read_side(
    folder: Folder,
    domain: Domain,
    columns: Mapping[str, str] | None = None,
    box_frame: BoxFrame = "upright",
    *,
    remote: bool = False,
) -> Table:
    """Read the gallery or the queries of a test set.

    Raises `MissingError` when the folder holds no such table.
    """
    file = find_table(folder, domain)
    if file is None:
        raise MissingError(
            f"{folder} holds no {TABLE_NAMES[domain]}; a test set has gallery.csv and queries.csv "
            "(a plain folder of images is searched with `shoplens search --gallery FOLDER`)"
        )
    return read_table(file, folder, domain, columns, box_frame, remote=remote)


def read_gallery_table(
    source: str | Path, columns: Mapping[str, str] | None = None, *, remote: bool = False
) -> Table:
    """Like `shoplens.read_gallery`, with the faults returned beside the photos, not raised."""
    folder, file = open_dataset(source)
    file = file or find_table(folder, "seller")
    if file is not None:
        return read_table(file, folder, "seller", columns, remote=remote)
    names, faults = folder.listing()
    parts = {name: folder.file(name) for name in names if _is_part(name)}
    photos = photos_among(folder, [name for name in names if name not in parts])
    if parts and not photos:
        return read_column_table(folder.path.name, list(parts.values()), "seller", columns)
    return _image_table(folder, photos, faults, len(names) - len(photos))


def column_files(folder: Folder, table: File | None) -> list[File]:
    """Return the files of the table of columns that holds the photos of a gallery, in order.

    Args:
        folder: as `open_dataset` returns it.
        table: the same.

    Returns:
        The files; none where photos are files of their own.

    Raises as `read_gallery_table`.
    """
    table = table or find_table(folder, "seller")
    if table is not None:
        return [table] if is_column_table(table) else []
    return [folder.file(name) for name in folder.listing()[0] if _is_part(name)]


def _image_table(folder: Folder, names: list[str], faults: list[Fault], n_others: int) -> Table:
    photos = PhotoColumns()
    for number, name in enumerate(names):
        file = folder.file(name)
        photos.append(Photo(number, name, file.path, "seller", file=None if file.on_disk else file))
    if not photos and not faults:
        known = ", ".join(sorted(IMAGE_SUFFIXES))
        problem = f"contains neither a gallery.csv nor any image ({known})"
        faults = [Fault(str(folder), 0, "", "", problem)]
    return Table(
        folder.path.name,
        photos,
        (0,) * len(photos),
        tuple(faults),
        numbered=True,
        n_others=n_others,
    )


def _is_part(name: str) -> bool:
    """Whether a file is a part of a table of columns; tools keep notes beside them as `_name`."""
    suffix = posixpath.splitext(name)[1].lower()
    return suffix in SUFFIXES and not posixpath.basename(name).startswith("_")
