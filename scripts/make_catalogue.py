"""Make a labelled test set of small drawn photos, large enough for rows of 1000.

    python scripts/make_catalogue.py OUT [--products 300] [--queries 60] [--broken 3]

Every product is a pattern of colours. Its seller photos show it on white, brighter or darker and a
little out of place; user photos show it somewhere in clutter, with a box around it. Ids are row
numbers, as in the challenge's own sets, which is how its original scoring reads an answer. The same
arguments give the same files.
"""

from __future__ import annotations

import argparse
import csv
from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np
from PIL import Image, ImageEnhance

SELLER, USER = 48, 72
"""Sides of the photos in pixels."""
FEWEST, MOST = 2, 6
"""Seller photos of a product."""
SEED = 2023


def make_catalogue(folder: Path, products: int = 300, queries: int = 60, broken: int = 3) -> None:
    """Write the tables and the photos.

    Args:
        folder: where; must not be there.
        products: how many there are.
        queries: how many user photos, of as many different products at first.
        broken: so many photos of the gallery, and one query, end before the picture does.
    """
    random = np.random.default_rng(SEED)
    for side in ("gallery", "queries"):
        (folder / side).mkdir(parents=True)
    patterns = [pattern(random) for _ in range(products)]
    counts = random.integers(FEWEST, MOST + 1, products)
    shown = random.permutation(np.repeat(np.arange(products), counts))
    gallery = []
    for row, product in enumerate(shown):
        path = f"gallery/{row}.jpg"
        seller_photo(patterns[product], random).save(folder / path, quality=85)
        gallery.append((row, path, product))
    asked = []
    for row, product in enumerate(np.resize(random.permutation(products), queries)):
        path = f"queries/{row}.jpg"
        photo, box = user_photo(patterns[product], random)
        photo.save(folder / path, quality=75)
        asked.append((row, path, *box, product))
    for row in random.choice(len(gallery), broken, replace=False):
        cut_short(folder / gallery[row][1])
    if broken:
        cut_short(folder / asked[-1][1])
    write(folder / "gallery.csv", ("seller_img_id", "img_path", "product_id"), gallery)
    boxes = ("bbox_x", "bbox_y", "bbox_w", "bbox_h")
    write(folder / "queries.csv", ("user_img_id", "img_path", *boxes, "product_id"), asked)


def pattern(random: np.random.Generator) -> Image.Image:
    """Draw a product."""
    colours = random.integers(256, size=(3, 3, 3), dtype=np.uint8)
    return Image.fromarray(colours).resize((SELLER, SELLER), Image.Resampling.BICUBIC)


def seller_photo(product: Image.Image, random: np.random.Generator) -> Image.Image:
    """Show a product on white."""
    side = int(random.integers(SELLER // 2, SELLER))
    photo = Image.new("RGB", (SELLER, SELLER), "white")
    x, y = (int(at) for at in random.integers(0, SELLER - side + 1, 2))
    photo.paste(product.resize((side, side)), (x, y))
    return ImageEnhance.Brightness(photo).enhance(float(random.uniform(0.6, 1.3)))


def user_photo(
    product: Image.Image, random: np.random.Generator
) -> tuple[Image.Image, tuple[int, int, int, int]]:
    """Show a product in clutter; return the photo and the box x, y, w, h around it."""
    clutter = random.integers(256, size=(9, 9, 3), dtype=np.uint8)
    photo = Image.fromarray(clutter).resize((USER, USER), Image.Resampling.BICUBIC)
    w, h = (int(side) for side in random.integers(USER // 4, USER // 2, 2))
    x, y = int(random.integers(0, USER - w)), int(random.integers(0, USER - h))
    lit = ImageEnhance.Brightness(product).enhance(float(random.uniform(0.6, 1.3)))
    photo.paste(lit.resize((w, h)), (x, y))
    return photo, (x, y, w, h)


def cut_short(file: Path) -> None:
    """Take the second half of a file away."""
    data = file.read_bytes()
    file.write_bytes(data[: len(data) // 2])


def write(file: Path, columns: Sequence[str], rows: Iterable[Sequence[object]]) -> None:
    """Write a table."""
    with file.open("w", newline="", encoding="utf-8") as stream:
        writer = csv.writer(stream, lineterminator="\n")
        writer.writerow(columns)
        writer.writerows(rows)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--products", type=int, default=300)
    parser.add_argument("--queries", type=int, default=60)
    parser.add_argument("--broken", type=int, default=3)
    options = parser.parse_args()
    make_catalogue(options.folder, options.products, options.queries, options.broken)
