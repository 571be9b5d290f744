"""Comparing runs of the same test set."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import chain
from typing import Any

import numpy as np

from shoplens.datasets.dataset import Dataset
from shoplens.errors import RankingError
from shoplens.evaluation.comparison import Groups, Pair, compare_all
from shoplens.records import PhotoSet
from shoplens.runs import Run


@dataclass(frozen=True, slots=True)
class ChangedQuery:
    """A query on which two runs differ."""

    row: int
    first: float
    """The metric's value for it in the first run."""
    second: float


@dataclass(frozen=True, slots=True, eq=False)
class Changes:
    """The queries that changed most from one run to another."""

    first: int
    """Positions among the runs compared."""
    second: int
    gained: Sequence[ChangedQuery]
    """Better in the second, most changed first; one query of each product."""
    lost: Sequence[ChangedQuery]


@dataclass(frozen=True, slots=True, eq=False)
class RunComparison:
    """Several runs, all their pairs tested, and where they differ."""

    runs: Sequence[Run]
    labels: Sequence[str]
    """Distinct ones."""
    metrics: Sequence[str]
    pairs: Sequence[Pair]
    changes: Sequence[Changes]
    """From the first run to each other one, by the first metric."""

    @property
    def dataset(self) -> Dataset:
        """The test set of all of them."""
        return self.runs[0].dataset

    def to_json(self) -> dict[str, Any]:
        """Return it as `shoplens compare --json` writes it."""
        queries = self.dataset.queries
        return {
            "n_queries": len(queries),
            "n_gallery": len(self.dataset.gallery),
            "runs": [
                {"label": label, **run.scores.to_json()}
                for label, run in zip(self.labels, self.runs, strict=True)
            ],
            "pairs": [
                {
                    "metric": pair.metric,
                    "first": self.labels[pair.first],
                    "second": self.labels[pair.second],
                    "value": pair.difference.value,
                    "low": pair.difference.low,
                    "high": pair.difference.high,
                    "p_value": pair.difference.p_value,
                    "p_adjusted": pair.adjusted,
                    "wins": pair.difference.wins,
                    "ties": pair.difference.ties,
                    "losses": pair.difference.losses,
                }
                for pair in self.pairs
            ],
            "changed": [
                {
                    "metric": self.metrics[0],
                    "first": self.labels[changes.first],
                    "second": self.labels[changes.second],
                    "queries": [
                        {"id": queries[c.row].id, "first": c.first, "second": c.second}
                        for c in chain(changes.gained, changes.lost)
                    ],
                }
                for changes in self.changes
            ],
        }


def compare_runs(
    runs: Sequence[Run], metrics: Sequence[str], labels: Sequence[str], n_shown: int = 8
) -> RunComparison:
    """Compare runs of the same test set.

    Args:
        runs: two or more, scored by `metrics`.
        metrics: what to compare by.
        labels: a name for each run.
        n_shown: queries that gained, and that lost, to pick for each run after the first.

    Raises:
        RankingError: the runs are of different test sets.
    """
    for label, run in zip(labels[1:], runs[1:], strict=True):
        _require_same(labels[0], runs[0].dataset, label, run.dataset)
    groups = _products(runs[0].dataset.queries)
    values = {metric: [run.scores.per_query[metric] for run in runs] for metric in metrics}
    return RunComparison(
        runs=runs,
        labels=labels,
        metrics=metrics,
        pairs=compare_all(values, groups),
        changes=[
            _changes(values[metrics[0]], second, groups, n_shown) for second in range(1, len(runs))
        ],
    )


def _changes(values: Sequence[Any], second: int, groups: Groups, limit: int) -> Changes:
    difference = values[second] - values[0]
    counted = np.flatnonzero(~np.isnan(difference))
    sides = []
    for sign in (1, -1):
        order = counted[np.argsort(-sign * difference[counted], kind="stable")]
        order = order[sign * difference[order] > 0]
        # One query of each product, its most changed.
        order = order[np.sort(np.unique(groups[order], return_index=True)[1])][:limit]
        sides.append(
            [
                ChangedQuery(row, float(values[0][row]), float(values[second][row]))
                for row in order.tolist()
            ]
        )
    return Changes(0, second, *sides)


def _products(queries: PhotoSet) -> Groups:
    names = sorted({photo.product_id or "" for photo in queries})
    codes = {name: code for code, name in enumerate(names)}
    return np.array([codes[photo.product_id or ""] for photo in queries], dtype=np.int64)


def _require_same(label: str, first: Dataset, other: str, second: Dataset) -> None:
    refused = f"{label!r} and {other!r} cannot be compared: "
    where = f"({first.root} and {second.root})"
    for side, a, b in (
        ("queries", first.queries, second.queries),
        ("gallery photos", first.gallery, second.gallery),
    ):
        if len(a) != len(b):
            raise RankingError(
                f"{refused}they are of different test sets, {len(a):,} {side} and {len(b):,} "
                f"{where}"
            )
        different = np.flatnonzero(a.ids != b.ids)
        if len(different):
            row = int(different[0])
            raise RankingError(
                f"{refused}their {side} differ, the first in row {row} (from 0): {a[row].id} and "
                f"{b[row].id} {where}"
            )
        for one, two in zip(a, b, strict=True):
            if one.product_id != two.product_id:
                raise RankingError(
                    f"{refused}photo {one.id} is of product {one.product_id} in one test set, of "
                    f"{two.product_id} in the other {where}"
                )
