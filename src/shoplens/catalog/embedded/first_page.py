"""The first page of the store's file: its header and its schema.

Without it nothing of the file can be read. It is the same in every store, except for a few numbers.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from contextlib import closing, contextmanager
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory

from shoplens.catalog.embedded.reading import Reading
from shoplens.catalog.embedded.store import FILE, PAGE, Store
from shoplens.errors import CatalogError
from shoplens.parts import part_beside


@contextmanager
def with_sound_first_page(file: Path) -> Iterator[Path]:
    """Give a store to read: the file, or a copy of it where its first page is damaged.

    Raises `CatalogError` if it cannot be copied.
    """
    if _is_sound(file):
        yield file
        return
    copy = part_beside(file)
    try:
        _copy_with_new_page(file, copy)
        yield copy
    finally:
        for suffix in ("", "-wal", "-shm"):
            copy.with_name(copy.name + suffix).unlink(missing_ok=True)


def _copy_with_new_page(file: Path, copy: Path) -> None:
    page = bytearray(_new_store()[1])
    try:
        for suffix in ("", "-wal"):
            if (source := file.with_name(file.name + suffix)).exists():
                shutil.copyfile(source, copy.with_name(copy.name + suffix))
        with copy.open("r+b") as stream:
            # How many pages the file has. The other numbers count changes, and unused pages: that
            # there are none of these does no harm to a reader.
            page[28:32] = (stream.seek(0, os.SEEK_END) // PAGE).to_bytes(4, "big")
            stream.seek(0)
            stream.write(page)
    except OSError as error:
        raise CatalogError(f"{file} cannot be copied for its repair: {error}") from error


def schema_faults(reading: Reading) -> list[str]:
    """Return what is wrong with the schema of a store."""
    same = reading.schema() == _new_store()[0]
    return [] if same else ["its schema is another than that of a catalogue"]


def _is_sound(file: Path) -> bool:
    try:
        with closing(Store(file, read_only=True)) as store, store.reading() as reading:
            return not schema_faults(reading)
    except CatalogError:
        return False


@cache
def _new_store() -> tuple[list[tuple[object, ...]], bytes]:
    """Return the schema and the first page of a store that was just made."""
    with TemporaryDirectory() as folder:
        file = Path(folder) / FILE
        with closing(Store(file, create=True)) as store, store.reading() as reading:
            schema = reading.schema()
        return schema, file.read_bytes()[:PAGE]
