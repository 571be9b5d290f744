"""The table of hits that `shoplens search` prints."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from shoplens.cli.console import Results, message
from shoplens.hits import Hit, SearchResult


@dataclass(frozen=True, slots=True)
class _Column:
    """A column that only some searches have."""

    name: str
    read: Callable[[Hit], object]
    """None or 0 where the hit has nothing to show."""


def _rounded(digits: int, value: float | None) -> str | None:
    return None if value is None else f"{value:.{digits}f}"


_COLUMNS = (
    _Column("confidence", lambda hit: _rounded(2, hit.confidence)),
    _Column("product_score", lambda hit: _rounded(4, hit.product_score)),
    _Column("photos", lambda hit: len(hit.photos or ())),
    _Column("variants", lambda hit: len(hit.variants or ())),
    _Column("duplicates", lambda hit: len(hit.duplicates or ())),
)


def print_hits(shown: Results, results: Sequence[SearchResult], title: str) -> None:
    """Print the hits of one search or of several, and say which found no match."""
    several = ("query",) if len(results) > 1 else ()
    hits = [hit for result in results for hit in result]
    columns = [column for column in _COLUMNS if any(column.read(hit) for hit in hits)]
    names = [column.name for column in columns]
    shown.table(
        (*several, "rank", "score", "photo", "product", *names, "path"),
        (
            (
                *(result.query and result.query.name for _ in several),
                hit.rank,
                f"{hit.score:.4f}",
                hit.photo_id,
                hit.product_id,
                *(column.read(hit) for column in columns),
                hit.path,
            )
            for result in results
            for hit in result
        ),
        numbers=("rank", "score", "photo", *names),
        title=title,
    )
    for result in results:
        if result.no_match and result.confidence is not None:
            name = f"{result.query.name}: " if several and result.query is not None else ""
            likely = "probably" if result.confidence < 0.5 else "possibly"
            message(
                f"{name}the product is {likely} not among these photos (no match: confidence "
                f"{result.confidence:.3f})"
            )
