"""Open a catalogue by its URI."""

from __future__ import annotations

import re
from pathlib import Path

from shoplens.catalog.base import Catalog
from shoplens.errors import CatalogError

_SCHEME = re.compile(r"([a-z][a-z0-9+.-]+)://")


def open_catalog(uri: str | Path, *, create: bool = False, read_only: bool = False) -> Catalog:
    """Open a catalogue.

    Args:
        uri: a folder, or `milvus://host:port/name` for a collection on a Milvus server (extra
            `[milvus]`).
        create: make a new, empty one if there is none.
        read_only: allow no changes. Any number of processes can read while one writes. The first
            change makes this process the writer, until the catalogue is closed.

    Raises:
        MissingError: there is no catalogue at `uri`, or the extra is not installed.
        CatalogError: what is there is no catalogue, is of a newer version, or the server is away.
    """
    text = str(uri)
    if scheme := _SCHEME.match(text):
        if scheme[1] != "milvus":
            raise CatalogError(
                f"{text}: a catalogue is a folder or milvus://host:port/name, not {scheme[0]}"
            )
        from shoplens.catalog.milvus import MilvusCatalog  # noqa: PLC0415  An extra.

        return MilvusCatalog(text, create=create, read_only=read_only)
    from shoplens.catalog.embedded import EmbeddedCatalog  # noqa: PLC0415  SQLite and more.

    return EmbeddedCatalog(Path(uri), create=create, read_only=read_only)
