"""Choosing how a head is fitted, and saying honestly what it gains: validation by product."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from shoplens.adaptation.closed_form import ClosedForm, Examples, Labels, Settings
from shoplens.evaluation.formulas import PerQuery
from shoplens.models.linear_head import LinearHead
from shoplens.progress import Progress, silent
from shoplens.ranking import DEPTH
from shoplens.records import Vectors

FOLDS = 5
"""Parts of the products: each is searched for once, with a head fitted to the others."""
INNER_FOLDS = 2
"""Parts of those others, to choose settings with."""
MOST_QUERIES = 1000
"""Queries that settings are compared on, at most."""

SHRINKAGES = (64.0, 16.0, 4.0, 1.0, 0.25)
"""To choose from, those that change least first."""


@dataclass(frozen=True, slots=True, eq=False)
class Pairs:
    """Queries and the gallery that is searched for them, as the network sees them."""

    queries: Vectors
    """(q, f) float32, features of unit length."""
    query_products: Labels
    """(q,) a number for each product; each is in the gallery."""
    gallery: Vectors
    """(g, f)"""
    gallery_products: Labels
    """(g,) -1 where it is not known."""

    def examples(self, products: Labels) -> Examples:
        """Return what a head may be fitted to where only some products' photos are labelled.

        Queries of other products are left out; of the gallery all photos count, unlabelled.
        """
        known = np.isin(self.query_products, products)
        labelled = np.isin(self.gallery_products, products)
        return Examples(
            np.concatenate([self.queries[known], self.gallery]),
            np.repeat([True, False], [known.sum(), len(self.gallery)]),
            np.concatenate(
                [self.query_products[known], np.where(labelled, self.gallery_products, -1)]
            ),
        )

    @property
    def products(self) -> Labels:
        """Those that are searched for, ascending."""
        return np.unique(self.query_products)


class Fold(NamedTuple):
    """A part of the products, and how a head is fitted to the others to search for it."""

    held_out: Labels
    kept: Labels
    """The others."""
    way: int
    """The number of a way to see the photos, and..."""
    shrinkage: float
    """...one of `SHRINKAGES`, both chosen inside the others."""

    def head(self, pairs: Pairs, dimension: int) -> LinearHead:
        """Fit a head of a length to what is kept."""
        return ClosedForm(pairs.examples(self.kept)).head(Settings(self.shrinkage, dimension))


def choose(
    ways: Sequence[Pairs], products: Labels | None = None, seed: int = 0
) -> tuple[int, float]:
    """Choose by mAP@1000 on products that the heads are not fitted to.

    Args:
        ways: the same photos, seen in different ways.
        products: those whose queries may be used; None for all.
        seed: decides the parts.

    Returns:
        The number of a way, and one of `SHRINKAGES`; of equal ones the first.
    """
    pairs = ways[0]
    sums = np.zeros((len(ways), len(SHRINKAGES)))
    for held_out, kept in _folds(
        pairs.products if products is None else products, INNER_FOLDS, seed
    ):
        searched = np.flatnonzero(np.isin(pairs.query_products, held_out))
        if len(searched) > MOST_QUERIES:
            searched = searched[np.linspace(0, len(searched) - 1, MOST_QUERIES).astype(int)]
        for way, seen in enumerate(ways):
            form = ClosedForm(seen.examples(kept))
            for number, shrinkage in enumerate(SHRINKAGES):
                head = form.head(Settings(shrinkage))
                sums[way, number] += average_precisions(seen, head, searched).sum()
    way, number = divmod(int(sums.argmax()), len(SHRINKAGES))
    return way, SHRINKAGES[number]


def choose_folds(
    ways: Sequence[Pairs], *, progress: Progress = silent, seed: int = 0
) -> list[Fold]:
    """Part the products, and choose for each part without looking at it.

    Args:
        ways: the same photos, seen in different ways.
        progress: told how many parts are done.
        seed: decides the parts.
    """
    folds = []
    progress("choose", 0, FOLDS)
    for done, (held_out, kept) in enumerate(_folds(ways[0].products, FOLDS, seed), start=1):
        folds.append(Fold(held_out, kept, *choose(ways, kept, seed + done)))
        progress("choose", done, FOLDS)
    return folds


def cross_validate(
    folds: Sequence[Fold],
    query_products: Labels,
    fitted: Callable[[Fold], tuple[Pairs, LinearHead]],
) -> PerQuery:
    """Search for each part of the products with what was fitted to the others.

    So neither head nor settings know the products that are searched for. All gallery photos are
    searched in every time.

    Args:
        folds: the parts.
        query_products: (q,) a number for each query's product.
        fitted: returns the photos as a network sees them, and the head behind it. Neither may know
            what is held out.

    Returns:
        (q,) average precision at 1000; NaN where a query's product is in none of the parts.
    """
    per_query = np.full(len(query_products), np.nan)
    for fold in folds:
        searched = np.flatnonzero(np.isin(query_products, fold.held_out))
        pairs, head = fitted(fold)
        per_query[searched] = average_precisions(pairs, head, searched)
    return per_query


def average_precisions(pairs: Pairs, head: LinearHead, rows: npt.NDArray[np.intp]) -> PerQuery:
    """Return the average precision at 1000 of some queries with a head's vectors."""
    return precisions_of(
        head.vectors(pairs.queries[rows], "user"),
        head.vectors(pairs.gallery, "seller"),
        pairs.query_products[rows],
        pairs.gallery_products,
    )


def precisions_of(
    queries: Vectors, gallery: Vectors, query_products: Labels, gallery_products: Labels
) -> PerQuery:
    """Return average precision at 1000, from the ranks of the positives alone.

    Nothing is sorted, so a large gallery costs little more than its scores. Of equal scores the
    gallery's order decides, as in a ranking.

    Args:
        queries: (q, d) float32, rows of unit length.
        gallery: (g, d) likewise.
        query_products: (q,) each in the gallery.
        gallery_products: (g,)
    """
    values = np.zeros(len(queries))
    order = np.argsort(gallery_products, kind="stable")
    ordered = gallery_products[order]
    first = np.searchsorted(ordered, query_products, side="left")
    last = np.searchsorted(ordered, query_products, side="right")
    places = np.arange(len(gallery))
    for query, vector in enumerate(queries):
        scores = gallery @ vector
        positives = order[first[query] : last[query]]
        own = scores[positives][:, None]
        before = (scores > own) | ((scores == own) & (places < positives[:, None]))
        ranks = np.sort(before.sum(axis=1)) + 1
        found = np.arange(1, len(ranks) + 1) / ranks
        values[query] = found[ranks <= DEPTH].sum() / len(positives)
    return values


def _folds(products: Labels, n: int, seed: int) -> Iterator[tuple[Labels, Labels]]:
    """Yield parts of products, and for each all others."""
    order = np.random.default_rng(seed).permutation(products)
    for part in np.array_split(order, n):
        yield part, np.setdiff1d(order, part)
