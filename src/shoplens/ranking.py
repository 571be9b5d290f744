"""Exact ranking: the most similar gallery photos for every query, best first.

Photos with equal vectors have equal scores (see `shoplens.similarities`) and stay in gallery order.
"""

from __future__ import annotations

import json
import re
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from shoplens._version import __version__
from shoplens.errors import MissingError, RankingError, reason_of
from shoplens.files import replacing
from shoplens.json_text import parse_object
from shoplens.progress import Progress, silent
from shoplens.records import Vector, Vectors
from shoplens.similarities import grid_scores, on_grid
from shoplens.vectors.embeddings import Embeddings, check_same_model
from shoplens.vectors.regions import MatchedRegions

DEPTH = 1000
"""Length of a row in the challenge's answer."""

BLOCK_BYTES = 128 * 2**20
"""Size of the block of scores in memory at a time."""

_WIDE_ROWS = 8192
"""Number of vectors of each side in float64 at a time."""

_UNIT_TOLERANCE = 1e-3
"""How far from 1 the length of a vector may be."""

_PLAIN_STEP = re.compile(r"exact|(?:regions|query-views)\(\d+\)")
"""A step of a chain that compares vectors once."""

_REGION_ARRAYS = ("region_ids", "region_numbers", "region_boxes")
"""The fields of `Ranking.regions` in an `.npz`."""


@dataclass(frozen=True, slots=True, eq=False)
class Ranking:
    """A row of gallery ids for each query, best first.

    Raises `RankingError` if the shapes of the arrays do not match.
    """

    query_ids: npt.NDArray[np.int32]
    """(q,) int32, in the order of the queries."""
    ids: npt.NDArray[np.int32]
    """(q, k) int32, unique within a row."""
    scores: npt.NDArray[np.float32] | None
    """(q, k) float32, cosine similarities, in descending order; -inf for photos that could not be
    compared. None if only the ids are known."""
    model_name: str | None = None
    fingerprint: str | None = None
    chain: tuple[str, ...] = ()
    """The steps that made the ranking, in order."""
    batch_side: bool = False
    """Whether a step used the other queries of the run."""
    n_failed: Mapping[str, int] = field(default_factory=dict)
    """`queries` and `gallery`: how many photos could not be compared."""
    seconds: Mapping[str, float] = field(default_factory=dict)
    blank: npt.NDArray[np.bool_] | None = None
    """(q, k) bool: places that hold no photo, whatever their id is; they are never a hit. None if
    every place holds a photo."""
    regions: MatchedRegions | None = None
    """Which region of each photo matched best; None if regions were not compared."""

    def __post_init__(self) -> None:
        if self.ids.ndim != 2 or len(self.ids) != len(self.query_ids):
            raise RankingError(
                f"{len(self.query_ids)} queries need ids of shape (q, k); got {self.ids.shape}"
            )
        if self.scores is not None and self.scores.shape != self.ids.shape:
            raise RankingError(f"scores {self.scores.shape} do not match ids {self.ids.shape}")
        if self.blank is not None and (
            self.blank.dtype != np.bool_ or self.blank.shape != self.ids.shape
        ):
            raise RankingError(
                f"blank must be bool {self.ids.shape}; got {self.blank.dtype} {self.blank.shape}"
            )

        if self.regions is not None and len(self.regions.ids) != len(self.query_ids):
            raise RankingError(
                f"{len(self.query_ids)} queries need as many rows of regions; got "
                f"{len(self.regions.ids)}"
            )

    def __len__(self) -> int:
        return len(self.query_ids)

    @classmethod
    def load(cls, path: str | Path, query_ids: npt.NDArray[np.int32] | None = None) -> Ranking:
        """Read a saved ranking or an answer array.

        Args:
            path: `.npz` as `save` writes it, or `.npy` with (q, k) integers, or floats that hold
                integers, with row r for query r. Columns after the 1000th are dropped.
            query_ids: (q,) int32, the queries that the rows must be for, in order. None takes
                those that an `.npz` names.

        Returns:
            A `Ranking`. A `.npy` file only gives the ids.

        Raises:
            MissingError: there is no such file.
            RankingError: the file is not a ranking, or it is for other queries.
        """
        path = Path(path)
        if not path.is_file():
            raise MissingError(f"ranking {path} does not exist")
        try:
            with path.open("rb") as stream:
                loaded = np.load(stream, allow_pickle=False)
                if isinstance(loaded, np.ndarray):
                    if query_ids is None:
                        raise RankingError(
                            f"{path} does not say which queries it ranks: save rankings as .npz"
                        )
                    return cls(query_ids, _integer_ids(loaded, len(query_ids), path), None)
                arrays = {name: loaded[name] for name in ("ids", "scores", "query_ids", "meta")}
                blank = loaded["blank"][:, :DEPTH] if "blank" in loaded else None
                regions = None
                if "region_ids" in loaded:
                    regions = MatchedRegions(*(loaded[name] for name in _REGION_ARRAYS))
            meta = parse_object(str(arrays["meta"]), f"{path}, meta", RankingError)
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
            raise RankingError(
                f"{path} is not a ranking in .npy or .npz: {reason_of(error)}"
            ) from error
        if query_ids is None:
            query_ids = _query_ids(arrays["query_ids"], path)
        elif not np.array_equal(arrays["query_ids"], query_ids):
            raise RankingError(f"{path} ranks other queries, or the same in another order")
        scores = arrays["scores"]
        if scores.size and scores.dtype.kind != "f":
            raise RankingError(f"{path}: scores must be floats; got {scores.dtype}")
        return cls(
            query_ids,
            _integer_ids(arrays["ids"], len(query_ids), path),
            scores[:, :DEPTH].astype(np.float32) if scores.size else None,
            blank=blank,
            regions=regions,
            **told,
        )

    def save(self, path: str | Path) -> None:
        """Write `.npy` (only ids, the challenge's answer) or `.npz` (everything).

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
                further: dict[str, Any] = {} if self.blank is None else {"blank": self.blank}
                if (found := self.regions) is not None:
                    arrays = found.ids, found.numbers, found.boxes
                    further |= dict(zip(_REGION_ARRAYS, arrays, strict=True))
                np.savez(
                    stream,
                    ids=self.ids,
                    scores=scores,
                    query_ids=self.query_ids,
                    meta=np.array(json.dumps(self._meta())),
                    **further,
                )

    def _meta(self) -> dict[str, Any]:
        return {
            "model": {"name": self.model_name, "fingerprint": self.fingerprint},
            "chain": list(self.chain),
            "batch_side": self.batch_side,
            "version": __version__,
            "n_failed": dict(self.n_failed),
        }


def is_reranked(chain: Sequence[str]) -> bool:
    """Whether a step of a chain (`Ranking.chain`) changed the order of a plain ranking."""
    return any(_PLAIN_STEP.fullmatch(step) is None for step in chain)


def rank(
    queries: Embeddings | Vector | Vectors,
    gallery: Embeddings,
    *,
    depth: int = DEPTH,
    block_bytes: int = BLOCK_BYTES,
    progress: Progress = silent,
) -> Ranking:
    """Rank the gallery for every query, exactly.

    A query without a vector gets the gallery in its order, with scores of -inf. In all other rows,
    gallery photos without a vector come last, in gallery order, with scores of -inf.

    Args:
        queries: q vectors (q, d) of unit length; or bare vectors, (q, d) or a single
            (d,) as `embed_photo` returns it. Bare vectors are assumed to be of the gallery's model,
            and are numbered from 0.
        gallery: n vectors (n, d), n > 0. If it has regions, the score of a photo is 0.3 of that of
            the whole photo and 0.7 of that of its best vector (see `shoplens.vectors.regions`).
        depth: length of the rows, if the gallery is large enough.
        block_bytes: size of the block of scores in memory at a time. It limits memory and does not
            change results.
        progress: called with the number of queries done.

    Returns:
        A `Ranking` of shape (q, min(depth, n)); equal scores are in gallery order.

    Raises:
        RankingError: the vectors are of different models or not of unit length, or the gallery is
            empty.
    """
    if not isinstance(queries, Embeddings):
        bare = np.atleast_2d(np.asarray(queries, dtype=np.float32))
        numbers = np.arange(len(bare), dtype=np.int32)
        queries = Embeddings(numbers, bare, fingerprint=gallery.fingerprint)
    check_same_model(queries, gallery)
    if not len(gallery):
        raise RankingError("the gallery is empty, so there is nothing to rank")
    if depth < 1:
        raise RankingError(f"depth must be at least 1, got {depth}")
    _require_unit(queries, "query")
    _require_unit(gallery, "gallery")
    chain = ("exact",) if queries.views == 1 else (f"query-views({queries.views})", "exact")
    # Vectors of unknown origin on one side: then the ranking's origin is not known either.
    same = queries.fingerprint == gallery.fingerprint
    started = time.perf_counter()
    k = min(depth, len(gallery))
    ids = np.empty((len(queries), k), dtype=np.int32)
    scores = np.full((len(queries), k), -np.inf, dtype=np.float32)
    present = np.flatnonzero(gallery.has_vector)
    absent_ids = gallery.ids[~gallery.has_vector]
    ranked = min(k, len(present))
    usable = np.flatnonzero(queries.has_vector)
    ids[~queries.has_vector] = gallery.ids[:k]
    regions = gallery.regions
    matched = np.full((len(queries), 0 if regions is None else k), -1, dtype=np.int32)
    # With regions, scores are kept in several forms until they are fused.
    value_bytes = 8 if regions is None else 32
    row_bytes = value_bytes * min(_WIDE_ROWS, max(1, len(present)))
    step = min(_WIDE_ROWS, max(1, block_bytes // row_bytes))
    for start in range(0, len(usable), step):
        rows = usable[start : start + step]
        best = _best(queries.vectors[rows], gallery, present, ranked)
        for row, (positions, similarities, numbers) in zip(rows, best, strict=True):
            ids[row, :ranked] = gallery.ids[positions]
            if regions is not None:
                matched[row, :ranked] = numbers
            scores[row, :ranked] = similarities
            ids[row, ranked:] = absent_ids[: k - ranked]
        progress("rank", start + len(rows), len(usable))
    return Ranking(
        queries.ids,
        ids,
        scores,
        chain=chain if regions is None else (*chain, f"regions({regions.limit})"),
        model_name=gallery.model_name if same else None,
        fingerprint=gallery.fingerprint if same else None,
        n_failed={"queries": len(queries.failures), "gallery": len(gallery.failures)},
        seconds={"rank": time.perf_counter() - started},
        regions=None if regions is None else MatchedRegions(ids, matched, regions.boxes),
    )


def _require_unit(embeddings: Embeddings, side: str) -> None:
    lengths = np.sqrt(np.einsum("nd,nd->n", embeddings.vectors, embeddings.vectors))
    bad = embeddings.has_vector & ~(np.abs(lengths - 1) <= _UNIT_TOLERANCE)
    if bad.any():
        row = int(np.flatnonzero(bad)[0])
        raise RankingError(
            f"{int(bad.sum())} {side} vectors are not of unit length; the first is that of photo "
            f"{embeddings.ids[row]} ({lengths[row]:g}). Divide each vector by its length."
        )


_Best = tuple[npt.NDArray[np.intp], npt.NDArray[np.float32], npt.NDArray[np.int32]]
"""Positions in the gallery and scores, best first, equal scores in order of position; and which
region matched best, -1 for the whole photo."""


def _best(
    queries: Vectors, gallery: Embeddings, positions: npt.NDArray[np.intp], k: int
) -> list[_Best]:
    """Return the k most similar gallery photos of each query, among those at `positions`."""
    nothing = np.empty(0, np.intp), np.empty(0, np.float32), np.empty(0, np.int32)
    best: list[_Best] = [nothing] * len(queries)
    wide = on_grid(queries)
    for start in range(0, len(positions), _WIDE_ROWS):
        part = positions[start : start + _WIDE_ROWS]
        block, numbers = grid_scores(wide, gallery, part)
        best = [
            _merged(known, (part, similarities, matched), k)
            for known, similarities, matched in zip(best, block, numbers, strict=True)
        ]
    return best


def _merged(known: _Best, later: _Best, k: int) -> _Best:
    """Return the best k of those known and of more that come later in the gallery, in any order."""
    scores = later[1]
    if len(known[0]) == k:
        # A score equal to the last is not better: the known photo comes first in the gallery.
        new = np.flatnonzero(scores > known[1][-1]) if k else np.empty(0, dtype=np.intp)
    elif len(scores) > k:
        new = np.flatnonzero(scores >= np.partition(scores, -k)[-k])
    else:
        new = np.arange(len(scores))
    positions = np.concatenate((known[0], later[0][new]))
    scores = np.concatenate((known[1], scores[new]))
    numbers = np.concatenate((known[2], later[2][new]))
    order = np.argsort(-scores, kind="stable")[:k]
    return positions[order], scores[order], numbers[order]


def _query_ids(array: npt.NDArray[Any], path: Path) -> npt.NDArray[np.int32]:
    """Return the ids of queries as a file has them; refuse an array that holds none."""
    if array.ndim != 1:
        raise RankingError(f"{path}: the ids of queries have shape {array.shape}, not (q,)")
    return _integer_ids(array[:, None], len(array), path)[:, 0]


def _integer_ids(array: npt.NDArray[Any], n_queries: int, path: Path) -> npt.NDArray[np.int32]:
    """Return the first 1000 columns as int32; refuse arrays that do not hold ids."""
    if array.ndim != 2 or len(array) != n_queries:
        raise RankingError(
            f"{path} has shape {array.shape}; it must have {n_queries} rows, one per query in the "
            "order of queries.csv"
        )
    if array.dtype.kind not in "iuf":
        raise RankingError(f"{path} holds {array.dtype}; it must hold integer ids")
    limits = np.iinfo(np.int32)
    array = array[:, :DEPTH]
    kind = array.dtype
    if kind.kind == "f":
        # A float16 or float32 cannot hold the largest int32, so could not be compared with it.
        array = array.astype(np.float64)
    with np.errstate(invalid="ignore"):
        whole = (array >= limits.min) & (array <= limits.max) & (array == np.floor(array))
    if not whole.all():
        row, column = (int(i) for i in np.argwhere(~whole)[0])
        raise RankingError(
            f"{path}: {int((~whole).sum())} values are not 32-bit ids; the first is "
            f"{array[row, column]} in row {row}, column {column} (from 0)"
        )
    if kind.kind == "f" and np.abs(array).max(initial=0) > 2.0 ** (np.finfo(kind).nmant + 1):
        # float32 holds integers up to 2^24 exactly, float16 up to 2^11.
        raise RankingError(
            f"{path} holds {kind}, which rounds ids as large as these; save integers instead"
        )
    return array.astype(np.int32)
