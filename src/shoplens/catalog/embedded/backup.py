"""Backups: a copy of the store as one file, and a catalogue made of one."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path

from shoplens.catalog.embedded.segment_folder import SegmentFolder
from shoplens.catalog.embedded.segments import FOLDER
from shoplens.catalog.embedded.store import FILE, Store, require_free
from shoplens.catalog.embedded.verification import verify_store
from shoplens.errors import CatalogError, DataError, MissingError
from shoplens.files import require_folder
from shoplens.folders import writing_folder
from shoplens.parts import part_beside
from shoplens.progress import silent


def write_backup(store: Store, target: Path) -> None:
    """Write a store to a new file, as of one moment, while the catalogue is in use.

    Raises:
        DataError: there is something at `target`.
        MissingError: the folder above it is not there.
        CatalogError: it cannot be written.
    """
    if target.exists():
        raise DataError(f"{target} is there already; name a new file, or remove it first")
    require_folder(target)
    made = part_beside(target)
    try:
        with closing(sqlite3.connect(made)) as copy:
            store.copy_to(copy)
            # One file, not a file and its log.
            copy.execute("PRAGMA journal_mode = DELETE")
        made.replace(target)
    except (OSError, sqlite3.Error) as error:
        raise CatalogError(f"cannot write {target}: {error}") from error
    finally:
        made.unlink(missing_ok=True)


def restore_backup(file: str | Path, folder: str | Path) -> None:
    """Make a catalogue of a backup. The approximate index is built by the next `compact`.

    Raises:
        MissingError: there is no such file.
        CatalogError: it is not a backup, or there is something at `folder` already.
    """
    file, folder = Path(file), Path(folder)
    if not file.is_file():
        raise MissingError(f"there is no backup {file}")
    require_free(folder)
    with closing(Store(file, read_only=True)) as backup, writing_folder(folder) as made:
        if faults := verify_store(backup, silent)[0]:
            raise CatalogError(f"{file} is damaged: {faults[0]}")
        with closing(sqlite3.connect(made / FILE)) as copy:
            backup.copy_to(copy)
            copy.execute("DELETE FROM segments")
            copy.execute("DELETE FROM removed")
            copy.execute("UPDATE state SET version = version + 1, generation = generation + 1")
            copy.commit()
            copy.execute("PRAGMA journal_mode = WAL")
        with closing(Store(made / FILE)) as store, store.writing() as writing:
            if (model := writing.model()) is not None:
                SegmentFolder(made / FOLDER).replace_all(writing, [], model.dimension)
