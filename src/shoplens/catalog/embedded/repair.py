"""Mend the store: what can still be read of it, and from a backup what cannot."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import closing, suppress
from dataclasses import dataclass, field, replace
from pathlib import Path

from shoplens.catalog.embedded.first_page import with_sound_first_page
from shoplens.catalog.embedded.rows import Row
from shoplens.catalog.embedded.segments import FOLDER, segments_of_store
from shoplens.catalog.embedded.store import FILE, Store
from shoplens.catalog.embedded.version_mark import SUFFIX
from shoplens.catalog.entry import FailedPhoto
from shoplens.catalog.model_stamp import ModelStamp
from shoplens.catalog.verification import CatalogFault
from shoplens.errors import CatalogError
from shoplens.parts import part_beside

_SPAN = 1024
"""Rows that are read at a time, until one of them cannot be read."""


@dataclass(slots=True)
class _Salvage:
    """What can be read of a damaged store."""

    rows: dict[int, Row] = field(default_factory=dict)
    damaged: set[int] = field(default_factory=set)
    """Numbers of rows that are there and cannot be read."""
    known: bool = True
    """Whether all that are there are known; else a row may have been lost without a trace."""


def repair_store(folder: Path, backup: Path | None) -> list[CatalogFault]:
    """Write the store anew from what can be read of it and, where that is not enough, a backup.

    The file is replaced only if nothing is lost by that. Nobody may have it open for writing.

    Args:
        folder: of the catalogue.
        backup: a backup of it, for rows that cannot be read; None for none.

    Returns:
        What was mended and what was not.
    """
    with with_sound_first_page(folder / FILE) as file:
        return _repaired(folder, file, backup)


def _repaired(folder: Path, file: Path, backup: Path | None) -> list[CatalogFault]:
    salvage = _salvaged(file)
    saved = _backed_up(backup) if backup is not None else {}
    restored: dict[int, Row] = {}
    faults: list[CatalogFault] = []
    wanted = salvage.damaged
    if not salvage.known:
        ids = {row.entry.photo_id for row in salvage.rows.values()}
        wanted = wanted | {number for number, row in saved.items() if row.entry.photo_id not in ids}
        faults.append(
            CatalogFault(
                FILE,
                "which photos there were cannot be read any more: all photos of the backup are "
                "back, also those that were removed since, and photos since the backup may be lost",
                repaired=bool(saved),
            )
        )
    for number in sorted(wanted - set(salvage.rows)):
        if number in saved:
            restored[number] = saved[number]
            faults.append(
                CatalogFault(FILE, f"row {number} was restored from the backup", repaired=True)
            )
        else:
            where = "and is not in the backup" if backup else "and no backup was given"
            faults.append(CatalogFault(FILE, f"row {number} cannot be read {where}"))
    rest = _rest(file)
    if rest is not None and rest.lost_failures:
        faults.append(
            CatalogFault(
                FILE,
                "the records of failed photos cannot be read: they are dropped, and `shoplens "
                "index` tries these photos again",
                repaired=True,
            )
        )
    if rest is not None and rest.chain is None:
        saved_rest = None if backup is None else _rest(backup)
        rest = replace(rest, chain=None if saved_rest is None else saved_rest.chain)
        faults.append(
            CatalogFault(
                FILE,
                "the chain of re-ranking methods cannot be read: "
                + (
                    "name it again (`shoplens index --rerank`), searches are not re-ranked until "
                    "then"
                    if rest.chain is None
                    else f"it is that of the backup, {rest.chain}"
                ),
                repaired=True,
            )
        )
    if all(fault.repaired for fault in faults):
        rest = rest or (None if backup is None else _rest(backup))
        if rest is None:
            raise CatalogError(f"{file}: the model of its vectors cannot be read; give a backup")
        _rewrite(folder, salvage.rows | restored, rest)
    return faults


def _salvaged(file: Path) -> _Salvage:
    salvage = _Salvage()
    try:
        store = Store(file, read_only=True)
    except CatalogError:
        salvage.known = False
        return salvage
    with closing(store):
        listed = _listed(store)
        last = max(listed or (), default=0)
        # Where nothing tells how many rows there were, that none is found means nothing.
        intact = listed is not None
        with suppress(CatalogError), store.reading() as reading:
            last = max(last, reading.version().last_row)
            intact = True
        for low in range(1, last + 1, _SPAN):
            for number, row in _readable(store, low, min(low + _SPAN - 1, last)):
                if row is not None:
                    salvage.rows[number] = row
                elif number:
                    salvage.damaged.add(number)
                else:
                    intact = False
        salvage.known = intact or listed is not None
        salvage.damaged |= set(listed or ()) - set(salvage.rows)
    return salvage


def _listed(store: Store) -> list[int] | None:
    """Return the rows that the index of photo ids lists; None if it cannot be read."""
    try:
        with store.reading() as reading:
            return reading.listed_rows()
    except CatalogError:
        return None


def _readable(store: Store, low: int, high: int) -> Iterator[tuple[int, Row | None]]:
    """Yield the rows between two numbers; None for one that is damaged, and for its number 0 where
    a part of the file cannot be read."""
    try:
        with store.reading() as reading:
            stored = reading.raw_rows(low - 1, high - low + 1, until=high)
            for values in stored:
                try:
                    row = reading.checked(values)
                    yield row.row, row
                except CatalogError:
                    yield int(str(values[0])), None
    except CatalogError:
        if low == high:
            yield 0, None
            return
        middle = (low + high) // 2
        yield from _readable(store, low, middle)
        yield from _readable(store, middle + 1, high)


def _backed_up(backup: Path) -> dict[int, Row]:
    with closing(Store(backup, read_only=True)) as store, store.reading() as reading:
        return {row.row: row for row in reading.rows()}


def _rewrite(folder: Path, rows: dict[int, Row], rest: _Rest) -> None:
    file = folder / FILE
    made = part_beside(file)
    try:
        with closing(Store(made, create=True)) as store:
            with store.writing() as writing:
                if rest.model is not None:
                    writing.set_model(rest.model)
                    if rest.n_regions:
                        writing.set_regions(rest.n_regions)
                    if rest.chain is not None:
                        writing.set_chain(rest.chain)
                writing.add_failures(rest.failed)
                for number in sorted(rows):
                    writing.restore(number, rows[number].entry)
                if rest.model is not None:
                    made_segments = segments_of_store(
                        writing, folder / FOLDER, rest.model.dimension
                    )
                    writing.replace_segments([], made_segments)
                # Numbers of rows are never used again, and readers have seen versions of the
                # damaged file: this one is later.
                writing.skip_to(rest.last_row, int(time.time()))
            store.give_back_space()
        for suffix in ("-wal", "-shm"):
            file.with_name(file.name + suffix).unlink(missing_ok=True)
        made.replace(file)
    except OSError as error:
        raise CatalogError(f"cannot write {file}: {error}") from error
    finally:
        for suffix in ("", "-wal", "-shm", SUFFIX):
            made.with_name(made.name + suffix).unlink(missing_ok=True)


@dataclass(frozen=True, slots=True)
class _Rest:
    """What is not rows of photos."""

    model: ModelStamp | None
    failed: list[FailedPhoto]
    last_row: int
    n_regions: int
    chain: str | None
    """None if it cannot be read."""
    lost_failures: bool = False


def _rest(file: Path) -> _Rest | None:
    try:
        with closing(Store(file, read_only=True)) as store, store.reading() as reading:
            model, last_row = reading.model(), reading.version().last_row
            rest = _Rest(model, [], last_row, reading.n_regions(), None)
            with suppress(CatalogError):
                rest = replace(rest, chain=reading.chain())
            try:
                return replace(rest, failed=reading.failed())
            except CatalogError:
                return replace(rest, lost_failures=True)
    except CatalogError:
        return None
