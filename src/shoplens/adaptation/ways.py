"""A labelled shop as a frozen model sees it, in each way that photos can be shown to it."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from shoplens.adaptation.choosing import Pairs
from shoplens.adaptation.closed_form import Labels
from shoplens.adaptation.frozen import Seen
from shoplens.adaptation.frozen_ensemble import Frozen
from shoplens.datasets.dataset import Dataset
from shoplens.errors import DataError
from shoplens.progress import Progress, silent
from shoplens.records import Failure

LEAST_PRODUCTS = 20
"""Products with photos of both domains that fitting and validation need. A hundred are better."""


class Way(NamedTuple):
    """A model that is shown photos in one way, and the gallery as it sees it."""

    model: Frozen
    gallery: Seen
    pairs: Pairs
    """What it sees of the queries that are searched for, and of the gallery."""


@dataclass(frozen=True, slots=True, eq=False)
class Tuned:
    """A network after tuning, or as it was, and the photos as it sees them."""

    weights: bytes | None
    """The ONNX file; None where the network is as it was."""
    gallery: Seen
    queries: Seen
    """All of them. Features are the tuned network's, vectors those of the model before."""


@dataclass(frozen=True, slots=True, eq=False)
class Shop:
    """A shop's photos as a frozen model sees them."""

    ways: tuple[Way, ...]
    """The first shows photos as the model's recipe says, the second without plain borders."""
    queries: Seen
    """All of them, the same in each way."""
    searched: npt.NDArray[np.intp]
    """Which of them are searched for: those whose products are in the gallery."""

    @property
    def all_pairs(self) -> list[Pairs]:
        """What is seen in each way."""
        return [way.pairs for way in self.ways]

    def pairs_of(self, way: int, tuned: Tuned) -> Pairs:
        """Return what a network that was tuned in one of the ways sees."""
        return replace(
            self.ways[way].pairs,
            queries=tuned.queries.features[self.searched],
            gallery=tuned.gallery.features,
        )

    @property
    def failures(self) -> tuple[Failure, ...]:
        """Photos that are left out."""
        return (*self.ways[0].gallery.failures, *self.queries.failures)


def look_at(
    dataset: Dataset,
    model: Frozen,
    *,
    cache: bool = True,
    workers: int | None = None,
    progress: Progress = silent,
) -> Shop:
    """Look at a shop's photos; the arguments are those of `FrozenModel.see`.

    Raises:
        DataError: too few products have usable photos of both domains.
        ShoplensError: no photo can be used.
    """
    gallery, queries = (
        model.see(photos, cache=cache, workers=workers, progress=progress)
        for photos in (dataset.gallery, dataset.queries)
    )
    seen = [(model, gallery)]
    if (trimmed := model.without_borders()) is not None:
        cut = trimmed.see(gallery.photos, cache=cache, workers=workers, progress=progress)
        if len(cut) == len(gallery):
            seen.append((trimmed, cut))
    query_products, gallery_products = _numbered(queries, gallery)
    searched = np.flatnonzero(np.isin(query_products, gallery_products))
    n_products = len(np.unique(query_products[searched]))
    if n_products < LEAST_PRODUCTS:
        raise DataError(
            f"{n_products} products have usable photos of both users and sellers; fitting a head "
            f"needs at least {LEAST_PRODUCTS}, and a hundred are better. `shoplens adapt` needs no "
            "labels"
        )
    ways = []
    for shown_to, of_gallery in seen:
        pairs = Pairs(
            queries.features[searched],
            query_products[searched],
            of_gallery.features,
            gallery_products,
        )
        ways.append(Way(shown_to, of_gallery, pairs))
    return Shop(tuple(ways), queries, searched)


def _numbered(*sides: Seen) -> list[Labels]:
    """Return a number for each photo's product, equal where products are."""
    codes = {
        product: code
        for code, product in enumerate(sorted({str(p.product_id) for s in sides for p in s.photos}))
    }
    return [
        np.array([codes[str(photo.product_id)] for photo in side.photos], dtype=np.int64)
        for side in sides
    ]
