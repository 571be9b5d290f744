"""The catalogue: what every engine does, under the same names and with the same answers.

An engine keeps entries and finds the nearest ones (`_nearest`). What is the same for all of them is
here: checking what comes in, turning a photo into a vector, one hit for each product, facets.
"""

from __future__ import annotations

import math
import time
from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import TracebackType
from typing import Any, Literal, TypeVar

import numpy as np
import numpy.typing as npt

from shoplens.attributes import Value
from shoplens.boxes.queries import boxed_photo
from shoplens.catalog.entry import Entry, FailedPhoto, PhotoId, photo_id_of
from shoplens.catalog.filters import RESERVED, Filter, parse_filter
from shoplens.catalog.reranked import CANDIDATES, reranked
from shoplens.catalog.scoring import matched_region, score_entries
from shoplens.confidence.calibration import Calibration, Judgement
from shoplens.confidence.evidence import DEPTH
from shoplens.embedding.queries import builtin_encoder
from shoplens.embedding.sets import Picture, embed
from shoplens.errors import (
    CatalogError,
    EntryError,
    MissingError,
    ModelError,
    PhotoError,
    RankingError,
)
from shoplens.hits import Hit, SearchResult, View
from shoplens.models import Encoder, builtin_names
from shoplens.models.gettable import gettable
from shoplens.products.listing import Listing
from shoplens.progress import Progress, silent
from shoplens.records import Box, Photo, PhotoSet, Vector, Vectors
from shoplens.regions.choosing import MOST
from shoplens.reranking import NONE, Chain, online_chain
from shoplens.vectors.regions import PhotoRegions

UNIT_TOLERANCE = 1e-3
"""How far from 1 the length of a vector may be."""

_T = TypeVar("_T")


@dataclass(frozen=True, slots=True)
class ModelStamp:
    """The model that made a catalogue's vectors. All of them are of one model."""

    name: str
    fingerprint: str
    dimension: int

    @property
    def found_by_name(self) -> bool:
        """Whether its name is enough to load it: of a built-in model, or of one that `shoplens
        models get` brings."""
        return self.name in builtin_names() or gettable(self.name) is not None


@dataclass(frozen=True, slots=True)
class Upserted:
    """What an upsert did."""

    n_added: int = 0
    n_changed: int = 0
    n_unchanged: int = 0
    """Entries that were there already, just as they are."""

    def __add__(self, other: Upserted) -> Upserted:
        return Upserted(
            self.n_added + other.n_added,
            self.n_changed + other.n_changed,
            self.n_unchanged + other.n_unchanged,
        )


@dataclass(frozen=True, slots=True)
class CatalogFault:
    """Something that `verify` found."""

    where: str
    """The file, table or photo."""
    problem: str
    repaired: bool = False

    def __str__(self) -> str:
        return f"{self.where}: {self.problem}{' (repaired)' if self.repaired else ''}"

    def to_json(self) -> dict[str, Any]:
        """Return the fault as `shoplens catalog verify --json` writes it."""
        return {"where": self.where, "problem": self.problem, "repaired": self.repaired}


@dataclass(frozen=True, slots=True)
class Verification:
    """The result of `verify`."""

    faults: tuple[CatalogFault, ...]
    n_photos: int
    """Photos that were checked."""

    @property
    def ok(self) -> bool:
        """Whether no fault is left."""
        return all(fault.repaired for fault in self.faults)

    def to_json(self) -> dict[str, Any]:
        """Return the result as `shoplens catalog verify --json` writes it."""
        return {
            "ok": self.ok,
            "n_photos": self.n_photos,
            "faults": [fault.to_json() for fault in self.faults],
        }


@dataclass(frozen=True, slots=True)
class CatalogStats:
    """What a catalogue holds."""

    uri: str
    engine: str
    """`embedded` or `milvus`."""
    model: ModelStamp | None
    """None as long as nothing was put in."""
    n_photos: int
    n_products: int
    n_failed: int
    """Photos that could not be embedded; see `Catalog.failures`."""
    attributes: Mapping[str, str]
    """For each attribute, the types of its values: `int`, `float`, `bool`, `str`, or several."""
    details: Mapping[str, Any] = field(default_factory=dict)
    """What only this engine has to say: sizes, indexes."""

    def to_json(self) -> dict[str, Any]:
        """Return the figures as `shoplens catalog stats --json` writes them."""
        model = self.model
        return {
            "uri": self.uri,
            "engine": self.engine,
            "model": None
            if model is None
            else {
                "name": model.name,
                "fingerprint": model.fingerprint,
                "dimension": model.dimension,
            },
            "n_photos": self.n_photos,
            "n_products": self.n_products,
            "n_failed": self.n_failed,
            "attributes": dict(self.attributes),
            **self.details,
        }


@dataclass(frozen=True, slots=True)
class Page:
    """Some of the entries that pass a filter, in the order in which they were put in."""

    entries: tuple[Entry, ...]
    next: int | None
    """Where the next page begins, for `Catalog.page`; None if there is none."""


@dataclass(frozen=True, slots=True)
class _Terms:
    """What is asked for, checked."""

    listing: Listing
    where: Filter | None
    min_score: float | None
    facets: list[str]
    exact: bool
    confidence: Calibration | None
    chain: Chain

    @property
    def n_photos(self) -> int:
        """How many photos to look at first."""
        return max(self.listing.n_photos, DEPTH if self.confidence is not None else 0)

    def accept(self, score: float) -> bool:
        """Whether a score is high enough."""
        return self.min_score is None or score >= self.min_score

    def judge(self, photos: Sequence[Hit]) -> Judgement | None:
        """Return what the calibration says of the photos that were found, where there is one."""
        return None if self.confidence is None else self.confidence.judge(photos)


@dataclass(frozen=True, slots=True)
class _Found:
    """What was found for one query."""

    hits: tuple[Hit, ...]
    exact: bool
    judgement: Judgement | None

    def told(self) -> tuple[Hit, ...]:
        """Return the hits with their confidences, where they were judged."""
        return self.hits if self.judgement is None else self.judgement.told(self.hits)


@dataclass(frozen=True, slots=True)
class Neighbours:
    """The nearest entries of one query."""

    found: tuple[tuple[Entry, float], ...]
    """Entries with their scores, best first; equal scores in the order in which they were put
    in."""
    exact: bool
    """Whether every vector that passes the filter was compared."""
    exhausted: bool
    """Whether no entry that passes the filter is left out."""


class Catalog(ABC):
    """A durable collection of product photos that can be searched.

    Open one with `shoplens.open_catalog`. Use it as a context manager, or `close` it. One catalogue
    may be used from several threads.
    """

    uri: str
    read_only: bool
    engine: Literal["embedded", "milvus"]

    def __enter__(self) -> Catalog:
        return self

    def __exit__(
        self,
        _kind: type[BaseException] | None,
        _error: BaseException | None,
        _traceback: TracebackType | None,
    ) -> None:
        self.close()

    # What an engine does.

    @property
    @abstractmethod
    def model(self) -> ModelStamp | None:
        """The model of the vectors; None as long as nothing was put in."""

    @abstractmethod
    def close(self) -> None:
        """Give back files and connections. What was acknowledged is safe without it, too."""

    @abstractmethod
    def set_model(self, model: ModelStamp) -> None:
        """State the model of the vectors before the first are put in.

        Raises `ModelError` if the catalogue is of another model.
        """

    @property
    def regions(self) -> int:
        """How many regions of each photo `index` gives vectors of their own; 0 for none."""
        return 0

    def set_regions(self, n: int) -> None:
        """State how many regions of each photo `index` gives vectors of their own.

        Photos that are here already get them when they are indexed again.

        Raises:
            ShoplensError: there cannot be so many.
            ModelError: the catalogue has no model yet.
            CatalogError: the engine cannot keep regions, or the catalogue cannot be written.
        """
        if n:
            self._refuse_regions()

    @abstractmethod
    def _write(self, entries: Sequence[Entry]) -> Upserted:
        """Put in checked entries, all or none; photo ids are unique. A photo that is here is
        replaced, and its record of failure is removed."""

    @abstractmethod
    def _delete(self, photo_ids: Sequence[PhotoId]) -> int:
        """Remove photos, all at once; return how many were here. Their records of failure go,
        too."""

    @abstractmethod
    def record_failures(self, failed: Iterable[FailedPhoto]) -> None:
        """Keep photos that could not be embedded. An entry of the same id is removed."""

    @abstractmethod
    def replace_vectors(
        self, model: ModelStamp, entries: Iterable[Entry], failed: Iterable[FailedPhoto] = ()
    ) -> None:
        """Replace all entries at once by others, whose vectors are of another model.

        Until this returns, readers go on with what was there. Records of failure stay, except those
        of photos that are among the entries; `failed` adds to them.
        """

    @abstractmethod
    def failures(self) -> Iterator[FailedPhoto]:
        """Yield the photos that could not be embedded, in order of their ids."""

    @abstractmethod
    def _count_failures(self) -> int:
        """Return how many photos could not be embedded."""

    @abstractmethod
    def get_many(self, photo_ids: Sequence[PhotoId]) -> list[Entry | None]:
        """Return the entries of photos, each None where there is none.

        Raises `CatalogError` if a stored entry is damaged.
        """

    @abstractmethod
    def _ids(self, where: Filter | None, product_ids: Sequence[str] | None) -> list[PhotoId]:
        """Return the ids of photos that pass a filter and are of one of the products (None: of
        any), in the order in which they were put in."""

    @abstractmethod
    def _page(self, where: Filter | None, limit: int, after: int) -> list[tuple[int, Entry]]:
        """Return the first entries that pass a filter of those whose places are above `after`.

        Places are positive numbers that grow in the order in which entries were put in. There are
        `limit` entries at least, if there are so many. Raises `CatalogError` if one is damaged.
        """

    @abstractmethod
    def entries(self) -> Iterator[Entry]:
        """Yield all entries in the order in which they were put in, as of one moment.

        Raises `CatalogError` if a stored entry is damaged.
        """

    @abstractmethod
    def _count(self, where: Filter | None) -> int:
        """Return how many photos pass a filter."""

    @abstractmethod
    def stats(self) -> CatalogStats:
        """Return what the catalogue holds."""

    @abstractmethod
    def _facets(self, names: Sequence[str], where: Filter | None) -> dict[str, dict[Value, int]]:
        """Count, for each attribute, the values of the photos that pass a filter."""

    @abstractmethod
    def _nearest(
        self, vectors: Vectors, k: int, where: Filter | None, exact: bool
    ) -> list[Neighbours]:
        """Return the k nearest entries of each query; `exact` forbids approximation."""

    @abstractmethod
    def verify(
        self,
        *,
        repair: bool = False,
        backup: str | Path | None = None,
        progress: Progress = silent,
    ) -> Verification:
        """Check everything that is stored.

        Args:
            repair: mend what can be mended without losing anything.
            backup: with `repair`, a file of `backup`, from which photos that cannot be read any
                more are taken.
            progress: told how far it is.
        """

    @abstractmethod
    def compact(self, *, progress: Progress = silent) -> None:
        """Bring everything into its fastest form: indexes are built, space is given back."""

    @abstractmethod
    def backup(self, path: str | Path, *, progress: Progress = silent) -> None:
        """Write everything to a new file, as of one moment, while the catalogue is in use.

        `shoplens.catalog.restore` makes a catalogue of it.
        """

    def revision(self) -> object | None:
        """Return what is another value after each change of what `stats` says, by any process; None
        where an engine cannot tell."""
        return None

    # What is the same for all.

    def upsert(self, entries: Iterable[Entry]) -> Upserted:
        """Put in entries; a photo that is here already is replaced.

        When this returns, the entries are on disk and the next search finds them. All are put in,
        or none: give thousands at a time, not millions.

        Args:
            entries: with vectors of unit length. If several have one photo id, the last counts.

        Raises:
            ModelError: the vectors do not have the catalogue's dimension, or it has no model yet
                (see `set_model`).
            EntryError: an entry is faulty.
            CatalogError: the catalogue cannot be written.
        """
        self._require_writable()
        model = self.model
        if model is None:
            raise ModelError(f"{self.uri} has no model yet: state it with set_model first")
        unique = {}
        for entry in entries:
            checked = self._checked_for(model, entry)
            unique[checked.photo_id] = checked
        return self._write(list(unique.values())) if unique else Upserted()

    def delete(
        self,
        photo_ids: Iterable[int | str] | None = None,
        *,
        product_ids: Iterable[str] | None = None,
        where: str | None = None,
    ) -> int:
        """Remove photos: those with given ids, of given products, or that pass a filter.

        Args:
            photo_ids: the ids of photos.
            product_ids: the ids of products, of which all photos are removed, and their records of
                failure.
            where: a filter (see `search`).

        Returns:
            How many photos were removed. Ids that are not here are passed over.

        Raises:
            FilterError: `where` is not a filter.
            CatalogError: not exactly one of the three was given, the filter is empty, or the
                catalogue cannot be written.
        """
        self._require_writable()
        if sum(given is not None for given in (photo_ids, product_ids, where)) != 1:
            raise CatalogError("give photo ids, product ids or a filter: one of them")
        if photo_ids is not None:
            wanted = [_checked_id(photo_id) for photo_id in _listed("photo_ids", photo_ids)]
        elif product_ids is not None:
            products = set(_listed("product_ids", product_ids))
            wanted = self._ids(None, list(products))
            wanted += [one.photo_id for one in self.failures() if one.product_id in products]
        else:
            filtered = self._filter(where)
            if filtered is None:
                raise CatalogError("an empty filter would remove every photo: say which to remove")
            wanted = self._ids(filtered, None)
        return self._delete(list(dict.fromkeys(wanted))) if wanted else 0

    def get(self, photo_id: int | str) -> Entry | None:
        """Return the entry of a photo, or None if there is none.

        Raises `CatalogError` if the stored entry is damaged.
        """
        return self.get_many([_checked_id(photo_id)])[0]

    def count(self, where: str | None = None) -> int:
        """Return how many photos there are, or how many pass a filter (see `search`)."""
        return self._count(self._filter(where))

    def ids(self, where: str | None = None) -> list[PhotoId]:
        """Return the ids of all photos, or of those that pass a filter (see `search`)."""
        return self._ids(self._filter(where), None)

    def page(self, where: str | None = None, *, limit: int = 50, after: int = 0) -> Page:
        """Return entries that pass a filter, some at a time; the rest is not read.

        Changes between two pages shift nothing: what stays as it is comes once, and what is changed
        or put in comes at the end.

        Args:
            where: a filter (see `search`); None for all entries.
            limit: how many entries to return.
            after: the `next` of the page before; 0 for the first page.

        Raises:
            FilterError: `where` is not a filter.
            CatalogError: `limit` or `after` cannot be used, or a stored entry is damaged.
        """
        if limit < 1 or not 0 <= after < 2**63:
            raise CatalogError(f"there is no page of {limit} entries after {after}")
        found = self._page(self._filter(where), limit + 1, after)
        if len(found) <= limit:
            return Page(tuple(entry for _, entry in found), None)
        last = found[limit - 1][0]
        return Page(tuple(entry for place, entry in found if place <= last), last)

    def facets(self, *names: str, where: str | None = None) -> dict[str, dict[Value, int]]:
        """Count how many photos that pass a filter have which value of an attribute.

        Returns:
            For each name, counts by value, the largest first. None counts photos without a value.
        """
        return self._ordered_facets(names, self._filter(where))

    def search(
        self,
        photo: Picture | None = None,
        *,
        box: Box | str | None = None,
        vector: npt.ArrayLike | None = None,
        photo_id: int | str | None = None,
        k: int = 20,
        where: str | None = None,
        group_by: Literal["product"] | None = None,
        min_score: float | None = None,
        facets: Sequence[str] = (),
        exact: bool = False,
        product_score: str | None = None,
        variants: str | None = None,
        collapse: bool = False,
        confidence: Calibration | None = None,
        rerank: str | Chain = NONE,
        encoder: Encoder | None = None,
    ) -> SearchResult:
        """Find the photos or the products that are most similar to a query.

        The query is a photo with a box, a vector, or a photo of the catalogue by its id ("more like
        this"; it is not among the hits).

        Args:
            photo: the path of a file, the bytes of one, or a picture opened by Pillow.
            box: where the product is in `photo`, as in `shoplens.search`.
            vector: (d,) of unit length, of the catalogue's model.
            photo_id: of a photo in the catalogue.
            k: how many hits to return.
            where: a filter such as `category = "shoes" and price < 50` (see docs/filters.md).
            group_by: `product` for k products, each with its best photo and its other photos.
                Photos without a product stand for themselves.
            min_score: leave out hits with a lower score.
            facets: names of attributes whose values are counted among the photos that pass
                `where`.
            exact: compare every vector that passes the filter, even where an index would be faster.
            product_score: what products are ordered by, where they are grouped: `best` (their best
                photo, as without it), `mean2` or `mean3` (the mean of their best two or three) or
                `logsum` (see docs/product-scores.md).
            variants: which products are one hit together, where they are grouped: those that share
                the value of an attribute, by its name, or `id:-` for those whose ids are the same
                before the last `-`.
            collapse: show photos of the same picture as one hit; its `duplicates` are the others.
            confidence: a calibration of the catalogue's model; then hits have a `confidence`, and
                the result a `no_match`.
            rerank: a chain of gallery-side re-ranking methods, such as `alpha-qe:k=4`, for the
                first 1000 photos (docs/reranking.md).
            encoder: the model; None loads the catalogue's (see `encoder`).

        Returns:
            The hits, best first.

        Raises:
            PhotoError: the photo or its box cannot be used.
            FilterError: `where` is not a filter.
            ChainError: `rerank` is not a chain.
            RankingError: a re-ranking step cannot be taken.
            ModelError: the query is of another model than the catalogue.
            MissingError: no photo has this `photo_id`.
            CatalogError: a stored entry is damaged, or the arguments do not fit together.
        """
        if sum(given is not None for given in (photo, vector, photo_id)) != 1:
            raise CatalogError("give a photo, a vector or a photo id: one of them")
        if box is not None and photo is None:
            raise CatalogError("a box belongs to a photo")
        listing = _listing(k, group_by, product_score, variants, collapse, confidence)
        terms = self._terms(listing, where, min_score, facets, exact, confidence, rerank)
        started = time.perf_counter()
        query = None
        left_out: PhotoId | None = None
        if photo is not None:
            encoder = encoder or self.encoder()
            self.require_model(encoder)
            query = boxed_photo(photo, box)
            embedded = embed(PhotoSet([query]), encoder, cache=False, workers=1)
            if embedded.failures:
                failure = embedded.failures[0]
                raise PhotoError(failure.reason, f"{query.name}: {failure.detail}")
            vectors = embedded.vectors
        elif photo_id is not None:
            left_out = _checked_id(photo_id)
            if (entry := self.get(left_out)) is None:
                raise MissingError(f"{self.uri}: there is no photo {photo_id}")
            vectors = entry.vector[None]
        else:
            vectors = _as_vectors(vector)[None]
        seconds = {"query": time.perf_counter() - started}
        return self._results(
            vectors,
            terms,
            queries=None if query is None else PhotoSet([query]),
            left_out=left_out,
            seconds=seconds,
        )[0]

    def search_vectors(
        self,
        vectors: npt.ArrayLike,
        *,
        k: int = 20,
        where: str | None = None,
        group_by: Literal["product"] | None = None,
        min_score: float | None = None,
        facets: Sequence[str] = (),
        exact: bool = False,
        product_score: str | None = None,
        variants: str | None = None,
        collapse: bool = False,
        confidence: Calibration | None = None,
        rerank: str | Chain = NONE,
        queries: PhotoSet | None = None,
    ) -> list[SearchResult]:
        """Search for many vectors at once (see `search`).

        Args:
            vectors: (q, d) of unit length, of the catalogue's model.
            queries: q photos that the results name; None for none.

        Returns:
            A result for each vector.
        """
        listing = _listing(k, group_by, product_score, variants, collapse, confidence)
        terms = self._terms(listing, where, min_score, facets, exact, confidence, rerank)
        return self._results(np.atleast_2d(_as_vectors(vectors)), terms, queries=queries)

    def search_each(
        self,
        queries: PhotoSet,
        *,
        k: int = 20,
        where: str | None = None,
        group_by: Literal["product"] | None = None,
        min_score: float | None = None,
        facets: Sequence[str] = (),
        exact: bool = False,
        product_score: str | None = None,
        variants: str | None = None,
        collapse: bool = False,
        confidence: Calibration | None = None,
        rerank: str | Chain = NONE,
        encoder: Encoder | None = None,
        workers: int | None = None,
        progress: Progress = silent,
    ) -> list[SearchResult]:
        """Search for each of several photos with their boxes (see `search`).

        Args:
            queries: the photos, as `shoplens.read_queries` gives them.
            workers: threads that embed them.
            progress: told how far embedding is.

        Returns:
            A result for each photo, in their order. A photo that cannot be used has a `failure` and
            no hits.
        """
        listing = _listing(k, group_by, product_score, variants, collapse, confidence)
        terms = self._terms(listing, where, min_score, facets, exact, confidence, rerank)
        encoder = encoder or self.encoder()
        self.require_model(encoder)
        started = time.perf_counter()
        embedded = embed(queries, encoder, workers=workers, progress=progress)
        spent = time.perf_counter() - started
        usable = np.flatnonzero(embedded.has_vector)
        found = self._results(
            embedded.vectors[usable],
            terms,
            queries=PhotoSet([queries[row] for row in usable.tolist()]),
            seconds={"query": spent},
        )
        failures = {failure.row: failure for failure in embedded.failures}
        by_row = dict(zip(usable.tolist(), found, strict=True))
        return [
            by_row[row]
            if row in by_row
            else SearchResult(
                query=query,
                hits=(),
                n_gallery=self.count() + self._count_failures(),
                model_name=encoder.name,
                fingerprint=encoder.fingerprint,
                failure=failures[row],
                n_failed=self._count_failures(),
                seconds={"query": spent},
            )
            for row, query in enumerate(queries)
        ]

    def encoder(self) -> Encoder:
        """Load the model of this catalogue's vectors.

        It is found by its name if it is built in, or one that `shoplens models get` brings.

        Raises:
            ModelError: it is neither, or the model of this name is another one now.
            MissingError: it has to be brought to this machine first.
        """
        model = self._require_model()
        if not model.found_by_name:
            raise ModelError(
                f"{self.uri} was made with the model {model.name}, which is not built in: name it "
                "(--model, or encoder=load_encoder(...))"
            )
        encoder = builtin_encoder(model.name, model.dimension)
        self.require_model(encoder)
        return encoder

    def require_model(self, encoder: Encoder) -> None:
        """Refuse an encoder whose vectors cannot be compared with the catalogue's.

        Raises `ModelError`; it says how to migrate.
        """
        model = self.model
        if model is not None and model.fingerprint != encoder.fingerprint:
            raise ModelError(
                f"{self.uri} holds vectors of {model.name} ({model.fingerprint}), and the model is "
                f"{encoder.name} ({encoder.fingerprint}). Vectors of different models cannot be "
                f"compared. Use the catalogue's model, or embed its photos again: "
                f"shoplens catalog migrate {self.uri} --model {encoder.name}"
            )

    # What these need.

    def _moment(self) -> AbstractContextManager[object]:
        """Let all that is read in the block be of one moment, where the engine can do that."""
        return nullcontext()

    def _terms(
        self,
        listing: Listing,
        where: str | None,
        min_score: float | None,
        facets: Sequence[str],
        exact: bool,
        confidence: Calibration | None,
        rerank: str | Chain,
    ) -> _Terms:
        names = list(_listed("facets", facets))
        chain = online_chain(rerank)
        if chain.steps:
            listing.require_similarities(with_confidence=confidence is not None)
        terms = _Terms(listing, self._filter(where), min_score, names, exact, confidence, chain)
        if confidence is not None and self.model is not None:
            confidence.require_fit(self.model.fingerprint, self.model.name, self.regions)
        return terms

    def _results(
        self,
        vectors: Vectors,
        terms: _Terms,
        *,
        queries: PhotoSet | None,
        left_out: PhotoId | None = None,
        seconds: Mapping[str, float] | None = None,
    ) -> list[SearchResult]:
        started = time.perf_counter()
        if queries is not None and len(queries) != len(vectors):
            raise CatalogError(f"{len(queries)} photos for {len(vectors)} vectors")
        with self._moment():
            model = self.model
            n_photos = self._count(None)
            self._check_queries(vectors)
            photos = [None] * len(vectors) if queries is None else list(queries)
            found = list(self._found(vectors, terms, left_out, photos))
            counted = self._ordered_facets(terms.facets, terms.where) if terms.facets else None
            n_failed = self._count_failures()
        spent = {**(seconds or {}), "search": time.perf_counter() - started}
        return [
            SearchResult(
                query=None if queries is None else queries[number],
                hits=one.told(),
                n_gallery=n_photos + n_failed,
                model_name=None if model is None else model.name,
                fingerprint=None if model is None else model.fingerprint,
                exact=one.exact,
                chain=tuple(map(str, terms.chain.steps)),
                n_failed=n_failed,
                facets=counted,
                confidence=None if one.judgement is None else one.judgement.confidence,
                no_match=None if one.judgement is None else one.judgement.no_match,
                seconds=spent,
            )
            for number, one in enumerate(found)
        ]

    def _ordered_facets(
        self, names: Sequence[str], where: Filter | None
    ) -> dict[str, dict[Value, int]]:
        return {
            name: dict(sorted(counts.items(), key=lambda item: (-item[1], str(item[0]))))
            for name, counts in self._facets(names, where).items()
        }

    def _neighbours(
        self,
        vectors: Vectors,
        k: int,
        terms: _Terms,
        left_out: PhotoId | None,
        photos: Sequence[Photo | None],
    ) -> list[Neighbours]:
        """Return the best entries of each query in the order that is asked for, k at least."""
        if not terms.chain.steps:
            return self._nearest(vectors, k, terms.where, terms.exact)
        nearest = self._nearest(vectors, max(k, CANDIDATES), terms.where, terms.exact)
        return [
            replace(
                neighbours,
                found=reranked(
                    [one for one in neighbours.found if one[0].photo_id != left_out],
                    vector,
                    photo,
                    terms.chain,
                ),
            )
            for vector, photo, neighbours in zip(vectors, photos, nearest, strict=True)
        ]

    def _found(
        self,
        vectors: Vectors,
        terms: _Terms,
        left_out: PhotoId | None,
        photos: Sequence[Photo | None],
    ) -> Iterator[_Found]:
        """Yield what is found for each vector."""
        if not terms.listing.is_plain:
            for vector, photo in zip(vectors, photos, strict=True):
                yield self._found_by_product(vector, terms, left_out, photo)
            return
        asked = terms.n_photos + (left_out is not None)
        found = self._neighbours(vectors, asked, terms, left_out, photos)
        for vector, neighbours in zip(vectors, found, strict=True):
            hits = _photos(neighbours, left_out)
            # Their ranks stand: those that are not accepted come after all that are.
            kept = tuple(hit for hit in hits if terms.accept(hit.score))[: terms.listing.k]
            ranked = _located(kept, vector, neighbours)
            yield _Found(ranked, neighbours.exact, terms.judge(hits))

    def _found_by_product(
        self,
        vector: Vector,
        terms: _Terms,
        left_out: PhotoId | None,
        photo: Photo | None,
    ) -> _Found:
        """Return the k best products, or the k best photos of different pictures.

        The best photos are taken, more and more of them, until they are enough.
        """

        def views(product_ids: Sequence[str]) -> dict[str, list[View]]:
            found = self._views(vector, product_ids, terms.where)
            return {
                product: [view for view in photos if view.photo_id != left_out]
                for product, photos in found.items()
            }

        asked = terms.n_photos + (left_out is not None)
        while True:
            [neighbours] = self._neighbours(vector[None], asked, terms, left_out, [photo])
            photos = _photos(neighbours, left_out)
            kept = [hit for hit in photos if terms.accept(hit.score)]
            vectors = {
                entry.photo_id: entry.vector
                for entry, _ in (neighbours.found if terms.listing.collapses else ())
            }
            chosen = terms.listing.chosen(kept, views, vectors)
            if (
                neighbours.exhausted
                or len(kept) < len(photos)
                or (kept and terms.listing.is_settled(chosen, kept[-1].score))
            ):
                break
            asked *= 4
        hits = _located(terms.listing.finished(chosen, views), vector, neighbours)
        return _Found(hits, neighbours.exact, terms.judge(photos))

    def _entries_of(self, product_ids: Sequence[str], where: Filter | None) -> list[Entry]:
        """Return the entries of products that pass a filter."""
        entries = self.get_many(self._ids(where, product_ids))
        return [entry for entry in entries if entry is not None]

    def _views(
        self, vector: Vector, product_ids: Sequence[str], where: Filter | None
    ) -> dict[str, tuple[View, ...]]:
        """Return all photos of products that pass a filter, with their scores, best first."""
        entries = self._entries_of(product_ids, where) if product_ids else []
        views: dict[str, list[View]] = {product: [] for product in product_ids}
        if entries:
            scores = score_entries(vector, entries)
            order = np.argsort(-scores, kind="stable").tolist()
            for row in order:
                entry = entries[row]
                view = View(entry.photo_id, float(scores[row]), entry.path)
                views.setdefault(entry.product_id or "", []).append(view)
        return {product: tuple(found) for product, found in views.items()}

    def _filter(self, where: str | None) -> Filter | None:
        return None if where is None or not where.strip() else parse_filter(where)

    def _refuse_regions(self) -> None:
        raise CatalogError(
            f"{self.uri}: a catalogue of the engine {self.engine} cannot keep vectors of regions. "
            "Use a catalogue in a folder, or index without --regions"
        )

    def _require_writable(self) -> None:
        if self.read_only:
            raise CatalogError(f"{self.uri} is open for reading only")

    def _require_model(self) -> ModelStamp:
        if self.model is None:
            raise CatalogError(f"{self.uri} is empty: put photos in first (shoplens index)")
        return self.model

    def _checked_for(self, model: ModelStamp, entry: Entry) -> Entry:
        where = f"{self.uri}: photo {entry.photo_id!r}"
        photo_id = _checked_id(entry.photo_id, f"{self.uri}: ")
        if not isinstance(entry.product_id, str | None):
            raise EntryError(f"{where}: a product id is a text, not {entry.product_id!r}")
        for text in (entry.photo_id, entry.product_id, entry.path, entry.source):
            _check_text(where, text)
        vector = np.ascontiguousarray(_as_vectors(entry.vector, f"{where}: "))
        if vector.shape != (model.dimension,):
            raise ModelError(
                f"{where} has a vector of shape {vector.shape}; {model.name} has "
                f"{model.dimension} dimensions"
            )
        wide = vector.astype(np.float64)
        length = math.sqrt(wide @ wide)
        if not abs(length - 1) <= UNIT_TOLERANCE:  # Also true of NaN.
            raise EntryError(f"{where} has a vector of length {length:g}; it must be 1")
        if entry.regions is not None:
            _check_regions(where, entry.regions, model.dimension)
        for name, value in entry.attributes.items():
            _check_attribute(where, name, value)
        if photo_id is entry.photo_id and vector is entry.vector:
            return entry
        return replace(entry, photo_id=photo_id, vector=vector)

    def _checked_failure(self, failed: FailedPhoto) -> FailedPhoto:
        where = f"{self.uri}: photo {failed.photo_id!r}"
        photo_id = _checked_id(failed.photo_id, f"{self.uri}: ")
        for text in (failed.photo_id, failed.product_id, failed.path, failed.source, failed.detail):
            _check_text(where, text)
        for name, value in failed.attributes.items():
            _check_attribute(where, name, value)
        return replace(failed, photo_id=photo_id)

    def _check_queries(self, vectors: Vectors) -> None:
        model = self.model
        if model is not None and vectors.shape[1:] != (model.dimension,):
            raise ModelError(
                f"the query has {vectors.shape[-1]} dimensions, and {self.uri} holds vectors of "
                f"{model.dimension} ({model.name}); they are of different models"
            )
        lengths = np.linalg.norm(vectors.astype(np.float64), axis=1)
        if not (np.abs(lengths - 1) <= UNIT_TOLERANCE).all():
            raise CatalogError("query vectors must be of unit length: divide each by its length")


def _checked_id(value: object, where: str = "") -> PhotoId:
    """Return a photo id in its one form.

    Raises `EntryError` for what is no photo id.
    """
    if isinstance(value, np.integer):
        value = int(value)
    if isinstance(value, str) and value:
        return photo_id_of(value)
    if isinstance(value, int) and not isinstance(value, bool) and -(2**63) <= value < 2**63:
        return value
    raise EntryError(
        f"{where}{value!r} is no photo id: it is a whole number of 64 bits, or a text that is not "
        "empty"
    )


def _listed(name: str, values: Iterable[_T]) -> Iterable[_T]:
    """Refuse a text where several are wanted: it would be taken for a list of its letters."""
    if isinstance(values, str):
        raise CatalogError(f"{name} must be a list, not the text {values!r}")
    return values


def _as_vectors(values: Any, where: str = "") -> npt.NDArray[np.float32]:
    if type(values) is np.ndarray and values.dtype == np.float32:
        return values
    try:
        with np.errstate(over="ignore"):  # What is too large for float32 is not of unit length.
            return np.asarray(values, dtype=np.float32)
    except (TypeError, ValueError) as error:
        raise EntryError(f"{where}{values!r} is no vector of numbers") from error


def _check_regions(where: str, regions: PhotoRegions, dimension: int) -> None:
    vectors = regions.vectors
    if vectors.dtype != np.float32 or vectors.shape != (len(regions.boxes), dimension):
        raise EntryError(
            f"{where} has {len(regions.boxes)} regions with vectors of shape {vectors.shape} "
            f"{vectors.dtype}; they must be ({len(regions.boxes)}, {dimension}) float32"
        )
    if not 0 < regions.limit <= MOST or len(regions.boxes) > regions.limit:
        raise EntryError(
            f"{where} has {len(regions.boxes)} regions of {regions.limit}; there can be 1 to {MOST}"
        )
    lengths = np.linalg.norm(vectors.astype(np.float64), axis=1)
    if not (np.abs(lengths - 1) <= UNIT_TOLERANCE).all():
        raise EntryError(f"{where} has a region with a vector whose length is not 1")


def _check_attribute(where: str, name: object, value: object) -> None:
    if not isinstance(name, str) or not name or name in RESERVED:
        raise EntryError(f"{where}: {name!r} cannot be the name of an attribute")
    _check_text(where, name)
    _check_text(where, value)
    if value is None or isinstance(value, bool | str):
        return
    if isinstance(value, int) and -(2**63) <= value < 2**63:
        return
    if isinstance(value, float) and math.isfinite(value):
        return
    raise EntryError(
        f"{where}: attribute {name} is {value!r}; it must be a text, a whole number of 64 bits, a "
        "finite number, true, false or null"
    )


def _check_text(where: str, text: object) -> None:
    if isinstance(text, str):
        try:
            text.encode()
        except UnicodeEncodeError as error:
            raise EntryError(
                f"{where}: {text!r} is not valid Unicode and cannot be stored"
            ) from error


def _listing(
    k: int,
    group_by: str | None,
    product_score: str | None,
    variants: str | None,
    collapse: bool,
    confidence: Calibration | None,
) -> Listing:
    try:
        return Listing.of(
            k,
            group_by=group_by,
            product_score=product_score,
            variants=variants,
            collapse=collapse,
            temperature=None if confidence is None else confidence.temperature,
        )
    except RankingError as error:
        raise CatalogError(str(error)) from error


def _photos(neighbours: Neighbours, left_out: PhotoId | None) -> list[Hit]:
    """Return the photos that were found as hits."""
    found = [one for one in neighbours.found if one[0].photo_id != left_out]
    return [
        Hit(
            rank=rank,
            photo_id=entry.photo_id,
            product_id=entry.product_id,
            score=score,
            path=entry.path,
            attributes=entry.attributes,
        )
        for rank, (entry, score) in enumerate(found, start=1)
    ]


def _located(hits: tuple[Hit, ...], vector: Vector, neighbours: Neighbours) -> tuple[Hit, ...]:
    """Return hits with the regions that matched best."""
    entries = {entry.photo_id: entry for entry, _ in neighbours.found if entry.regions is not None}
    if not entries:
        return hits
    return tuple(
        replace(hit, region=matched_region(vector, entries[hit.photo_id]))
        if hit.photo_id in entries
        else hit
        for hit in hits
    )
