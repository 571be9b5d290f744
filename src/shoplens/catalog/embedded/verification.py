"""Check every stored row, and everything that is derived from the rows."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path

import numpy as np

from shoplens.catalog.checks import UNIT_TOLERANCE
from shoplens.catalog.embedded.first_page import schema_faults
from shoplens.catalog.embedded.photo_ids import hashed
from shoplens.catalog.embedded.reading import Reading, SegmentRange
from shoplens.catalog.embedded.rows import Row
from shoplens.catalog.embedded.segments import FOLDER, Segment, open_segment
from shoplens.catalog.embedded.store import FILE, Store
from shoplens.catalog.model_stamp import ModelStamp
from shoplens.catalog.verification import CatalogFault, Verification
from shoplens.errors import CatalogError
from shoplens.progress import Progress

_ROWS = 1000
"""Rows that are read at a time."""
_PROBES = 100
"""Rows of an index that must find themselves."""
_FOUND_SHARE = 0.95
"""Share of them that do in a sound index: it is approximate."""


@dataclass(slots=True)
class Found:
    """What verification found."""

    n_photos: int = 0
    store_faults: list[CatalogFault] = field(default_factory=list)
    segment_faults: list[CatalogFault] = field(default_factory=list)
    damaged_segments: list[str] = field(default_factory=list)
    """Names of segments that have to be made again."""

    def verification(self) -> Verification:
        """Return the result."""
        return Verification((*self.store_faults, *self.segment_faults), self.n_photos)

    def add_segment(self, name: str, problem: str) -> None:
        """Count a fault of a segment."""
        self.segment_faults.append(CatalogFault(f"{FOLDER}/{name}", problem))
        self.damaged_segments.append(name)


def verify_catalog(folder: Path, store: Store, progress: Progress) -> Found:
    """Check a catalogue."""
    found = Found()
    problems, found.n_photos = verify_store(store, progress)
    found.store_faults = [CatalogFault(FILE, problem) for problem in problems]
    try:
        with store.reading() as reading:
            for one in reading.segments():
                try:
                    segment = open_segment(folder / FOLDER / one.name)
                except CatalogError as error:
                    found.add_segment(one.name, str(error))
                    continue
                for problem in _segment_faults(one, segment, reading):
                    found.add_segment(one.name, problem)
                if segment.graph is not None:
                    segment.graph.close()
    except CatalogError as error:
        if not found.store_faults:
            found.store_faults.append(CatalogFault(FILE, str(error)))
    return found


def verify_store(store: Store, progress: Progress) -> tuple[list[str], int]:
    """Check the store alone: return what is wrong, and how many rows were checked."""
    problems: list[str] = []
    n_checked = 0
    try:
        with store.reading() as reading:
            problems += [*schema_faults(reading), *reading.structure_faults()]
        with store.reading() as reading:
            reading.failed()
        with store.reading() as reading:
            for problem in _row_problems(reading, progress):
                n_checked += 1
                if problem:
                    problems.append(problem)
    except CatalogError as error:
        problems.append(str(error))
    return problems, n_checked


def _row_problems(reading: Reading, progress: Progress) -> Iterator[str]:
    """Yield what is wrong with each row; an empty text where nothing is."""
    model = reading.model()
    reading.n_regions()
    reading.chain()
    n_photos, n_checked, after = reading.n_photos(), 0, -1
    while rows := reading.raw_rows(after, _ROWS):
        for stored in rows:
            try:
                problem = _row_problem(reading.checked(stored), model)
            except CatalogError:
                problem = "is damaged: its checksum is another"
            yield f"photo {stored[1]!r} (row {stored[0]}) {problem}" if problem else ""
        after = int(str(rows[-1][0]))
        n_checked += len(rows)
        progress("verify", n_checked, n_photos)


def _row_problem(row: Row, model: ModelStamp | None) -> str:
    vectors = row.entry.vectors
    if model is None or vectors.shape[1] != model.dimension:
        return f"has a vector of {vectors.shape[1]} dimensions"
    lengths = np.linalg.norm(vectors.astype(np.float64), axis=1)
    wrong = lengths[np.abs(lengths - 1) > UNIT_TOLERANCE]
    return f"has a vector of length {wrong[0]:g}" if len(wrong) else ""


def _segment_faults(one: SegmentRange, segment: Segment, reading: Reading) -> list[str]:
    """Compare a segment with the rows that it stands for."""
    held = np.zeros(len(segment), dtype=np.bool_)
    rows = iter(reading.rows(one.first_row - 1, one.last_row))
    try:
        while batch := list(islice(rows, _ROWS)):
            numbers = np.array([row.row for row in batch], dtype=np.int64)
            positions = segment.positions(numbers)
            if len(positions) < len(batch):
                lost = numbers[~np.isin(numbers, segment.rows)]
                return [f"row {lost[0]} is missing"]
            held[positions] = True
            vectors = [row.entry.vectors for row in batch]
            ids = hashed([row.entry.photo_id for row in batch])
            if (segment.ids.hashes[positions] != ids).any():
                return ["it has another photo id for a row"]
            counts = segment.counts[positions]
            other = counts != [len(own) for own in vectors]
            if not other.any():
                same = segment.matrix[segment.places(positions)] == np.concatenate(vectors).astype(
                    np.float16
                )
                firsts = np.cumsum(counts) - counts
                other = ~np.logical_and.reduceat(same.all(axis=1), firsts)
            if other.any():
                return [f"row {numbers[other][0]} has another vector"]
    except CatalogError:
        # A damaged row was told already.
        return []
    gone = segment.rows[~held]
    if len(gone) and not np.isin(gone, reading.removed()).all():
        return ["it holds rows that are neither in the store nor removed"]
    return _graph_faults(segment)


def _graph_faults(segment: Segment) -> list[str]:
    if segment.graph is None or segment.calibration is None:
        return []
    n_vectors = len(segment.matrix)
    probes = np.random.default_rng(0).choice(n_vectors, min(_PROBES, n_vectors), replace=False)
    n_found = 0
    for probe in probes.tolist():
        vector = segment.matrix[probe].astype(np.float32)
        found = segment.graph.search(vector / np.linalg.norm(vector), 10, 200)
        # A photo that is there twice may find its double first.
        n_found += probe in found or bool(
            (segment.matrix[found] == segment.matrix[probe]).all(1).any()
        )
    if n_found < _FOUND_SHARE * len(probes):
        return [f"its index finds {n_found} of {len(probes)} vectors when they are searched for"]
    return []
