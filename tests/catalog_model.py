"""A catalogue in plain Python, to compare the engines with: short, slow and obviously right."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
import numpy.typing as npt

from shoplens.attributes import Value
from shoplens.catalog.base import Catalog
from shoplens.catalog.chains import kept_chain
from shoplens.catalog.checks import checked_entry, checked_failure
from shoplens.catalog.engine import Upserted
from shoplens.catalog.entry import Entry, FailedPhoto, PhotoId
from shoplens.catalog.filters import Filter, matches
from shoplens.catalog.model_stamp import ModelStamp
from shoplens.catalog.neighbours import Neighbours
from shoplens.catalog.stats import CatalogStats
from shoplens.catalog.verification import Verification
from shoplens.errors import CatalogError, MissingError, ModelError
from shoplens.progress import Progress, silent
from shoplens.records import Vectors
from shoplens.regions.choosing import require_number
from shoplens.reranking import NO_STEPS, Chain


@dataclass
class Shelf:
    """What a plain catalogue has on "disk": it stays when the catalogue is closed."""

    model: ModelStamp | None = None
    entries: dict[PhotoId, Entry] = field(default_factory=dict)
    """In the order in which they were put in."""
    failures: dict[PhotoId, FailedPhoto] = field(default_factory=dict)
    regions: int = 0
    chain: Chain = NO_STEPS
    places: dict[PhotoId, int] = field(default_factory=dict)
    """When an entry was put in, counted from 1."""
    n_put: int = 0


class PlainCatalog(Catalog):
    def __init__(self, shelf: Shelf | None = None, *, read_only: bool = False):
        self.shelf = Shelf() if shelf is None else shelf
        self.uri = "plain"
        self.read_only = read_only
        self.engine = "embedded"
        self._closed = False

    @property
    def model(self) -> ModelStamp | None:
        self._require_open()
        return self.shelf.model

    def close(self) -> None:
        self._closed = True

    def set_model(self, model: ModelStamp) -> None:
        self._require_open()
        self._require_writable()
        if self.shelf.model not in (None, model):
            raise ModelError(f"{self.uri} is of another model: {self.shelf.model}")
        self.shelf.model = model

    @property
    def regions(self) -> int:
        return self.shelf.regions

    def set_regions(self, n: int) -> None:
        self._require_writable()
        require_number(n)
        if self.shelf.model is None:
            raise ModelError(f"{self.uri} has no model yet")
        self.shelf.regions = n

    @property
    def chain(self) -> Chain:
        return self.shelf.chain

    def set_chain(self, chain: str | Chain) -> None:
        kept = kept_chain(chain)
        self._require_writable()
        if self.shelf.model is None:
            raise ModelError(f"{self.uri} has no model yet")
        self.shelf.chain = kept

    def _write(self, entries: Sequence[Entry]) -> Upserted:
        self._require_open()
        done = Upserted()
        # Put in its place as a whole: other threads search meanwhile.
        shelved = dict(self.shelf.entries)
        for entry in entries:
            old = shelved.get(entry.photo_id)
            if old is not None and old == entry and old.stamp == entry.stamp:
                done += Upserted(n_unchanged=1)
            else:
                shelved.pop(entry.photo_id, None)
                shelved[entry.photo_id] = replace(entry, vector=entry.vector.copy())
                self.shelf.n_put += 1
                self.shelf.places[entry.photo_id] = self.shelf.n_put
                done += Upserted(n_added=old is None, n_changed=old is not None)
            self.shelf.failures.pop(entry.photo_id, None)
        self.shelf.entries = shelved
        return done

    def _delete(self, photo_ids: Sequence[PhotoId]) -> int:
        self._require_open()
        for photo_id in photo_ids:
            self.shelf.failures.pop(photo_id, None)
        return sum(self.shelf.entries.pop(one, None) is not None for one in photo_ids)

    def record_failures(self, failed: Iterable[FailedPhoto]) -> None:
        self._require_open()
        self._require_writable()
        for photo in [checked_failure(one, self.uri) for one in failed]:
            self.shelf.entries.pop(photo.photo_id, None)
            self.shelf.failures[photo.photo_id] = photo

    def replace_vectors(
        self, model: ModelStamp, entries: Iterable[Entry], failed: Iterable[FailedPhoto] = ()
    ) -> None:
        self._require_open()
        self._require_writable()
        replaced = [checked_entry(entry, model, self.uri) for entry in entries]
        self.shelf.model = model
        self.shelf.entries.clear()
        self._write(replaced)
        self.record_failures(failed)

    def failures(self) -> Iterator[FailedPhoto]:
        self._require_open()
        # Numbers before texts.
        ids = sorted(self.shelf.failures, key=lambda one: (isinstance(one, str), one))
        return iter([self.shelf.failures[photo_id] for photo_id in ids])

    def _count_failures(self) -> int:
        return len(self.shelf.failures)

    def get_many(self, photo_ids: Sequence[PhotoId]) -> list[Entry | None]:
        self._require_open()
        return [self.shelf.entries.get(photo_id) for photo_id in photo_ids]

    def _passing(self, where: Filter | None) -> list[Entry]:
        self._require_open()
        return [
            entry
            for entry in self.shelf.entries.values()
            if where is None or matches(where, entry.attributes, entry.product_id)
        ]

    def _ids(self, where: Filter | None, product_ids: Sequence[str] | None) -> list[PhotoId]:
        return [
            entry.photo_id
            for entry in self._passing(where)
            if product_ids is None or entry.product_id in product_ids
        ]

    def _page(self, where: Filter | None, limit: int, after: int) -> list[tuple[int, Entry]]:
        placed = [(self.shelf.places[one.photo_id], one) for one in self._passing(where)]
        return [(place, one) for place, one in placed if place > after][:limit]

    def entries(self) -> Iterator[Entry]:
        return iter(self._passing(None))

    def _count(self, where: Filter | None) -> int:
        return len(self._passing(where))

    def stats(self) -> CatalogStats:
        entries = self._passing(None)
        types: dict[str, set[str]] = {}
        for entry in entries:
            for name, value in entry.attributes.items():
                if value is not None:
                    types.setdefault(name, set()).add(type(value).__name__)
        return CatalogStats(
            uri=self.uri,
            engine="plain",
            model=self.shelf.model,
            n_photos=len(entries),
            n_products=len({entry.product_id for entry in entries} - {None}),
            n_failed=len(self.shelf.failures),
            attributes={name: ", ".join(sorted(kinds)) for name, kinds in types.items()},
            chain=self.shelf.chain.names,
        )

    def _facets(self, names: Sequence[str], where: Filter | None) -> dict[str, dict[Value, int]]:
        entries = self._passing(where)
        return {
            name: dict(
                Counter(
                    entry.product_id if name == "product_id" else entry.attributes.get(name)
                    for entry in entries
                )
            )
            for name in names
        }

    def _nearest(
        self, vectors: Vectors, k: int, where: Filter | None, exact: bool
    ) -> list[Neighbours]:
        entries = self._passing(where)
        found = []
        for query in vectors.astype(np.float64):
            scores = [_score(entry, query) for entry in entries]
            # `sorted` keeps the order of equal scores.
            best = sorted(zip(entries, scores, strict=True), key=lambda pair: -pair[1])[:k]
            found.append(Neighbours(tuple(best), exact=True, exhausted=k >= len(entries)))
        return found

    def verify(self, *, repair: bool = False, progress: Progress = silent) -> Verification:
        if repair:
            self._require_writable()
        return Verification((), len(self._passing(None)))

    def compact(self, *, progress: Progress = silent) -> None:
        self._require_open()
        self._require_writable()

    def backup(self, path: str | Path, *, progress: Progress = silent) -> None:
        raise MissingError("a plain catalogue is not written to a file")

    def _require_open(self) -> None:
        if self._closed:
            raise CatalogError(f"{self.uri} is closed")


def _score(entry: Entry, query: npt.NDArray[np.float64]) -> float:
    scores = (entry.vectors.astype(np.float64) * query).sum(axis=1)
    return float(0.3 * scores[0] + 0.7 * scores.max())
