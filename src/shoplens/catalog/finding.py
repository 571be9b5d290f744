"""How hits are found among the nearest entries: photos, or products with their photos."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np

from shoplens.catalog.entry import Entry, PhotoId
from shoplens.catalog.filters import Filter
from shoplens.catalog.neighbours import Neighbours
from shoplens.catalog.reranked import CANDIDATES, reranked
from shoplens.catalog.scoring import matched_region, score_entries
from shoplens.confidence.calibration import Calibration, Judgement
from shoplens.confidence.evidence import DEPTH
from shoplens.hits import Hit, View
from shoplens.products.listing import Listing
from shoplens.records import Photo, Vector, Vectors
from shoplens.reranking import Chain


@dataclass(frozen=True, slots=True)
class Terms:
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
class Found:
    """What was found for one query."""

    hits: tuple[Hit, ...]
    exact: bool
    judgement: Judgement | None

    def told(self) -> tuple[Hit, ...]:
        """Return the hits with their confidences, where they were judged."""
        return self.hits if self.judgement is None else self.judgement.told(self.hits)


@dataclass(frozen=True, slots=True)
class Finder:
    """Finds what is asked for, with what an engine can do."""

    nearest: Callable[[Vectors, int, Filter | None, bool], list[Neighbours]]
    """Finds the k nearest entries of each query (see `Engine`)."""
    entries_of: Callable[[Sequence[str], Filter | None], list[Entry]]
    """Reads the entries of products that pass a filter."""
    has_products: Callable[[], bool]
    """Whether any photo of the catalogue has a product; it may take a while."""
    terms: Terms
    left_out: PhotoId | None = None
    """The photo that is searched with, which is not among the hits."""

    def found(self, vectors: Vectors, photos: Sequence[Photo | None]) -> Iterator[Found]:
        """Yield what is found for each query.

        Args:
            vectors: (q, d) of unit length.
            photos: theirs; None where they are not known.
        """
        terms = self.terms
        if not terms.listing.is_plain:
            for vector, photo in zip(vectors, photos, strict=True):
                yield self._found_by_product(vector, photo)
            return
        found = self._neighbours(vectors, self._n_asked, photos)
        for vector, neighbours in zip(vectors, found, strict=True):
            # No more than these: a chain gives all of its candidates back.
            hits = self._photos(neighbours.found[: self._n_asked])
            # Their ranks stand: those that are not accepted come after all that are.
            kept = tuple(hit for hit in hits if terms.accept(hit.score))[: terms.listing.k]
            ranked = _located(kept, vector, neighbours)
            yield Found(ranked, neighbours.exact, terms.judge(hits))

    @property
    def _n_asked(self) -> int:
        """How many entries to look at first."""
        return self.terms.n_photos + (self.left_out is not None)

    def _neighbours(
        self, vectors: Vectors, k: int, photos: Sequence[Photo | None]
    ) -> list[Neighbours]:
        """Return the best entries of each query in the order that is asked for, k at least.

        The same entries are re-ranked, however many are needed: no more than were asked for at
        first, for some methods take the square of their number.
        """
        terms = self.terms
        if not terms.chain.steps:
            return self.nearest(vectors, k, terms.where, terms.exact)
        n = max(self._n_asked, CANDIDATES)
        nearest = self.nearest(vectors, max(k, n), terms.where, terms.exact)
        return [
            replace(neighbours, found=self._reranked(neighbours, vector, photo, n))
            for vector, photo, neighbours in zip(vectors, photos, nearest, strict=True)
        ]

    def _reranked(
        self, neighbours: Neighbours, vector: Vector, photo: Photo | None, n: int
    ) -> tuple[tuple[Entry, float], ...]:
        """Return the entries that were found for a query, the first n in a better order."""
        found = [one for one in neighbours.found if one[0].photo_id != self.left_out]
        chain = self.terms.chain
        if (
            chain.needs_products
            and all(entry.product_id is None for entry, _ in found[:n])
            and self.has_products()
        ):
            # It is by chance that none of these has one, as with a filter.
            chain = chain.without_products()
        return reranked(found, vector, photo, chain, n)

    def _found_by_product(self, vector: Vector, photo: Photo | None) -> Found:
        """Return the k best products, or the k best photos of different pictures.

        The best photos are taken, more and more of them, until they are enough.
        """
        terms = self.terms

        def views(product_ids: Sequence[str]) -> dict[str, list[View]]:
            return self._views(vector, product_ids)

        asked = self._n_asked
        while True:
            [neighbours] = self._neighbours(vector[None], asked, [photo])
            photos = self._photos(neighbours.found)
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
        return Found(hits, neighbours.exact, terms.judge(photos))

    def _photos(self, found: Sequence[tuple[Entry, float]]) -> list[Hit]:
        """Return the photos that were found as hits."""
        kept = [one for one in found if one[0].photo_id != self.left_out]
        return [
            Hit(
                rank=rank,
                photo_id=entry.photo_id,
                product_id=entry.product_id,
                score=score,
                path=entry.path,
                attributes=entry.attributes,
            )
            for rank, (entry, score) in enumerate(kept, start=1)
        ]

    def _views(self, vector: Vector, product_ids: Sequence[str]) -> dict[str, list[View]]:
        """Return all photos of products that pass the filter, with their scores, best first."""
        entries = self.entries_of(product_ids, self.terms.where) if product_ids else []
        views: dict[str, list[View]] = {product: [] for product in product_ids}
        if entries:
            scores = score_entries(vector, entries)
            for row in np.argsort(-scores, kind="stable").tolist():
                entry = entries[row]
                if entry.photo_id != self.left_out:
                    view = View(entry.photo_id, float(scores[row]), entry.path)
                    views.setdefault(entry.product_id or "", []).append(view)
        return views


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
