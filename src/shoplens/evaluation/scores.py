"""Scoring a ranking against the ground truth."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from shoplens.datasets.dataset import Dataset
from shoplens.errors import DataError, RankingError
from shoplens.evaluation.bootstrap import Estimate, estimate
from shoplens.evaluation.formulas import Counts, PerQuery, Relevance
from shoplens.evaluation.metric_names import DEFAULT_METRICS, parse_metric
from shoplens.lookup import find_ids, find_repeats
from shoplens.ranking import Ranking
from shoplens.records import PhotoSet


@dataclass(frozen=True, slots=True, eq=False)
class Judged:
    """A ranking with the ground truth of its results."""

    relevant: Relevance
    """(q, k) bool: whether the photo at a rank shows the query's product."""
    n_positive: Counts
    """(q,) int: number of gallery photos of the query's product."""
    groups: Counts
    """(q,) int: which product each query belongs to, numbered from 0."""
    products: npt.NDArray[np.int32]
    """(q, k) int32: the product of each result, numbered in the same way; -1 for a blank place."""

    def relevant_products(self) -> Relevance:
        """Return (q, k) bool with products as results: each takes the place of its first photo.

        Other photos of the product are removed, and the places after them move up. Blank places
        stay. So a row holds at most one hit.
        """
        again = find_repeats(self.products)
        if again is None:
            return self.relevant
        relevant = np.zeros_like(self.relevant)
        for query, rank in np.argwhere(self.relevant & ~again):
            relevant[query, rank - np.count_nonzero(again[query, :rank])] = True
        return relevant


@dataclass(frozen=True, slots=True, eq=False)
class Scores(Mapping[str, Estimate]):
    """The metrics of a ranking by name, and what they were computed from.

    `scores["map@1000"].value` is the mean over the queries whose product is in the gallery.
    """

    metrics: Mapping[str, Estimate]
    per_query: Mapping[str, PerQuery]
    """For each metric (q,) float64; NaN for queries without a positive."""
    n_queries: int
    n_gallery: int
    n_without_positive: int
    """Queries whose product has no gallery photo; they are left out of every mean."""
    n_failed: int
    """Photos of queries and gallery that could not be compared."""
    ranking: Ranking

    def __getitem__(self, name: str) -> Estimate:
        return self.metrics[name]

    def __iter__(self) -> Any:
        return iter(self.metrics)

    def __len__(self) -> int:
        return len(self.metrics)

    @property
    def informative(self) -> tuple[str, ...]:
        """The names of the metrics that depend on the order of this ranking.

        For example, if all 572 photos of a gallery are ranked, recall@1000 is 1 in any order.
        """
        ids, blank = self.ranking.ids, self.ranking.blank
        if ids.shape[1] < self.n_gallery or (blank is not None and blank.any()):
            return tuple(self.metrics)
        return tuple(n for n in self.metrics if not parse_metric(n).looks_at_all(self.n_gallery))

    def to_json(self) -> dict[str, Any]:
        """Return the values as `shoplens evaluate --json` writes them."""
        return {
            "n_queries": self.n_queries,
            "n_gallery": self.n_gallery,
            "n_without_positive": self.n_without_positive,
            "n_failed": self.n_failed,
            "model": {"name": self.ranking.model_name, "fingerprint": self.ranking.fingerprint},
            "chain": list(self.ranking.chain),
            "batch_side": self.ranking.batch_side,
            "metrics": {
                name: {"value": e.value, "low": e.low, "high": e.high}
                for name, e in self.metrics.items()
            },
            "seconds": dict(self.ranking.seconds),
        }


def evaluate(
    ranking: Ranking, dataset: Dataset, *, metrics: Sequence[str] = DEFAULT_METRICS
) -> Scores:
    """Score a ranking of a dataset with ground truth.

    Args:
        ranking: rows of gallery ids for every query, in the order of the queries.
        dataset: the test set with ground truth.
        metrics: names of metrics, such as `map@1000`; `docs/metrics.md` lists them.

    Returns:
        `Scores` with a 95 % bootstrap interval by product for each metric.

    Raises:
        DataError: the dataset has no ground truth, or no query has a positive.
        RankingError: the ranking is for other queries, contains unknown ids or repeats an id
            within a row, or a metric does not exist.
    """
    judged = judge(ranking, dataset)
    scored = judged.n_positive > 0
    if not scored.any():
        raise DataError("no query's product has a gallery photo, so nothing can be scored")
    # Groups are numbered again without gaps among the queries that count.
    groups = np.unique(judged.groups[scored], return_inverse=True)[1]
    wanted = {name: parse_metric(name) for name in metrics}
    relevant, n_positive = judged.relevant[scored], judged.n_positive[scored]
    if any(metric.by_product for metric in wanted.values()):
        products, one = judged.relevant_products()[scored], np.ones_like(n_positive)
    values, estimates = {}, {}
    for name, metric in wanted.items():
        if metric.by_product:
            of_scored = metric.per_query(products, one)
        else:
            of_scored = metric.per_query(relevant, n_positive)
        estimates[name] = estimate(of_scored, groups)
        values[name] = np.full(len(ranking), np.nan)
        values[name][scored] = of_scored
    return Scores(
        metrics=estimates,
        per_query=values,
        n_queries=len(dataset.queries),
        n_gallery=len(dataset.gallery),
        n_without_positive=int((~scored).sum()),
        n_failed=sum(ranking.n_failed.values()),
        ranking=ranking,
    )


def judge(ranking: Ranking, dataset: Dataset) -> Judged:
    """Look up which results show the query's product.

    Raises as `evaluate` does.
    """
    if not np.array_equal(ranking.query_ids, dataset.queries.ids):
        raise RankingError(
            "the ranking is for other queries than those of the dataset, or in another order"
        )
    gallery_ids = _products(dataset.gallery, "gallery")
    query_ids = _products(dataset.queries, "query")
    # Numbered in order of their ids, so that intervals do not depend on the tables' order.
    codes = {product: code for code, product in enumerate(sorted({*gallery_ids, *query_ids}))}
    gallery_products = np.array([codes[product] for product in gallery_ids], dtype=np.int64)
    query_products = np.array([codes[product] for product in query_ids], dtype=np.int64)
    positions = _positions(ranking, dataset.gallery.ids)
    n_positive = np.bincount(gallery_products, minlength=len(codes))[query_products]
    # A blank place is at position -1, where no product's number stands.
    products = np.append(gallery_products, -1).astype(np.int32)[positions]
    relevant = products == query_products.astype(np.int32)[:, None]
    return Judged(relevant, n_positive, query_products, products)


def require_ground_truth(dataset: Dataset) -> None:
    """Check that a dataset can be scored, before you embed it.

    Raises `DataError` if the product of a photo is unknown, or if no query has a positive.
    """
    known = {*_products(dataset.gallery, "gallery")}
    if known.isdisjoint(_products(dataset.queries, "query")):
        raise DataError("no query's product has a gallery photo, so nothing can be scored")


def _products(photos: PhotoSet, side: str) -> list[str]:
    products = [photo.product_id for photo in photos if photo.product_id is not None]
    if len(products) < len(photos):
        first = next(photo for photo in photos if photo.product_id is None)
        raise DataError(
            f"{len(photos) - len(products):,} of {len(photos):,} {side} photos have no product_id; "
            f"the first is {first.id} ({first.name}). Scoring needs the product of every photo in "
            "both tables. If the column has another name, give it with --column or columns=."
        )
    return products


def _positions(ranking: Ranking, gallery_ids: npt.NDArray[np.int32]) -> npt.NDArray[np.int32]:
    """Return the gallery position of each ranked id, -1 for blanks.

    Refuses unknown and repeated ids.
    """
    if not len(gallery_ids):
        raise RankingError("the gallery is empty")
    positions = find_ids(ranking.ids, gallery_ids)
    if ranking.blank is not None:
        positions[ranking.blank] = -1
    unknown = positions < 0
    if ranking.blank is not None:
        unknown &= ~ranking.blank
    if unknown.any():
        raise RankingError(
            f"{int(unknown.sum())} ranked ids belong to no gallery photo; the first is "
            + _place(ranking.ids, unknown)
        )
    repeated = find_repeats(positions)
    if repeated is not None:
        raise RankingError(
            f"{int(repeated.sum())} ids repeat an earlier id of their row; the first is "
            + _place(ranking.ids, repeated)
        )
    return positions


def _place(ids: npt.NDArray[np.int32], marked: npt.NDArray[np.bool_]) -> str:
    row, column = (int(i) for i in np.argwhere(marked)[0])
    return f"{ids[row, column]} in row {row}, column {column} (from 0)"
