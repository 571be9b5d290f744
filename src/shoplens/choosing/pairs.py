"""Labelled queries made of the gallery alone."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import replace

import numpy as np

from shoplens.embedding.sets import embed
from shoplens.errors import DataError, PhotoError
from shoplens.models import Encoder
from shoplens.pixels.decoding import read_size
from shoplens.progress import Progress, silent
from shoplens.records import Box, Photo, PhotoSet
from shoplens.sources import read_photo
from shoplens.vectors.embeddings import Embeddings
from shoplens.vectors.selecting import rows_of

MOST_PAIRS = 300
"""Queries that are made."""
LEAST_LASTING = 20
"""If so many products keep two photos when one leaves, photos leave: with one photo a product,
nothing would tell whether products help."""
_SIDES = 0.5, 0.9
"""Least and greatest share of a photo's sides that a query shows."""


def pairs_of(
    gallery: Embeddings,
    encoder: Encoder | None = None,
    *,
    seed: int = 0,
    progress: Progress = silent,
) -> tuple[Embeddings, Embeddings]:
    """Make labelled queries of a gallery's own photos.

    If enough products have three photos or more, a photo of each product that has several becomes a
    query and leaves the gallery.

    Otherwise queries are of photos that stay in the gallery, and all photos of their products are
    to be found. The photo itself is one of them, so these queries are easier than real ones. If no
    two products have several photos, each photo counts as a product.

    Args:
        gallery: with `photos`.
        encoder: the model of the vectors. A query is then embedded again, as a user's photo, from a
            random part of the picture. None takes the vector that is there, of photos that leave.
        seed: of the random draws.
        progress: told how far embedding is.

    Returns:
        The queries, at most 300, and the gallery without those that left it. Both have products.

    Raises `DataError` if the photos are not known, or if there is nothing to make queries of.
    """
    photos = gallery.photos
    if photos is None:
        raise DataError("queries are made of gallery photos, and only their vectors are known")
    rng = np.random.default_rng(seed)
    usable = np.flatnonzero(gallery.has_vector)
    products = photos.product_ids
    rows_by_product: defaultdict[str, list[int]] = defaultdict(list)
    for row in usable.tolist():
        product = products[row]
        if product is not None:
            rows_by_product[product].append(row)
    known = np.array([row for rows in rows_by_product.values() for row in rows], dtype=np.intp)
    several = [rows for rows in rows_by_product.values() if len(rows) > 1]
    n_lasting = sum(len(rows) > 2 for rows in several)
    if len(several) > 1 and (encoder is None or n_lasting >= LEAST_LASTING):
        chosen = rng.permutation(len(several))[:MOST_PAIRS]
        rows = np.array([rng.choice(several[number]) for number in chosen])
        queries, searched = rows_of(gallery, rows), rows_of(gallery, np.setdiff1d(known, rows))
    elif encoder is not None and len(usable) > 1:
        searched = replace(gallery, photos=PhotoSet(map(_as_product, photos)))
        if len(several) > 1:
            searched = rows_of(gallery, np.sort(known))
        rows = rng.permutation(np.flatnonzero(searched.has_vector))[:MOST_PAIRS]
        queries = rows_of(searched, rows)
    else:
        raise DataError(
            "to choose a chain on the gallery alone, some of its products need two photos or more"
        )
    if encoder is None:
        return queries, searched
    assert queries.photos is not None
    parts = PhotoSet(_part(photo, rng) for photo in queries.photos)
    return embed(parts, encoder, progress=progress), searched


def _as_product(photo: Photo) -> Photo:
    return replace(photo, product_id=str(photo.id))


def _part(photo: Photo, rng: np.random.Generator) -> Photo:
    """Return a random part of a photo, as a user's photo."""
    width, height = rng.uniform(*_SIDES, 2)
    x, y = rng.uniform(0, 1 - width), rng.uniform(0, 1 - height)
    try:
        size = read_size(read_photo(photo))
    except PhotoError as problem:
        return replace(photo, domain="user", problem=problem)
    box = Box.from_relative(x, y, width, height, size)
    return replace(photo, domain="user", box=box, box_frame="upright")
