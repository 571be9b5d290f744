"""What a report says of a run, before it is drawn."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from shoplens.evaluation.bootstrap import Estimate
from shoplens.evaluation.formulas import PerQuery
from shoplens.progress import Progress, silent
from shoplens.records import Photo
from shoplens.report.curves import LEVELS, RecallCurve, precision_recall, recall_curve, spread
from shoplens.report.findings import Confusion, Doubt, SamePicture, confusions, doubts
from shoplens.report.strata import Strata, measure_queries, split
from shoplens.report.study import Study, study
from shoplens.runs import Run

PERFECT = 1 - 1e-12
"""A query with at least this AP ranks all its photos first. (It is not 1 because of rounding.)"""


@dataclass(frozen=True, slots=True, eq=False)
class RunReport:
    """A run studied: curves, strata, findings."""

    study: Study
    recall: RecallCurve
    precision: PerQuery
    """(21,) mean interpolated precision at recall 0, 0.05, ..., 1."""
    edges: npt.NDArray[np.float64]
    counts: npt.NDArray[np.intp]
    """How AP@1000 is spread over the queries that count."""
    strata: Sequence[Strata]
    worst: Sequence[int]
    """Rows of queries, worst first, one of each product; none that is perfect."""
    best: Sequence[int]
    """Likewise, best first; none that found nothing."""
    confusions: Sequence[Confusion]
    doubts: Sequence[Doubt] | None
    """None where the ranking has no similarities to tell by."""
    same_pictures: Sequence[SamePicture] | None
    """None where they were not looked for."""

    @property
    def run(self) -> Run:
        """The run."""
        return self.study.run

    @property
    def contradictions(self) -> list[SamePicture]:
        """Same pictures that the tables call different products."""
        return [same for same in self.same_pictures or () if same.contradicts]

    def to_json(self) -> dict[str, Any]:
        """Return it as `shoplens report --json` writes it."""
        queries = self.study.dataset.queries
        return {
            **self.run.scores.to_json(),
            "label": self.run.label,
            "dataset": str(self.study.dataset.root),
            "ap_histogram": {"edges": self.edges.tolist(), "counts": self.counts.tolist()},
            "recall_curve": [
                {"k": k, **_interval(estimate)} for k, estimate in self.recall.marked.items()
            ],
            "precision_recall": [
                {"recall": number / (LEVELS - 1), "precision": float(value)}
                for number, value in enumerate(self.precision)
            ],
            "strata": {
                strata.name: {
                    "n_unknown": strata.n_unknown,
                    "rows": [
                        {
                            "label": row.label,
                            "n_queries": row.n_queries,
                            "n_products": row.n_products,
                            **_interval(row.score),
                        }
                        for row in strata.rows
                    ],
                }
                for strata in self.strata
            },
            "worst": [self._query(row) for row in self.worst],
            "best": [self._query(row) for row in self.best],
            "confusions": [
                {
                    "first": c.first,
                    "second": c.second,
                    "n_first": c.n_first,
                    "of_first": c.of_first,
                    "n_second": c.n_second,
                    "of_second": c.of_second,
                    "example": queries[c.query].id,
                }
                for c in self.confusions
            ],
            "doubted_labels": None
            if self.doubts is None
            else [
                {
                    "query": queries[d.query].id,
                    "product_id": queries[d.query].product_id,
                    "other": d.other,
                    "similarity": d.similarity,
                }
                for d in self.doubts
            ],
            "same_pictures": None
            if self.same_pictures is None
            else [
                {
                    "first": _photo(same.first),
                    "second": _photo(same.second),
                    "kind": same.kind,
                    "distance": same.distance,
                }
                for same in self.same_pictures
            ],
        }

    def _query(self, row: int) -> dict[str, Any]:
        photo = self.study.dataset.queries[row]
        return {
            "id": photo.id,
            "product_id": photo.product_id,
            "ap": float(self.study.precision[row]),
            "first_hit": int(self.study.first_hit[row]) or None,
        }


def report_run(
    run: Run,
    *,
    categories: Mapping[str, str] | None = None,
    same_pictures: Sequence[SamePicture] | None = None,
    look: bool = True,
    n_shown: int = 12,
    progress: Progress = silent,
) -> RunReport:
    """Study a run.

    Args:
        run: scored by `map@1000` at least.
        categories: category by product id.
        same_pictures: photos of the test set that show the same picture, closest first, where
            they were looked for.
        look: whether to read the queries' photos, for box size and blur.
        n_shown: worst and best queries, confusions, doubted labels: how many of each.
        progress: told how many queries' photos were read.
    """
    found = study(run, categories)
    scored = found.scored
    relevant, n_positive = found.judged.relevant[scored], found.judged.n_positive[scored]
    traits = measure_queries(run.dataset.queries, progress) if look else None
    edges, counts = spread(found.precision[scored])
    return RunReport(
        study=found,
        recall=recall_curve(relevant, n_positive, found.judged.groups[scored]),
        precision=precision_recall(relevant, n_positive),
        edges=edges,
        counts=counts,
        strata=split(found, traits),
        worst=_picked(found, n_shown, best=False),
        best=_picked(found, n_shown, best=True),
        confusions=confusions(found, n_shown),
        doubts=doubts(found, n_shown),
        same_pictures=same_pictures,
    )


def _picked(study: Study, limit: int, *, best: bool) -> list[int]:
    """Return the best or worst queries, one of each product.

    Among equals the best are those with most to find, the worst those that were surest of
    something else. Perfect queries are not the worst, however few there are, nor those without a
    hit the best.
    """
    # Queries without a positive are neither: their precision is NaN.
    rows = np.flatnonzero(study.precision > 0 if best else study.precision < PERFECT)
    precision = study.precision[rows]
    if best:
        order = np.lexsort((-study.judged.n_positive[rows], -precision))
    else:
        scores = study.ranking.scores
        surest = np.zeros(len(rows)) if scores is None else -scores[rows, 0]
        order = np.lexsort((surest, precision))
    ordered = rows[order]
    first = np.unique(study.query_products[ordered], return_index=True)[1]
    picked: list[int] = ordered[np.sort(first)][:limit].tolist()
    return picked


def _interval(estimate: Estimate) -> dict[str, float]:
    return {"value": estimate.value, "low": estimate.low, "high": estimate.high}


def _photo(photo: Photo) -> dict[str, Any]:
    return {
        "id": photo.id,
        "domain": photo.domain,
        "path": photo.name,
        "product_id": photo.product_id,
    }
