"""What `shoplens search` found."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from shoplens.cli.console import Results
from shoplens.hits import SearchResult
from shoplens.records import Photo


@dataclass(frozen=True, slots=True)
class Found:
    """The results, and what the outputs say beside them."""

    results: Sequence[SearchResult]
    is_single: bool
    title: str
    failures: Mapping[str, Any]
    """What JSON adds: photos that failed."""
    pictures: Sequence[tuple[Photo, Sequence[Photo]]] = ()
    """For a page: each result's query, and the photos of its hits."""

    def to_json(self) -> dict[str, Any]:
        """Return what `--json` writes."""
        if self.is_single:
            return {**self.results[0].to_json(), **self.failures}
        return {
            "results": [
                {"query": {"id": result.query.id, "path": result.query.name}, **result.to_json()}
                for result in self.results
                if result.query is not None
            ],
            **self.failures,
        }


def print_facets(shown: Results, result: SearchResult) -> None:
    """Print how many photos have which value of an attribute."""
    shown.table(
        ("attribute", "value", "photos"),
        (
            (name, "null" if value is None else value, count)
            for name, counts in (result.facets or {}).items()
            for value, count in counts.items()
        ),
        numbers=("photos",),
    )
