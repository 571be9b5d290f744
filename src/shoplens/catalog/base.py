"""The catalogue, under the same names and with the same answers in every engine.

`engine` is what an engine does, and `entry_collection` what all do with entries. Here a photo is
turned into a vector, and what is found becomes a result.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from types import TracebackType
from typing import Literal

import numpy as np
import numpy.typing as npt

from shoplens.boxes.queries import boxed_photo
from shoplens.catalog.checks import as_vectors, check_queries, checked_id, listed
from shoplens.catalog.entry import PhotoId
from shoplens.catalog.entry_collection import EntryCollection
from shoplens.catalog.finding import Finder, Terms
from shoplens.confidence.calibration import Calibration
from shoplens.embedding.queries import builtin_encoder
from shoplens.embedding.sets import Picture, embed
from shoplens.errors import CatalogError, MissingError, ModelError, PhotoError, RankingError
from shoplens.hits import SearchResult
from shoplens.models import Encoder
from shoplens.progress import Progress, silent
from shoplens.records import Box, PhotoSet, Vectors
from shoplens.reranking import Chain, online_chain
from shoplens.search_options import SearchOptions


class Catalog(EntryCollection):
    """A durable collection of product photos that can be searched.

    Open one with `shoplens.open_catalog`. Use it as a context manager, or `close` it. One catalogue
    may be used from several threads.
    """

    def __enter__(self) -> Catalog:
        return self

    def __exit__(
        self,
        _kind: type[BaseException] | None,
        _error: BaseException | None,
        _traceback: TracebackType | None,
    ) -> None:
        self.close()

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
        collapse: bool | float = False,
        confidence: Calibration | None = None,
        rerank: str | Chain | None = None,
        query_views: int = 1,
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
            collapse: show photos of the same picture as one hit; its `duplicates` are the others. A
                number is from which similarity of their vectors on they do; True is 0.95, which
                suits built-in models.
            confidence: a calibration of the catalogue's model; then hits have a `confidence`, and
                the result a `no_match`.
            rerank: a chain of gallery-side re-ranking methods, such as `alpha-qe:k=4`, for the
                first 1000 photos (docs/reranking.md); `none` for no re-ranking. None takes the one
                that the catalogue keeps (`chain`).
            query_views: of how many views of `photo` its vector is the mean, as in
                `shoplens.search`.
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
        if query_views != 1 and photo is None:
            raise CatalogError("only a photo can be embedded from several views")
        options = SearchOptions(
            k, group_by, product_score, variants, collapse, confidence, self._chain(rerank)
        )
        terms = self._terms(options, where, min_score, facets, exact, query_views)
        started = time.perf_counter()
        query = None
        left_out: PhotoId | None = None
        if photo is not None:
            encoder = encoder or self.encoder()
            self.require_model(encoder)
            query = boxed_photo(photo, box)
            embedded = embed(PhotoSet([query]), encoder, views=query_views, cache=False, workers=1)
            if embedded.failures:
                failure = embedded.failures[0]
                raise PhotoError(failure.reason, f"{query.name}: {failure.detail}")
            vectors = embedded.vectors
        elif photo_id is not None:
            left_out = checked_id(photo_id)
            if (entry := self.get(left_out)) is None:
                raise MissingError(f"{self.uri}: there is no photo {photo_id}")
            vectors = entry.vector[None]
        else:
            vectors = as_vectors(vector)[None]
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
        collapse: bool | float = False,
        confidence: Calibration | None = None,
        rerank: str | Chain | None = None,
        queries: PhotoSet | None = None,
    ) -> list[SearchResult]:
        """Search for many vectors at once (see `search`).

        Args:
            vectors: (q, d) of unit length, of the catalogue's model.
            queries: q photos that the results name; None for none.

        Returns:
            A result for each vector.
        """
        options = SearchOptions(
            k, group_by, product_score, variants, collapse, confidence, self._chain(rerank)
        )
        terms = self._terms(options, where, min_score, facets, exact)
        return self._results(np.atleast_2d(as_vectors(vectors)), terms, queries=queries)

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
        collapse: bool | float = False,
        confidence: Calibration | None = None,
        rerank: str | Chain | None = None,
        query_views: int = 1,
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
        options = SearchOptions(
            k, group_by, product_score, variants, collapse, confidence, self._chain(rerank)
        )
        terms = self._terms(options, where, min_score, facets, exact, query_views)
        encoder = encoder or self.encoder()
        self.require_model(encoder)
        started = time.perf_counter()
        embedded = embed(queries, encoder, views=query_views, workers=workers, progress=progress)
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

    def _chain(self, rerank: str | Chain | None) -> Chain:
        """Return the chain of a search that names this one."""
        return self.chain if rerank is None else online_chain(rerank)

    def _terms(
        self,
        options: SearchOptions,
        where: str | None,
        min_score: float | None,
        facets: Sequence[str],
        exact: bool,
        query_views: int = 1,
    ) -> Terms:
        """Check what is asked for."""
        try:
            listing = options.listing()
        except RankingError as error:
            raise CatalogError(str(error)) from error
        names = list(listed("facets", facets))
        confidence = options.confidence
        if options.chain.steps:
            listing.require_similarities()
        accepted = self._filter(where)
        if confidence is not None and self.model is not None:
            confidence.require_fit(
                self.model.fingerprint,
                self.model.name,
                self.regions,
                query_views=query_views,
                chain=options.chain.names,
            )
        return Terms(listing, accepted, min_score, names, exact, confidence, options.chain)

    def _results(
        self,
        vectors: Vectors,
        terms: Terms,
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
            check_queries(vectors, model, self.uri)
            photos = [None] * len(vectors) if queries is None else list(queries)
            finder = Finder(
                self._nearest,
                self._entries_of,
                lambda: self.stats().n_products > 0,
                terms,
                left_out,
            )
            found = list(finder.found(vectors, photos))
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
                chain=terms.chain.names,
                n_failed=n_failed,
                facets=counted,
                confidence=None if one.judgement is None else one.judgement.confidence,
                no_match=None if one.judgement is None else one.judgement.no_match,
                seconds=spent,
            )
            for number, one in enumerate(found)
        ]
