"""Find the nearest rows of a snapshot: by comparing all, or by an index where that is quicker.

Both give candidates. Their vectors are then read from the store, where each has a checksum, and
the scores are computed from those (see `shoplens.similarities`). So a score is the same whichever
way a photo was found.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from shoplens.catalog.embedded.reading import Reading
from shoplens.catalog.embedded.scan import Block, candidates_each
from shoplens.catalog.embedded.segments import Mask, Segment
from shoplens.catalog.embedded.snapshot import Snapshot
from shoplens.catalog.entry import Entry
from shoplens.catalog.filters import Filter
from shoplens.catalog.neighbours import Neighbours
from shoplens.catalog.scoring import score_entries
from shoplens.errors import CatalogError
from shoplens.records import Vector, Vectors

RECALL = 0.99
"""The recall@100 at which an index is searched."""
_FILTER_SLACK = 1.3
"""An index knows no filter: so much more than the filter's share is asked for."""
_REGION_SLACK = 2
"""How much more than the vectors of k photos an index is asked for: the score of a photo is below
that of its best vector, so one of a photo that is not among the best may come before."""
_GATHER_COST = 8
"""Picking a row out costs as much as comparing so many in a row."""
_MARGIN = 2e-3
"""More than what float16 changes in a score."""


@dataclass(frozen=True, slots=True, eq=False)
class _Searched:
    """A layer with the rows of it that may be found."""

    segment: Segment
    allowed: Mask | None
    n_allowed: int

    @property
    def block(self) -> Block:
        """The same, for a scan."""
        segment = self.segment
        return Block(segment.matrix, self.allowed, segment.error, segment.starts)

    @property
    def vectors_each(self) -> float:
        """How many vectors a row has, on average."""
        return len(self.segment.matrix) / len(self.segment)

    def index_depth(self, k: int) -> int | None:
        """Return how many vectors to ask the index for; None where comparing all is quicker."""
        calibration = self.segment.calibration
        if self.segment.graph is None or calibration is None:
            return None
        depth = min(k, self.n_allowed)
        if self.allowed is not None:
            depth = int(depth * len(self.segment) / self.n_allowed * _FILTER_SLACK) + 16
        if self.segment.starts is not None:
            depth = int(depth * self.vectors_each * _REGION_SLACK) + 16
        return depth if self.is_quicker(depth) else None

    def is_quicker(self, depth: int) -> bool:
        """Whether asking the index is quicker than comparing all rows that may be found."""
        calibration = self.segment.calibration
        if calibration is None or depth > len(self.segment.matrix):
            return False
        ef = max(depth, calibration.ef_for(RECALL))
        return calibration.milliseconds_at(ef) < self.exact_milliseconds()

    def exact_milliseconds(self) -> float:
        """Return what comparing all rows that may be found takes."""
        calibration = self.segment.calibration
        n_compared = min(len(self.segment), _GATHER_COST * self.n_allowed) * self.vectors_each
        return 0.0 if calibration is None else n_compared * calibration.exact_nanoseconds / 1e6


def nearest_rows(
    reading: Reading,
    snapshot: Snapshot,
    vectors: Vectors,
    k: int,
    where: Filter | None,
    exact: bool,
) -> list[Neighbours]:
    """Return the k nearest entries of each of several vectors (see `Catalog`)."""
    searched = []
    for layer in snapshot.layers:
        allowed = layer.allowed(where)
        n_allowed = len(layer.segment) if allowed is None else int(np.count_nonzero(allowed))
        if n_allowed:
            searched.append(_Searched(layer.segment, allowed, n_allowed))
    n_allowed = sum(one.n_allowed for one in searched)
    k = min(k, n_allowed)
    if not k:
        return [Neighbours((), exact=True, exhausted=True) for _ in vectors]
    depths = [None if exact else one.index_depth(k) for one in searched]
    scanned = [one for one, depth in zip(searched, depths, strict=True) if depth is None]
    found = (
        candidates_each(vectors, [one.block for one in scanned], k)
        if scanned
        else [[] for _ in vectors]
    )
    results = []
    for query, candidates in zip(vectors, found, strict=True):
        rows = [scanned[number].segment.rows[positions] for number, positions, _ in candidates]
        scores = [approximate for _, _, approximate in candidates]
        for one, depth in zip(searched, depths, strict=True):
            if depth is not None:
                positions = _from_index(one, query, min(k, one.n_allowed), depth)
                rows.append(one.segment.rows[positions])
                scores.append(one.segment.scores(positions, query))
        best = _best(reading, query, np.concatenate(rows), np.concatenate(scores), k)
        results.append(
            Neighbours(best, exact=len(scanned) == len(searched), exhausted=n_allowed <= k)
        )
    return results


def _from_index(one: _Searched, query: Vector, k: int, depth: int) -> npt.NDArray[np.int64]:
    """Return positions of the k nearest rows, and maybe more, as far as the index finds them."""
    segment = one.segment
    assert segment.graph is not None
    assert segment.calibration is not None
    while one.is_quicker(depth):
        ef = max(depth, segment.calibration.ef_for(RECALL))
        positions = segment.graph.search(query, depth, ef)
        if segment.starts is not None:
            positions = np.unique(segment.owners[positions])
        if one.allowed is not None:
            positions = positions[one.allowed[positions]]
        if len(positions) >= k:
            return positions[:k] if segment.starts is None else positions
        depth *= 4
    # What passes the filter is far from the query: the index would look for it for long.
    [candidates] = candidates_each(query[None], [one.block], k)
    return np.concatenate([positions for _, positions, _ in candidates])


def _best(
    reading: Reading,
    query: Vector,
    rows: npt.NDArray[np.int64],
    approximate: npt.NDArray[np.float32],
    k: int,
) -> tuple[tuple[Entry, float], ...]:
    """Return the k best of some rows, with the scores of their vectors in the store."""
    if len(rows) > k:
        last = np.partition(approximate, -k)[-k]
        rows = rows[approximate >= last - _MARGIN]
    found = list(require_rows(reading.rows_at(rows.tolist()), rows.tolist()).values())
    scores = score_entries(query, found)
    order = np.argsort(-scores, kind="stable")[:k]
    return tuple((found[position], float(scores[position])) for position in order.tolist())


def require_rows(found: Mapping[int, Entry], rows: Sequence[int]) -> dict[int, Entry]:
    """Return entries by the numbers of their rows, in rising order.

    Raises `CatalogError` if one of `rows` was not found.
    """
    if len(found) < len(rows):
        raise CatalogError(
            f"a segment holds row {min(set(rows) - set(found))}, which is not in the store: "
            "`shoplens catalog verify --repair` makes the segments again"
        )
    return dict(sorted(found.items()))
