"""The embedded engine: a catalogue in a folder, without a server."""

from __future__ import annotations

import threading
import warnings
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, closing, contextmanager, suppress
from dataclasses import replace
from pathlib import Path
from typing import Literal, TypeVar, cast

import numpy as np

from shoplens.attributes import Value
from shoplens.catalog.base import Catalog
from shoplens.catalog.chains import kept_chain, stored_chain
from shoplens.catalog.checks import checked_entry, checked_failure
from shoplens.catalog.embedded.backup import write_backup
from shoplens.catalog.embedded.compaction import (
    MOST_SMALL,
    lacks_index,
    plan_compaction,
    small_segments,
)
from shoplens.catalog.embedded.moments import Moments
from shoplens.catalog.embedded.nearest import nearest_rows, require_rows
from shoplens.catalog.embedded.reading import Reading, SegmentRange
from shoplens.catalog.embedded.repair import repair_store
from shoplens.catalog.embedded.segment_folder import SegmentFolder
from shoplens.catalog.embedded.segments import FOLDER
from shoplens.catalog.embedded.snapshot import Layer, Snapshot
from shoplens.catalog.embedded.store import FILE, Store, require_free
from shoplens.catalog.embedded.verification import Found, verify_catalog
from shoplens.catalog.embedded.writer_lock import WriterLock
from shoplens.catalog.embedded.writing import Writing
from shoplens.catalog.engine import Upserted
from shoplens.catalog.entry import Entry, FailedPhoto, PhotoId
from shoplens.catalog.filters import Filter
from shoplens.catalog.model_stamp import ModelStamp
from shoplens.catalog.neighbours import Neighbours
from shoplens.catalog.stats import CatalogStats
from shoplens.catalog.verification import CatalogFault, Verification
from shoplens.errors import (
    CatalogError,
    MissingError,
    ModelError,
    ShoplensError,
    ShoplensWarning,
)
from shoplens.progress import Progress, silent
from shoplens.records import Vectors
from shoplens.regions.choosing import require_number
from shoplens.reranking import Chain

SEAL_ROWS = 8192
"""Rows in memory that become a segment on disk: each process would have to read them again."""

_T = TypeVar("_T")


class EmbeddedCatalog(Catalog):
    """A catalogue in a folder (see `Catalog`).

    The first change takes the right to write, until the catalogue is closed.
    """

    engine: Literal["embedded"] = "embedded"

    def __init__(self, folder: Path, *, create: bool = False, read_only: bool = False) -> None:
        self.uri = str(folder)
        self.read_only = read_only
        self._folder = folder
        self._segments = SegmentFolder(folder / FOLDER)
        file = folder / FILE
        if not file.is_file():
            if not create or read_only:
                raise MissingError(f"there is no catalogue at {folder}")
            require_free(folder)
            folder.mkdir(exist_ok=True)
        self._changing = threading.RLock()
        self._compacting = threading.Lock()
        self._writer = WriterLock(folder)
        self._store = Store(file, create=create and not read_only, read_only=read_only)
        self._moments = Moments(folder)

    @property
    def model(self) -> ModelStamp | None:
        """The model of the vectors; None as long as nothing was put in."""
        if (seen := self._moments.current) is not None:
            return seen[1].model
        with self._store.reading() as reading:
            return reading.model()

    @property
    def regions(self) -> int:
        """How many regions of each photo `index` gives vectors (see `Catalog`)."""
        with self._store.reading() as reading:
            return reading.n_regions()

    @property
    def chain(self) -> Chain:
        """The chain that re-ranks every search which names none (see `Catalog`)."""
        with self._store.reading() as reading:
            return stored_chain(reading.chain(), self.uri)

    def close(self) -> None:
        """Close all files, and give back the right to write."""
        with self._changing:
            self._moments.close()
            self._store.close()
            self._writer.release()

    # Changes.

    def set_model(self, model: ModelStamp) -> None:
        """State the model of the vectors before the first are put in (see `Catalog`)."""
        with self._change() as writing:
            known = writing.model()
            if known is not None and known != model:
                raise ModelError(
                    f"{self.uri} holds vectors of {known.name} ({known.fingerprint}, "
                    f"{known.dimension} dimensions), not of {model.name} ({model.fingerprint}, "
                    f"{model.dimension})"
                )
            writing.set_model(model)

    def set_regions(self, n: int) -> None:
        """State how many regions of each photo `index` gives vectors (see `Catalog`)."""
        require_number(n)
        with self._change() as writing:
            if writing.model() is None:
                raise ModelError(f"{self.uri} has no model yet: state it with set_model first")
            writing.set_regions(n)

    def set_chain(self, chain: str | Chain) -> None:
        """Keep a chain of re-ranking methods for every search that names none (see `Catalog`)."""
        kept = kept_chain(chain)
        with self._change() as writing:
            if writing.model() is None:
                raise ModelError(f"{self.uri} has no model yet: state it with set_model first")
            writing.set_chain(str(kept))

    def _write(self, entries: Sequence[Entry]) -> Upserted:
        photo_ids = [entry.photo_id for entry in entries]
        with self._change() as writing:
            known = writing.raw_find(photo_ids)
            # A damaged row is replaced, too: to put the photo in again mends it.
            changed = [
                entry
                for entry in entries
                if entry.photo_id not in known or not writing.holds(known[entry.photo_id], entry)
            ]
            rows = {photo_id: cast(int, row) for photo_id, (row, *_) in known.items()}
            self._check_rows(rows, photo_ids)
            gone = [rows[entry.photo_id] for entry in changed if entry.photo_id in rows]
            writing.remove(gone)
            writing.insert(changed)
            writing.forget_failures(photo_ids)
        self._seal_if_many()
        return Upserted(len(changed) - len(gone), len(gone), len(entries) - len(changed))

    def _delete(self, photo_ids: Sequence[PhotoId]) -> int:
        with self._change() as writing:
            rows = list(self._rows(writing, photo_ids).values())
            writing.remove(rows)
            writing.forget_failures(photo_ids)
        return len(rows)

    def record_failures(self, failed: Iterable[FailedPhoto]) -> None:
        """Keep photos that could not be embedded (see `Catalog`)."""
        self._require_writable()
        failed = [checked_failure(one, self.uri) for one in failed]
        with self._change() as writing:
            writing.remove(list(self._rows(writing, [one.photo_id for one in failed]).values()))
            writing.add_failures(failed)

    def replace_vectors(
        self, model: ModelStamp, entries: Iterable[Entry], failed: Iterable[FailedPhoto] = ()
    ) -> None:
        """Replace everything at once by entries with vectors of another model (see `Catalog`)."""
        self._require_writable()
        with self._change() as writing:
            old = [one.name for one in writing.segments()]
            after = writing.version().last_row
            writing.set_model(model)
            writing.remove_all()
            for entry in entries:
                writing.insert([checked_entry(entry, model, self.uri)])
                writing.forget_failures([entry.photo_id])
            writing.add_failures(checked_failure(one, self.uri) for one in failed)
            # With the segments at hand at once, readers need not read all rows.
            self._segments.replace_all(writing, old, model.dimension, after)
        self._segments.remove_unregistered(self._store)

    def compact(self, *, progress: Progress = silent) -> None:
        """Join segments, build the approximate index where it pays, give back space.

        Other threads and processes go on reading and writing meanwhile.
        """
        self._require_writable()
        with self._compacting:
            with self._changing:
                self._take_writer()
                self._seal(1)
                snapshot = self._read(lambda _reading, snapshot: snapshot)
            for job in plan_compaction(snapshot):
                self._register(
                    job.layers,
                    self._segments.write(job.layers, with_graph=job.with_graph, progress=progress),
                )
            self._segments.remove_unregistered(self._store)
            self._store.give_back_space()
        if lacks_index(snapshot):
            warnings.warn(
                f"{self.uri}: each search compares all {snapshot.n_photos:,} photos. An "
                "approximate index is faster: pip install 'shoplens[ann]', then compact again",
                ShoplensWarning,
                stacklevel=2,
            )

    # Reading.

    def failures(self) -> Iterator[FailedPhoto]:
        """Yield the photos that could not be embedded (see `Catalog`)."""
        return iter(self._read(lambda reading, _snapshot: reading.failed()))

    def _count_failures(self) -> int:
        return self._read(lambda _reading, snapshot: snapshot.n_failed)

    def get_many(self, photo_ids: Sequence[PhotoId]) -> list[Entry | None]:
        """Return the entries of photos (see `Catalog`)."""

        def found(reading: Reading, snapshot: Snapshot) -> list[Entry | None]:
            rows = reading.find(photo_ids)
            snapshot.check_ids({}, [photo_id for photo_id in photo_ids if photo_id not in rows])
            return [rows[photo_id].entry if photo_id in rows else None for photo_id in photo_ids]

        return self._read(found)

    def _ids(self, where: Filter | None, product_ids: Sequence[str] | None) -> list[PhotoId]:
        def found(reading: Reading, snapshot: Snapshot) -> list[PhotoId]:
            if product_ids is None:
                rows = snapshot.rows(where)
            else:
                rows = snapshot.rows_of_products(product_ids, where)
            ids = reading.ids_at(rows.tolist())
            snapshot.check_ids(ids)
            return list(ids.values())

        return self._read(found)

    def _entries_of(self, product_ids: Sequence[str], where: Filter | None) -> list[Entry]:
        def found(reading: Reading, snapshot: Snapshot) -> list[Entry]:
            rows = snapshot.rows_of_products(product_ids, where).tolist()
            return list(require_rows(reading.rows_at(rows), rows).values())

        return self._read(found)

    def _page(self, where: Filter | None, limit: int, after: int) -> list[tuple[int, Entry]]:
        def found(reading: Reading, snapshot: Snapshot) -> list[tuple[int, Entry]]:
            rows = snapshot.rows(where)
            first = int(np.searchsorted(rows, after, side="right"))
            part = rows[first : first + limit].tolist()
            return list(require_rows(reading.rows_at(part), part).items())

        return self._read(found)

    def entries(self) -> Iterator[Entry]:
        """Yield all entries in the order in which they were put in (see `Catalog`)."""
        # A connection of its own: the caller may do anything meanwhile, also change the catalogue.
        with (
            closing(Store(self._store.file, read_only=self.read_only)) as store,
            store.reading() as reading,
        ):
            n_rows = total = 0
            for row in reading.rows():
                n_rows, total = n_rows + 1, total + row.row
                yield row.entry
            if (n_rows, total) != reading.extent():
                raise CatalogError(
                    f"{self.uri} is damaged: some of its photos cannot be listed; "
                    f"`shoplens catalog verify {self.uri}` tells more"
                )

    def _count(self, where: Filter | None) -> int:
        if where is None:
            return self._read(lambda _reading, snapshot: snapshot.n_photos)
        return self._read(lambda _reading, snapshot: len(snapshot.rows(where)))

    def _facets(self, names: Sequence[str], where: Filter | None) -> dict[str, dict[Value, int]]:
        return self._read(lambda _reading, snapshot: snapshot.counts(names, where))

    def revision(self) -> object:
        """Return the store and its version: other ones after each change (see `Catalog`)."""
        with self._store.reading() as reading:
            return reading.identity, reading.version()

    def stats(self) -> CatalogStats:
        """Return what the catalogue holds (see `Catalog`)."""

        def stats(reading: Reading, snapshot: Snapshot) -> CatalogStats:
            return CatalogStats(
                uri=self.uri,
                engine=self.engine,
                model=snapshot.model,
                n_photos=snapshot.n_photos,
                n_products=snapshot.n_products(),
                n_failed=snapshot.n_failed,
                attributes={
                    name: ", ".join(sorted(types)) for name, types in snapshot.types().items()
                },
                chain=stored_chain(reading.chain(), self.uri).names,
                details={
                    "regions": reading.n_regions(),
                    "n_vectors": sum(layer.n_vectors for layer in snapshot.layers),
                    "n_indexed": snapshot.n_indexed,
                    "n_segments": len(snapshot.stored),
                    "bytes": _size(self._folder),
                },
            )

        return self._read(stats)

    def _nearest(
        self, vectors: Vectors, k: int, where: Filter | None, exact: bool
    ) -> list[Neighbours]:
        def nearest(reading: Reading, snapshot: Snapshot) -> list[Neighbours]:
            return nearest_rows(reading, snapshot, vectors, k, where, exact)

        return self._read(nearest)

    def verify(
        self,
        *,
        repair: bool = False,
        backup: str | Path | None = None,
        progress: Progress = silent,
    ) -> Verification:
        """Check the store and everything that is derived from it (see `Catalog`)."""
        if repair:
            self._require_writable()
        found = verify_catalog(self._folder, self._store, progress)
        if not repair or not (found.store_faults or found.segment_faults or self._store.lost):
            return self._with_loss(found)
        with self._compacting, self._changing:
            if not self._writer.held:
                self._writer.acquire()
            if self._store.lost is not None and not found.store_faults:
                told = self._with_loss(found)
                self._store.accept_loss()
                return told
            if found.store_faults:
                self._store.close()
                mended = repair_store(self._folder, None if backup is None else Path(backup))
                self._store = Store(self._folder / FILE)
                found.store_faults = mended or [
                    replace(fault, repaired=True) for fault in found.store_faults
                ]
            if found.damaged_segments and all(fault.repaired for fault in found.store_faults):
                with self._change() as writing:
                    self._segments.remake(writing, found.damaged_segments)
                found.segment_faults = [
                    replace(fault, repaired=True) for fault in found.segment_faults
                ]
            if found.verification().ok:
                self._segments.remove_unregistered(self._store)
        return found.verification()

    def _with_loss(self, found: Found) -> Verification:
        """Return the result of a verification, with changes that are missing as a fault."""
        if (loss := self._store.loss()) is not None:
            found.store_faults.append(CatalogFault(f"{FILE}-wal", loss))
        return found.verification()

    def backup(self, path: str | Path, *, progress: Progress = silent) -> None:
        """Write the store to a new file, as of one moment, while the catalogue is in use."""
        write_backup(self._store, Path(path))

    # What these need.

    def _moment(self) -> AbstractContextManager[tuple[Reading, Snapshot]]:
        return self._moments.reading(self._store)

    def _read(self, work: Callable[[Reading, Snapshot], _T]) -> _T:
        with self._moment() as (reading, snapshot):
            return work(reading, snapshot)

    @contextmanager
    def _change(self) -> Iterator[Writing]:
        self._require_writable()
        with self._changing:
            self._take_writer()
            with self._store.writing() as writing:
                yield writing

    def _rows(self, writing: Writing, photo_ids: Sequence[PhotoId]) -> dict[PhotoId, int]:
        """Return the rows of photos, for those that are here."""
        rows = writing.row_numbers(photo_ids)
        self._check_rows(rows, photo_ids)
        return rows

    def _check_rows(self, rows: dict[PhotoId, int], photo_ids: Sequence[PhotoId]) -> None:
        """Raise `CatalogError` if these are not the rows of the photos that are here."""
        try:
            snapshot = self._read(lambda _reading, snapshot: snapshot)
        except CatalogError:
            # A damaged row must not keep it from being replaced or removed.
            return
        missing = [photo_id for photo_id in photo_ids if photo_id not in rows]
        snapshot.check_ids({row: photo_id for photo_id, row in rows.items()}, missing)

    def _take_writer(self) -> None:
        self._store.require_open()
        self._store.require_complete()
        if not self._writer.held:
            self._writer.acquire()
            # What a killed writer left behind.
            self._segments.remove_unregistered(self._store)

    def _seal_if_many(self) -> None:
        # The rows are safe already: trouble with what is derived from them must not look as if
        # they were not.
        try:
            with self._changing:
                self._seal(SEAL_ROWS)
        except (ShoplensError, OSError) as error:
            warnings.warn(
                f"{self.uri}: photos are saved, but a segment could not be written: {error}",
                ShoplensWarning,
                stacklevel=4,
            )

    def _seal(self, at_least: int) -> None:
        """Write the rows in memory as a segment if there are enough of them."""
        snapshot = self._read(lambda _reading, snapshot: snapshot)
        recent = [layer for layer in snapshot.recent if layer.n_alive]
        if sum(layer.n_alive for layer in recent) < at_least or not recent:
            return
        self._register([], self._segments.write(recent))
        snapshot = self._read(lambda _reading, snapshot: snapshot)
        small = small_segments(snapshot)
        if len(small) > MOST_SMALL and self._compacting.acquire(blocking=False):
            try:
                self._register(small, self._segments.write(small))
            finally:
                self._compacting.release()
            self._segments.remove_unregistered(self._store)

    def _register(self, replaced: Sequence[Layer], made: SegmentRange | None) -> None:
        """Put a segment in the place of others."""
        with self._change() as writing:
            self._segments.register(writing, replaced, made)


def _size(folder: Path) -> int:
    sizes = []
    for file in folder.rglob("*"):
        with suppress(OSError):  # It may be gone by now.
            sizes.append(file.stat().st_size)
    return sum(sizes)
