"""Galleries and queries: test sets, tables, archives and plain folders of images."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from shoplens.datasets.galleries import open_dataset, read_gallery_table, read_side
from shoplens.datasets.tables import read_table
from shoplens.errors import DataError, MissingError
from shoplens.records import BoxFrame, Fault, PhotoSet


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
    folder, table = open_dataset(source)
    if table is not None:
        raise MissingError(f"{table} is a file, not a folder or an archive of one")
    gallery = read_side(folder, "seller", columns, box_frame, remote=remote)
    queries = read_side(folder, "user", columns, box_frame, remote=remote)
    _refuse(str(source), [*gallery.faults, *queries.faults])
    return Dataset(folder.path, gallery.photo_set(), queries.photo_set())


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
    folder, file = open_dataset(source)
    if file is None:
        table = read_side(folder, "user", columns, box_frame, remote=remote)
    else:
        table = read_table(file, folder, "user", columns, box_frame, remote=remote)
    _refuse(str(source), table.faults)
    return table.photo_set()


def _refuse(where: str, faults: Iterable[Fault]) -> None:
    faults = tuple(faults)
    if faults:
        count = "1 fault" if len(faults) == 1 else f"{len(faults)} faults"
        raise DataError(f"{where}: {count} in the tables (see also `shoplens check`)", faults)
