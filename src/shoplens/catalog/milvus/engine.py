"""A catalogue on a Milvus server."""

from __future__ import annotations

import itertools
import threading
import time
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from itertools import islice
from pathlib import Path
from typing import Literal

from shoplens.attributes import Value
from shoplens.catalog.base import Catalog
from shoplens.catalog.chains import kept_chain, stored_chain
from shoplens.catalog.checks import checked_entry, checked_failure
from shoplens.catalog.engine import Upserted
from shoplens.catalog.entry import Entry, FailedPhoto, PhotoId, photo_id_of
from shoplens.catalog.filters import Filter
from shoplens.catalog.milvus.address import Address
from shoplens.catalog.milvus.alias import Alias
from shoplens.catalog.milvus.collection import Collection
from shoplens.catalog.milvus.connection import Connection
from shoplens.catalog.milvus.expressions import ENTRIES, FAILURES, SEARCHED, passing, passing_of
from shoplens.catalog.milvus.nearest import nearest
from shoplens.catalog.milvus.reading import facts, first_placed, keys_in_order, placed
from shoplens.catalog.milvus.rows import (
    FAILURE_FIELDS,
    failure_of,
    id_of,
    key_of,
    row_of_failure,
    rows_of,
)
from shoplens.catalog.milvus.schema import INDEXES, USUAL_INDEX, About
from shoplens.catalog.milvus.verification import Check
from shoplens.catalog.milvus.writing import put_entries, put_failures, remove
from shoplens.catalog.model_stamp import ModelStamp
from shoplens.catalog.neighbours import Neighbours
from shoplens.catalog.parquet_writing import write_parquet
from shoplens.catalog.stats import CatalogStats
from shoplens.catalog.verification import Verification
from shoplens.errors import CatalogError, DataError, MissingError, ModelError
from shoplens.files import require_folder
from shoplens.progress import Progress, silent
from shoplens.records import Vectors
from shoplens.regions.choosing import require_number
from shoplens.reranking import Chain

_TOGETHER = 1_000
"""Photos in memory at a time."""
_PAUSE = 0.5
"""Seconds between questions whether the server has finished a job."""


class MilvusCatalog(Catalog):
    """A catalogue that is one collection on a Milvus server.

    Several processes may write. A call with many photos is several requests, each of which takes
    place or does not; repeat the call if it was interrupted. The order of entries goes by the
    clocks of the machines that put them in.
    """

    engine: Literal["embedded", "milvus"] = "milvus"

    def __init__(self, uri: str, *, create: bool = False, read_only: bool = False) -> None:
        """Open a catalogue.

        Args:
            uri: `milvus://host:port/name` (see docs/catalogue-milvus.md). A password or token is
                read from the environment variable `SHOPLENS_MILVUS_TOKEN`.
            create: make a new one if there is none.
            read_only: allow no changes.

        Raises:
            MissingError: there is no such collection or database.
            CatalogError: the server is away, or the collection is no catalogue.
        """
        address = Address.parse(uri)
        if address.index is not None and address.index not in INDEXES:
            raise CatalogError(
                f"{uri}: there is no index {address.index}; there are {', '.join(INDEXES)}"
            )
        self.uri = uri
        self.read_only = read_only
        self._connection = Connection(uri, address)
        self._alias = Alias(self._connection, address.name, address.index or USUAL_INDEX)
        self._collection = self._alias.collection
        self._changing = threading.RLock()
        self._last_number = 0
        try:
            if not self._collection.exists():
                if not create:
                    raise MissingError(
                        f"there is no catalogue at {uri}: make one with `shoplens index`"
                    )
                self._alias.make()
            if self.model is not None:
                self._collection.load()
        except BaseException:
            self._connection.close()
            raise

    @property
    def model(self) -> ModelStamp | None:
        """The model of the vectors; None as long as nothing was put in."""
        return self._alias.about().model

    @property
    def regions(self) -> int:
        """How many regions of each photo `index` gives vectors (see `Catalog`)."""
        return self._alias.about().regions or 0

    @property
    def chain(self) -> Chain:
        """The chain that re-ranks every search which names none (see `Catalog`)."""
        return stored_chain(self._alias.about().chain, self.uri)

    def close(self) -> None:
        """Give back the connection."""
        self._connection.close()

    def set_model(self, model: ModelStamp) -> None:
        """State the model of the vectors before the first are put in.

        Raises `ModelError` if the catalogue is of another model.
        """
        self._require_writable()
        with self._changing:
            about = self._alias.about()
            known = about.model
            if known is None:
                self._alias.empty(replace(about, model=model))
            elif (known.fingerprint, known.dimension) != (model.fingerprint, model.dimension):
                raise ModelError(
                    f"{self.uri} holds vectors of {known.name} ({known.fingerprint}), not of "
                    f"{model.name} ({model.fingerprint}): shoplens catalog migrate changes the "
                    "model"
                )

    def replace_vectors(
        self, model: ModelStamp, entries: Iterable[Entry], failed: Iterable[FailedPhoto] = ()
    ) -> None:
        """Replace everything at once by entries with vectors of another model (see `Catalog`).

        No other process may write meanwhile: what it writes is lost.
        """
        self._require_writable()
        with self._changing:
            known = self._alias.about()
            about = replace(known, model=model, regions=known.regions or 0)
            self._replace(model, about, entries, failed)

    def set_regions(self, n: int) -> None:
        """State how many regions of each photo `index` gives vectors (see `Catalog`).

        The photos go to a new collection, for what one says of itself cannot change. No other
        process may write meanwhile: what it writes is lost.
        """
        self._require_writable()
        require_number(n)
        with self._changing:
            known = self._alias.about()
            if known.model is None:
                raise ModelError(f"{self.uri} has no model yet: state it with set_model first")
            if n != (known.regions or 0):
                self._replace(known.model, replace(known, regions=n), self.entries())

    def set_chain(self, chain: str | Chain) -> None:
        """Keep a chain of re-ranking methods for every search that names none (see `Catalog`).

        The photos go to a new collection, as for `set_regions`.
        """
        self._require_writable()
        text = str(kept_chain(chain))
        with self._changing:
            known = self._alias.about()
            if known.model is None:
                raise ModelError(f"{self.uri} has no model yet: state it with set_model first")
            if text != known.chain:
                self._replace(known.model, replace(known, chain=text), self.entries())

    def get_many(self, photo_ids: Sequence[PhotoId]) -> list[Entry | None]:
        """Return the entries of photos (see `Catalog`)."""
        keys = [key_of(photo_id_of(photo_id)) for photo_id in photo_ids]
        if self.model is None:
            return [None] * len(keys)
        found = placed(self._collection, list(dict.fromkeys(keys)))
        return [found[key].entry if key in found else None for key in keys]

    def entries(self) -> Iterator[Entry]:
        """Yield all entries in the order in which they were put in.

        A server gives no view of one moment. An entry that is changed meanwhile is read before or
        after that, and one that is put in or removed meanwhile may be among them or not.
        """
        keys = self._keys(ENTRIES)
        for start in range(0, len(keys), _TOGETHER):
            part = keys[start : start + _TOGETHER]
            found = placed(self._collection, part)
            yield from (found[key].entry for key in part if key in found)

    def record_failures(self, failed: Iterable[FailedPhoto]) -> None:
        """Keep photos that could not be embedded (see `Catalog`)."""
        self._require_writable()
        checked = [checked_failure(photo, self.uri) for photo in failed]
        unique = {photo.photo_id: photo for photo in checked}
        if not unique:
            return
        if self.model is None:
            raise ModelError(f"{self.uri} has no model yet: state it with set_model first")
        with self._changing:
            put_failures(self._collection, unique.values())

    def failures(self) -> Iterator[FailedPhoto]:
        """Yield the photos that could not be embedded, in order of their ids."""
        if (model := self.model) is None:
            return
        found = [
            failure_of(row, model.dimension, self.uri)
            for page in self._collection.rows(FAILURES, FAILURE_FIELDS)
            for row in page
        ]
        yield from sorted(found, key=lambda one: (isinstance(one.photo_id, str), one.photo_id))

    def stats(self) -> CatalogStats:
        """Return what the catalogue holds. All facts are read for it."""
        about = self._alias.about()
        products: set[str] = set()
        kinds: dict[str, set[str]] = {}
        n_photos = 0
        for product_id, attributes in self._facts(None):
            n_photos += 1
            if product_id is not None:
                products.add(product_id)
            for name, value in attributes.items():
                if value is not None:
                    kinds.setdefault(name, set()).add(type(value).__name__)
        details: dict[str, object] = {"index": about.index, "regions": about.regions or 0}
        if about.model is not None:
            has_regions = self._collection.has_regions
            details["n_vectors"] = self._collection.count(SEARCHED) if has_regions else n_photos
            index = self._collection.index()
            details |= {
                name: index[name]
                for name in ("total_rows", "indexed_rows", "pending_index_rows")
                if name in index
            }
        return CatalogStats(
            uri=self.uri,
            engine=self.engine,
            model=about.model,
            n_photos=n_photos,
            n_products=len(products),
            n_failed=self._count_failures(),
            attributes={name: ", ".join(sorted(types)) for name, types in sorted(kinds.items())},
            chain=self.chain.names,
            details={"server": self._connection.version_text(), **details},
        )

    def verify(
        self,
        *,
        repair: bool = False,
        backup: str | Path | None = None,
        progress: Progress = silent,
    ) -> Verification:
        """Compare every photo with its checksum, and what is derived with what it comes from."""
        if repair:
            self._require_writable()
        if self.model is None:
            return Verification((), 0)
        check = Check(self._collection, progress)
        if repair:
            with self._changing:
                check.repair(None if backup is None else Path(backup))
        return check.verification()

    def compact(self, *, progress: Progress = silent) -> None:
        """Have the server write, merge and index everything, and wait for it."""
        self._require_writable()
        if self.model is None:
            return
        self._collection.flush()
        job = self._collection.compact()
        while not self._collection.is_compacted(job):
            progress("compact", 0, 1)
            time.sleep(_PAUSE)
        while int(self._collection.index().get("pending_index_rows", 0)):
            progress("index", 0, 1)
            time.sleep(_PAUSE)

    def backup(self, path: str | Path, *, progress: Progress = silent) -> None:
        """Write everything to a new Parquet file while the catalogue is in use (see `entries`)."""
        target = Path(path)
        if target.exists():
            raise DataError(f"{target} is there already; name a new file, or remove it first")
        require_folder(target)
        write_parquet(target, self, self._require_model(), progress)

    # What `Catalog` needs.

    def _write(self, entries: Sequence[Entry]) -> Upserted:
        with self._changing:
            known = self._alias.about()
            if (
                known.model is not None
                and known.regions is None
                and any(entry.regions is not None for entry in entries)
            ):
                self._replace(known.model, replace(known, regions=0), self.entries())
            return put_entries(self._collection, entries, self._numbers(len(entries)))

    def _delete(self, photo_ids: Sequence[PhotoId]) -> int:
        if self.model is None:
            return 0
        with self._changing:
            return remove(self._collection, photo_ids)

    def _count_failures(self) -> int:
        return 0 if self.model is None else self._collection.count(FAILURES)

    def _ids(self, where: Filter | None, product_ids: Sequence[str] | None) -> list[PhotoId]:
        if product_ids is None:
            return [id_of(key) for key in self._keys(passing(where))]
        starts = range(0, len(product_ids), _TOGETHER)
        parts = (product_ids[start : start + _TOGETHER] for start in starts)
        return [id_of(key) for key in self._keys(*(passing_of(where, part) for part in parts))]

    def _count(self, where: Filter | None) -> int:
        return 0 if self.model is None else self._collection.count(passing(where))

    def _facets(self, names: Sequence[str], where: Filter | None) -> dict[str, dict[Value, int]]:
        counts: dict[str, Counter[Value]] = {name: Counter() for name in names}
        if names:
            for product_id, attributes in self._facts(where):
                for name in names:
                    value = product_id if name == "product_id" else attributes.get(name)
                    counts[name][value] += 1
        return {name: dict(counted) for name, counted in counts.items()}

    def _nearest(
        self, vectors: Vectors, k: int, where: Filter | None, exact: bool
    ) -> list[Neighbours]:
        about = self._alias.about()
        if about.model is None:
            return [Neighbours((), exact=True, exhausted=True)] * len(vectors)
        return nearest(self._collection, INDEXES[about.index], vectors, k, where, exact)

    def _page(self, where: Filter | None, limit: int, after: int) -> list[tuple[int, Entry]]:
        if self.model is None:
            return []
        found = first_placed(self._collection, where, limit, after)
        return [(one.sequence, one.entry) for one in found]

    # What these need.

    def _keys(self, *expressions: str) -> list[str]:
        return [] if self.model is None else keys_in_order(self._collection, *expressions)

    def _facts(self, where: Filter | None) -> Iterator[tuple[str | None, dict[str, Value]]]:
        return iter(()) if self.model is None else facts(self._collection, where)

    def _numbers(self, n: int) -> int:
        """Return the first of n numbers that are higher than all before."""
        first = max(time.time_ns(), self._last_number + 1)
        self._last_number = first + n
        return first

    def _replace(
        self,
        model: ModelStamp,
        about: About,
        entries: Iterable[Entry],
        failed: Iterable[FailedPhoto] = (),
    ) -> None:
        """Put entries into a new collection, with the records of failure, and change to it.

        `about` is what it says of itself; its vectors are of `model`.
        """

        def fill(new: Collection) -> None:
            ids = set()
            checked = (checked_entry(entry, model, self.uri) for entry in entries)
            while part := list(islice(checked, _TOGETHER)):
                numbered = enumerate(part, start=self._numbers(len(part)))
                new.upsert([row for n, entry in numbered for row in rows_of(entry, n, self.uri)])
                ids |= {entry.photo_id for entry in part}
            kept = (one for one in self.failures() if one.photo_id not in ids)
            more = (checked_failure(one, self.uri) for one in failed)
            records = {one.photo_id: one for one in itertools.chain(kept, more)}
            new.upsert([row_of_failure(one, model.dimension, self.uri) for one in records.values()])

        self._alias.replace(about, fill)
