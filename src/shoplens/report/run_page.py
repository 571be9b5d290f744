"""The page of a run: one self-contained HTML file."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from markupsafe import Markup

from shoplens._version import __version__
from shoplens.embedding import STAGES
from shoplens.evaluation.bootstrap import Estimate
from shoplens.files import write_text
from shoplens.ranking import Ranking, is_reranked
from shoplens.records import REASONS
from shoplens.report.curves import LEVELS
from shoplens.report.figures import (
    Axis,
    Point,
    Row,
    Series,
    bar_chart,
    histogram,
    interval_chart,
    line_chart,
)
from shoplens.report.page import render
from shoplens.report.run_galleries import run_galleries
from shoplens.report.run_report import PERFECT, RunReport
from shoplens.report.strips import Album


@dataclass(frozen=True, slots=True)
class Figure:
    """A drawing with its heading and what it says."""

    title: str
    meaning: str
    drawing: Markup


def write_run_page(
    path: str | Path, report: RunReport, *, depth: int = 8, explained: bool | None = None
) -> None:
    """Write the page of a run. It is self-contained: pictures are embedded, and there is no script.

    Args:
        path: the HTML file.
        report: the run, studied.
        depth: results shown of a query.
        explained: whether to show which regions match in the worst and best queries, as the
            network of lite0-products sees it; None only of rankings by a built-in model.

    Raises:
        MissingError: the page's folder is not there.
        ShoplensError: the page cannot be written.
    """
    galleries = run_galleries(report, depth, explained=explained)
    text = render(
        "run.html.j2",
        title=f"Run: {report.run.label}",
        facts=_facts(report),
        details=_details(report),
        scores=_scores(report),
        strata=_strata(report),
        galleries=galleries,
        doubts=report.doubts,
        same_pictures=report.same_pictures,
        n_contradictions=len(report.contradictions),
        time=_time(report.run.json, report.run.scores.ranking.seconds),
        failures=_failures(report),
        n_failed=report.run.scores.n_failed,
        with_categories=bool(report.study.categories),
        album=Album.of([strip for gallery in galleries for strip in gallery.strips]),
        version=__version__,
    )
    write_text(path, text)


def _facts(report: RunReport) -> list[tuple[str, str]]:
    scores, record = report.run.scores, report.run.json
    best = scores["map@1000"]
    facts = [
        ("mAP@1000", f"{best.value:.4f}"),
        ("95 % interval", f"{best.low:.4f} to {best.high:.4f}"),
        ("queries", f"{scores.n_queries:,}"),
        ("gallery photos", f"{scores.n_gallery:,}"),
        ("without a positive", f"{scores.n_without_positive:,}"),
        ("failed photos", f"{scores.n_failed:,}"),
    ]
    for key, label, unit in (
        ("verdict", "verdict", ""),
        ("wall_seconds", "run time", " s"),
        ("cpu_seconds", "CPU time", " s"),
        ("peak_memory_mb", "peak memory", " MB"),
    ):
        value = record.get(key)
        if isinstance(value, str):
            facts.append((label, value))
        elif isinstance(value, int | float):
            facts.append((label, f"{value:,.0f}{unit}"))
    return facts


def chain_text(ranking: Ranking) -> str:
    """Return the steps that made a ranking, with the class of those that re-ranked it."""
    steps = " → ".join(ranking.chain) or "not known"
    if ranking.batch_side:
        return f"{steps} (batch-side)"
    return f"{steps} (gallery-side)" if is_reranked(ranking.chain) else steps


def _details(report: RunReport) -> list[tuple[str, str]]:
    ranking, record, dataset = report.study.ranking, report.run.json, report.study.dataset
    products = {photo.product_id for photo in (*dataset.gallery, *dataset.queries)}
    details = [
        ("model", ranking.model_name or "not known"),
        ("fingerprint", ranking.fingerprint or "not known"),
        ("chain", chain_text(ranking)),
        # A page may be published: where on this machine the folder lies is nobody's concern.
        ("test set", dataset.root.absolute().name),
        ("products", f"{len(products):,}"),
        ("columns of the answer", f"{ranking.ids.shape[1]:,}"),
    ]
    if ranking.batch_side:
        details.append(("batch-side", "yes: uses the other queries of the run"))
    if isinstance(record.get("created"), str):
        details.append(("made", record["created"]))
    if record.get("reason"):
        details.append(("reason", str(record["reason"])))
    if isinstance(record.get("not_enforced"), list) and record["not_enforced"]:
        details.append(("not enforced", " ".join(map(str, record["not_enforced"]))))
    return details


def _scores(report: RunReport) -> list[Figure]:
    scores = report.run.scores
    precision = report.study.precision[report.study.scored]
    n_zero, n_one = int((precision == 0).sum()), int((precision >= PERFECT).sum())
    middle = float(np.median(precision))
    return [
        Figure(
            "Scores",
            "Each metric's mean over the queries, with its 95 % bootstrap interval by product.",
            interval_chart(
                "Scores",
                [
                    _row(name, e, f"{e.value:.3f} ({e.low:.3f}-{e.high:.3f})")
                    for name, e in scores.items()
                    if name in scores.informative
                ],
                Axis("score, 0 to 1", 0, 1),
            ),
        ),
        Figure(
            "How average precision is spread",
            f"Queries by their AP@1000, in bins of 0.05. {n_zero:,} found nothing (AP 0), "
            f"{n_one:,} found all their photos first (AP 1); the median is {middle:.2f}.",
            histogram(
                "Queries by average precision",
                report.edges.tolist(),
                report.counts.tolist(),
                Axis("AP@1000 of a query", 0, 1),
                "queries",
                [(float(precision.mean()), f"mean {precision.mean():.2f}")],
            ),
        ),
        Figure(
            "Recall over rank",
            "Share of a query's gallery photos that are among the first k results; mean over "
            "queries. Bars are 95 % intervals.",
            _recall_chart(report),
        ),
        Figure(
            "Precision over recall",
            "Best precision at this recall or a higher one, mean over queries; a query that never "
            "gets so far counts 0.",
            line_chart(
                "Precision over recall",
                [
                    Series(
                        "",
                        [
                            Point(
                                number / (LEVELS - 1),
                                float(value),
                                note=f"{value:.2f}" if number % 5 == 0 else "",
                            )
                            for number, value in enumerate(report.precision)
                        ],
                    )
                ],
                Axis("recall", 0, 1),
                Axis("precision", 0, 1),
            ),
        ),
    ]


def _recall_chart(report: RunReport) -> Markup:
    points = []
    last = len(report.recall.values)
    noted = {1, 10, 100, last} if last >= 300 else {1, 10, last}
    for rank, value in enumerate(report.recall.values.tolist(), start=1):
        marked = report.recall.marked.get(rank)
        if marked is None:
            points.append(Point(rank, value))
        else:
            note = f"{value:.2f}" if rank in noted else ""
            points.append(Point(rank, value, marked.low, marked.high, note))
    # A thousand points would draw the same line as those that differ on paper.
    kept = [p for p in points if p.low is not None or _is_drawn(int(p.x))]
    return line_chart(
        "Recall over rank",
        [Series("", kept)],
        Axis("k, the first results looked at", 1, max(2, len(points)), log=True),
        Axis("recall@k", 0, 1),
    )


def _is_drawn(rank: int) -> bool:
    step: int = 10 ** max(0, len(str(rank)) - 2)
    return rank % step == 0


def _strata(report: RunReport) -> list[Figure]:
    whole = report.run.scores["map@1000"].value
    figures = []
    for strata in report.strata:
        left_out = f" Not known of {strata.n_unknown:,}." if strata.n_unknown else ""
        rows = [
            _row(row.label, row.score, f"{row.score.value:.3f}, n {row.n_queries:,}")
            for row in strata.rows
        ]
        figures.append(
            Figure(
                f"By {strata.name}",
                f"{strata.meaning[0].upper()}{strata.meaning[1:]}.{left_out}",
                interval_chart(
                    f"mAP@1000 by {strata.name}",
                    rows,
                    Axis("mAP@1000", 0, 1),
                    (whole, f"all {whole:.3f}"),
                ),
            )
        )
    return figures


def _row(label: str, estimate: Estimate, text: str) -> Row:
    return Row(label, estimate.value, estimate.low, estimate.high, text)


def _time(record: Mapping[str, Any], seconds: Mapping[str, float]) -> Figure | None:
    phases = record.get("phases")
    stages = phases if isinstance(phases, Mapping) and not seconds else seconds
    spent = {str(k): float(v) for k, v in stages.items() if isinstance(v, int | float)}
    if not spent:
        return None
    # Of embedding's stages core time is measured, which runs on several cores at once.
    within = [stage for stage in STAGES if stage in spent and "embed" in spent]
    clock = [stage for stage in spent if stage not in within]
    bars = [(stage, spent[stage], _seconds(spent[stage])) for stage in clock]
    bars += [(f"{stage}, core", spent[stage], _seconds(spent[stage])) for stage in within]
    meaning = f"Seconds on the clock, {_seconds(sum(spent[stage] for stage in clock))} in all."
    if within:
        meaning += " Core seconds are spent within embed, summed over the cores."
    return Figure(
        "Time by stage",
        meaning,
        bar_chart("Time by stage", bars, Axis("seconds", 0, max(spent.values()) or 1)),
    )


def _seconds(value: float) -> str:
    return f"{value:,.1f} s" if value < 100 else f"{value:,.0f} s"


def _failures(report: RunReport) -> list[tuple[str, str, str, int]]:
    """Return side, reason, what it means and the count of failures."""
    told = report.run.json.get("failures")
    if not isinstance(told, Mapping):
        return []
    return [
        (str(side), str(reason), REASONS.get(str(reason), ""), int(count))
        for side, reasons in told.items()
        if isinstance(reasons, Mapping)
        for reason, count in reasons.items()
    ]
