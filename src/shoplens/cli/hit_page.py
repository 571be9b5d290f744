"""The page of hits that `shoplens search --html` writes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import click

from shoplens.hits import Hit, SearchResult
from shoplens.records import Photo

EXPLAINED = 8
"""Hits of a query whose matching parts are shown."""

matches_option = click.option(
    "--matches",
    is_flag=True,
    help=f"On the page of --html, also show which parts of the photo match the first {EXPLAINED} "
    "hits, as the network of lite0-products sees it. It takes as long as embedding these photos.",
)


def write_hit_page(
    file: Path,
    results: Sequence[SearchResult],
    pictures: Sequence[tuple[Photo, Sequence[Photo]]],
    *,
    with_matches: bool,
) -> None:
    """Write the hits of searches as a page with pictures.

    Args:
        file: the page.
        results: of the searches.
        pictures: each result's query, and the photos of its hits.
        with_matches: whether to show which parts of photos match.
    """
    from shoplens.report import Result, Shown, write_page  # noqa: PLC0415  Jinja takes its time.
    from shoplens.report.matches import matches_beside  # noqa: PLC0415

    shown = [
        Shown(
            # The page may be sent to others, whom this machine's folders do not concern.
            replace(query, name=query.path.name),
            f"{query.path.name} · no match" if result.no_match else query.path.name,
            [
                Result(photo, _caption(hit), region=hit.region)
                for hit, photo in zip(result, photos, strict=True)
            ],
            matches_beside(
                query, [(f"why hit {number}", p) for number, p in enumerate(photos[:EXPLAINED], 1)]
            )
            if with_matches
            else (),
        )
        for result, (query, photos) in zip(results, pictures, strict=True)
    ]
    title = f"Search in {results[0].n_gallery:,} photos" if results else "Search"
    facts = [("model", (results[0].model_name if results else None) or "")]
    if results and results[0].chain:
        facts.append(("re-ranked by", f"{' → '.join(results[0].chain)} (gallery-side)"))
    write_page(file, title, facts, shown)


def _caption(hit: Hit) -> str:
    sure = () if hit.confidence is None else (f"confidence {hit.confidence:.2f}",)
    return " · ".join((str(hit.rank), f"{hit.score:.3f}", *sure, hit.path))
