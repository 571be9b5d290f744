"""What a re-ranker is: a step from one ranking to a better one."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import Field, dataclass, field, fields, replace
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt

from shoplens.errors import RankingError
from shoplens.lookup import find_ids
from shoplens.progress import Progress, silent
from shoplens.ranking import DEPTH, Ranking, rank
from shoplens.records import Vectors
from shoplens.vectors.embeddings import Embeddings, check_same_model

_SECONDS_PER_PRODUCT = 5e-11
"""What a multiplication in a comparison takes where no ranking says it of this machine."""
_LEAST_PAIRS = 100_000
"""The time of a ranking of fewer pairs says little."""
_ROWS = 256
"""Rows that are put in order at a time: their order takes more memory than they do."""
_SHORTEST = 1e-6
"""Vectors that cancel each other have a mean of this length at most, by rounding."""


def unit_rows(sums: npt.NDArray[np.float64], otherwise: Vectors) -> Vectors:
    """Return sums of vectors at unit length.

    Args:
        sums: (n, d).
        otherwise: (n, d) what takes the place of sums that have no direction.

    Returns:
        (n, d) float32.
    """
    lengths = np.sqrt(np.einsum("nd,nd->n", sums, sums))
    usable = lengths > _SHORTEST
    units = (sums / np.where(usable, lengths, 1)[:, None]).astype(np.float32)
    units[~usable] = otherwise[~usable]
    return units


@dataclass(frozen=True, slots=True, eq=False)
class Ranked:
    """A ranking and the vectors it was made from: what re-rankers take and return.

    A step may replace the vectors (augmentation, query expansion). The next step then compares the
    new ones.

    Raises `RankingError` if the parts do not belong together.
    """

    ranking: Ranking
    """With scores, descending in each row; -inf for what could not be compared."""
    queries: Embeddings
    """q vectors, in the order of the ranking's rows."""
    gallery: Embeddings
    """n vectors; all ids of the ranking are among its ids."""

    def __post_init__(self) -> None:
        if not np.array_equal(self.ranking.query_ids, self.queries.ids):
            raise RankingError("the ranking is for other queries than the vectors, or out of order")
        if self.ranking.scores is None:
            raise RankingError(
                "the ranking has no scores, and re-ranking needs them: rank the vectors again, or "
                "read a ranking saved as .npz"
            )
        if self.ranking.blank is not None:
            raise RankingError("a ranking with blank places cannot be re-ranked")
        check_same_model(self.queries, self.gallery)

    @classmethod
    def sized(cls, n_queries: int, n_gallery: int, dimension: int, depth: int = DEPTH) -> Ranked:
        """Return a ranking of some size that says nothing.

        It is for `Reranker.cost`, where there is no ranking yet.
        """
        queries, gallery = (
            Embeddings(np.arange(n, dtype=np.int32), np.zeros((n, dimension), np.float32))
            for n in (n_queries, n_gallery)
        )
        # Rows share no photos if there are enough: then most of them are read.
        firsts = np.arange(n_queries)[:, None] * n_gallery // max(1, n_queries)
        places = firsts + np.arange(min(depth, n_gallery))
        ids = (places % max(1, n_gallery)).astype(np.int32)
        scores = np.zeros(ids.shape, dtype=np.float32)
        return cls(Ranking(queries.ids, ids, scores), queries, gallery)

    @property
    def scores(self) -> npt.NDArray[np.float32]:
        """(q, k) float32: the scores of the ranking."""
        assert self.ranking.scores is not None  # Checked above.
        return self.ranking.scores

    def positions(self, k: int | None = None) -> npt.NDArray[np.int32]:
        """Return where the photos of the first `k` places (None: all) stand in the gallery.

        Returns:
            (q, k) int32, from 0.

        Raises `RankingError` if a photo is not in the gallery.
        """
        ids = self.ranking.ids[:, :k]
        positions = find_ids(ids, self.gallery.ids)
        if (positions < 0).any():
            raise RankingError(
                f"photo {ids[positions < 0][0]} of the ranking is not among the gallery's vectors"
            )
        return positions

    def compared_again(
        self,
        *,
        queries: Embeddings | None = None,
        gallery: Embeddings | None = None,
        progress: Progress = silent,
    ) -> Ranked:
        """Rank the whole gallery again with other vectors of the same photos."""
        queries, gallery = queries or self.queries, gallery or self.gallery
        found = rank(queries, gallery, depth=self.ranking.ids.shape[1], progress=progress)
        ranking = replace(self.ranking, ids=found.ids, scores=found.scores, regions=found.regions)
        return Ranked(ranking, queries, gallery)

    def reordered(self, scores: npt.NDArray[np.float32]) -> Ranked:
        """Give the photos of each row other scores; equal scores keep the order they had.

        Args:
            scores: (q, k) for the places of the ranking, or for the first k of them. Photos of the
                further places stay behind these. Their scores are lowered where they would be
                higher than the lowest new one.
        """
        k = scores.shape[1]
        ids, new = self.ranking.ids.copy(), self.scores.copy()
        for start in range(0, len(scores), _ROWS):
            block = slice(start, start + _ROWS)
            order = np.argsort(-scores[block], axis=1, kind="stable")
            ids[block, :k] = np.take_along_axis(ids[block, :k], order, axis=1)
            new[block, :k] = np.take_along_axis(scores[block], order, axis=1)
        if 0 < k < new.shape[1]:
            np.minimum(new[:, k:], new[:, k - 1 : k], out=new[:, k:])
        return replace(self, ranking=replace(self.ranking, ids=ids, scores=new))

    def seconds_for(self, n_pairs: int) -> float:
        """Estimate how long comparing so many pairs of vectors takes on this machine."""
        seconds = self.ranking.seconds.get("rank", 0.0)
        ranked = len(self.queries) * len(self.gallery)
        if seconds and ranked >= _LEAST_PAIRS:
            return n_pairs * seconds / ranked
        return n_pairs * self.gallery.vectors.shape[1] * _SECONDS_PER_PRODUCT


@dataclass(frozen=True, slots=True)
class Cost:
    """What a step is expected to take, told before it starts."""

    seconds: float
    megabytes: float
    """Memory beside the vectors, 10^6 bytes."""
    photos: int = 0
    """Photos that are read and decoded."""

    def times(self, n: int) -> Cost:
        """Return the cost of doing it so many times, one after the other."""
        return Cost(n * self.seconds, self.megabytes, n * self.photos)

    def __str__(self) -> str:
        seconds = f"{self.seconds:,.0f}" if self.seconds >= 1 else "1"
        told = f"about {seconds} s" if self.seconds >= 1 else "under a second"
        told += f", {max(1.0, self.megabytes):,.0f} MB"
        return f"{told}, reads {self.photos:,} photos" if self.photos else told


def parameter(default: float, least: float, most: float, about: str) -> Any:
    """Declare a parameter of a re-ranker: a field of its dataclass, `int` or `float`.

    Args:
        default: its value where a chain does not give it; whole for `int`.
        least: the lowest value allowed.
        most: the highest.
        about: what it means, for the list of methods.
    """
    return field(default=default, metadata={"least": least, "most": most, "about": about})


class Reranker(ABC):
    """A re-ranking method with its parameters: a step of a chain.

    A method is a frozen dataclass that derives from this class. Its parameters are declared by
    `parameter`. To add one, write it in a file of its own and name it in `methods.METHODS`.

    A method is *gallery-side* if it uses the gallery and the one query alone. Then a row does not
    depend on the other queries: the same query alone gives the same row, and the method may be used
    online. A *batch-side* method uses other queries, and is for challenges only.
    """

    __slots__ = ()

    name: ClassVar[str]
    """What chains call it: lower-case letters, digits and hyphens."""
    about: ClassVar[str]
    """What it does, in a line."""
    paper: ClassVar[str]
    """Who published it, and where."""
    batch_side: ClassVar[bool] = False
    """Whether it uses the other queries of the run."""
    reads_photos: ClassVar[bool] = False
    """Whether it needs the photos themselves (`Embeddings.photos`), and not only vectors."""
    needs_products: ClassVar[bool] = False
    """Whether it needs the products of gallery photos. Photos without one stand for themselves, so
    where no photo has one, nothing changes."""

    @abstractmethod
    def rerank(self, ranked: Ranked, *, progress: Progress = silent) -> Ranked:
        """Return the ranking with each row in a better order.

        Rows keep their length, and hold each photo at most once. Scores descend. Photos without a
        vector stay last in gallery order with scores of -inf, and the row of a query without a
        vector stays as it is. The chain writes down which step was taken.

        Raises `RankingError` if something that the method needs is not known.
        """

    @abstractmethod
    def cost(self, ranked: Ranked) -> Cost:
        """Estimate what `rerank` takes, from the sizes alone."""

    @classmethod
    def parameters(cls) -> tuple[Field[Any], ...]:
        """Return the fields that `parameter` declared."""
        return tuple(one for one in fields(cls) if "about" in one.metadata)  # type: ignore[arg-type]

    def __str__(self) -> str:
        """Return the step as a chain writes it, with every parameter."""
        values = ((one.name, getattr(self, one.name)) for one in self.parameters())
        told = ",".join(f"{name}={np.format_float_positional(v, trim='-')}" for name, v in values)
        return f"{self.name}:{told}" if told else self.name
