"""Further vectors of photos, each of a region, and how they count beside the whole photo's.

A product may fill only a part of its photo, or be worn by a person. Then the vector of the whole
photo says more about what is around it than about the product, and the vector of the right region
is nearer to a query.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from shoplens.errors import RankingError
from shoplens.records import Box, Vectors

REGION_WEIGHT = 0.7
"""Share of the best vector in a photo's score; the rest is the share of the whole photo's."""

Scores = npt.NDArray[np.floating[Any]]


@dataclass(frozen=True, slots=True, eq=False)
class PhotoRegions:
    """The regions of one photo, with their vectors."""

    limit: int
    """How many were asked for; there may be fewer."""
    boxes: tuple[Box, ...]
    """(r) in pixels of the upright photo."""
    vectors: Vectors
    """(r, d) float32, rows of unit length."""

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, PhotoRegions):
            return NotImplemented
        return (self.limit, self.boxes) == (other.limit, other.boxes) and np.array_equal(
            self.vectors, other.vectors
        )

    __hash__ = None  # type: ignore[assignment]


@dataclass(frozen=True, slots=True, eq=False)
class RegionVectors:
    """The regions of n photos with their vectors, m in all, photo by photo.

    Raises `RankingError` if the shapes do not match.
    """

    limit: int
    """How many regions a photo has at most: so many were asked for."""
    starts: npt.NDArray[np.int64]
    """(n + 1,) The regions of photo i are those from `starts[i]` up to `starts[i + 1]`. A photo
    may have none."""
    boxes: npt.NDArray[np.int32]
    """(m, 4) left, top, right and bottom edge in pixels of the upright photo, half-open."""
    vectors: Vectors
    """(m, d) float32, rows of unit length."""

    def __post_init__(self) -> None:
        m = len(self.vectors)
        if self.boxes.shape != (m, 4) or not len(self.starts) or self.starts[-1] != m:
            raise RankingError(
                f"{m} region vectors need boxes of shape ({m}, 4) and starts that end with {m}; "
                f"got {self.boxes.shape} and {self.starts[-1:].tolist()}"
            )

    @classmethod
    def of(cls, limit: int, dimension: int, photos: Sequence[PhotoRegions | None]) -> RegionVectors:
        """Put together the regions of n photos; None for a photo without any."""
        found = [one for one in photos if one is not None]
        counts = [0 if one is None else len(one.boxes) for one in photos]
        corners = [(box.x0, box.y0, box.x1, box.y1) for one in found for box in one.boxes]
        return cls(
            limit,
            np.concatenate(([0], np.cumsum(counts, dtype=np.int64))).astype(np.int64),
            np.array(corners, dtype=np.int32).reshape(-1, 4),
            np.concatenate([np.empty((0, dimension), np.float32), *(one.vectors for one in found)]),
        )

    def __len__(self) -> int:
        return len(self.vectors)

    def of_photo(self, row: int) -> PhotoRegions:
        """Return the regions of a photo by its row."""
        part = slice(*self.starts[row : row + 2].tolist())
        boxes = tuple(Box(*corners) for corners in self.boxes[part].tolist())
        return PhotoRegions(self.limit, boxes, self.vectors[part])

    def first(self, n: int) -> RegionVectors:
        """Return the first n regions of each photo, as if no more had been asked for."""
        counts = np.minimum(np.diff(self.starts), n)
        starts = np.concatenate(([0], np.cumsum(counts)))
        places = np.repeat(self.starts[:-1] - starts[:-1], counts) + np.arange(starts[-1])
        return RegionVectors(min(n, self.limit), starts, self.boxes[places], self.vectors[places])


@dataclass(frozen=True, slots=True, eq=False)
class MatchedRegions:
    """Which region of each photo matched each of q queries best.

    It is looked up by the photo, so it stays right when the photos are put in another order.
    """

    ids: npt.NDArray[np.int32]
    """(q, k) photos."""
    numbers: npt.NDArray[np.int32]
    """(q, k) the region of each as a row of `boxes`; -1 where the whole photo matched best."""
    boxes: npt.NDArray[np.int32]
    """(m, 4) as in `RegionVectors`."""

    def __post_init__(self) -> None:
        if (
            self.ids.ndim != 2
            or self.numbers.shape != self.ids.shape
            or self.boxes.shape[1:] != (4,)
        ):
            raise RankingError(
                f"regions of photos {self.ids.shape} cannot be {self.numbers.shape} numbers of "
                f"boxes {self.boxes.shape}"
            )
        if self.numbers.size and not -1 <= self.numbers.min() <= self.numbers.max() < len(
            self.boxes
        ):
            raise RankingError(f"a region's number is not one of {len(self.boxes)} boxes")

    def box(self, row: int, photo_id: int) -> Box | None:
        """Return the region of a photo that matched the query of a row best.

        It is None where the whole photo did, and where the photo was not compared.
        """
        [places] = np.nonzero(self.ids[row] == photo_id)
        number = int(self.numbers[row, places[0]]) if len(places) else -1
        return None if number < 0 else Box(*(float(edge) for edge in self.boxes[number]))


def fused(whole: Scores, best: Scores) -> npt.NDArray[np.float32]:
    """Return the scores of photos that have several vectors.

    Args:
        whole: of the whole photos.
        best: of the best vector of each photo, the whole photo's included.

    Returns:
        float32, `0.3 x whole + 0.7 x best`. A photo without regions keeps its score, and no score
        is above that of the photo's best vector.
    """
    # The shares are not exact in binary: written this way, equal scores stay as they are.
    wide = np.asarray(whole, dtype=np.float64)
    return np.asarray(wide + REGION_WEIGHT * (best - wide), dtype=np.float32)
