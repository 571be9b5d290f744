"""Segments: rows in the form in which they are searched, in memory or as a folder.

A segment is derived from the rows of the store and never changes. Its folder appears whole, and
every file in it has a checksum, which is compared when the segment is opened. One that is damaged
or missing is made again from the store.
"""

from __future__ import annotations

import os
import secrets
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import cached_property
from itertools import compress
from pathlib import Path
from typing import Any, TypeVar

import msgspec
import numpy as np
import numpy.typing as npt
import xxhash

from shoplens.attributes import Value
from shoplens.catalog.embedded.columns import Columns
from shoplens.catalog.embedded.graphs import Calibration, Graph, build_graph, calibrate
from shoplens.catalog.embedded.photo_ids import PhotoIds, hashed
from shoplens.catalog.embedded.reading import Reading, SegmentRange
from shoplens.catalog.embedded.rows import RowBlock
from shoplens.catalog.embedded.vector_places import vector_places
from shoplens.cores import usable_cores
from shoplens.errors import CatalogError, ShoplensError, reason_of
from shoplens.folders import writing_folder
from shoplens.json_text import parse_json
from shoplens.progress import Progress, silent
from shoplens.records import Vector
from shoplens.vectors.regions import fused

FOLDER = "segments"
_MANIFEST = "segment.json"
_ROWS = "rows.npy"
_VECTORS = "vectors.npy"
_STARTS = "starts.npy"
"""Only where rows have several vectors."""
_COLUMNS = "columns"
_GRAPH = "graph"
_HASH_BYTES = 2**22
_THREADS_BYTES = 2**25
"""So much is hashed before threads would have begun."""
_COPY_ROWS = 65_536

Mask = npt.NDArray[np.bool_]
_T = TypeVar("_T")


class _Manifest(msgspec.Struct):
    version: int
    n_rows: int
    dimension: int
    error: float
    files: dict[str, tuple[int, str]]
    """For each file, its size and its XXH3 hash."""
    calibration: Calibration | None = None
    """Of the graph; None where there is no graph."""


_VERSION = 1


@dataclass(frozen=True, eq=False)
class Segment:
    """n rows, in rising order of their numbers."""

    rows: npt.NDArray[np.int64]
    """(n,) the numbers of the rows."""
    matrix: npt.NDArray[np.float16]
    """(v, d) the vectors, rounded to float16."""
    error: float
    """The largest distance of a vector from its rounded form."""
    ids: PhotoIds
    starts: npt.NDArray[np.int64] | None = None
    """(n + 1,) as in `RowBlock`; None where each row has one vector."""
    name: str | None = None
    """Of the folder; None for a segment in memory."""
    graph: Graph | None = None
    calibration: Calibration | None = None
    product_ids: Sequence[str | None] = field(default=(), repr=False)
    """(n,) for a segment in memory."""
    attributes: Sequence[Mapping[str, Value]] = field(default=(), repr=False)
    """(n,) for a segment in memory."""
    stored_columns: Columns | None = field(default=None, repr=False)
    """Both of them, of a segment on disk."""

    def __len__(self) -> int:
        return len(self.rows)

    @cached_property
    def columns(self) -> Columns:
        """Products and attributes, by column."""
        if self.stored_columns is not None:
            return self.stored_columns
        return Columns.build(self.product_ids, self.attributes)

    @cached_property
    def owners(self) -> npt.NDArray[np.int64]:
        """(v,) the position of the row that each vector is of."""
        return np.repeat(np.arange(len(self)), self.counts)

    @cached_property
    def counts(self) -> npt.NDArray[np.int64]:
        """(n,) how many vectors each row has."""
        return np.ones(len(self), np.int64) if self.starts is None else np.diff(self.starts)

    def scores(self, positions: npt.NDArray[np.int64], query: Vector) -> npt.NDArray[np.float32]:
        """Return the approximate scores of some rows with a query."""
        if self.starts is None:
            return np.asarray(self.matrix[positions].astype(np.float32) @ query)
        places, firsts = vector_places(self.starts, positions)
        scores = np.asarray(self.matrix[places].astype(np.float32) @ query)
        return fused(scores[firsts], np.maximum.reduceat(scores, firsts))

    def places(self, positions: npt.NDArray[np.intp]) -> npt.NDArray[np.int64]:
        """Return where the vectors of some rows are, row by row."""
        if self.starts is None:
            return np.asarray(positions, dtype=np.int64)
        return vector_places(self.starts, positions)[0]

    def of_vectors(self, keep: Mask | None) -> Mask | None:
        """Return a mask of rows as one of their vectors."""
        return keep if keep is None or self.starts is None else np.repeat(keep, self.counts)

    def positions(self, rows: npt.NDArray[np.int64]) -> npt.NDArray[np.intp]:
        """Return where those of `rows` are that the segment holds."""
        if not len(self.rows) or not len(rows):
            return np.empty(0, dtype=np.intp)
        found = np.searchsorted(self.rows, rows)
        found[found == len(self.rows)] = 0
        return np.asarray(found[self.rows[found] == rows])


def segment_of(block: RowBlock) -> Segment:
    """Return a segment in memory."""
    matrix = block.vectors.astype(np.float16)
    single = len(block.vectors) == len(block)
    distances = np.linalg.norm(block.vectors - matrix, axis=1)
    return Segment(
        block.rows,
        matrix,
        float(distances.max(initial=0)),
        PhotoIds.of_hashes(hashed(block.photo_ids)),
        None if single else block.starts,
        product_ids=block.product_ids,
        attributes=block.attributes,
    )


def joined_in_memory(parts: Sequence[tuple[Segment, Mask | None]]) -> Segment:
    """Return one segment in memory of the kept rows of several that are in memory."""
    return Segment(
        np.concatenate([_kept(segment.rows, keep) for segment, keep in parts]),
        np.concatenate(
            [_kept(segment.matrix, segment.of_vectors(keep)) for segment, keep in parts]
        ),
        max(segment.error for segment, _ in parts),
        _joined_ids(parts),
        _joined_starts(parts),
        product_ids=_joined([(segment.product_ids, keep) for segment, keep in parts]),
        attributes=_joined([(segment.attributes, keep) for segment, keep in parts]),
    )


def write_segment(
    parts: Sequence[tuple[Segment, Mask | None]],
    folder: Path,
    *,
    with_graph: bool = False,
    progress: Progress = silent,
) -> SegmentRange:
    """Write the kept rows of several segments, in order of their rows, as one.

    Args:
        parts: segments with masks of the rows to keep; None keeps all.
        folder: of all segments.
        with_graph: whether to build an approximate index.
        progress: told how far that is.

    Returns:
        The name of the new segment's folder, its first row and its last.

    Raises `ShoplensError` if it cannot be written; then nothing of it is left.
    """
    rows = np.concatenate([_kept(segment.rows, keep) for segment, keep in parts])
    dimension = parts[0][0].matrix.shape[1]
    name = f"{rows[0]}-{rows[-1]}-{secrets.token_hex(4)}"
    folder.mkdir(exist_ok=True)
    with writing_folder(folder / name) as made:
        np.save(made / _ROWS, rows)
        starts = _joined_starts(parts)
        if starts is not None:
            np.save(made / _STARTS, starts)
        n_vectors = len(rows) if starts is None else int(starts[-1])
        _write_matrix(made / _VECTORS, parts, (n_vectors, dimension))
        _joined_ids(parts).save(made)
        Columns.concatenate([(segment.columns, keep) for segment, keep in parts]).save(
            made / _COLUMNS
        )
        calibration = None
        if with_graph:
            matrix = np.load(made / _VECTORS, mmap_mode="r")
            build_graph(matrix, made / _GRAPH, progress)
            graph = Graph.open(made / _GRAPH, n_vectors, dimension)
            try:
                calibration = calibrate(graph, matrix)
            finally:
                graph.close()
        manifest = _Manifest(
            _VERSION,
            len(rows),
            dimension,
            max(segment.error for segment, _ in parts),
            _hashes(made),
            calibration,
        )
        (made / _MANIFEST).write_bytes(msgspec.json.encode(manifest))
    return SegmentRange(name, int(rows[0]), int(rows[-1]))


def segments_of_store(
    reading: Reading, folder: Path, dimension: int, *, after: int = 0, until: int | None = None
) -> list[SegmentRange]:
    """Write the rows of the store as segments, a part at a time, without an index.

    Args:
        reading: where to read them.
        folder: of all segments.
        dimension: of the vectors.
        after: take rows with higher numbers.
        until: and up to this one; None for all.
    """
    made = []
    while len(block := reading.block(dimension, after, until, _COPY_ROWS)):
        made.append(write_segment([(segment_of(block), None)], folder))
        after = made[-1].last_row
    return made


def open_segment(folder: Path) -> Segment:
    """Open a segment, and check every byte of it.

    Raises `CatalogError` if it is damaged or not there.
    """
    try:
        text = (folder / _MANIFEST).read_bytes()
    except OSError as error:
        raise CatalogError(f"{folder}: {error.strerror or error}") from error
    manifest = parse_json(text, _Manifest, str(folder / _MANIFEST), CatalogError)
    if manifest.version != _VERSION:
        raise CatalogError(f"{folder} is of another version of shoplens")
    if faults := file_faults(folder, manifest.files):
        raise CatalogError(f"{folder}: {faults[0]}")
    try:
        rows = np.load(folder / _ROWS)
        matrix = np.load(folder / _VECTORS, mmap_mode="r")
        ids = PhotoIds.load(folder)
        starts = np.load(folder / _STARTS) if _STARTS in manifest.files else None
    except (OSError, ValueError) as error:
        raise CatalogError(f"{folder}: {reason_of(error)}") from error
    # At once: a writer may remove the folder while it is searched.
    columns = Columns.load(folder / _COLUMNS)
    graph = None
    if manifest.calibration is not None:
        try:
            graph = Graph.open(folder / _GRAPH, len(matrix), manifest.dimension)
        except ShoplensError:
            # Without the extra, or where it does not open, the segment is searched exactly.
            graph = None
    return Segment(
        rows,
        matrix,
        manifest.error,
        ids,
        starts,
        name=folder.name,
        graph=graph,
        calibration=manifest.calibration,
        stored_columns=columns,
    )


def rows_of_segment(folder: Path) -> npt.NDArray[np.int64]:
    """Return the numbers of the rows of a segment that was just written.

    Raises `CatalogError` if they cannot be read.
    """
    try:
        return np.asarray(np.load(folder / _ROWS), dtype=np.int64)
    except (OSError, ValueError) as error:
        raise CatalogError(f"{folder}: {reason_of(error)}") from error


def file_faults(folder: Path, files: dict[str, tuple[int, str]]) -> list[str]:
    """Return what is wrong with the files of a segment."""

    def fault(item: tuple[str, tuple[int, str]]) -> str | None:
        name, (size, digest) = item
        try:
            if (folder / name).stat().st_size != size:
                return f"{name} has another size than it was written with"
            return None if _hash(folder / name) == digest else f"{name} is damaged"
        except OSError as error:
            return f"{name}: {error.strerror or error}"

    if sum(size for size, _ in files.values()) < _THREADS_BYTES:
        return [found for found in map(fault, files.items()) if found is not None]
    with ThreadPoolExecutor(usable_cores()) as pool:
        return [found for found in pool.map(fault, files.items()) if found is not None]


def _hashes(folder: Path) -> dict[str, tuple[int, str]]:
    return {
        file.relative_to(folder).as_posix(): (file.stat().st_size, _hash(file))
        for file in sorted(folder.rglob("*"))
        # What an index keeps empty is a lock.
        if file.is_file() and file.stat().st_size
    }


def _hash(file: Path) -> str:
    digest = xxhash.xxh3_64()
    with file.open("rb") as stream:
        if hasattr(os, "posix_fadvise"):
            os.posix_fadvise(stream.fileno(), 0, 0, os.POSIX_FADV_SEQUENTIAL)
        while block := stream.read(_HASH_BYTES):
            digest.update(block)
    return digest.hexdigest()


def _write_matrix(
    file: Path, parts: Sequence[tuple[Segment, Mask | None]], shape: tuple[int, int]
) -> None:
    header: dict[str, Any] = {"descr": "<f2", "fortran_order": False, "shape": shape}
    with file.open("wb") as stream:
        np.lib.format.write_array_header_1_0(stream, header)
        for block in _blocks(parts):
            stream.write(np.ascontiguousarray(block, dtype="<f2").tobytes())


def _blocks(parts: Sequence[tuple[Segment, Mask | None]]) -> Iterator[npt.NDArray[np.float16]]:
    for segment, rows in parts:
        keep = segment.of_vectors(rows)
        for start in range(0, len(segment.matrix), _COPY_ROWS):
            block = slice(start, start + _COPY_ROWS)
            yield _kept(segment.matrix[block], None if keep is None else keep[block])


def _joined_starts(
    parts: Sequence[tuple[Segment, Mask | None]],
) -> npt.NDArray[np.int64] | None:
    if all(segment.starts is None for segment, _ in parts):
        return None
    counts = np.concatenate([_kept(segment.counts, keep) for segment, keep in parts])
    if (counts == 1).all():
        return None
    return np.concatenate(([0], np.cumsum(counts))).astype(np.int64)


def _joined_ids(parts: Sequence[tuple[Segment, Mask | None]]) -> PhotoIds:
    return PhotoIds.of_hashes(
        np.concatenate([_kept(segment.ids.hashes, keep) for segment, keep in parts])
    )


def _joined(parts: Sequence[tuple[Sequence[_T], Mask | None]]) -> list[_T]:
    return [
        value
        for values, keep in parts
        for value in (values if keep is None else compress(values, keep.tolist()))
    ]


def _kept(values: npt.NDArray[Any], keep: Mask | None) -> npt.NDArray[Any]:
    return values if keep is None else values[keep]
