"""User photos that look unlike every seller photo of their product: wrong labels, packaging, junk.

The idea is old and works: photos that come with reviews or crawls are compared with their product's
seller photos, and pairs below a similarity are not used.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass

import numpy as np

from shoplens.curation.cleaning.changes import Change, Cleaning
from shoplens.curation.cleaning.tables import DatasetTables
from shoplens.embedding.settings import EmbeddingSettings
from shoplens.errors import PhotoError
from shoplens.models import Encoder
from shoplens.progress import Progress, silent
from shoplens.records import Photo, PhotoSet, Vector, Vectors

_SPARED = 30
"""Photos just above the threshold that are reported."""


@dataclass(frozen=True, slots=True, eq=False)
class Sellers:
    """The seller photos of each product, and their vectors."""

    photos: list[Photo]
    vectors: Vectors
    """(n, d) float32, rows of unit length."""
    of_product: dict[str | None, list[int]]
    """The rows of each product's photos that could be embedded."""
    failures: tuple[tuple[Photo, PhotoError], ...]

    @classmethod
    def of(
        cls,
        tables: DatasetTables,
        settings: EmbeddingSettings,
        encoder: Encoder,
        progress: Progress,
    ) -> Sellers:
        """Embed the seller photos of a dataset."""
        photos = tables.of("seller")
        vectors, failures = embedded(photos, settings, encoder, progress)
        of_product: dict[str | None, list[int]] = defaultdict(list)
        failed = {photo.id for photo, _ in failures}
        for row, photo in enumerate(photos):
            if photo.id not in failed:
                of_product[photo.product_id].append(row)
        return cls(photos, vectors, of_product, failures)

    def nearest(self, product: str | None, vector: Vector) -> tuple[Photo, float] | None:
        """Return the photo of a product that is most similar to a vector; None if it has none."""
        rows = self.of_product.get(product)
        if not rows:
            return None
        scores = self.vectors[rows] @ vector
        best = int(np.argmax(scores))
        return self.photos[rows[best]], float(scores[best])


def embedded(
    photos: list[Photo], settings: EmbeddingSettings, encoder: Encoder, progress: Progress
) -> tuple[Vectors, tuple[tuple[Photo, PhotoError], ...]]:
    """Embed photos; return a row for each, and those that failed, whose rows are zero."""
    found = settings.embed(PhotoSet(photos), encoder, progress)
    failures = tuple(
        (photos[failure.row], PhotoError(failure.reason, failure.detail))
        for failure in found.failures
    )
    return found.vectors, failures


def find_unlike_pairs(
    tables: DatasetTables,
    min_similarity: float,
    settings: EmbeddingSettings | None = None,
    *,
    progress: Progress = silent,
) -> Cleaning:
    """Find user photos whose product's seller photos are all less similar than a threshold.

    User photos of products without a seller photo have nothing to be compared with, and stay.

    Args:
        tables: the dataset; the product of every photo must be known.
        min_similarity: cosine of the vectors, -1..1. What is right depends on the model.
        settings: how photos are embedded.
        progress: told how many photos are done.

    Raises:
        DataError: the product of a photo is not known.
        FailureLimitError: more photos failed than the settings allow.
    """
    tables.require_products()
    settings = settings or EmbeddingSettings()
    encoder = settings.load_encoder()
    sellers = Sellers.of(tables, settings, encoder, progress)
    users = tables.of("user")
    vectors, failures = embedded(users, settings, encoder, progress)
    failed = {photo.id for photo, _ in failures}
    compared: list[tuple[float, Photo, Photo]] = []
    n_alone = 0
    for row, photo in enumerate(users):
        if photo.id in failed:
            continue
        nearest = sellers.nearest(photo.product_id, vectors[row])
        if nearest is None:
            n_alone += 1
        else:
            compared.append((nearest[1], photo, nearest[0]))
    compared.sort(key=lambda one: (one[0], one[1].id))
    changes = [_change(*one) for one in compared]
    n_below = sum(similarity < min_similarity for similarity, *_ in compared)
    return Cleaning(
        "pairs",
        tables,
        # Those nearest to the threshold are the most doubtful.
        changes=tuple(reversed(changes[:n_below])),
        spared=tuple(changes[n_below : n_below + _SPARED]),
        counts={"n_compared": len(compared), "n_without_seller": n_alone},
        failures=(*sellers.failures, *failures),
        similarities=tuple(similarity for similarity, *_ in compared),
        threshold=min_similarity,
    )


def _change(similarity: float, photo: Photo, nearest: Photo) -> Change:
    reason = f"similarity {similarity:.3f} to the nearest seller photo of its product"
    return Change(photo, "left_out", reason, beside=nearest, score=similarity)
