"""The photos that entries of a catalogue were made of, where their sources still have them."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from shoplens.catalog.entry import Entry
from shoplens.datasets.galleries import column_files, open_dataset
from shoplens.errors import PhotoError, ShoplensError
from shoplens.records import Photo
from shoplens.sources.columns import cell_at, is_mark
from shoplens.sources.file import File
from shoplens.sources.folder import Folder
from shoplens.sources.kinds import folder_of_url
from shoplens.sources.remote import RemoteFile, is_url


@dataclass(slots=True)
class _Source:
    folder: Folder
    table: File | None
    columns: list[File] | None = None
    """Files of the table of columns that holds the photos; None before they were looked for."""


class Originals:
    """Finds the photos of entries, to show them.

    Args:
        remote: whether photos are fetched from URLs. A catalogue from a stranger may name any.
    """

    def __init__(self, *, remote: bool = False) -> None:
        self._remote = remote
        self._sources: dict[str, _Source | None] = {}

    def photo(self, entry: Entry) -> Photo:
        """Return the photo of an entry; it has a `problem` if it is not where it was."""
        file = self._file(entry)
        problem = None
        if file is None:
            problem = PhotoError(
                "missing", f"{entry.path} is not in {entry.source or 'any source'}"
            )
        return Photo(
            id=0,
            name=entry.path,
            path=Path(entry.path) if file is None else file.path,
            domain="seller",
            box=entry.box,
            product_id=entry.product_id,
            problem=problem,
            file=None if file is None or file.on_disk else file,
            attributes=entry.attributes,
        )

    def _file(self, entry: Entry) -> File | None:
        if entry.source not in self._sources:
            self._sources[entry.source] = self._opened(entry.source)
        source = self._sources[entry.source]
        if source is None:
            return None
        try:
            if source.table is not None and (file := _cell(source, entry)) is not None:
                return file
            if is_url(entry.path) and not self._remote:
                return None
            file, is_there = source.folder.locate(entry.path)
            return file if is_there else _cell(source, entry)
        except (ShoplensError, ValueError, OSError):
            return None

    def _opened(self, source: str) -> _Source | None:
        if not source or (is_url(source) and not self._remote):
            return None
        try:
            return _Source(*open_dataset(source))
        except (ShoplensError, OSError):
            return None


def urls_of(entry: Entry) -> list[str]:
    """Return where on the web an entry's photo may be.

    Nowhere if it has no URL of its own: it is on disk, or a part of a file that is behind a URL.
    """
    if entry.stamp:  # It was read from a disk.
        return []
    if is_url(entry.path):
        return [entry.path]
    folder = folder_of_url(entry.source) if is_url(entry.source) else None
    try:
        file = None if folder is None else folder.locate(entry.path)[0]
    except ValueError:
        return []
    return [file.url, file.otherwise] if isinstance(file, RemoteFile) else []


def _cell(source: _Source, entry: Entry) -> File | None:
    """Return the file of a photo in a table of columns; None if the source is none, or has it no
    more."""
    if not is_mark(entry.stamp):
        return None
    if source.columns is None:
        source.columns = column_files(source.folder, source.table)
    return cell_at(source.columns, entry.stamp)
