"""The choice of a re-ranking chain on labelled queries, and an honest figure of its gain."""

from __future__ import annotations

import time
from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from shoplens.datasets.dataset import Dataset
from shoplens.errors import DataError
from shoplens.evaluation.comparison import Difference, paired_difference
from shoplens.evaluation.scores import evaluate, judge
from shoplens.progress import Progress, silent
from shoplens.ranking import rank
from shoplens.reranking import NO_STEPS, Chain, Ranked
from shoplens.vectors.embeddings import Embeddings
from shoplens.vectors.selecting import rows_of

METRIC = "map@1000"
"""What chains are chosen by."""
FOLDS = 5
"""Parts, by product, on each of which the choice that the others make is tried."""
MOST_QUERIES = 1000
"""Queries that chains are tried on; of more, whole products are drawn."""


@dataclass(frozen=True, slots=True, eq=False)
class Trial:
    """A chain that was tried."""

    chain: Chain
    score: float
    """mAP@1000 over all queries that it was tried on."""


@dataclass(frozen=True, slots=True, eq=False)
class Choice:
    """The chain that was chosen, and what it was chosen by."""

    chain: Chain
    """`NO_STEPS` if no chain gained anything on products that it was not chosen by."""
    gain: Difference
    """mAP@1000 of chains chosen this way beside plain ranking, each on products that had no part in
    its choice."""
    trials: tuple[Trial, ...]
    """Best first."""
    n_queries: int
    n_products: int
    n_left_out: int
    """Chains that the time did not suffice for."""
    seconds: float

    def to_json(self) -> dict[str, Any]:
        """Return the choice as commands write it."""
        return {
            "chain": str(self.chain),
            "gain": {"value": self.gain.value, "low": self.gain.low, "high": self.gain.high},
            "n_queries": self.n_queries,
            "n_products": self.n_products,
            "n_tried": len(self.trials),
            "n_left_out": self.n_left_out,
            "seconds": self.seconds,
        }


def choose(
    queries: Embeddings,
    gallery: Embeddings,
    tried: Iterable[Chain],
    *,
    seconds: float = 60,
    seed: int = 0,
    progress: Progress = silent,
) -> Choice:
    """Choose the chain that ranks labelled queries best.

    The best chain is the one whose gain over plain ranking is highest after its standard error is
    taken off. So a chain that gains little for sure is preferred to one that gains more by chance.

    The products of the queries are split in five parts. For each part, the chain is chosen that is
    best on the other four, and scored on this one. The mean of these scores says what the choice
    gains on new products. If it gains nothing, no chain is chosen; otherwise the one that is best
    on all.

    Args:
        queries: with `photos` whose products are known.
        gallery: likewise.
        tried: the chains to try, in this order; those that would take longer than what is left of
            the time are passed over.
        seconds: time that the trials may take, by their expected cost.
        seed: of the random split.
        progress: told how many chains were tried.

    Returns:
        The `Choice`.

    Raises `DataError` if products are not known, or if there are fewer than two with a query.
    """
    started = time.perf_counter()
    dataset = _labelled(queries, gallery)
    queries, dataset = _fewer(queries, dataset, seed)
    plain = Ranked(rank(queries, gallery), queries, gallery)
    groups = judge(plain.ranking, dataset).groups
    counted = ~np.isnan(_precision(plain, dataset))
    products = np.unique(groups[counted])
    if len(products) < 2:
        raise DataError(
            "a chain is chosen on queries of two products or more that are in the gallery; there "
            f"is {len(products)}"
        )
    chains, columns, n_left_out = [NO_STEPS], [_precision(plain, dataset)], 0
    listed = list(tried)
    for number, chain in enumerate(listed, start=1):
        spent = time.perf_counter() - started
        if spent + sum(cost.seconds for cost in chain.costs(plain)) > seconds:
            n_left_out += 1
        else:
            chains.append(chain)
            columns.append(_precision(chain.rerank(plain), dataset))
        progress("choose", number, len(listed))
    table = np.stack(columns, axis=1)
    held_out = _held_out(table, groups, products, seed)
    gain = paired_difference(held_out, table[:, 0], groups)
    means = table[counted].mean(axis=0)
    order = np.argsort(-means, kind="stable").tolist()
    best = best_chain(table[counted], groups[counted])
    return Choice(
        chains[best] if gain.value > 0 else NO_STEPS,
        gain,
        tuple(Trial(chains[place], float(means[place])) for place in order),
        int(counted.sum()),
        len(products),
        n_left_out,
        time.perf_counter() - started,
    )


def _held_out(
    table: npt.NDArray[np.float64],
    groups: npt.NDArray[np.int64],
    products: npt.NDArray[np.int64],
    seed: int,
) -> npt.NDArray[np.float64]:
    """Return for each query the precision of the chain that other products chose."""
    shuffled = np.random.default_rng(seed).permutation(products)
    found = np.full(len(table), np.nan)
    for part in np.array_split(shuffled, min(FOLDS, len(products))):
        inside = np.isin(groups, part)
        others = ~inside & ~np.isnan(table[:, 0])
        found[inside] = table[inside, best_chain(table[others], groups[others])]
    return found


def best_chain(table: npt.NDArray[np.float64], groups: npt.NDArray[np.int64]) -> int:
    """Return the chain with the highest gain, less its standard error; 0 if none gains as much.

    Args:
        table: (q, c) precision of each query by each chain; the first is plain ranking.
        groups: (q,) the product of each query. Queries of one product count as one observation.
    """
    gains = table - table[:, :1]
    means = gains.mean(axis=0)
    places = np.unique(groups, return_inverse=True)[1]
    sums = np.zeros((int(places.max()) + 1, table.shape[1]))
    np.add.at(sums, places, gains - means)
    errors = np.sqrt((sums**2).sum(axis=0)) / len(table)
    return int(np.argmax(means - errors))


def _precision(ranked: Ranked, dataset: Dataset) -> npt.NDArray[np.float64]:
    return evaluate(ranked.ranking, dataset, metrics=(METRIC,)).per_query[METRIC]


def _labelled(queries: Embeddings, gallery: Embeddings) -> Dataset:
    for side, embeddings in (("query", queries), ("gallery", gallery)):
        if embeddings.photos is None or not embeddings.photos.has_products:
            raise DataError(f"the products of {side} photos must be known to choose a chain")
    assert queries.photos is not None
    assert gallery.photos is not None
    return Dataset(Path(), gallery.photos, queries.photos)


def _fewer(queries: Embeddings, dataset: Dataset, seed: int) -> tuple[Embeddings, Dataset]:
    """Return the queries of some products, if there are very many."""
    if len(queries) <= MOST_QUERIES:
        return queries, dataset
    _, products = np.unique(
        [str(photo.product_id) for photo in dataset.queries], return_inverse=True
    )
    order = np.random.default_rng(seed).permutation(int(products.max()) + 1)
    within = np.cumsum(np.bincount(products)[order]) <= MOST_QUERIES
    within[0] = True
    kept = np.flatnonzero(np.isin(products, order[within]))
    few = rows_of(queries, kept)
    assert few.photos is not None
    return few, replace(dataset, queries=few.photos)
