"""The names of metrics: `map@1000`, `precision@R`, `mrr:product`."""

from __future__ import annotations

import difflib
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Literal

from shoplens.errors import RankingError
from shoplens.evaluation.formulas import (
    Counts,
    Depth,
    PerQuery,
    Relevance,
    average_precision,
    average_precision_of_findable,
    average_precision_of_found,
    discounted_gain,
    hit,
    precision,
    precision_of_findable,
    recall,
    reciprocal_rank,
    trapezoidal_average_precision,
)

DEFAULT_METRICS = (
    "map@1000",
    "recall@1",
    "recall@10",
    "recall@100",
    "recall@1000",
    "hit@1",
    "hit@5",
    "hit@10",
    "hit@100",
    "precision@1",
    "precision@5",
    "precision@10",
    "mrr",
)

_FORMULAS: Mapping[str, Callable[[Relevance, Counts, Depth], PerQuery]] = {
    "map": average_precision,
    "map-found": average_precision_of_found,
    "map-min": average_precision_of_findable,
    "map-trapezoid": trapezoidal_average_precision,
    "recall": recall,
    "hit": hit,
    "precision": precision,
    "precision-min": precision_of_findable,
    "ndcg": discounted_gain,
    "mrr": reciprocal_rank,
}
BY_PRODUCT = ":product"
"""The suffix of metrics whose results are products instead of photos."""

_BLIND_TO_ORDER = frozenset({"recall", "hit", "precision", "precision-min"})
"""Metrics that do not depend on the order of the results that they look at."""

_WITHOUT_CUT = frozenset({"mrr"})
"""Metrics that can be named without a cut, for the whole row."""

_NAME = re.compile(r"(?P<kind>[a-z]+(-[a-z]+)?)(@(?P<cut>[1-9][0-9]{0,8}|R))?(?P<level>:product)?")


@dataclass(frozen=True, slots=True)
class Metric:
    """A metric's name, taken apart."""

    kind: str
    """Which formula: what stands before the @."""
    cut: int | Literal["R"] | None
    """How many results it looks at: a number, R for as many as there are positives, None for the
    whole row."""
    by_product: bool
    """Whether results are products, each where its first photo stands, instead of photos."""

    def per_query(self, relevant: Relevance, n_positive: Counts) -> PerQuery:
        """Return the metric's value of each query, (q,) float64.

        Args:
            relevant: (q, columns) bool; by product: of products.
            n_positive: (q,) GTP, all positive; by product: 1.
        """
        depth: Depth
        if self.cut is None:
            depth = relevant.shape[1]
        elif self.cut == "R":
            depth = n_positive
        else:
            depth = self.cut
        return _FORMULAS[self.kind](relevant, n_positive, depth)

    def looks_at_all(self, n_gallery: int) -> bool:
        """Whether its value is the same for every order of a gallery of so many photos.

        So it is with recall@1000, hit@1000 and precision@1000 of 572 photos, if all are ranked.
        """
        whole = isinstance(self.cut, int) and self.cut >= n_gallery
        return whole and self.kind in _BLIND_TO_ORDER


def parse_metric(name: str) -> Metric:
    """Parse the name of a metric: KIND@K, KIND@R, or `mrr`, optionally with `:product`.

    Raises `RankingError` if there is no such metric.
    """
    match = _NAME.fullmatch(name)
    kind = match["kind"] if match else ""
    cut = match["cut"] if match else None
    if match is None or kind not in _FORMULAS or (cut is None and kind not in _WITHOUT_CUT):
        near = difflib.get_close_matches(name.partition("@")[0].lower(), _FORMULAS, n=1)
        meant = f" (did you mean {near[0]}@K?)" if near else ""
        kinds = ", ".join(f"{kind}@K" for kind in _FORMULAS)
        raise RankingError(
            f"no metric {name!r}{meant}; there are {kinds} and mrr, where K is a number or R, the "
            f"count of positives; any of them with {BY_PRODUCT}"
        )
    depth: int | Literal["R"] | None = "R" if cut == "R" else int(cut) if cut else None
    return Metric(kind, depth, match["level"] is not None)


def per_query(name: str, relevant: Relevance, n_positive: Counts) -> PerQuery:
    """Return the value of a metric for each query, (q,) float64 (see `Metric`)."""
    return parse_metric(name).per_query(relevant, n_positive)
