"""The pictures on a run's page: best and worst queries, confusions, doubtful data."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from shoplens.report.counts import counted
from shoplens.report.findings import Confusion, Doubt, SamePicture
from shoplens.report.matches import can_explain, matches_of
from shoplens.report.run_report import RunReport
from shoplens.report.strips import Match, Picture, PictureRow, Strip, own_photos, results_line

_N_SAME = 24
"""Pairs of same pictures shown of each kind."""
_N_BESIDE = 4
"""Photos shown of a product beside another."""


@dataclass(frozen=True, slots=True)
class Gallery:
    """Strips under a heading."""

    name: str
    title: str
    meaning: str
    strips: Sequence[Strip]
    marked: bool = False
    """Whether results are marked as hit or miss."""
    shape: str = ""
    """How strips are laid out: one below the other, or in columns as `cards` or `pairs`."""


def run_galleries(report: RunReport, depth: int, *, explained: bool | None = None) -> list[Gallery]:
    """Return the galleries of a run's page that have something to show.

    Args:
        report: the run, studied.
        depth: results shown of a query.
        explained: whether to show what matches in the worst and best queries; None only of rankings
            by a built-in model.
    """
    shown = [*report.worst, *report.best]
    if explained is None:
        explained = can_explain(report.study)
    matches = matches_of(report.study, shown) if explained else {}
    galleries = [
        Gallery(
            "worst",
            "Worst queries",
            "Lowest AP@1000 first, one query of each product, without perfect ones. Among equals, "
            "the queries with the most similar wrong result come first.",
            [_query_strip(report, row, depth, matches) for row in report.worst],
            marked=True,
        ),
        Gallery(
            "best",
            "Best queries",
            "Highest AP@1000 first, one query of each product. Among equals, the queries with the "
            "most photos to find come first.",
            [_query_strip(report, row, depth, matches) for row in report.best],
            marked=True,
        ),
        Gallery(
            "confusions",
            "Confused products",
            "Pairs of products where photos of one are ranked above the right ones within the "
            "first ten results, by the number of queries. The query shown ranks the wrong photo "
            "highest.",
            [_confusion_strip(report, c) for c in report.confusions],
            shape="cards",
        ),
        Gallery(
            "labels",
            "Labels in doubt, by the ranking",
            "Queries whose first results are all of one other product, and as similar as right "
            "results usually are. Look at them to see whether the label or the model is wrong.",
            [_doubt_strip(report, doubt) for doubt in report.doubts or ()],
        ),
    ]
    same = report.same_pictures or ()
    agreeing = [pair for pair in same if not pair.contradicts]
    galleries += [
        Gallery(
            "contradictions",
            "Same pictures of different products",
            "Two photos show the same picture, but the tables name two products: one label is "
            f"wrong, or the two products are one. {_shown_of(report.contradictions)}",
            [_same_strip(pair) for pair in report.contradictions[:_N_SAME]],
            shape="pairs",
        ),
        Gallery(
            "duplicates",
            "Same pictures of one product",
            "Photos that show the same picture and have the same product. The labels are right, "
            f"but a query that is also in the gallery is too easy. {_shown_of(agreeing)}",
            # Those between a query and the gallery matter most.
            [_same_strip(pair) for pair in sorted(agreeing, key=lambda p: not p.crosses)][:_N_SAME],
            shape="pairs",
        ),
    ]
    return [gallery for gallery in galleries if gallery.strips]


def _shown_of(pairs: Sequence[SamePicture]) -> str:
    return f"{_N_SAME} of {len(pairs):,} are shown." if len(pairs) > _N_SAME else ""


def _query_strip(
    report: RunReport, row: int, depth: int, matches: Mapping[int, Sequence[Match]]
) -> Strip:
    study = report.study
    query = study.dataset.queries[row]
    first = int(study.first_hit[row])
    found = f"first hit at rank {first:,}" if first else "no hit in its row"
    note = (
        f"AP {study.precision[row]:.2f}, {found}, {int(study.judged.n_positive[row])} to find · "
        f"query {query.id}, product {query.product_id}"
    )
    lines = [results_line(study, row, depth)]
    if not 0 < first <= depth:
        lines.append(PictureRow(own_photos(study, row, _N_BESIDE), "what should have been found"))
    return Strip(lines, note, query, matches.get(row, ()))


def _confusion_strip(report: RunReport, confusion: Confusion) -> Strip:
    study = report.study
    query = study.dataset.queries[confusion.query]
    counts = (
        f"{confusion.n_first} of {counted(confusion.of_first, 'query')} of {confusion.first} "
        f"finding {confusion.second} first"
    )
    if confusion.of_second:
        counts += f"; {confusion.n_second} of {confusion.of_second} the other way round"
    wrong = Picture(confusion.wrong, f"rank {confusion.wrong_rank}", "miss")
    line = PictureRow([wrong, *own_photos(study, confusion.query, 1)], "found first, and right")
    return Strip([line], counts, query)


def _doubt_strip(report: RunReport, doubt: Doubt) -> Strip:
    query = report.study.dataset.queries[doubt.query]
    found = [
        Picture(photo, f"rank {rank}", "miss") for rank, photo in enumerate(doubt.results, start=1)
    ]
    own = own_photos(report.study, doubt.query, _N_BESIDE)
    lines = [PictureRow(found, f"found: {doubt.other}")]
    if own:
        lines.append(PictureRow(own, f"labelled: {query.product_id}"))
    return Strip(
        lines,
        f"query {query.id}, labelled {query.product_id}; similarity {doubt.similarity:.3f}",
        query,
    )


def _same_strip(same: SamePicture) -> Strip:
    pictures = [
        Picture(photo, "query" if photo.domain == "user" else "gallery")
        for photo in (same.first, same.second)
    ]
    told = same.kind if same.distance == 0 else f"{same.kind}, distance {same.distance:.3f}"
    return Strip([PictureRow(pictures)], f"{told} · {same.first.id} and {same.second.id}")
