"""Catalogues that are too long to list on one machine: a folder of Parquet files, each a
partition."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import closing
from pathlib import Path, PurePosixPath
from typing import Any

from shoplens.arrow import arrow
from shoplens.distributed.partitions import OneFile, Partition
from shoplens.errors import DataError, MissingError, PhotoError
from shoplens.parallel import parallel_map
from shoplens.sources.archives import Archive
from shoplens.sources.file import File, as_whole
from shoplens.sources.kinds import open_source
from shoplens.sources.remote import is_url

_ID_COLUMNS = ("photo_id", "seller_img_id")
_MOST_ROWS = 2**31
_SIDE_BY_SIDE = 16
"""Number of files whose footers are read at once; in an object store each takes a while."""


def cut_by_file(
    source: str | Path, columns: Mapping[str, str] | None = None, *, remote: bool = False
) -> list[Partition]:
    """Return a partition for each Parquet file of a folder, in order of their paths.

    Only the footer of each file is read here; rows are listed where they are embedded. Ids come
    from the column `photo_id` (or `seller_img_id`, or the column in `columns`), and must be unique
    over all files. Without such a column, rows are numbered from 0 across all files, as
    `shoplens.datasets.dataset.read_gallery` numbers them.

    Args:
        source: the folder, local or at an `s3://` or `gs://` URL; all machines must have access.
        columns: as in `read_gallery`.
        remote: as in `read_gallery`.

    Raises:
        MissingError: there is no such folder.
        DataError: it holds no Parquet files, or one of them is damaged.
    """
    files = _files(source)
    if not files:
        raise DataError(f"{source} holds no Parquet file; partitions by file need at least one")
    chosen = (columns or {}).get("seller_img_id")
    id_columns = _ID_COLUMNS if chosen is None else (chosen,)
    partitions: list[Partition] = []
    first_row = 0
    counted = parallel_map(lambda file: _count(file[1]), files, _SIDE_BY_SIDE)
    with closing(counted):
        for (name, _), (n_rows, names) in zip(files, counted, strict=True):
            first_id = None if names.intersection(id_columns) else first_row
            photos = OneFile(name, first_id, dict(columns or {}), remote)
            partitions.append(Partition(len(partitions), first_row, n_rows, photos))
            first_row += n_rows
    if first_row > _MOST_ROWS:
        raise DataError(f"{source} has {first_row:,} rows; 32-bit ids allow {_MOST_ROWS:,}")
    return partitions


def _files(source: str | Path) -> list[tuple[str, File]]:
    """Return the Parquet files of a folder, each with its name for `read_gallery`."""
    folder, table = open_source(source if is_url(str(source)) else Path(source).absolute())
    if table is not None or isinstance(folder, Archive):
        raise DataError(
            f"{source} is not a folder; partitions by file need a folder of Parquet files"
        )
    names, _ = folder.listing()
    files = [folder.file(name) for name in names if _is_part(name)]
    return [(str(file), file) for file in files]


def _is_part(name: str) -> bool:
    path = PurePosixPath(name)
    hidden = any(part.startswith((".", "_")) for part in path.parts)
    return path.suffix.lower() in (".parquet", ".pq") and not hidden


def _count(file: File) -> tuple[int, set[str]]:
    """Return how many rows a Parquet file has, and its columns."""
    parquet: Any = arrow("pyarrow.parquet")
    try:
        with file.open() as stream:
            metadata = parquet.read_metadata(stream)
    except PhotoError as error:
        raise as_whole(file, error) from error
    except MissingError:
        raise
    except (OSError, ValueError) as error:  # pyarrow's errors derive from these.
        raise DataError(f"{file} is not a Parquet file, or is damaged: {error}") from error
    return metadata.num_rows, set(metadata.schema.to_arrow_schema().names)
