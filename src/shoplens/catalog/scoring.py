"""The scores of entries: of the whole photo and, where it has them, of its regions."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from shoplens.catalog.entry import Entry
from shoplens.records import Box, Vector, Vectors
from shoplens.similarities import exact_scores
from shoplens.vectors.regions import fused


def score_entries(query: Vector, entries: Sequence[Entry]) -> npt.NDArray[np.float32]:
    """Return the score of each entry, as `shoplens.rank` computes it.

    Args:
        query: (d,) float32 of unit length.
        entries: n of them, at least one; a few thousand at most.

    Returns:
        (n,) float32.
    """
    [scores] = score_vectors(query[None], [entry.vectors for entry in entries])
    return np.asarray(scores)


def score_vectors(queries: Vectors, entries: Sequence[Vectors]) -> npt.NDArray[np.float32]:
    """Return the score of each of n entries for each query, as `shoplens.rank` computes it.

    Args:
        queries: (q, d) float32 of unit length.
        entries: n times (1 + r, d): the vector of the whole photo, and those of its regions.

    Returns:
        (q, n) float32.
    """
    scores = exact_scores(queries, np.concatenate(entries))
    if scores.shape[1] == len(entries):
        return scores
    first = np.cumsum([0, *(len(own) for own in entries[:-1])])
    return fused(scores[:, first], np.maximum.reduceat(scores, first, axis=1))


def matched_region(query: Vector, entry: Entry) -> Box | None:
    """Return the region of an entry that matches a query best; None if the whole photo does."""
    if entry.regions is None:
        return None
    best = int(exact_scores(query[None], entry.vectors)[0].argmax())
    return entry.regions.boxes[best - 1] if best else None
