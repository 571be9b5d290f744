"""Retrieval metrics: pure functions from which results are relevant to numbers per query.

`formulas` holds one function for each metric, `names` the strings that ask for them
(`map@1000`), `intervals` the mean over queries and how sure it is. Definitions with worked
examples, and which library calls what by which name, are in `docs/metrics.md`.
"""

from shoplens.metrics.formulas import (
    Counts,
    PerQuery,
    Relevance,
    average_precision,
    recall,
)
from shoplens.metrics.intervals import N_DRAWS, Estimate, estimate
from shoplens.metrics.names import BY_PRODUCT, DEFAULT_METRICS, Metric, parse_metric, per_query

__all__ = [
    "BY_PRODUCT",
    "DEFAULT_METRICS",
    "N_DRAWS",
    "Counts",
    "Estimate",
    "Metric",
    "PerQuery",
    "Relevance",
    "average_precision",
    "estimate",
    "parse_metric",
    "per_query",
    "recall",
]
