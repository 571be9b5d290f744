"""What a run shows about its data: products that are confused, and doubtful labels."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from shoplens.records import Photo
from shoplens.report.study import Study

CERTAIN = 3
"""First results that must all be of one other product for a label to be doubted."""


@dataclass(frozen=True, slots=True)
class Confusion:
    """Two products of which one is ranked above the right other."""

    first: str
    """Product id of those that stand in the example's query."""
    second: str
    n_first: int
    """Queries of `first` that find a photo of `second` before one of their own."""
    n_second: int
    """The other way round."""
    of_first: int
    """Queries of `first` that count."""
    of_second: int
    query: int
    """An example: row of a query of `first`."""
    wrong_rank: int
    """Rank of the best photo of `second` in it, from 1."""
    wrong: Photo


@dataclass(frozen=True, slots=True)
class Doubt:
    """A query whose first results are all of one other product."""

    query: int
    """Row."""
    other: str
    """The other product's id."""
    similarity: float
    """Of the first result."""
    results: tuple[Photo, ...]
    """The first results."""


@dataclass(frozen=True, slots=True)
class SamePicture:
    """Two photos that show the same picture."""

    first: Photo
    second: Photo
    distance: float
    """0 for the same bytes or pixels."""
    kind: str
    """How they are the same, in a word."""
    parts: tuple[str, str] = ("whole", "whole")
    """What of each photo shows the picture: `whole`, `trimmed` (inside its border) or `box`."""

    @property
    def contradicts(self) -> bool:
        """Whether the labels say that the two show different products."""
        products = {self.first.product_id, self.second.product_id}
        return len(products) == 2 and None not in products

    @property
    def crosses(self) -> bool:
        """Whether one is a user's photo and the other a seller's."""
        return self.first.domain != self.second.domain

    def to_json(self, first: str = "first", second: str = "second") -> dict[str, Any]:
        """Return the pair as the data tools' JSON has it, the photos by these keys."""
        value: dict[str, Any] = {"kind": self.kind, "distance": round(self.distance, 5)}
        for key, photo, part in zip(
            (first, second), (self.first, self.second), self.parts, strict=True
        ):
            value[key] = {
                "id": photo.id,
                "path": photo.name,
                "domain": photo.domain,
                "product_id": photo.product_id,
                "part": part,
            }
        return value


def confusions(study: Study, limit: int) -> list[Confusion]:
    """Return the pairs of products most often ranked above one another.

    For each query that has a positive and could be compared, products are counted that appear in
    its first ten results and before its first hit. Pairs are ordered by queries concerned, both
    ways together, then by their share among the two products' queries.
    """
    top = study.top
    n_products = int(max(study.query_products.max(), study.gallery_products.max())) + 1
    column = np.arange(top.shape[1])
    last = np.where(study.first_hit == 0, top.shape[1], study.first_hit - 1)
    asked = study.scored & compared(study)
    wrong = (column < last[:, None]) & (top >= 0) & asked[:, None]
    row, at = np.nonzero(wrong)
    other = study.gallery_products[top[row, at]]
    # Each product once a query: the first of equal keys is the best-ranked.
    firsts = np.unique(row * n_products + other, return_index=True)[1]
    row, at, other = row[firsts], at[firsts], other[firsts]
    own = study.query_products[row]
    pair = np.minimum(own, other) * n_products + np.maximum(own, other)
    _, of_pair, size = np.unique(pair, return_inverse=True, return_counts=True)
    queries_of = np.bincount(study.query_products[asked], minlength=n_products)
    of_both = queries_of[own] + queries_of[other]
    # Of a pair's queries the example is the one that finds the wrong product first.
    order = np.lexsort((row, at, pair, -size[of_pair] / of_both, -size[of_pair]))
    leaders = np.unique(pair[order], return_index=True)[1]
    found = []
    for leader in np.sort(leaders)[:limit].tolist():
        example = order[leader]
        mine, theirs = own[example], other[example]
        same = pair == pair[example]
        query = int(row[example])
        shown = study.dataset.gallery[int(top[query, at[example]])]
        found.append(
            Confusion(
                first=study.dataset.queries[query].product_id or "",
                second=shown.product_id or "",
                n_first=int((same & (own == mine)).sum()),
                n_second=int((same & (own == theirs)).sum()),
                of_first=int(queries_of[mine]),
                of_second=int(queries_of[theirs]),
                query=query,
                wrong_rank=int(at[example]) + 1,
                wrong=shown,
            )
        )
    return found


def compared(study: Study) -> npt.NDArray[np.bool_]:
    """Return which queries could be compared, (q,) bool. The rows of the others are the gallery in
    its order."""
    scores = study.ranking.scores
    if scores is None or not scores.shape[1]:
        return np.ones(len(study.ranking), dtype=np.bool_)
    return np.asarray(scores[:, 0] > -np.inf)


def doubts(study: Study, limit: int) -> list[Doubt] | None:
    """Return queries whose label may be wrong, most similar first; None without similarities.

    A label is doubted where the first three results are of one other product (the first two, where
    it has no more photos), and the first is at least as similar as three of four first results that
    are right.
    """
    similarities = study.ranking.scores
    if similarities is None:
        return None
    best = similarities[:, 0]
    right = (study.first_hit == 1) & compared(study)
    if not right.any() or study.top.shape[1] < CERTAIN:
        return []
    bar = np.quantile(best[right], 0.25)
    products = np.where(study.top >= 0, study.gallery_products[study.top], -1)[:, :CERTAIN]
    n_photos = np.bincount(study.gallery_products)
    depth = np.minimum(n_photos[products[:, 0]], CERTAIN)
    agree = (products == products[:, :1]) | (np.arange(CERTAIN) >= depth[:, None])
    doubted = agree.all(axis=1) & (depth >= 2) & ~right & (best >= bar) & (products[:, 0] >= 0)
    rows: npt.NDArray[np.intp] = np.flatnonzero(doubted)
    found = []
    for row in rows[np.argsort(-best[rows], kind="stable")][:limit].tolist():
        shown = tuple(study.dataset.gallery[int(p)] for p in study.top[row, : depth[row]])
        found.append(Doubt(row, shown[0].product_id or "", float(best[row]), shown))
    return found
