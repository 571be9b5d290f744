"""An evaluated run, arranged for reports: which query found what, by product and category."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from shoplens.datasets.dataset import Dataset
from shoplens.datasets.tagged_table import CATEGORY
from shoplens.errors import DataError
from shoplens.evaluation.bootstrap import Estimate, estimate
from shoplens.evaluation.formulas import PerQuery
from shoplens.evaluation.scores import Judged, judge
from shoplens.lookup import find_ids
from shoplens.ranking import Ranking
from shoplens.records import PhotoSet
from shoplens.runs import Run

DEPTH = 10
"""How many ranks of a row are searched for confusions and label errors."""

Codes = npt.NDArray[np.int64]


@dataclass(frozen=True, slots=True, eq=False)
class Study:
    """An evaluated run with its results looked up."""

    run: Run
    judged: Judged
    precision: PerQuery
    """(q,) AP@1000, NaN for queries without a positive."""
    first_hit: npt.NDArray[np.int64]
    """(q,) rank of the first hit, from 1; 0 where the row has none."""
    top: npt.NDArray[np.int32]
    """(q, up to 10) positions in the gallery of the first results; -1 where there is none."""
    query_products: Codes
    """(q,) numbers of products."""
    gallery_products: Codes
    """(n,) likewise."""
    categories: Mapping[str, str]
    """By product id; empty where the tables have none."""

    @property
    def dataset(self) -> Dataset:
        """The test set."""
        return self.run.dataset

    @property
    def ranking(self) -> Ranking:
        """What was found."""
        return self.run.scores.ranking

    @property
    def scored(self) -> npt.NDArray[np.bool_]:
        """(q,) whether the query has a positive, and so counts in every mean."""
        return self.judged.n_positive > 0

    def estimate(self, rows: npt.NDArray[np.bool_] | npt.NDArray[np.intp]) -> Estimate:
        """Return mAP@1000 of some queries, with its interval by product.

        Args:
            rows: one or more queries that have a positive.
        """
        groups = np.unique(self.judged.groups[rows], return_inverse=True)[1]
        return estimate(self.precision[rows], groups)


def study(run: Run, categories: Mapping[str, str] | None = None) -> Study:
    """Look up the results of a run.

    Args:
        run: scored by `map@1000` at least.
        categories: category by product id, as `read_categories` returns them.
    """
    dataset, ranking = run.dataset, run.scores.ranking
    judged = judge(ranking, dataset)
    found = judged.relevant.any(axis=1) if judged.relevant.size else np.zeros(len(ranking), bool)
    first = np.zeros(len(ranking), dtype=np.int64)
    first[found] = judged.relevant[found].argmax(axis=1) + 1
    top = find_ids(ranking.ids[:, :DEPTH], dataset.gallery.ids)
    if ranking.blank is not None:
        top[ranking.blank[:, :DEPTH]] = -1
    names = sorted({p.product_id or "" for p in (*dataset.gallery, *dataset.queries)})
    codes = {name: code for code, name in enumerate(names)}
    return Study(
        run=run,
        judged=judged,
        precision=run.scores.per_query["map@1000"],
        first_hit=first,
        top=top,
        query_products=_codes(dataset.queries, codes),
        gallery_products=_codes(dataset.gallery, codes),
        categories=categories or {},
    )


def _codes(photos: PhotoSet, codes: Mapping[str, int]) -> Codes:
    return np.array([codes[photo.product_id or ""] for photo in photos], dtype=np.int64)


def read_categories(dataset: Dataset, column: str | None = None) -> dict[str, str]:
    """Return which category each product is of, from the photos' attributes.

    Args:
        dataset: the test set.
        column: the attribute's name; None takes `category` where there is one.

    Returns:
        Category by product id, as the gallery says it first, then the queries; without products
        that have none.

    Raises:
        DataError: a column is named and none of the tables has it.
    """
    wanted = column or CATEGORY
    found: dict[str, str] = {}
    seen = False
    for photo in (*dataset.gallery, *dataset.queries):
        seen = seen or wanted in photo.attributes
        category = photo.attributes.get(wanted)
        if category is not None and category != "" and photo.product_id is not None:
            found.setdefault(photo.product_id, str(category))
    if column is not None and not seen:
        raise DataError(
            f"no table of {dataset.root} has a column {column!r} to read categories from"
        )
    return found
