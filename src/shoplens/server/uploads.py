"""Photos that were sent to the server, kept in a folder so that they can be shown and embedded
again."""

from __future__ import annotations

import hashlib
import logging
import threading
from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

from shoplens.catalog.base import Catalog
from shoplens.catalog.changes import source_name
from shoplens.catalog.engine import Upserted
from shoplens.catalog.entry import Entry, PhotoId
from shoplens.catalog.filters import OneOf, to_text
from shoplens.catalog.uploads import keep_upload, upload_name
from shoplens.errors import CatalogError, ShoplensError
from shoplens.files import replacing
from shoplens.server.logs import log_event
from shoplens.server.problems import Problem
from shoplens.sources.file import DiskFile

_LOOKED_UP_AT_ONCE = 512


class Uploads:
    """The folder of uploaded photos of one catalogue.

    A file is named by the hash of its content and by that of its photo's id, so it belongs to one
    photo and goes with it. (`shoplens.catalog.uploads` finds those that were left behind.) May be
    used from several threads; every call blocks.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._source = source_name(folder)
        # Between two calls, the file of an entry could be removed with an earlier one.
        self._changing = threading.Lock()

    def put(self, catalog: Catalog, entry: Entry, data: bytes, suffix: str) -> Upserted:
        """Keep a photo and put its entry into the catalogue.

        Args:
            catalog: open for writing.
            entry: with its vector; path, source, hash and stamp are filled in here.
            data: the bytes of the photo's file.
            suffix: of its kind of file, such as `.jpg`.

        Raises:
            Problem: `catalog_unavailable`, the file cannot be written.
            EntryError: the entry is faulty.
            CatalogError: the catalogue cannot be written.
        """
        sha256 = hashlib.sha256(data).hexdigest()
        name = upload_name(entry.photo_id, sha256, suffix)
        file = self._folder / name
        with self._changing:
            before = self._names(catalog, [entry.photo_id])
            is_new = self._keep(file, data)
            stored = replace(
                entry, path=name, source=self._source, sha256=sha256, stamp=DiskFile(file).stamp()
            )
            try:
                done = catalog.upsert([stored])
            except BaseException:
                if is_new:
                    file.unlink(missing_ok=True)
                raise
            # A sweep may have removed it just before the catalogue needed it.
            if not file.exists():
                self._keep(file, data)
            self._remove(before - {name})
            return done

    def delete(
        self,
        catalog: Catalog,
        photo_ids: Iterable[PhotoId] | None = None,
        *,
        product_ids: list[str] | None = None,
        where: str | None = None,
    ) -> int:
        """Remove photos from the catalogue (see `Catalog.delete`), and their uploaded files."""
        with self._changing:
            ids = None if photo_ids is None else list(photo_ids)
            chosen: list[PhotoId] = []
            if self._folder.is_dir():
                if ids is not None:
                    chosen = ids
                elif product_ids is not None:
                    chosen = catalog.ids(to_text(OneOf("product_id", tuple(product_ids))))
                else:
                    chosen = catalog.ids(where)
            names = self._names(catalog, chosen)
            n_removed = catalog.delete(ids, product_ids=product_ids, where=where)
            # A photo that another process has just changed may still be there.
            self._remove(names - self._names(catalog, chosen) if names else ())
            return n_removed

    def _keep(self, file: Path, data: bytes) -> bool:
        """Write a file; return whether it is new."""
        try:
            self._folder.mkdir(exist_ok=True)
            if file.exists():
                keep_upload(file)
                return False
            with replacing(file) as stream:
                stream.write(data)
        except (OSError, ShoplensError) as error:
            # Its message names places on this machine.
            log_event("an upload cannot be kept", logging.ERROR, reason=str(error))
            raise Problem(
                "catalog_unavailable", "The photo cannot be kept; the server's log says why."
            ) from None
        return True

    def _names(self, catalog: Catalog, photo_ids: list[PhotoId]) -> set[str]:
        """Return the names of the files of those photos that were uploaded."""
        names = set()
        for start in range(0, len(photo_ids), _LOOKED_UP_AT_ONCE):
            for entry in _sound(catalog, photo_ids[start : start + _LOOKED_UP_AT_ONCE]):
                if entry.source == self._source:
                    names.add(Path(entry.path).name)
        return names

    def _remove(self, names: Iterable[str]) -> None:
        for name in names:
            with suppress(OSError):
                (self._folder / name).unlink(missing_ok=True)


def _sound(catalog: Catalog, photo_ids: list[PhotoId]) -> Iterator[Entry]:
    try:
        yield from filter(None, catalog.get_many(photo_ids))
    except CatalogError:
        # A damaged entry can be replaced or removed all the same; its file stays.
        return
