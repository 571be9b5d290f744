"""Which segments are joined, and which get an approximate index."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from shoplens.catalog.embedded.graphs import graph_available
from shoplens.catalog.embedded.snapshot import Layer, Snapshot

INDEX_ROWS = 50_000
"""So many vectors are searched exactly in a few milliseconds: fewer need no index."""
MOST_SMALL = 16
"""So many small segments there may be before they are joined."""
_SMALL_ROWS = 131_072
_STALE = 0.2
"""The share of rows outside the indexes, or gone from them, from which all is built anew."""


@dataclass(frozen=True, slots=True)
class Job:
    """Neighbouring layers that become one segment."""

    layers: tuple[Layer, ...]
    with_graph: bool


def small_segments(snapshot: Snapshot) -> list[Layer]:
    """Return the small segments without an index at the end, which may become one."""
    small: list[Layer] = []
    for layer in reversed(snapshot.stored):
        if layer.segment.calibration is not None or len(layer.segment) >= _SMALL_ROWS:
            break
        small.insert(0, layer)
    return small


def lacks_index(snapshot: Snapshot) -> bool:
    """Whether there are enough vectors for an index, and the extra for it is not installed."""
    return sum(layer.n_vectors for layer in snapshot.layers) > INDEX_ROWS and not graph_available()


def plan_compaction(snapshot: Snapshot) -> list[Job]:
    """Return what to join.

    One large segment with an index and one small segment without is the form in which a search
    costs least. An index is built anew only when a good part of the catalogue has changed, so that
    the cost of building stays in proportion to what is put in.
    """
    stored = snapshot.stored
    n_alive = sum(layer.n_alive for layer in stored)
    wanted = sum(layer.n_vectors for layer in stored) > INDEX_ROWS and graph_available()
    indexed = [
        layer
        for layer in stored
        if layer.segment.graph is not None and layer.segment.name not in snapshot.damaged
    ]
    n_indexed = sum(layer.n_alive for layer in indexed)
    n_gone = sum(len(layer.segment) - layer.n_alive for layer in indexed)
    if not wanted or n_alive - n_indexed + n_gone > _STALE * n_alive:
        return [] if _is_tidy(stored, wanted, snapshot) else [Job(tuple(stored), wanted)]
    # What came after the last index stays beside it, and is indexed when it is large.
    last = max(position for position, layer in enumerate(stored) if layer in indexed)
    later = stored[last + 1 :]
    with_graph = sum(layer.n_vectors for layer in later) > INDEX_ROWS
    return [] if not later or _is_tidy(later, with_graph, snapshot) else [Job(later, with_graph)]


def _is_tidy(layers: Sequence[Layer], wanted: bool, snapshot: Snapshot) -> bool:
    if not layers:
        return True
    [first, *others] = layers
    return (
        not others
        and first.n_alive == len(first.segment)
        and (first.segment.graph is not None or not wanted)
        and first.segment.name not in snapshot.damaged
    )
