"""The approximate index: a graph of near neighbours (HNSW) over float16 vectors, built once.

FAISS (extra `shoplens[ann]`) builds and searches it. Its file never changes, and processes map it
into memory for reading only, so any number of them share one copy. An index says nothing about the
neighbours that it misses: so each one is calibrated against the exact answer.
"""

from __future__ import annotations

import time
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from shoplens.catalog.embedded.scan import Block, candidates, candidates_each
from shoplens.cores import usable_cores
from shoplens.errors import CatalogError, MissingError, reason_of
from shoplens.progress import Progress, silent
from shoplens.records import Vector, Vectors

_FILE = "hnsw.faiss"
_LINKS = 32
"""Links of a row (HNSW's M)."""
_BREADTH = 100
"""Rows that are looked at for the links of a new one (HNSW's efConstruction)."""
_BATCH = 16_384
"""Rows that are added at a time."""

_DEPTH = 100
"""A calibration is of recall@100."""
_PROBES = 200
"""Queries of a calibration."""
_MOVED = 0.3
"""How much of another vector is added to one for a query."""
_EFS = (100, 125, 150, 200, 300, 400, 600, 800, 1200, 1600)
_ENOUGH = 0.999
"""No larger ef is tried once this recall is reached."""


def graph_available() -> bool:
    """Return whether the extra `[ann]` is installed."""
    return find_spec("faiss") is not None


def build_graph(matrix: npt.NDArray[np.float16], folder: Path, progress: Progress = silent) -> None:
    """Build the index of n vectors.

    Args:
        matrix: (n, d) float16 of unit length, in memory or mapped.
        folder: is made for the index.
        progress: told how many vectors are linked.

    Raises:
        MissingError: the extra `[ann]` is not installed.
        CatalogError: the index cannot be written.
    """
    faiss = _faiss()
    n, dimension = matrix.shape
    index = faiss.IndexHNSWSQ(
        dimension, faiss.ScalarQuantizer.QT_fp16, _LINKS, faiss.METRIC_INNER_PRODUCT
    )
    index.hnsw.efConstruction = _BREADTH
    with _all_cores(faiss):
        for start in range(0, n, _BATCH):
            index.add(np.asarray(matrix[start : start + _BATCH], dtype=np.float32))
            progress("index", min(start + _BATCH, n), n)
    try:
        folder.mkdir()
        faiss.write_index(index, str(folder / _FILE))
    except (OSError, RuntimeError) as error:
        raise CatalogError(f"{folder}: the index cannot be written: {reason_of(error)}") from error


class Graph:
    """An index that is open for searching. Threads may search it at the same time."""

    def __init__(self, index: Any) -> None:
        self._index = index
        self._parameters = _faiss().SearchParametersHNSW

    @classmethod
    def open(cls, folder: Path, n: int, d: int) -> Graph:
        """Open the index of n vectors with d dimensions.

        Raises:
            MissingError: the extra `[ann]` is not installed.
            CatalogError: the index is not there, damaged, or of other vectors.
        """
        faiss = _faiss()
        path = folder / _FILE
        try:
            index = faiss.read_index(str(path), faiss.IO_FLAG_MMAP_IFC)
        except (OSError, RuntimeError, MemoryError) as error:
            raise CatalogError(f"{path} cannot be read: {reason_of(error)}") from error
        if not isinstance(index, faiss.IndexHNSWSQ) or (index.ntotal, index.d) != (n, d):
            raise CatalogError(
                f"{path} holds {index.ntotal:,} vectors of {index.d} dimensions; it should be an "
                f"index of {n:,} of {d}"
            )
        return cls(index)

    def search(self, query: Vector, k: int, ef: int) -> npt.NDArray[np.int64]:
        """Return the positions of near vectors, best first.

        Args:
            query: (d,) float32.
            k: how many, at least 1.
            ef: how many candidates the search keeps; more find more of the nearest, and take
                longer. It is at least k.

        Returns:
            (m,) int64, m <= k. It is k unless there are fewer vectors, or not all can be reached.

        Raises `CatalogError` after `close`.
        """
        index = self._index
        if index is None:
            raise CatalogError("this index is closed")
        parameters = self._parameters(efSearch=max(k, ef))
        found = index.search(query[None], k, params=parameters)[1][0]
        return np.asarray(found[found >= 0], dtype=np.int64)

    def close(self) -> None:
        """Give back the file, once searches that still run are done."""
        self._index = None


@dataclass(frozen=True, slots=True)
class Calibration:
    """What an index finds and how long it takes, on the machine that built it."""

    n_rows: int
    efs: tuple[int, ...]
    """In rising order."""
    recalls: tuple[float, ...]
    """For each ef, the share of the 100 nearest that is found."""
    milliseconds: tuple[float, ...]
    """For each ef, of one search, the median."""
    exact_nanoseconds: float
    """Of comparing one vector, in a scan of all."""

    def ef_for(self, recall: float) -> int:
        """Return the smallest ef that reaches a recall; the number of rows if none does, with
        which a search is slower than comparing all."""
        for ef, reached in zip(self.efs, self.recalls, strict=True):
            if reached >= recall:
                return ef
        return self.n_rows

    def milliseconds_at(self, ef: int) -> float:
        """Return about how long a search takes."""
        largest = self.efs[-1]
        if ef > largest:
            return self.milliseconds[-1] * ef / largest
        return float(np.interp(ef, self.efs, self.milliseconds))


def calibrate(graph: Graph, matrix: npt.NDArray[np.float16], seed: int = 0) -> Calibration:
    """Measure an index against the exact answer.

    Args:
        graph: the index of `matrix`.
        matrix: (n, d) float16 of unit length, n > 0.
        seed: of the choice of queries.

    Returns:
        Recall and time of the index, and the time of a scan.
    """
    probes = _probes(matrix, np.random.default_rng(seed))
    depth = min(_DEPTH, len(matrix))
    block = Block(matrix, None, 0.0)
    nearest = []
    for [(_, positions, scores)] in candidates_each(probes, [block], depth):
        nearest.append(positions[np.argsort(-scores, kind="stable")[:depth]])
    exact_seconds = []
    for probe in probes[:5]:
        started = time.perf_counter()
        candidates(probe, [block], depth)
        exact_seconds.append(time.perf_counter() - started)
    efs, recalls, milliseconds = [], [], []
    for ef in _EFS:
        n_found = 0
        seconds = []
        for probe, expected in zip(probes, nearest, strict=True):
            started = time.perf_counter()
            found = graph.search(probe, depth, ef)
            seconds.append(time.perf_counter() - started)
            n_found += len(np.intersect1d(found, expected, assume_unique=True))
        efs.append(ef)
        recalls.append(n_found / (depth * len(probes)))
        milliseconds.append(float(np.median(seconds)) * 1e3)
        if recalls[-1] >= _ENOUGH:
            break
    return Calibration(
        len(matrix),
        tuple(efs),
        tuple(recalls),
        tuple(milliseconds),
        float(np.median(exact_seconds)) * 1e9 / len(matrix),
    )


def _probes(matrix: npt.NDArray[np.float16], rng: np.random.Generator) -> Vectors:
    """Return queries like those to come: vectors that are there, each moved towards another one.

    Noise in all directions would hardly change which vectors are the nearest.
    """
    ones, others = rng.integers(0, len(matrix), (2, _PROBES))
    mixed = matrix[ones].astype(np.float32) + _MOVED * matrix[others].astype(np.float32)
    lengths = np.linalg.norm(mixed, axis=1, keepdims=True)
    return np.asarray(mixed / np.where(lengths == 0, 1, lengths), dtype=np.float32)


@contextmanager
def _all_cores(faiss: Any) -> Iterator[None]:
    """Let FAISS use the cores of this process, for the thread that asks."""
    earlier = faiss.omp_get_max_threads()
    faiss.omp_set_num_threads(usable_cores())
    try:
        yield
    finally:
        faiss.omp_set_num_threads(earlier)


def _faiss() -> Any:
    try:
        with warnings.catch_warnings():
            # Older versions (SWIG's part of them) warn, and crash where warnings are errors.
            warnings.simplefilter("ignore")
            return import_module("faiss")
    except ImportError as error:
        raise MissingError(
            "an approximate index needs FAISS: pip install 'shoplens[ann]'"
        ) from error
