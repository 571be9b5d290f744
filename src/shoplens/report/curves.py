"""Recall over rank, precision over recall, and how average precision is spread."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from shoplens.evaluation.bootstrap import Estimate, estimate
from shoplens.evaluation.formulas import Counts, PerQuery, Relevance, recall

MARKED = (1, 2, 5, 10, 20, 50, 100, 200, 500, 1000)
"""Ranks at which recall has an interval."""
LEVELS = 21
"""Levels of recall at which precision is averaged: 0, 0.05, ..., 1."""
BINS = 20
"""Bins of a histogram of average precision, each 0.05 wide."""


@dataclass(frozen=True, slots=True)
class RecallCurve:
    """Mean recall over rank."""

    values: PerQuery
    """(k,) recall@1, recall@2, ..."""
    marked: dict[int, Estimate]
    """With intervals, by rank."""


def recall_curve(relevant: Relevance, n_positive: Counts, groups: Counts) -> RecallCurve:
    """Return the mean recall@k for every k of the rows, with intervals for some k.

    Args:
        relevant: (q, k) bool.
        n_positive: (q,) GTP, all positive.
        groups: (q,) products, for the intervals.
    """
    query, rank = np.nonzero(relevant)
    depth = relevant.shape[1]
    at_rank = np.bincount(rank, 1 / n_positive[query], minlength=depth)
    numbered = np.unique(groups, return_inverse=True)[1]
    marked = {
        k: estimate(recall(relevant, n_positive, k), numbered)
        for k in sorted({*(k for k in MARKED if k < depth), depth})
        if k
    }
    return RecallCurve(np.cumsum(at_rank) / len(relevant), marked)


def precision_recall(relevant: Relevance, n_positive: Counts) -> PerQuery:
    """Return mean interpolated precision at recall 0, 0.05, ..., 1.

    A query's interpolated precision at recall r is the best precision@k of all ranks k by which
    its recall is at least r, and 0 where it never is (Manning, Raghavan and Schuetze, Introduction
    to Information Retrieval, 2008, section 8.4).

    Args:
        relevant: (q, k) bool.
        n_positive: (q,) GTP, all positive.

    Returns:
        (21,) float64.
    """
    query, rank = np.nonzero(relevant)
    n_hits = np.bincount(query, minlength=len(relevant))
    first = np.cumsum(n_hits) - n_hits
    precision = (np.arange(len(query)) - first[query] + 1) / (rank + 1)
    # The best from here on within the query: earlier queries are lifted above later ones, so that
    # the running maximum, taken from the end, starts anew with each.
    lifted = precision + 2.0 * (len(relevant) - query)
    best = np.maximum.accumulate(lifted[::-1])[::-1] - 2.0 * (len(relevant) - query)
    values = np.zeros(LEVELS)
    for number in range(LEVELS):
        # The hit with which recall reaches the level; in whole numbers, so that 3/3 is 1.
        needed = np.maximum(-(-number * n_positive // (LEVELS - 1)), 1)
        reached = n_hits >= needed
        at = (first + needed - 1)[reached]
        values[number] = best[at].sum() / len(relevant)
    return values


def spread(values: PerQuery) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.intp]]:
    """Return the edges and counts of a histogram of values in 0..1; 1 falls in the last bin."""
    counts, edges = np.histogram(values, bins=BINS, range=(0, 1))
    return edges, counts
