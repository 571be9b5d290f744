"""Which products stay out: those of a test set, named by the set's own tables or by a list."""

from __future__ import annotations

import csv
import sys
import zlib
from collections.abc import Iterable
from pathlib import Path

from catalogue import Product

sys.path.append(str(Path(__file__).parents[1] / "render_furniture"))

from products import PRODUCTS

SAMPLE_ARCHIVE = "BlendSwap-CC-0.sh3f"  # what scripts/render_furniture renders from


def sample_number(product: Product) -> int | None:
    """The id scripts/render_furniture gives a product of its archive (its ``number_of``)."""
    if product.archive != SAMPLE_ARCHIVE:
        return None
    return zlib.crc32(f"id {Path(product.model).stem}".encode()) % 2_000_000_000 + 1


def numbers(table: Path) -> set[int]:
    """The products of a test set's table."""
    with table.open(newline="") as file:
        return {int(row["product_id"]) for row in csv.DictReader(file)}


def read_exclusion(source: Path, products: Iterable[Product]) -> set[str]:
    """The ids of the products to leave out.

    ``source`` is a folder with ``gallery.csv`` and ``queries.csv`` made by
    scripts/render_furniture, or a text file with one product id (``archive/model``) a line. Each
    id there must be found among ``products`` when their archive was read; otherwise the match
    cannot be trusted and this raises `SystemExit`. For a folder the models that
    scripts/render_furniture lists as products stay out as well.
    """
    products = list(products)
    if source.is_dir():
        wanted = numbers(source / "gallery.csv") | numbers(source / "queries.csv")
        if not any(p.archive == SAMPLE_ARCHIVE for p in products):
            return set()
        found = {n: p.id for p in products if (n := sample_number(p)) in wanted}
        missing = wanted - set(found)
        listed = {
            p.id for p in products if p.archive == SAMPLE_ARCHIVE and Path(p.model).stem in PRODUCTS
        }
        excluded = set(found.values()) | listed
    else:
        lines = {line.strip() for line in source.read_text().splitlines()}
        names = {line for line in lines if line and not line.startswith("#")}
        archives = {p.id.split("/")[0] for p in products}
        excluded = {p.id for p in products} & names
        missing = {n for n in names - excluded if n.split("/")[0] in archives}
    if missing:
        raise SystemExit(f"{source}: no model for {len(missing)} products: {sorted(missing)[:5]}")
    return excluded
