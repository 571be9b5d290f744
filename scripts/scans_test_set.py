"""Write the scanned products that nothing is fitted to as a test set: gallery.csv, queries.csv.

    python scripts/scans_test_set.py --tables FOLDER -o FOLDER/scans-kept-out

FOLDER holds `scan-renders/` and `train-photos/` (see `scripts/build_clip.py`). The gallery has
a studio picture of every scanned product, the queries three snapshots of each product kept out.
A snapshot is pasted on a part of a user's photo of clothing or groceries, and has a box around the
product.
"""

from __future__ import annotations

import argparse
import csv
from pathlib import Path

import numpy as np
from PIL import Image, ImageOps
from product_views import Row, Tables, hashed

SELLER, USER = 1, 3
"""Pictures of a product."""
SIDE = 448
"""Pixels of a snapshot's side; the render in it has 320."""


def clutter(tables: Tables, name: str) -> Image.Image:
    """Return a part of a user's photo, the same for the same name."""
    photos = [
        row.name
        for source in ("clothing", "grocery")
        for rows in tables.photos("train-photos", source).values()
        for row in rows
        if row.domain == "user"
    ]
    chosen = photos[int(hashed(f"clutter {name}") * len(photos))]
    with Image.open(tables.folder / chosen) as photo:
        return ImageOps.fit(ImageOps.exif_transpose(photo).convert("RGB"), (SIDE, SIDE))


def snapshot(tables: Tables, row: Row) -> tuple[Image.Image, tuple[int, int, int, int]]:
    """Return a render on clutter, and the product's box in it: x, y, width, height."""
    with Image.open(tables.folder / row.name) as picture:
        render = picture.convert("RGBA")
    room = SIDE - render.width
    x, y = (int(hashed(f"{side} {row.name}") * room) for side in ("left", "top"))
    ground = clutter(tables, row.name)
    ground.paste(render, (x, y), render)
    solid = np.asarray(render)[..., 3] >= 128
    rows, columns = np.flatnonzero(solid.any(axis=1)), np.flatnonzero(solid.any(axis=0))
    left, top = int(columns[0]), int(rows[0])
    return ground, (x + left, y + top, int(columns[-1]) + 1 - left, int(rows[-1]) + 1 - top)


def studio(tables: Tables, row: Row) -> Image.Image:
    """Return a render on white."""
    with Image.open(tables.folder / row.name) as picture:
        render = picture.convert("RGBA")
    ground = Image.new("RGB", render.size, "white")
    ground.paste(render, (0, 0), render)
    return ground


def write_table(path: Path, header: list[str], rows: list[list[object]]) -> None:
    """Write a CSV file."""
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(header)
        writer.writerows(rows)


def main() -> None:
    """Write pictures, then the tables."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--tables", type=Path, required=True, metavar="FOLDER")
    parser.add_argument("-o", "--output", type=Path, required=True)
    arguments = parser.parse_args()
    tables, output = Tables(arguments.tables), arguments.output
    for folder in ("gallery", "queries"):
        (output / folder).mkdir(parents=True, exist_ok=True)
    kept_out = tables.scans_kept_out()
    products = {p: n for n, p in enumerate(sorted({p for p, _ in tables.photos("scan-renders")}))}
    gallery: list[list[object]] = []
    queries: list[list[object]] = []
    for (product, domain), rows in sorted(tables.photos("scan-renders").items()):
        number = products[product]
        if domain == "seller":
            for row in rows[:SELLER]:
                name = f"gallery/{len(gallery)}.jpg"
                studio(tables, row).save(output / name, quality=92)
                gallery.append([len(gallery), name, number])
        elif product in kept_out:
            for row in rows[:USER]:
                name = f"queries/{len(queries)}.jpg"
                picture, box = snapshot(tables, row)
                picture.save(output / name, quality=85)
                queries.append([len(queries), name, number, *box])
    write_table(output / "gallery.csv", ["seller_img_id", "img_path", "product_id"], gallery)
    boxes = [f"bbox_{side}" for side in "xywh"]
    write_table(output / "queries.csv", ["user_img_id", "img_path", "product_id", *boxes], queries)
    print(f"{output}: {len(queries)} queries, {len(gallery)} gallery photos")


if __name__ == "__main__":
    main()
