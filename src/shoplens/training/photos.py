"""What a run learns from: photos with their product, and which products are kept out."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import get_args

import numpy as np

from shoplens.datasets.dataset import read_dataset
from shoplens.datasets.tagged_table import read_tagged_table
from shoplens.errors import DataError, PhotoError
from shoplens.records import Box, Domain
from shoplens.training.config import Holdout, SourceConfig

COLUMNS = ("img_path", "source", "domain", "product_id", "category")

Region = tuple[Path, Box | None]
"""A file, and the box in it; None means the whole photo."""


@dataclass(frozen=True, slots=True)
class TrainingPhoto:
    """A photo of a known product."""

    name: str
    """As its table names it."""
    path: Path
    source: str
    domain: Domain
    product: str
    """Unique among all tables: products of two sources are never the same."""
    category: str
    box: Box | None = None
    """Where in it the product is, in pixels of the upright photo; None means the whole photo."""
    problem: PhotoError | None = None
    """Why it cannot be used, where the table alone tells (a bad box, a missing file)."""

    @property
    def region(self) -> Region:
        """What it shows: a file may hold several products, each in a box of its own."""
        return self.path, self.box

    @property
    def key(self) -> str:
        """Its name, with its box where it has one: what stored results and seeds go by."""
        return self.name if self.box is None else f"{self.name} {self.box!r}"


@dataclass(frozen=True, slots=True)
class Product:
    """A product with the photos there are of it."""

    key: str
    source: str
    category: str
    photos: tuple[TrainingPhoto, ...]
    repeat: int

    def taken_by(self, domain: Domain) -> tuple[TrainingPhoto, ...]:
        """Return the photos of one domain."""
        return tuple(photo for photo in self.photos if photo.domain == domain)


def read_products(sources: Sequence[SourceConfig]) -> list[Product]:
    """Read the products of all sources, in order of their first rows.

    A source's table is a training table or a test set folder. A row without a box shows its product
    in the whole photo.

    Raises:
        MissingError: a table is not there.
        DataError: a table is faulty (every fault at once), a row of a test set folder has no
            product, or none of a table's rows is wanted.
    """
    products: list[Product] = []
    for source in sources:
        photos: dict[str, list[TrainingPhoto]] = {}
        read = _read_dataset if source.table.is_dir() else _read_table
        for photo in read(source.table):
            if source.sources is None or photo.source in source.sources:
                photos.setdefault(photo.product, []).append(photo)
        if not photos:
            raise DataError(f"{source.table}: no rows of the sources {source.sources}")
        products += [
            Product(key, of[0].source, of[0].category, _spread(of, source), source.repeat)
            for key, of in photos.items()
        ]
    keys = [product.key for product in products]
    if len(set(keys)) < len(keys):
        twice = next(key for key in keys if keys.count(key) > 1)
        raise DataError(
            f"the product {twice} is in two sources of the configuration; name it in one"
        )
    return products


def split(products: Iterable[Product], holdout: Holdout) -> tuple[list[Product], list[Product]]:
    """Return the products to train on and those kept out to validate on.

    A product's side depends on its key and the seed alone, so that adding sources moves none.
    Products without photos of both domains cannot be scored and are always trained on.
    """
    kept: list[Product] = []
    held_out: list[Product] = []
    for product in products:
        digest = hashlib.sha256(f"{holdout.seed}/{product.key}".encode()).digest()
        chance = int.from_bytes(digest[:8], "big") / 2**64
        both = all(product.taken_by(domain) for domain in get_args(Domain))
        (held_out if both and chance < holdout.share else kept).append(product)
    return kept, held_out


def _read_dataset(root: Path) -> list[TrainingPhoto]:
    dataset = read_dataset(root)
    source = root.resolve().name if root.name in ("", "..") else root.name
    photos = []
    for photo in (*dataset.queries, *dataset.gallery):
        if photo.product_id is None:
            raise DataError(
                f"{root}: the {photo.domain} photo {photo.id} ({photo.name}) has no product_id; "
                "training needs the product of every photo in both tables"
            )
        photos.append(
            TrainingPhoto(
                name=photo.name,
                path=photo.path,
                source=source,
                domain=photo.domain,
                product=f"{source}/{photo.product_id}",
                category=f"{source}/",
                box=photo.box,
                problem=photo.problem,
            )
        )
    return photos


def _read_table(path: Path) -> list[TrainingPhoto]:
    table = read_tagged_table(path, needed=COLUMNS)
    if table.faults:
        raise DataError(f"{path}: {len(table.faults)} faults", table.faults)
    photos = []
    for photo in table.photos:
        source = photo.attributes["source"]
        photos.append(
            TrainingPhoto(
                name=photo.name,
                path=photo.path,
                source=str(source),
                domain=photo.domain,
                product=f"{source}/{photo.product_id}",
                category=f"{source}/{photo.attributes['category']}",
                box=photo.box,
                problem=photo.problem,
            )
        )
    return photos


def _spread(photos: list[TrainingPhoto], source: SourceConfig) -> tuple[TrainingPhoto, ...]:
    """Thin a product's photos out to the most that are wanted, a domain with few staying whole."""
    most = source.max_per_product
    if most is None or len(photos) <= most:
        return tuple(photos)
    kept: list[TrainingPhoto] = []
    for domain in get_args(Domain):
        of_domain = [photo for photo in photos if photo.domain == domain]
        places = np.linspace(0, len(of_domain) - 1, min(most, len(of_domain))).round()
        kept += [of_domain[int(place)] for place in places]
    return tuple(kept)
