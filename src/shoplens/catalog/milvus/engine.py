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
from shoplens.catalog.milvus.collection import Collection
from shoplens.catalog.milvus.connection import Connection
from shoplens.catalog.milvus.expressions import (
    ENTRIES,
    FAILURES,
    SEARCHED,
    between,
    passing,
    passing_of,
)
from shoplens.catalog.milvus.nearest import nearest, placed
from shoplens.catalog.milvus.region_rows import region_keys, region_rows
from shoplens.catalog.milvus.rows import (
    FAILURE_FIELDS,
    Placed,
    Row,
    attributes_of,
    entry_of,
    failure_of,
    id_of,
    key_of,
    row_of,
    row_of_failure,
)
from shoplens.catalog.milvus.schema import (
    ENTRY,
    FACTS,
    INDEXES,
    KIND,
    PHOTO,
    REGION,
    SEQUENCE,
    USUAL_INDEX,
    About,
)
from shoplens.catalog.milvus.verification import Check
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

_KNOWN_SECONDS = 0.5
"""How long the model is taken for what it was."""
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
        self._collection = Collection(self._connection, address.name)
        self._changing = threading.RLock()
        self._last_number = 0
        self._about = About(None, address.index or USUAL_INDEX)
        self._known_until = 0.0
        try:
            if not self._collection.exists():
                if not create:
                    raise MissingError(
                        f"there is no catalogue at {uri}: make one with `shoplens index`"
                    )
                self._make()
            if self.model is not None:
                self._collection.load()
        except BaseException:
            self._connection.close()
            raise

    @property
    def model(self) -> ModelStamp | None:
        """The model of the vectors; None as long as nothing was put in."""
        return self._known().model

    @property
    def regions(self) -> int:
        """How many regions of each photo `index` gives vectors (see `Catalog`)."""
        return self._known().regions or 0

    @property
    def chain(self) -> Chain:
        """The chain that re-ranks every search which names none (see `Catalog`)."""
        return stored_chain(self._known().chain, self.uri)

    def close(self) -> None:
        """Give back the connection."""
        self._connection.close()

    def set_model(self, model: ModelStamp) -> None:
        """State the model of the vectors before the first are put in.

        Raises `ModelError` if the catalogue is of another model.
        """
        self._require_writable()
        with self._changing:
            known = self.model
            if known is None:
                # The dimension of a collection cannot change.
                old = self._collection.real_name()
                self._switch(old, self._new_collection(replace(self._about, model=model)))
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
            known = self._known()
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
            known = self._known()
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
            known = self._known()
            if known.model is None:
                raise ModelError(f"{self.uri} has no model yet: state it with set_model first")
            if text != known.chain:
                self._replace(known.model, replace(known, chain=text), self.entries())

    def get_many(self, photo_ids: Sequence[PhotoId]) -> list[Entry | None]:
        """Return the entries of photos (see `Catalog`)."""
        keys = [key_of(photo_id_of(photo_id)) for photo_id in photo_ids]
        found = self._placed(list(dict.fromkeys(keys)))
        return [found[key].entry if key in found else None for key in keys]

    def entries(self) -> Iterator[Entry]:
        """Yield all entries in the order in which they were put in.

        A server gives no view of one moment. An entry that is changed meanwhile is read before or
        after that, and one that is put in or removed meanwhile may be among them or not.
        """
        keys = self._keys(ENTRIES)
        for start in range(0, len(keys), _TOGETHER):
            part = keys[start : start + _TOGETHER]
            found = self._placed(part)
            yield from (found[key].entry for key in part if key in found)

    def record_failures(self, failed: Iterable[FailedPhoto]) -> None:
        """Keep photos that could not be embedded (see `Catalog`)."""
        self._require_writable()
        checked = [checked_failure(photo, self.uri) for photo in failed]
        unique = {photo.photo_id: photo for photo in checked}
        if not unique:
            return
        if (model := self.model) is None:
            raise ModelError(f"{self.uri} has no model yet: state it with set_model first")
        with self._changing:
            rows = [row_of_failure(one, model.dimension, self.uri) for one in unique.values()]
            self._put(rows)
            if self._collection.has_regions:
                self._collection.delete([key for row in rows for key in region_keys(row[PHOTO])])

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
        model = self.model
        products: set[str] = set()
        kinds: dict[str, set[str]] = {}
        n_photos = 0
        for row in self._facts(None):
            n_photos += 1
            product_id, attributes = attributes_of(row)
            if product_id is not None:
                products.add(product_id)
            for name, value in attributes.items():
                if value is not None:
                    kinds.setdefault(name, set()).add(type(value).__name__)
        details: dict[str, object] = {"index": self._about.index, "regions": self.regions}
        if model is not None:
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
            model=model,
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
            known = self._known()
            if (
                known.model is not None
                and known.regions is None
                and any(entry.regions is not None for entry in entries)
            ):
                self._replace(known.model, replace(known, regions=0), self.entries())
            return self._changed(entries)

    def _changed(self, entries: Sequence[Entry]) -> Upserted:
        first = self._numbers(len(entries))
        keys = [key_of(entry.photo_id) for entry in entries]
        old = {
            row[PHOTO]: row
            for row in self._collection.rows_of(keys, [*self._collection.entry_fields, KIND])
            if row[KIND] == ENTRY
        }
        rows: list[Row] = []
        left: list[str] = []
        n_changed = n_same = 0
        for number, (key, entry) in enumerate(zip(keys, entries, strict=True), start=first):
            known = self._sound(old[key]) if key in old else None
            if known is None or known.entry != entry:
                n_changed += key in old
                rows += _rows_of(entry, number, self.uri)
                if key in old and self._collection.has_regions:
                    left += region_keys(key)[len(entry.vectors) - 1 :]
                continue
            n_same += 1
            if known.entry.stamp != entry.stamp:
                rows += _rows_of(entry, known.sequence, self.uri)
        self._put(rows)
        if left:
            self._collection.delete(left)
        return Upserted(len(entries) - n_changed - n_same, n_changed, n_same)

    def _delete(self, photo_ids: Sequence[PhotoId]) -> int:
        if self.model is None:
            return 0
        keys = [key_of(photo_id) for photo_id in photo_ids]
        with self._changing:
            found = list(self._collection.rows_of(keys, [PHOTO, KIND]))
            if found:
                gone = [row[PHOTO] for row in found]
                if self._collection.has_regions:
                    # A photo without its regions is found less well; the other way round, they
                    # would stay for good if this is interrupted.
                    gone = [*itertools.chain.from_iterable(map(region_keys, gone)), *gone]
                self._collection.delete(gone)
        return sum(row[KIND] == ENTRY for row in found)

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
            for row in self._facts(where):
                product_id, attributes = attributes_of(row)
                for name in names:
                    value = product_id if name == "product_id" else attributes.get(name)
                    counts[name][value] += 1
        return {name: dict(counted) for name, counted in counts.items()}

    def _nearest(
        self, vectors: Vectors, k: int, where: Filter | None, exact: bool
    ) -> list[Neighbours]:
        if self.model is None:
            return [Neighbours((), exact=True, exhausted=True)] * len(vectors)
        index = INDEXES[self._about.index]
        return nearest(self._collection, index, vectors, k, where, exact)

    def _page(self, where: Filter | None, limit: int, after: int) -> list[tuple[int, Entry]]:
        if self.model is None:
            return []
        # A server does not sort. To count is quick, so the end of the page is found by halving.
        below, last = after, 2**63 - 1
        if self._collection.count(between(where, after, last)) > limit:
            while last - below > 1:
                middle = (below + last) // 2
                if self._collection.count(between(where, after, middle)) >= limit:
                    last = middle
                else:
                    below = middle
        fields = self._collection.entry_fields
        rows = itertools.chain.from_iterable(
            self._collection.rows(between(where, after, last), fields)
        )
        found = [entry_of(row, self.uri) for row in rows]
        found.sort(key=lambda one: (one.sequence, key_of(one.entry.photo_id)))
        return [(one.sequence, one.entry) for one in found]

    # What these need.

    def _keys(self, *expressions: str) -> list[str]:
        """Return the primary keys of entries, in the order in which they were put in."""
        if self.model is None:
            return []
        found = {
            row[PHOTO]: row[SEQUENCE]
            for one in expressions
            for page in self._collection.rows(one, [PHOTO, SEQUENCE])
            for row in page
        }
        return sorted(found, key=found.__getitem__)

    def _placed(self, keys: Sequence[str]) -> dict[str, Placed]:
        return {} if self.model is None else placed(self._collection, keys)

    def _facts(self, where: Filter | None) -> Iterator[Row]:
        if self.model is not None:
            for page in self._collection.rows(passing(where), [PHOTO, FACTS]):
                yield from page

    def _put(self, rows: Sequence[Row]) -> None:
        acknowledged = 0

        def note(n_rows: int) -> None:
            nonlocal acknowledged
            acknowledged = n_rows

        try:
            self._collection.upsert(rows, progress=note)
        except CatalogError as error:
            raise CatalogError(
                f"{error} ({_n_photos(rows[:acknowledged]):,} of {_n_photos(rows):,} photos were "
                "acknowledged)"
            ) from error

    def _sound(self, row: Row) -> Placed | None:
        """Return the entry of a row; None if it is damaged, so that it is replaced."""
        try:
            return entry_of(row, self.uri)
        except CatalogError:
            return None

    def _numbers(self, n: int) -> int:
        """Return the first of n numbers that are higher than all before."""
        first = max(time.time_ns(), self._last_number + 1)
        self._last_number = first + n
        return first

    def _known(self) -> About:
        """Return what the collection says of itself."""
        if time.monotonic() > self._known_until:
            # Another process may have changed it.
            self._look()
        return self._about

    def _look(self) -> None:
        """Read what the collection says of itself."""
        self._about = About.parse(self._collection.description(), self.uri)
        self._collection.has_regions = self._about.regions is not None
        if self._about.model is not None:
            self._collection.dimension = self._about.model.dimension
        self._known_until = time.monotonic() + _KNOWN_SECONDS

    def _make(self) -> None:
        try:
            self._switch(None, self._new_collection(self._about))
        except CatalogError:
            # Another process may have been quicker.
            if not self._collection.exists():
                raise

    def _replace(
        self,
        model: ModelStamp,
        about: About,
        entries: Iterable[Entry],
        failed: Iterable[FailedPhoto] = (),
    ) -> None:
        """Put entries into a new collection, with the records of failure, and switch to it.

        `about` is what it says of itself; its vectors are of `model`.
        """
        old, had_place = self._collection.real_name(), self._collection.has_regions
        new = self._new_collection(about)
        try:
            ids = set()
            checked = (checked_entry(entry, model, self.uri) for entry in entries)
            while part := list(islice(checked, _TOGETHER)):
                number = self._numbers(len(part))
                numbered = enumerate(part, start=number)
                new.upsert([row for n, entry in numbered for row in _rows_of(entry, n, self.uri)])
                ids |= {entry.photo_id for entry in part}
            kept = (one for one in self.failures() if one.photo_id not in ids)
            more = (checked_failure(one, self.uri) for one in failed)
            records = {one.photo_id: one for one in itertools.chain(kept, more)}
            new.upsert([row_of_failure(one, model.dimension, self.uri) for one in records.values()])
        except BaseException:
            new.drop()
            raise
        self._switch(old, new)
        self._collection.mark()
        if new.has_regions and not had_place:
            # Until they look again, other processes read photos without their regions, and would
            # take those that have some for damaged.
            time.sleep(_KNOWN_SECONDS)

    def _new_collection(self, about: About) -> Collection:
        made = Collection(self._connection, f"{self._collection.name}_{time.time_ns():x}")
        try:
            made.create(about)
        except BaseException:
            if made.exists():
                made.drop()
            raise
        return made

    def _switch(self, old: str | None, new: Collection) -> None:
        """Let the catalogue's name stand for another collection, and remove the old one.

        Raises `CatalogError` if another process has done so meanwhile.
        """
        alias = self._collection.name
        try:
            if old is None:
                new.create_alias(alias)
            elif self._collection.real_name() == old:
                new.take_alias(alias)
            else:
                raise CatalogError(f"{self.uri} was changed by another process: try again")
        except BaseException:
            new.drop()
            raise
        self._look()
        if old is not None:
            Collection(self._connection, old).drop()


def _rows_of(entry: Entry, sequence: int, uri: str) -> list[Row]:
    """Return the rows of an entry.

    Those of its regions come first: when the photo is acknowledged, they are there.
    """
    row = row_of(entry, sequence, uri)
    return [*region_rows(entry, row), row]


def _n_photos(rows: Sequence[Row]) -> int:
    return sum(row[KIND] != REGION for row in rows)
