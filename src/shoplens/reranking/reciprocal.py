"""k-reciprocal encoding: photos are alike if they have the same mutual neighbours."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from shoplens.progress import Progress, silent
from shoplens.records import Vectors
from shoplens.reranking.reciprocal_sets import Encodings, ReciprocalSets, averaged, entries_of
from shoplens.reranking.reranker import Cost, Ranked, Reranker, parameter
from shoplens.vectors.embeddings import Embeddings

_PAPER = "Zhong et al., Re-ranking Person Re-identification with k-reciprocal Encoding, CVPR 2017"
_STEP = 100
"""Queries between two reports of progress."""
_NEIGHBOURS = 20
_BYTES_OF_SETS = 2_000
"""Memory for each photo's neighbours and encoding, where k1 and k2 are 20 at most."""
_SECONDS_OF_SETS = 2e-4
"""Time for each photo's encoding, likewise."""
_SECONDS_OF_QUERY = 5e-4
"""Time to compare a query's encoding with those of the gallery."""
_FASTER = 0.5
"""What neighbours in float32 take of an exact ranking."""


@dataclass(frozen=True, slots=True)
class BatchReciprocal(Reranker):
    """k-reciprocal encoding as published: queries and gallery are one set of neighbours.

    The score is `lam` times the cosine, and the rest the Jaccard similarity of two encodings. The
    photos of the row alone get such scores, so the rows are those of the full matrix if they hold
    the whole gallery.
    """

    name = "k-reciprocal"
    about = "compares mutual neighbours, among gallery and queries"
    paper = _PAPER
    batch_side = True

    k1: int = parameter(20, 1, 200, "neighbours that must be mutual")
    k2: int = parameter(6, 0, 200, "neighbours that encodings are averaged over")
    lam: float = parameter(0.3, 0, 1, "share of the cosine in the score (lambda)")

    def rerank(self, ranked: Ranked, *, progress: Progress = silent) -> Ranked:
        """Encode queries and gallery together, and compare."""
        n_queries = int(ranked.queries.has_vector.sum())
        # The vectors are put together in there, and gone before encodings are averaged.
        encodings = averaged(*self._weights(ranked, progress))
        scores = _scores(
            ranked,
            _part(encodings, 0, n_queries),
            _part(encodings, n_queries, len(encodings)),
            self.lam,
            progress,
        )
        return ranked.reordered(scores)

    def cost(self, ranked: Ranked) -> Cost:
        """Return the cost of comparing all photos with all, and of their encodings."""
        n_queries, n = len(ranked.queries), len(ranked.queries) + len(ranked.gallery)
        copied = n * ranked.gallery.vectors.shape[1] * 4
        return _cost(ranked, self.k1, self.k2, n, n_queries, copied)

    def _weights(
        self, ranked: Ranked, progress: Progress
    ) -> tuple[Encodings, npt.NDArray[np.int32]]:
        """Return the encodings of queries and gallery before they are averaged, and of what."""
        sets = ReciprocalSets(_together(ranked.queries, ranked.gallery), self.k1, self.k2, progress)
        return sets.weights(), sets.near.positions[:, : self.k2 + 1]


@dataclass(frozen=True, slots=True)
class GalleryReciprocal(Reranker):
    """The same for one query at a time: neighbours are those in the gallery, and the query.

    A gallery photo has the query among its neighbours if the query is nearer than the last of its
    `k1` nearest. The encodings of gallery photos are those of the gallery alone.
    """

    name = "k-reciprocal-online"
    about = "compares mutual neighbours, among the gallery and the one query"
    paper = _PAPER

    k1: int = parameter(20, 1, 200, "neighbours that must be mutual")
    k2: int = parameter(6, 0, 200, "neighbours that encodings are averaged over")
    lam: float = parameter(0.3, 0, 1, "share of the cosine in the score (lambda)")

    def rerank(self, ranked: Ranked, *, progress: Progress = silent) -> Ranked:
        """Encode the gallery, then each query, and compare."""
        gallery = ranked.gallery
        of_gallery = np.flatnonzero(gallery.has_vector)
        place = np.full(len(gallery), -1, dtype=np.int32)
        place[of_gallery] = np.arange(len(of_gallery))
        present = gallery.vectors
        if len(of_gallery) < len(present):
            present = present[of_gallery]
        sets = ReciprocalSets(present, self.k1, self.k2, progress)
        weights = sets.weights()
        # The similarity to the last of a photo's k1 nearest others: a nearer query is one of them.
        full = sets.near.similarity.shape[1] > self.k1
        last = sets.near.similarity[:, self.k1] if full else np.full(len(present), -np.inf)
        near = ranked.positions(max(self.k1, self.k2))
        scores = ranked.scores[:, : near.shape[1]]
        encoded = []
        for row in np.flatnonzero(ranked.queries.has_vector).tolist():
            usable = np.isfinite(scores[row])
            mine = place[near[row, usable]]
            first = mine[: self.k1]
            mutual = scores[row, usable][: self.k1] > last[first]
            _, members = sets.expanded(first[None], mutual[None])
            values = np.exp(present[members] @ ranked.queries.vectors[row] - 1)
            encoded.append(self._averaged(weights, mine[: self.k2], members, values))
        starts = np.cumsum([0, *(len(columns) for columns, _ in encoded)])
        columns = [columns for columns, _ in encoded] or [np.empty(0, np.int32)]
        values = [values for _, values in encoded] or [np.empty(0, np.float32)]
        of_queries = Encodings(starts, np.concatenate(columns), np.concatenate(values))
        of_photos = averaged(weights, sets.near.positions[:, : self.k2 + 1])
        return ranked.reordered(_scores(ranked, of_queries, of_photos, self.lam, progress))

    def cost(self, ranked: Ranked) -> Cost:
        """Return the cost of comparing the gallery with itself, and of the encodings."""
        return _cost(ranked, self.k1, self.k2, len(ranked.gallery), len(ranked.queries), 0)

    def _averaged(
        self,
        weights: Encodings,
        near: npt.NDArray[np.int32],
        members: npt.NDArray[np.int32],
        values: npt.NDArray[np.float32],
    ) -> tuple[npt.NDArray[np.int32], npt.NDArray[np.float32]]:
        """Return the mean of a query's own weights and those of its nearest photos."""
        entries, _ = entries_of(weights, near)
        columns = np.concatenate((members, weights.columns[entries]))
        unique, place = np.unique(columns, return_inverse=True)
        sums = np.bincount(place, np.concatenate((values, weights.values[entries])), len(unique))
        return unique.astype(np.int32), (sums / (len(near) + 1)).astype(np.float32)


def _scores(
    ranked: Ranked, of_queries: Encodings, of_gallery: Encodings, lam: float, progress: Progress
) -> npt.NDArray[np.float32]:
    """Return the scores (q, k) that the encodings of both sides give the photos of each row.

    Args:
        ranked: the ranking.
        of_queries: those of the queries that have vectors, in order.
        of_gallery: likewise; in the same columns.
        lam: the share of the cosine.
        progress: told how many queries are done.
    """
    columns = _by_column(of_gallery)
    sums, query_sums = of_gallery.sums(), of_queries.sums()
    usable = np.flatnonzero(ranked.gallery.has_vector)
    positions = ranked.positions()
    scores: npt.NDArray[np.float32] = ranked.scores.copy()
    rows = np.flatnonzero(ranked.queries.has_vector).tolist()
    shared = np.zeros(len(ranked.gallery))
    union = np.ones(len(ranked.gallery))
    for number, row in enumerate(rows):
        mine = slice(of_queries.starts[number], of_queries.starts[number + 1])
        known = of_queries.columns[mine] < len(columns)
        wanted, values = of_queries.columns[mine][known], of_queries.values[mine][known]
        entries, owners = entries_of(columns, wanted)
        least = np.minimum(columns.values[entries], values[owners])
        shared[usable] = np.bincount(columns.columns[entries], least, minlength=len(usable))
        union[usable] = query_sums[number] + sums - shared[usable]
        jaccard = shared[positions[row]] / union[positions[row]]
        scores[row] = (
            (1 - lam) * jaccard + lam * ranked.scores[row]
            if lam
            else np.where(np.isfinite(ranked.scores[row]), jaccard, -np.inf)
        )
        if (number + 1) % _STEP == 0 or number + 1 == len(rows):
            progress("compare", number + 1, len(rows))
    return scores


def _together(*sides: Embeddings) -> Vectors:
    """Return the vectors of several sides one after the other, without those that failed."""
    rows = [np.flatnonzero(side.has_vector) for side in sides]
    pool = np.empty((sum(map(len, rows)), sides[0].vectors.shape[1]), dtype=np.float32)
    end = 0
    for side, present in zip(sides, rows, strict=True):
        start, end = end, end + len(present)
        # Straight to their place: `vectors[present]` would be one more copy of them.
        np.take(side.vectors, present, axis=0, out=pool[start:end], mode="clip")
    return pool


def _part(encodings: Encodings, first: int, end: int) -> Encodings:
    """Return the encodings from one position to another."""
    starts = encodings.starts[first : end + 1]
    entries = slice(starts[0], starts[-1])
    return Encodings(starts - starts[0], encodings.columns[entries], encodings.values[entries])


def _by_column(encodings: Encodings) -> Encodings:
    """Return the transpose: for each column the rows that have a value there."""
    rows = np.repeat(np.arange(len(encodings), dtype=np.int32), np.diff(encodings.starts))
    order = np.argsort(encodings.columns, kind="stable")
    counts = np.bincount(encodings.columns)
    starts = np.concatenate(([0], np.cumsum(counts)))
    return Encodings(starts, rows[order], encodings.values[order])


def _cost(ranked: Ranked, k1: int, k2: int, n_encoded: int, n_queries: int, copied: int) -> Cost:
    # A set has up to k1 * k1 / 2 members, and k2 of them are averaged.
    sets = n_encoded * max(1, k1 / _NEIGHBOURS) ** 2 * max(1, k2 / _NEIGHBOURS)
    return Cost(
        ranked.seconds_for(n_encoded * n_encoded) * _FASTER
        + sets * _SECONDS_OF_SETS
        + n_queries * _SECONDS_OF_QUERY,
        (sets * _BYTES_OF_SETS + copied + 2 * ranked.scores.nbytes) / 1e6 + 30,
    )
