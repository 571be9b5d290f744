"""From a photo with a box to its results: in a process that is warm, and by the command.

The photo and the model are real, the vectors of the catalogue are made (`made_vectors.py`).
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Callable

from commands import fresh_folder
from made_vectors import VIEWS, made_products, made_vectors
from measuring import SAMPLE, finish, interleaved, table
from startup import process

from shoplens import load_encoder, read_queries
from shoplens.catalog import Catalog, Entry, ModelStamp, open_catalog
from shoplens.records import Photo

ROUNDS = 10
WARM = 30
"""Searches of a round."""
TARGETS = {"warm": 0.045, "command": 0.8}
"""Seconds that it should take at most."""
BATCH = 10_000


def fill(catalog: Catalog, n: int, stamp: ModelStamp) -> None:
    """Put made entries in, and build the index."""
    catalog.set_model(stamp)
    vectors, products = made_vectors(n, stamp.dimension), made_products(n)
    for start in range(0, n, BATCH):
        catalog.upsert(
            Entry(
                row,
                vectors[row],
                f"p{products[row]}",
                path=f"photos/{row}.jpg",
                attributes={"price": row % 100},
            )
            for row in range(start, min(n, start + BATCH))
        )
    catalog.compact()


def warm(search: Callable[[], object]) -> Callable[[], float]:
    """Return a function that searches many times and returns the seconds that one took."""

    def run() -> float:
        started = time.perf_counter()
        for _ in range(WARM):
            search()
        return (time.perf_counter() - started) / WARM

    return run


def main() -> None:
    """Measure, print, write."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--photos", type=int, default=100_000)
    n = parser.parse_args().photos
    photo: Photo = read_queries(SAMPLE)[0]
    box = str(photo.box)
    encoder = load_encoder()
    stamp = ModelStamp(encoder.name, encoder.fingerprint, encoder.dimension)
    with fresh_folder() as scratch:
        folder = scratch / "catalogue"
        with open_catalog(folder, create=True) as catalog:
            fill(catalog, n, stamp)
        command = [sys.executable, "-m", "shoplens", "search", str(photo.path), "--box", box]
        command += ["--catalog", str(folder)]
        with open_catalog(folder, read_only=True) as catalog:
            vector = catalog.search(photo.path, box=photo.box, encoder=encoder)
            assert len(vector) == 20
            entry = catalog.get(0)
            assert entry is not None
            ways = {
                "warm": warm(lambda: catalog.search(photo.path, box=photo.box, encoder=encoder)),
                "warm, 20 products": warm(
                    lambda: catalog.search(
                        photo.path, box=photo.box, encoder=encoder, group_by="product"
                    )
                ),
                "warm, from a vector": warm(lambda: catalog.search(vector=entry.vector)),
                "command": process(command, scratch),
                "command, 20 products": process([*command, "--group-by", "product"], scratch),
            }
            seconds = interleaved(ways, ROUNDS)
    rows = []
    for name, of in seconds.items():
        shown = [f"{1e3 * of[key]:.0f}" for key in ("median", "min", "max")]
        target = f"{1e3 * TARGETS[name]:.0f}" if name in TARGETS else ""
        rows.append([name, shown[0], f"{shown[1]} .. {shown[2]}", target])
    text = (
        f"One photo with a box in a catalogue of {n:,} photos of {n // VIEWS:,} products, "
        f"{stamp.dimension} dimensions, {ROUNDS} rounds ({WARM} searches in each that is warm). "
        "The command is a whole process.\n\n"
    )
    text += table(["", "ms, median", "range", "target: at most"], rows)
    values = {"n": n, "d": stamp.dimension, "seconds": seconds}
    finish("catalog_photo", "python3 make.py bench catalog_photo", values, text)


if __name__ == "__main__":
    main()
