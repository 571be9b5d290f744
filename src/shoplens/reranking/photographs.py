"""Re-ranking by the photos themselves: what methods that read them have in common."""

from __future__ import annotations

import warnings
from collections import OrderedDict
from collections.abc import Callable, Sequence
from typing import Generic, TypeVar

import numpy as np
import numpy.typing as npt

from shoplens.errors import PhotoError, RankingError, ShoplensWarning
from shoplens.parallel import parallel_map
from shoplens.progress import Progress
from shoplens.records import Photo, PhotoSet
from shoplens.reranking.reranker import Ranked

_D = TypeVar("_D")

Scores = npt.NDArray[np.float32]


def rescored_by_photos(
    ranked: Ranked,
    n: int,
    method: str,
    describe: Callable[[Photo], _D],
    score: Callable[[_D, Sequence[_D | None], Scores], Scores],
    *,
    kept: int,
    progress: Progress,
) -> Ranked:
    """Give the first candidates of each row the scores that their photos earn.

    Candidates without a vector are no candidates. The row of a query whose photo cannot be read
    stays as it is.

    Args:
        ranked: with the photos of both sides.
        n: candidates of each row.
        method: what is done, for messages.
        describe: what is compared of a photo; called from several threads. It raises `PhotoError`
            if the photo cannot be used.
        score: the new scores of a row's candidates (m,), from the query's description, theirs
            (None for photos that cannot be used), and the scores they have.
        kept: descriptions of gallery photos that are kept for the next rows, at least `n`.
        progress: told how many rows are done.

    Raises `RankingError` if the photos are not known, or none of them can be used.
    """
    queries = _photos(ranked.queries.photos, "queries", method)
    gallery = _photos(ranked.gallery.photos, "gallery photos", method)
    positions = ranked.positions(n)
    scores = ranked.scores[:, :n].copy()
    described = _Described(gallery, describe, max(kept, n))
    failed_queries: dict[int, PhotoError] = {}
    for row, (places, known) in enumerate(zip(positions, scores, strict=True)):
        n_usable = int(np.isfinite(known).sum())
        if n_usable:
            try:
                query = describe(queries[row])
            except PhotoError as error:
                failed_queries[row] = error
            else:
                candidates = described.at(places[:n_usable].tolist())
                scores[row, :n_usable] = score(query, candidates, known[:n_usable])
        progress("compare photos", row + 1, len(scores))
    _tell(method, "queries", failed_queries, len(queries))
    _tell(method, "gallery photos", described.failed, described.n_seen)
    return ranked.reordered(scores)


def n_read(ranked: Ranked, n: int) -> tuple[int, int]:
    """Return how many photos are read for the first `n` of each row: queries, gallery photos."""
    finite = np.isfinite(ranked.scores[:, :n])
    n_gallery = len(np.unique(ranked.ranking.ids[:, :n][finite]))
    return int(finite.any(axis=1).sum()), n_gallery


class _Described(Generic[_D]):
    """Descriptions of gallery photos; the last ones are kept."""

    def __init__(self, photos: PhotoSet, describe: Callable[[Photo], _D], most: int) -> None:
        self._photos, self._describe, self._most = photos, describe, most
        self._kept: OrderedDict[int, _D | None] = OrderedDict()
        self._seen: set[int] = set()
        self.failed: dict[int, PhotoError] = {}

    @property
    def n_seen(self) -> int:
        """How many different photos were described, or could not be."""
        return len(self._seen)

    def at(self, rows: Sequence[int]) -> list[_D | None]:
        """Return the descriptions of the photos in some rows; None for photos that fail."""
        new = [row for row in rows if row not in self._kept]
        for row, made in zip(new, parallel_map(self._tried, new), strict=True):
            self._kept[row] = None if isinstance(made, PhotoError) else made
            if isinstance(made, PhotoError):
                self.failed[row] = made
        self._seen.update(new)
        for row in rows:
            self._kept.move_to_end(row)
        found = [self._kept[row] for row in rows]
        while len(self._kept) > self._most:
            self._kept.popitem(last=False)
        return found

    def _tried(self, row: int) -> _D | PhotoError:
        try:
            return self._describe(self._photos[row])
        except PhotoError as error:
            return error


def _photos(photos: PhotoSet | None, which: str, method: str) -> PhotoSet:
    if photos is None:
        raise RankingError(
            f"{method} reads photos, and of the {which} only vectors are known; use a method that "
            "needs none, such as alpha-qe"
        )
    return photos


def _tell(method: str, which: str, failed: dict[int, PhotoError], n: int) -> None:
    """Say how many photos could not be read; raises `RankingError` if it was none of them."""
    if not failed:
        return
    first = next(iter(failed.values()))
    if len(failed) == n:
        raise RankingError(f"{method}: none of the {which} can be read; the first: {first}")
    warnings.warn(
        f"{method}: {len(failed):,} of {n:,} {which} cannot be read and are not compared; the "
        f"first: {first}",
        ShoplensWarning,
        stacklevel=4,
    )
