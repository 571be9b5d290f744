"""Re-ranking of what a catalogue found for a query."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from shoplens.catalog.entry import Entry
from shoplens.catalog.originals import Originals
from shoplens.ranking import DEPTH, Ranking
from shoplens.records import Photo, PhotoColumns, PhotoSet, Vector
from shoplens.reranking import Chain, Cost, Ranked
from shoplens.vectors.embeddings import Embeddings
from shoplens.vectors.regions import RegionVectors

CANDIDATES = DEPTH
"""How many entries are re-ranked, at least. To a chain, they are the gallery."""


def reranked(
    found: Sequence[tuple[Entry, float]],
    vector: Vector,
    query: Photo | None,
    chain: Chain,
    n: int | None = None,
) -> tuple[tuple[Entry, float], ...]:
    """Return entries in a better order, with the scores of the chain's last step.

    Args:
        found: entries with their scores, best first.
        vector: (d,) that of the query.
        query: its photo; None where it is not known.
        chain: gallery-side steps.
        n: how many entries are re-ranked; None for all. The others stay behind these. Their scores
            are lowered where they would be higher than the lowest new one.

    Raises `RankingError` if a step cannot be taken.
    """
    if not found or not chain.steps:
        return tuple(found)
    found, others = found[:n], found[len(found) if n is None else n :]
    entries = [entry for entry, _ in found]
    rows = np.arange(len(entries), dtype=np.int32)
    gallery = Embeddings(
        rows,
        np.concatenate([entry.vector for entry in entries]).reshape(len(entries), len(vector)),
        photos=PhotoSet(_photos(entries, located=chain.reads_photos)),
        regions=_regions(entries, len(vector)),
    )
    queries = Embeddings(
        np.zeros(1, np.int32),
        vector[None],
        photos=None if query is None else PhotoSet([replace(query, id=0)]),
    )
    scores = np.array([[score for _, score in found]], dtype=np.float32)
    ranking = Ranking(queries.ids, rows[None], scores)
    result = chain.rerank(Ranked(ranking, queries, gallery))
    places = zip(result.positions()[0].tolist(), result.scores[0].tolist(), strict=True)
    first = [(entries[row], score) for row, score in places]
    lowest = first[-1][1]
    return (*first, *((entry, min(score, lowest)) for entry, score in others))


def rerank_costs(chain: Chain, n: int, dimension: int) -> tuple[Cost, ...]:
    """Estimate what each step takes for one query, before it starts.

    Args:
        chain: gallery-side steps.
        n: entries that are re-ranked.
        dimension: of their vectors.
    """
    return chain.costs(Ranked.sized(1, n, dimension, depth=n))


def expected_seconds(chain: Chain, n: int, dimension: int) -> float:
    """Estimate how long re-ranking n entries for one query takes, from the sizes alone."""
    return sum(cost.seconds for cost in rerank_costs(chain, n, dimension))


def _regions(entries: Sequence[Entry], dimension: int) -> RegionVectors | None:
    limit = max(entry.n_regions for entry in entries)
    if limit == 0:
        return None
    return RegionVectors.of(limit, dimension, [entry.regions for entry in entries])


def _photos(entries: Sequence[Entry], *, located: bool) -> PhotoColumns:
    """Return the photos of entries; `located` looks for their files."""
    if located:
        originals = Originals()
        return PhotoColumns(
            replace(originals.photo(entry), id=row) for row, entry in enumerate(entries)
        )
    return PhotoColumns.counted(
        [entry.path for entry in entries], [entry.product_id for entry in entries], "seller"
    )
