"""Exact ranking: for every query the most similar gallery photos, best first.

A matrix product rounds a pair differently depending on where in its block the pair happens to
stand. So components are first rounded to multiples of 2^-26: their products are multiples of
2^-52, and sums of them up to 2 (unit vectors stay below) fit float64 without any rounding, in
whatever order they are added. The same two vectors get the same score however many others are
ranked beside them and on every machine, and photos with equal vectors tie and stand in gallery
order. The rounding moves a score by less than a float32 can show.
"""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from shoplens._version import __version__
from shoplens.errors import MissingError, RankingError
from shoplens.files import replacing
from shoplens.progress import Progress, silent
from shoplens.vectors import Embeddings, Vectors, check_same_model

DEPTH = 1000
"""Length of a row in the challenge's answer: the metric looks no further."""

BLOCK_BYTES = 256 * 2**20
"""Size of the block of scores held at a time."""

_WIDE_ROWS = 8192
"""Vectors of a side that are held in float64 at a time."""

_GRID = 2.0**26
"""Components are rounded to multiples of 1 / _GRID, see above."""


@dataclass(frozen=True, slots=True, eq=False)
class Ranking:
    """For each query a row of gallery ids, best first.

    Raises `RankingError` when the arrays' shapes do not belong together.
    """

    query_ids: npt.NDArray[np.int32]
    """(q,) int32, in the order of the queries."""
    ids: npt.NDArray[np.int32]
    """(q, k) int32, unique within a row."""
    scores: npt.NDArray[np.float32] | None
    """(q, k) float32, cosine similarities, falling along a row; -inf for photos that could not be
    compared. None when only the ids are known."""
    model_name: str | None = None
    fingerprint: str | None = None
    chain: tuple[str, ...] = ()
    """The steps that made the ranking, in order."""
    batch_side: bool = False
    """Whether a step used the other queries of the run."""
    n_failed: Mapping[str, int] = field(default_factory=dict)
    """`queries` and `gallery`: how many photos could not be compared."""
    seconds: Mapping[str, float] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if self.ids.ndim != 2 or len(self.ids) != len(self.query_ids):
            raise RankingError(
                f"{len(self.query_ids)} queries need ids of shape (q, k), got {self.ids.shape}"
            )
        if self.scores is not None and self.scores.shape != self.ids.shape:
            raise RankingError(f"scores {self.scores.shape} do not fit ids {self.ids.shape}")

    def __len__(self) -> int:
        return len(self.query_ids)

    @classmethod
    def load(cls, path: str | Path, query_ids: npt.NDArray[np.int32]) -> Ranking:
        """Read a saved ranking or an answer array.

        Args:
            path: `.npz` as `save` writes it, or `.npy`: integers (q, k), or floats that hold
                integers, row r for query r.
            query_ids: (q,) int32, the queries the rows must be for, in order.

        Returns:
            A `Ranking`; of an `.npy` only the ids are known.

        Raises:
            MissingError: no such file.
            RankingError: not such a file, or not for these queries.
        """
        path = Path(path)
        if not path.is_file():
            raise MissingError(f"ranking {path} is not there")
        try:
            with path.open("rb") as stream:
                loaded = np.load(stream, allow_pickle=False)
                if isinstance(loaded, np.ndarray):
                    return cls(query_ids, _integer_ids(loaded, len(query_ids), path), None)
                arrays = {name: loaded[name] for name in ("ids", "scores", "query_ids", "meta")}
            meta = json.loads(str(arrays["meta"]))
            told = {
                "model_name": meta["model"]["name"],
                "fingerprint": meta["model"]["fingerprint"],
                "chain": tuple(meta["chain"]),
                "batch_side": meta["batch_side"],
                "n_failed": meta["n_failed"],
            }
        except RankingError:
            raise
        except Exception as error:  # A damaged zip or header can raise almost anything.
            raise RankingError(f"{path} is no ranking in .npy or .npz: {error}") from error
        if not np.array_equal(arrays["query_ids"], query_ids):
            raise RankingError(f"{path} ranks other queries, or the same in another order")
        scores = arrays["scores"]
        if scores.size and scores.dtype.kind != "f":
            raise RankingError(f"{path} holds scores of type {scores.dtype}, needed are floats")
        return cls(
            query_ids,
            _integer_ids(arrays["ids"], len(query_ids), path),
            scores.astype(np.float32) if scores.size else None,
            **told,
        )

    def save(self, path: str | Path) -> None:
        """Write `.npy` (ids alone, the challenge's answer) or `.npz` (everything), by suffix.

        Raises `RankingError` for another suffix.
        """
        path = Path(path)
        if path.suffix not in (".npy", ".npz"):
            raise RankingError(f"{path}: a ranking is written as .npy (ids) or .npz (with scores)")
        with replacing(path) as stream:
            if path.suffix == ".npy":
                np.save(stream, self.ids)
            else:
                scores = np.empty((0, 0), np.float32) if self.scores is None else self.scores
                np.savez(
                    stream,
                    ids=self.ids,
                    scores=scores,
                    query_ids=self.query_ids,
                    meta=np.array(json.dumps(self._meta())),
                )

    def _meta(self) -> dict[str, Any]:
        return {
            "model": {"name": self.model_name, "fingerprint": self.fingerprint},
            "chain": list(self.chain),
            "batch_side": self.batch_side,
            "version": __version__,
            "n_failed": dict(self.n_failed),
        }


def rank(
    queries: Embeddings,
    gallery: Embeddings,
    *,
    depth: int = DEPTH,
    block_bytes: int = BLOCK_BYTES,
    progress: Progress = silent,
) -> Ranking:
    """Rank the gallery for every query, exactly.

    A query without a vector gets the gallery in its order with scores of -inf. Gallery photos
    without a vector come last in every row, in gallery order, with scores of -inf.

    Args:
        queries: q vectors (q, d).
        gallery: n vectors (n, d), n > 0.
        depth: length of the rows; min(depth, n) are returned.
        block_bytes: size of the block of scores held at a time; bounds memory, changes nothing.
        progress: told how many queries are done.

    Returns:
        A `Ranking` of shape (q, min(depth, n)); equal scores stand in gallery order.

    Raises:
        RankingError: the vectors come from different models, or the gallery is empty.
    """
    check_same_model(queries, gallery)
    if not len(gallery):
        raise RankingError("the gallery is empty: there is nothing to rank")
    if depth < 1:
        raise RankingError(f"depth must be at least 1, got {depth}")
    started = time.perf_counter()
    k = min(depth, len(gallery))
    ids = np.empty((len(queries), k), dtype=np.int32)
    scores = np.full((len(queries), k), -np.inf, dtype=np.float32)
    present = np.flatnonzero(gallery.has_vector)
    vectors = gallery.vectors if len(present) == len(gallery) else gallery.vectors[present]
    absent_ids = gallery.ids[~gallery.has_vector]
    ranked = min(k, len(present))
    usable = np.flatnonzero(queries.has_vector)
    ids[~queries.has_vector] = gallery.ids[:k]
    step = min(_WIDE_ROWS, max(1, block_bytes // (4 * max(1, len(present)))))
    for start in range(0, len(usable), step):
        rows = usable[start : start + step]
        for row, similarities in zip(
            rows, _similarities(queries.vectors[rows], vectors), strict=True
        ):
            best = _top(similarities, ranked)
            ids[row, :ranked] = gallery.ids[present[best]]
            scores[row, :ranked] = similarities[best]
            ids[row, ranked:] = absent_ids[: k - ranked]
        progress("rank", start + len(rows), len(usable))
    return Ranking(
        queries.ids,
        ids,
        scores,
        chain=("exact",),
        model_name=gallery.model_name,
        fingerprint=gallery.fingerprint,
        n_failed={"queries": len(queries.failures), "gallery": len(gallery.failures)},
        seconds={"rank": time.perf_counter() - started},
    )


def _similarities(queries: Vectors, gallery: Vectors) -> Vectors:
    """Return the dot products (q, n), computed exactly and rounded to float32."""
    block = np.empty((len(queries), len(gallery)), dtype=np.float32)
    wide = _on_grid(queries)
    for start in range(0, len(gallery), _WIDE_ROWS):
        chunk = _on_grid(gallery[start : start + _WIDE_ROWS])
        block[:, start : start + len(chunk)] = wide @ chunk.T
    return block


def _on_grid(vectors: Vectors) -> npt.NDArray[np.float64]:
    wide = vectors.astype(np.float64)
    wide *= _GRID
    np.rint(wide, out=wide)
    wide /= _GRID
    return wide


def _top(similarities: Vectors, k: int) -> npt.NDArray[np.intp]:
    """Return the positions of the k largest of (n,) values, equal ones in order of position."""
    if k == 0:
        return np.empty(0, dtype=np.intp)
    kth = np.partition(similarities, len(similarities) - k)[len(similarities) - k]
    shortlist = np.flatnonzero(similarities >= kth)
    best = np.argsort(-similarities[shortlist], kind="stable")[:k]
    return shortlist[best]


def _integer_ids(array: npt.NDArray[Any], n_queries: int, path: Path) -> npt.NDArray[np.int32]:
    if array.ndim != 2 or len(array) != n_queries:
        raise RankingError(
            f"{path} holds an array of shape {array.shape}; needed are {n_queries} rows, "
            "one a query in the order of queries.csv"
        )
    if array.dtype.kind not in "iuf":
        raise RankingError(f"{path} holds {array.dtype}, needed are integer ids")
    limits = np.iinfo(np.int32)
    if array.dtype.kind == "f":
        # A float16 or float32 cannot hold the largest int32, so could not be compared with it.
        array = array.astype(np.float64)
    with np.errstate(invalid="ignore"):
        whole = (array >= limits.min) & (array <= limits.max) & (array == np.floor(array))
    if not whole.all():
        row, column = (int(i) for i in np.argwhere(~whole)[0])
        raise RankingError(
            f"{path}: {int((~whole).sum())} values are no 32-bit ids, the first of them "
            f"{array[row, column]} in row {row}, column {column} (from 0)"
        )
    return array.astype(np.int32)
