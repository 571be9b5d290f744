"""The photos that entries of a catalogue were made of, where their sources still have them."""

from __future__ import annotations

from pathlib import Path

from shoplens.catalog.entry import Entry
from shoplens.datasets.galleries import open_dataset
from shoplens.errors import PhotoError, ShoplensError
from shoplens.records import Photo
from shoplens.sources.file import File
from shoplens.sources.folder import Folder
from shoplens.sources.remote import is_url


class Originals:
    """Finds the photos of entries, to show them.

    Args:
        remote: whether photos are fetched from URLs. A catalogue from a stranger may name any.
    """

    def __init__(self, *, remote: bool = False) -> None:
        self._remote = remote
        self._folders: dict[str, Folder | None] = {}

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
        if entry.source not in self._folders:
            self._folders[entry.source] = self._folder(entry.source)
        folder = self._folders[entry.source]
        if folder is None or (is_url(entry.path) and not self._remote):
            return None
        try:
            file, is_there = folder.locate(entry.path)
        except (ValueError, OSError):
            return None
        return file if is_there else None

    def _folder(self, source: str) -> Folder | None:
        if not source or (is_url(source) and not self._remote):
            return None
        try:
            return open_dataset(source)[0]
        except (ShoplensError, OSError):
            return None
