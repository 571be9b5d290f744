"""A shop's photos from wherever they are: folders, tables, test sets, catalogues."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

from shoplens.catalog.embedded.store import FILE
from shoplens.catalog.opening import open_catalog
from shoplens.catalog.originals import Originals
from shoplens.datasets.dataset import read_gallery, read_queries
from shoplens.datasets.format import TABLE_NAMES
from shoplens.records import PhotoSet


def read_shop(
    source: str | Path, *, columns: Mapping[str, str] | None = None, remote: bool = False
) -> PhotoSet:
    """Read sellers' photos: those of a catalogue, or what `shoplens.read_gallery` takes.

    The photos of a catalogue are read from where they were indexed. One that is not there any more
    has a `problem`.

    Args:
        source: a catalogue, a folder, a table, an archive or a URL.
        columns: as in `read_gallery`.
        remote: whether photos are fetched from URLs that a table or a catalogue names.

    Raises as `read_gallery` and `open_catalog` do.
    """
    if not (str(source).startswith("milvus://") or Path(source, FILE).is_file()):
        return read_gallery(source, columns=columns, remote=remote)
    originals = Originals(remote=remote)
    with open_catalog(source, read_only=True) as catalog:
        return PhotoSet(
            [
                replace(originals.photo(entry), id=number)
                for number, entry in enumerate(catalog.entries())
            ],
            numbered=True,
        )


def read_shoppers(source: str | Path, *, remote: bool = False) -> PhotoSet:
    """Read users' photos: a table of queries with boxes, a folder with one, or any photos.

    Raises as `read_queries` and `read_gallery` do.
    """
    path = Path(source)
    if (path / TABLE_NAMES["user"]).is_file() or path.name == TABLE_NAMES["user"]:
        return read_queries(source, remote=remote)
    return read_gallery(source, remote=remote)
