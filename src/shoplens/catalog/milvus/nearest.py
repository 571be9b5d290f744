"""The nearest entries: by the server's index, or by comparing all vectors here.

The index gives candidates: photos, and regions that lead to theirs. Their scores are computed from
their full vectors, so that they are the same as in every other engine.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from shoplens.catalog.entry import Entry
from shoplens.catalog.filters import Filter, matches
from shoplens.catalog.milvus.collection import MOST_HITS, Collection
from shoplens.catalog.milvus.expressions import SEARCHED, passing
from shoplens.catalog.milvus.reading import placed
from shoplens.catalog.milvus.region_rows import photo_key, regions_of
from shoplens.catalog.milvus.rows import Placed, Row, entry_of, vector_of
from shoplens.catalog.milvus.schema import REGIONS, SEQUENCE, Index
from shoplens.catalog.neighbours import Neighbours
from shoplens.catalog.scoring import score_entries, score_vectors
from shoplens.records import Vector, Vectors

SCANNED = 200
"""Up to so many photos are compared one by one, which is as fast as the index."""
_MARGIN = 16
"""Further candidates, so that equal scores at the end come in their order."""
_REGION_SLACK = 2
"""How much more than the vectors of k photos the index is asked for: the score of a photo is below
that of its best vector, so one of a photo that is not among the best may come before."""
_ROUNDING = 1e-5
"""How far a server's score of a pair may be from ours: it adds up in float32."""


def nearest(
    collection: Collection,
    index: Index,
    vectors: Vectors,
    k: int,
    where: Filter | None,
    exact: bool,
) -> list[Neighbours]:
    """Return the k nearest entries of each query (see `Catalog`)."""
    n_photos = collection.count(passing(where))
    if n_photos <= SCANNED or (exact and not index.exact) or k + _MARGIN > MOST_HITS:
        return _scanned(collection, vectors, k, where)
    found = _searched(collection, index, vectors, k, where, n_photos)
    short = [query for query, neighbours in enumerate(found) if neighbours is None]
    scanned = iter(_scanned(collection, vectors[short], k, where) if short else ())
    return [next(scanned) if neighbours is None else neighbours for neighbours in found]


def _searched(
    collection: Collection,
    index: Index,
    vectors: Vectors,
    k: int,
    where: Filter | None,
    n_photos: int,
) -> list[Neighbours | None]:
    """Ask the index; None where it gives too few, or not for certain the best."""
    searched = passing(where, SEARCHED) if collection.has_regions else passing(where)
    n_vectors = collection.count(searched) if collection.has_regions else n_photos
    slack = 1 if n_vectors <= n_photos else _REGION_SLACK * n_vectors / n_photos
    asked = min(MOST_HITS, math.ceil(k * index.overfetch * slack) + _MARGIN)
    answers = collection.search(vectors, asked, searched, index.search_settings(asked))
    keys = [list(dict.fromkeys(photo_key(key) for key, _ in answer)) for answer in answers]
    known = placed(collection, list({key for own in keys for key in own}))
    if where is not None:
        # What was changed meanwhile may not pass any more.
        known = {
            key: one
            for key, one in known.items()
            if matches(where, one.entry.attributes, one.entry.product_id)
        }
    found: list[Neighbours | None] = []
    for vector, answer, own in zip(vectors, answers, keys, strict=True):
        ranked = _ranked(vector, [known[key] for key in own if key in known])
        everything = len(answer) >= n_vectors
        # A graph can lead to too few where a filter lets few pass, and regions to few photos.
        too_few = not everything and (len(answer) < asked or len(ranked) < min(k, n_photos))
        # Photos that are as near as the last may be among those left out.
        unsure = (
            index.exact
            and not everything
            and (len(ranked) < k or ranked[k - 1][1] - answer[-1][1] < _ROUNDING)
        )
        found.append(
            None
            if too_few or unsure
            else Neighbours(tuple(ranked[:k]), index.exact, everything and k >= n_photos)
        )
    return found


def _ranked(vector: Vector, candidates: Sequence[Placed]) -> list[tuple[Entry, float]]:
    """Return candidates with their scores, best first, the earlier of equals first."""
    if not candidates:
        return []
    scores = score_entries(vector, [one.entry for one in candidates])
    sequences = np.array([one.sequence for one in candidates], np.int64)
    order = np.lexsort((sequences, -scores))
    return [(candidates[place].entry, float(scores[place])) for place in order.tolist()]


def _scanned(
    collection: Collection, vectors: Vectors, k: int, where: Filter | None
) -> list[Neighbours]:
    """Compare all vectors that pass a filter; they come here for it."""
    best = _Best(vectors, k)
    for page in collection.rows(passing(where), collection.entry_fields):
        best.see(page)
    return [
        Neighbours(
            tuple((entry_of(row, collection.uri).entry, score) for row, score in best.of(query)),
            exact=True,
            exhausted=best.n_seen <= k,
        )
        for query in range(len(vectors))
    ]


def _vectors_of(row: Row) -> Vectors:
    """Return the vectors of a row: the photo's, and those of its regions."""
    vector = vector_of(row)
    regions = regions_of(row.get(REGIONS, ""), len(vector))
    return vector[None] if regions is None else np.concatenate((vector[None], regions.vectors))


class _Best:
    """The k best rows seen so far, for each of several queries."""

    def __init__(self, queries: Vectors, k: int) -> None:
        self._queries = queries
        self._k = k
        nothing = np.empty(0, np.float32), np.empty(0, np.int64)
        self._scores: list[npt.NDArray[np.float32]] = [nothing[0]] * len(queries)
        self._sequences: list[npt.NDArray[np.int64]] = [nothing[1]] * len(queries)
        self._rows: list[list[Row]] = [[] for _ in queries]
        self.n_seen = 0

    def see(self, rows: Sequence[Row]) -> None:
        """Compare more rows."""
        if not rows:
            return
        self.n_seen += len(rows)
        scores = score_vectors(self._queries, [_vectors_of(row) for row in rows])
        sequences = np.array([row[SEQUENCE] for row in rows], np.int64)
        for query, own in enumerate(scores):
            known = self._scores[query]
            # One with the score of the last may have been put in earlier.
            new = np.flatnonzero(own >= known[-1]) if len(known) == self._k else np.arange(len(own))
            if not len(new):
                continue
            all_scores = np.concatenate((known, own[new]))
            all_sequences = np.concatenate((self._sequences[query], sequences[new]))
            order = np.lexsort((all_sequences, -all_scores))[: self._k]
            all_rows = [*self._rows[query], *(rows[row] for row in new.tolist())]
            self._scores[query] = all_scores[order]
            self._sequences[query] = all_sequences[order]
            self._rows[query] = [all_rows[row] for row in order.tolist()]

    def of(self, query: int) -> list[tuple[Row, float]]:
        """Return the best rows of a query with their scores, best first, the earlier of equals
        first."""
        return list(zip(self._rows[query], self._scores[query].tolist(), strict=True))
