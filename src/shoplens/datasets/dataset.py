"""Galleries and queries: test sets, tables, archives and plain folders of images."""

from __future__ import annotations

import io
import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from shoplens.datasets.tables import (
    TABLE_NAMES,
    Table,
    check_mapping,
    parse_table,
    read_column_table,
    read_table,
)
from shoplens.errors import DataError, MissingError, PhotoError
from shoplens.records import BoxFrame, Domain, Fault, Origin, Photo, PhotoColumns, PhotoSet
from shoplens.sources.archives import read_archive
from shoplens.sources.columns import SUFFIXES, ColumnTable
from shoplens.sources.holders import Folder
from shoplens.sources.kinds import Source, recognise
from shoplens.sources.members import Members
from shoplens.sources.places import DiskFile, Place
from shoplens.sources.remote import RemoteFile, RemoteFolder, as_whole, parent_folder

IMAGE_SUFFIXES = frozenset(
    {".jpg", ".jpeg", ".jpe", ".png", ".webp", ".gif", ".bmp", ".tif", ".tiff"}
    | {".avif", ".heic", ".heif"}
    | {".jp2", ".jxl"}
)
"""Files that count as images when a plain folder is read. The last line's formats are not
read: such photos become counted failures, because leaving them out would lose them silently."""


@dataclass(frozen=True, slots=True)
class Dataset:
    """A test set: seller photos to search in, user photos to search with."""

    root: Path
    """The folder or archive; host and path of a URL."""
    gallery: PhotoSet
    queries: PhotoSet

    @property
    def has_products(self) -> bool:
        """Whether the ground truth (`product_id`) of every photo is known."""
        return self.gallery.has_products and self.queries.has_products


Root = Path | Members | RemoteFolder
"""What holds a gallery's table and its images: a folder, an archive, a folder behind a URL."""


def read_dataset(
    source: str | Path,
    *,
    columns: Mapping[str, str] | None = None,
    box_frame: BoxFrame = "upright",
    remote: bool = False,
) -> Dataset:
    """Read a test set: `gallery.csv`, `queries.csv` and the images they name.

    Args:
        source: a folder, a zip or tar of one, or the URL of either. An `img_path` not found in the
            folder is tried under its `data/` subfolder. In a folder on disk a table may be a
            Parquet or Arrow file with a column of image bytes (`gallery.parquet`).
        columns: the tables' own column names, keyed by ours (`{"img_path": "file"}`).
        box_frame: `upright` when boxes count pixels of the photo after its EXIF turn, `stored`
            when they count pixels as stored in the file.
        remote: whether an `img_path` may be a URL. Then reading photos asks whatever hosts the
            tables name: allow it for tables you trust.

    Returns:
        A `Dataset`, gallery and queries in table order.

    Raises:
        MissingError: the source or one of its tables is not there.
        DataError: the tables are faulty; every fault is in its `faults`.
    """
    root = _root_of(recognise(source))
    gallery = read_side(root, "seller", columns, box_frame, remote=remote)
    queries = read_side(root, "user", columns, box_frame, remote=remote)
    _refuse(str(source), [*gallery.faults, *queries.faults])
    path = root if isinstance(root, Path) else _path_of(root)
    return Dataset(path, gallery.photo_set(), queries.photo_set())


def read_gallery(
    source: str | Path, *, columns: Mapping[str, str] | None = None, remote: bool = False
) -> PhotoSet:
    """Read seller photos from a test set, a table, an archive or any folder of images.

    A folder or archive without `gallery.csv` is walked through (hidden files left out); its images
    are numbered from 0 in order of their paths, and their products are not known.

    Args:
        source: a test set folder, a CSV file, or a folder of images; a zip or tar archive of such
            a folder; a Parquet or Arrow IPC (Feather) file, a folder of them, or a Lance dataset,
            with a column of image bytes; or an `http(s)://`, `s3://`, `gs://` or `memory://` URL
            of any of these but Lance. A folder on the web cannot be listed: it needs a
            `gallery.csv`.
        columns: as in `read_dataset`; `img_path` may name the column of bytes.
        remote: as in `read_dataset`.

    Raises:
        MissingError: there is nothing at `source`, or what reads it is not installed.
        DataError: the table is faulty, or there is no image.
    """
    table = read_gallery_table(source, columns, remote=remote)
    _refuse(str(source), table.faults)
    return table.photo_set()


def read_queries(
    source: str | Path,
    *,
    columns: Mapping[str, str] | None = None,
    box_frame: BoxFrame = "upright",
    remote: bool = False,
) -> PhotoSet:
    """Read users' photos with their boxes: a test set's `queries.csv`, or such a table alone.

    Args:
        source: a folder or archive with `queries.csv`, or a CSV table.
        columns: as in `read_dataset`.
        box_frame: as in `read_dataset`.
        remote: as in `read_dataset`.

    Raises:
        MissingError: there is nothing at `source`.
        DataError: the table is faulty.
    """
    root = open_root(source)
    if root is None:
        table = read_table(Path(source), "user", columns, box_frame, remote=remote)
    else:
        table = read_side(root, "user", columns, box_frame, remote=remote)
    _refuse(str(source), table.faults)
    return table.photo_set()


def read_gallery_table(
    source: str | Path, columns: Mapping[str, str] | None = None, *, remote: bool = False
) -> Table:
    """Like `read_gallery`, with the faults returned beside the photos instead of raised."""
    found = recognise(source)
    place = found.place
    if found.kind in ("parquet", "arrow", "lance") and place is not None:
        return _read_parts(place.path.name, [place], "seller", columns)
    if found.kind == "csv" and isinstance(place, RemoteFile):
        holder = parent_folder(place.url)
        data = _whole(place)
        return parse_table(
            io.BytesIO(data), place.path.name, holder, "seller", columns, remote=remote
        )
    if found.kind == "csv" and place is not None:
        return read_table(place.path, "seller", columns, remote=remote)
    root = _root_of(found)
    if has_table(root, "seller"):
        return read_side(root, "seller", columns, remote=remote)
    if isinstance(root, Path):
        return _read_image_folder(root, columns)
    if isinstance(root, RemoteFolder):
        return _read_remote_folder(root, columns)
    return _read_members(root)


def open_root(source: str | Path) -> Root | None:
    """Return the folder, archive or remote folder that `source` is, None when it is a table."""
    found = recognise(source)
    return _root_of(found) if found.kind in ("folder", "zip", "tar") else None


def has_table(root: Root, domain: Domain) -> bool:
    """Whether a root holds the table of that side."""
    if isinstance(root, Path):
        return _table_file(root, domain) is not None
    return _table_bytes(root, domain) is not None


def read_side(
    root: Root,
    domain: Domain,
    columns: Mapping[str, str] | None = None,
    box_frame: BoxFrame = "upright",
    *,
    remote: bool = False,
) -> Table:
    """Read the gallery or the queries of a test set, with the faults beside the photos.

    Raises `MissingError` when the root holds no such table.
    """
    name = TABLE_NAMES[domain]
    if isinstance(root, Path):
        file = _table_file(root, domain) or root / name
        if file.suffix in SUFFIXES:
            return _read_parts(file.name, [DiskFile(file)], domain, columns, box_frame)
        return read_table(file, domain, columns, box_frame, remote=remote)
    data = _table_bytes(root, domain)
    if data is None:
        raise MissingError(f"{root} holds no {name}; a test set has gallery.csv and queries.csv")
    return parse_table(io.BytesIO(data), name, root, domain, columns, box_frame, remote=remote)


def _root_of(source: Source) -> Root:
    if source.kind in ("zip", "tar") and source.place is not None:
        return _unwrapped(read_archive(source.place, source.kind))
    if source.folder is not None:
        return source.folder
    raise MissingError(f"{source.place} is a file, not a folder or an archive of one")


def _path_of(root: Members | RemoteFolder) -> Path:
    return root.root if isinstance(root, Members) else RemoteFile(root.url).path


def _unwrapped(members: Members) -> Members:
    """Return what is in the one folder of an archive that was packed with its folder around it."""
    names = set(TABLE_NAMES.values())
    tops = {PurePosixPath(name).parts[0] for name in members.origins if not _is_hidden(name)}
    if len(tops) == 1 and names.isdisjoint(members.origins):
        inner = members.below(tops.pop())
        if not names.isdisjoint(inner.origins):
            return inner
    return members


def _table_file(root: Path, domain: Domain) -> Path | None:
    name = root / TABLE_NAMES[domain]
    files = (name, *(name.with_suffix(suffix) for suffix in SUFFIXES))
    return next((file for file in files if file.is_file()), None)


def _table_bytes(root: Members | RemoteFolder, domain: Domain) -> bytes | None:
    name = TABLE_NAMES[domain]
    if isinstance(root, Members):
        origin = root.origins.get(name)
        return None if origin is None else _whole(origin)
    try:
        return root.file(name).read()
    except PhotoError as error:
        if error.reason == "missing":
            return None
        raise as_whole(root, error) from error


def _whole(origin: Origin) -> bytes:
    """Return a table's bytes."""
    try:
        return origin.read()
    except PhotoError as error:
        raise as_whole(origin, error) from error


def _read_parts(
    name: str,
    places: Sequence[Place],
    domain: Domain,
    columns: Mapping[str, str] | None,
    box_frame: BoxFrame = "upright",
) -> Table:
    check_mapping(columns)
    table = ColumnTable(name, places, (columns or {}).get("img_path"))
    return read_column_table(table, domain, columns, box_frame)


def _read_image_folder(root: Path, columns: Mapping[str, str] | None) -> Table:
    folder = Folder(root)
    names = []
    parts = []
    for parent, folders, files in os.walk(root):
        folders[:] = [name for name in folders if not _is_hidden(name)]
        for file in files:
            path = Path(parent, file)
            if _is_image(file):
                names.append(path.relative_to(root).as_posix())
            elif _is_part(file):
                parts.append(path)
    if parts and not names:
        # In order of their paths, as the photos of a folder are.
        places = [DiskFile(path) for path in sorted(parts, key=lambda path: path.as_posix())]
        return _read_parts(root.name, places, "seller", columns)
    photos = PhotoColumns()
    faults: list[Fault] = []
    for name in sorted(names):
        try:
            path = folder.find(name)
        except ValueError as error:
            faults.append(Fault(root.name, 0, "", name, str(error)))
            continue
        photos.append(Photo(id=len(photos), name=name, path=path, domain="seller"))
    return _image_table(str(root), root.name, photos, faults)


def _read_members(members: Members) -> Table:
    photos = PhotoColumns(
        Photo(number, name, members.root / name, "seller", origin=members.origins[name])
        for number, name in enumerate(sorted(filter(_is_image, members.origins)))
    )
    return _image_table(str(members), members.root.name, photos, list(members.faults))


def _read_remote_folder(root: RemoteFolder, columns: Mapping[str, str] | None) -> Table:
    names = root.list()
    path = _path_of(root)
    parts = sorted(filter(_is_part, names))
    if parts and not any(map(_is_image, names)):
        return _read_parts(path.name, [root.file(name) for name in parts], "seller", columns)
    return _read_members(Members(path, {name: root.file(name) for name in names}))


def _image_table(where: str, name: str, photos: PhotoColumns, faults: list[Fault]) -> Table:
    if not photos and not faults:
        known = ", ".join(sorted(IMAGE_SUFFIXES))
        problem = f"holds neither a gallery.csv nor any image ({known})"
        faults = [Fault(where, 0, "", "", problem)]
    return Table(name, photos, (0,) * len(photos), tuple(faults), numbered=True)


def _is_image(name: str) -> bool:
    path = PurePosixPath(name)
    return path.suffix.lower() in IMAGE_SUFFIXES and not _is_hidden(name)


def _is_part(name: str) -> bool:
    """Whether a file is a part of a table of columns; tools keep notes beside them as `_name`."""
    path = PurePosixPath(name)
    return path.suffix.lower() in SUFFIXES and not path.name.startswith(("_", "."))


def _is_hidden(name: str) -> bool:
    parts = PurePosixPath(name).parts
    return any(part.startswith(".") for part in parts) or any(
        part.startswith("__MACOSX") for part in parts[:-1] or parts
    )


def _refuse(where: str, faults: Iterable[Fault]) -> None:
    faults = tuple(faults)
    if faults:
        count = "1 fault" if len(faults) == 1 else f"{len(faults)} faults"
        raise DataError(f"{where}: {count} in the tables (see also `shoplens check`)", faults)
