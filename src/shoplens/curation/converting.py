"""Turning a published dataset into a test set."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from shoplens.curation.making import How, Made, require_target, write_test_set
from shoplens.curation.tagged import TaggedPhotos
from shoplens.datasets.layouts import LAYOUTS, PublishedPhotos, read_published, recognise
from shoplens.errors import DataError
from shoplens.progress import Progress, silent
from shoplens.records import Photo

AUTO = "auto"
"""In place of a layout: the one that the source has."""


@dataclass(frozen=True, slots=True)
class Converted:
    """What came of converting a published dataset."""

    made: Made
    split: str
    n_drawn: int
    """Queries drawn from photos of which the dataset does not say which side they belong to."""
    notes: tuple[str, ...]
    """What the user should know about how the dataset was read."""

    def to_json(self) -> dict[str, Any]:
        """Return the values as `shoplens dataset convert --json` writes them."""
        return {
            **self.made.to_json(),
            "split": self.split,
            "n_drawn": self.n_drawn,
            "notes": list(self.notes),
        }


def convert_dataset(
    layout: str,
    source: str | Path,
    folder: str | Path,
    *,
    split: str = "test",
    how: How = "copy",
    queries_per_product: int = 1,
    seed: int = 0,
    workers: int | None = None,
    progress: Progress = silent,
) -> Converted:
    """Write a split of a published dataset as a test set.

    Where the dataset does not say which photos are searched with, `queries_per_product` photos of
    each product are drawn. At least one photo of each product stays in the gallery, so a product
    with a single photo becomes a distractor.

    Args:
        layout: a name in `shoplens.datasets.layouts.LAYOUTS`, or `auto`.
        source: the dataset's folder, unpacked, or the folder that holds it.
        folder: as in `make_dataset`; so are `how`, `workers` and `progress`.
        split: `train`, `val`, `test` or `all`, as far as the dataset has it.
        queries_per_product: how many photos are drawn, at most.
        seed: decides which photos are drawn, and the order of rows.

    Raises:
        MissingError: the source, a list of it, or the folder above `folder` is not there.
        DataError: the source does not have the layout, its lists are faulty, or nothing of it can
            be used.
        ShoplensError: a photo cannot be copied or linked.
    """
    if layout != AUTO and layout not in LAYOUTS:
        raise DataError(f"there is no layout {layout!r}; known are {', '.join(LAYOUTS)}")
    require_target(folder, how)
    known = recognise(source) if layout == AUTO else LAYOUTS[layout]
    published = read_published(source, known, split)
    drawn = _drawn(published, queries_per_product, seed)
    photos = tuple(_sided(photo, drawn) for photo in published.photos)
    tagged = TaggedPhotos(
        layout=known.name,
        root=published.root,
        photos=photos,
        rows=published.rows,
        n_repeated=published.n_repeated,
        strays=published.strays,
    )
    made = write_test_set(tagged, folder, how=how, seed=seed, workers=workers, progress=progress)
    return Converted(made, split, len(drawn), published.notes)


def _drawn(published: PublishedPhotos, most: int, seed: int) -> set[int]:
    """Return the ids of the photos that become queries."""
    sold: dict[str | None, list[Photo]] = defaultdict(list)
    for photo in published.photos:
        if photo.domain == "seller" and photo.problem is None:
            sold[photo.product_id].append(photo)
    random = np.random.default_rng(seed)
    drawn: set[int] = set()
    for photos in sold.values():
        may_ask = [photo for photo in photos if photo.id in published.undivided]
        n_asking = min(most, len(may_ask), len(photos) - 1)
        drawn.update(_chosen(may_ask, n_asking, random))
    return drawn


def _sided(photo: Photo, drawn: set[int]) -> Photo:
    """Return a photo as a query if it was drawn. Boxes only matter for queries."""
    if photo.id in drawn:
        return replace(photo, domain="user")
    return photo if photo.domain == "user" else replace(photo, box=None)


def _chosen(photos: Sequence[Photo], n: int, random: np.random.Generator) -> list[int]:
    return [photos[i].id for i in random.permutation(len(photos))[:n]]
