"""Made vectors with products, ranked: what re-rankers are tried on."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import numpy.typing as npt

from shoplens import Embeddings, Photo, PhotoSet, rank
from shoplens.records import Domain, Failure
from shoplens.reranking import Ranked


def at(*degrees: float) -> npt.NDArray[np.float32]:
    """Return (n, 2) unit vectors at these angles: cosines can be worked out by hand."""
    turns = np.radians(degrees)
    return np.stack([np.cos(turns), np.sin(turns)], axis=1).astype(np.float32)


def embeddings(
    vectors: npt.NDArray[np.float32],
    products: Sequence[str | None] | None = None,
    *,
    domain: Domain = "seller",
    failed: Sequence[int] = (),
    first_id: int = 0,
) -> Embeddings:
    n = len(vectors)
    known = [None] * n if products is None else list(products)
    photos = PhotoSet(
        Photo(first_id + row, f"{row}.jpg", Path(f"{row}.jpg"), domain, product_id=known[row])
        for row in range(n)
    )
    vectors = vectors.copy()
    vectors[list(failed)] = 0
    failures = tuple(Failure(row, first_id + row, f"{row}.jpg", "corrupt", "") for row in failed)
    return Embeddings(photos.ids, vectors, failures, "made", "f00d", photos=photos)


def ranked(queries: Embeddings, gallery: Embeddings, depth: int = 1000) -> Ranked:
    return Ranked(rank(queries, gallery, depth=depth), queries, gallery)


def shop(
    n_products: int = 20,
    *,
    views: int = 4,
    n_queries: int = 15,
    dimension: int = 16,
    noise: float = 0.5,
    failed: Sequence[int] = (),
    failed_queries: Sequence[int] = (),
    depth: int = 1000,
    seed: int = 0,
) -> Ranked:
    """Return a ranking of made products: each has a centre, and photos lie around it."""
    rng = np.random.default_rng(seed)
    centres = _unit(rng.standard_normal((n_products, dimension)))
    of_gallery = np.repeat(np.arange(n_products), views)
    of_queries = rng.integers(0, n_products, n_queries)

    def around(products: npt.NDArray[np.int64]) -> npt.NDArray[np.float32]:
        spread = noise * rng.standard_normal((len(products), dimension)) / np.sqrt(dimension)
        return _unit(centres[products] + spread).astype(np.float32)

    gallery = embeddings(around(of_gallery), [f"p{p}" for p in of_gallery], failed=failed)
    queries = embeddings(
        around(of_queries),
        [f"p{p}" for p in of_queries],
        domain="user",
        failed=failed_queries,
        first_id=500,
    )
    return ranked(queries, gallery, depth)


def only(made: Ranked, rows: Sequence[int]) -> Ranked:
    """Return the same for some of the queries."""
    queries, ranking = made.queries, made.ranking
    assert queries.photos is not None
    chosen = list(rows)
    place = {row: number for number, row in enumerate(chosen)}
    kept = replace(
        queries,
        ids=queries.ids[chosen],
        vectors=queries.vectors[chosen],
        failures=tuple(replace(f, row=place[f.row]) for f in queries.failures if f.row in place),
        photos=PhotoSet([queries.photos[row] for row in chosen]),
    )
    few = replace(
        ranking,
        query_ids=ranking.query_ids[chosen],
        ids=ranking.ids[chosen],
        scores=made.scores[chosen],
    )
    return Ranked(few, kept, made.gallery)


def mean_precision(made: Ranked) -> float:
    """Return the mean average precision, worked out plainly."""
    assert made.queries.photos is not None
    assert made.gallery.photos is not None
    product_of = {photo.id: photo.product_id for photo in made.gallery.photos}
    values = []
    for photo, ids in zip(made.queries.photos, made.ranking.ids.tolist(), strict=True):
        hits, total = 0, 0.0
        for place, photo_id in enumerate(ids, start=1):
            if product_of[photo_id] == photo.product_id:
                hits += 1
                total += hits / place
        values.append(total / sum(p == photo.product_id for p in product_of.values()))
    return float(np.mean(values))


def _unit(vectors: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    return np.asarray(vectors / np.linalg.norm(vectors, axis=1, keepdims=True))
