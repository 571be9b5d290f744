"""Render thousands of training pictures of free furniture models, with transparent ground.

    python scripts/render_bulk/make.py OUT_DIR [--exclude-products examples/furniture]

Each model of Sweet Home 3D's furniture archives becomes a product with studio pictures (domain
``seller``) and snapshots (domain ``user``), as WebP with alpha: grounds are pasted under them in
training. OUT_DIR gets ``images/``, ``train.csv``, ``credits.csv`` (most models ask for credit) and
``failures.csv``. Stopped at any moment, the same command goes on where it was.

Needs no screen and no GPU: Debian's ``sweethome3d-furniture``, ``libegl1``, ``libgl1-mesa-dri``
and ``libgles2``, and from PyPI moderngl, numpy and Pillow.
"""

from __future__ import annotations

import argparse
import multiprocessing
import os
import sys
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

from catalogue import FOLDER, Archive, Product, read_catalogue
from exclusion import read_exclusion
from mesh import read_mesh
from obj import ModelError
from store import Note, Settings, Store

TABLES_EVERY = 40  # products
studio = None  # a worker's own


def arguments() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("out", type=Path, metavar="OUT_DIR")
    parser.add_argument(
        "--archives", type=Path, nargs="+", default=[FOLDER], help=".sh3f files or folders of them"
    )
    parser.add_argument("--seller-views", type=int, default=5, metavar="N")
    parser.add_argument("--user-views", type=int, default=8, metavar="N")
    parser.add_argument("--size", type=int, default=320, help="pixels of a side (%(default)s)")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument(
        "--exclude-products",
        type=Path,
        metavar="PATH",
        help="a folder made by scripts/render_furniture, or a file with a product id a line",
    )
    parser.add_argument(
        "--only-licence", metavar="NAME", help="only models whose licence begins so, such as cc0"
    )
    parser.add_argument("--workers", type=int, default=os.cpu_count() or 1, help="processes")
    return parser.parse_args()


def start_worker(store: Store, folders: dict[str, Path], barred: set[str]) -> None:
    """Set up this process's renderer."""
    global studio  # noqa: PLW0603
    from studio import Studio  # noqa: PLC0415  not needed, nor its renderer, before here

    studio = Studio(store, folders, barred)


def take(product: Product) -> Note:
    """Render one product in this process."""
    return studio.take(product)


def render(
    products: list[Product], workers: int, setup: tuple[Store, dict[str, Path], set[str]]
) -> Iterator[Note]:
    """Render products on some processes; their notes as they end."""
    os.environ.setdefault("LP_NUM_THREADS", "1")  # a process, a core
    if workers == 1:
        start_worker(*setup)
        yield from map(take, products)
        return
    context = multiprocessing.get_context("spawn")
    with context.Pool(workers, start_worker, setup) as pool:
        yield from pool.imap_unordered(take, products)


def shapes(products: list[Product], folders: dict[str, Path]) -> set[str]:
    """The shapes of excluded products, which no other product may have."""
    archives = {product.archive: Archive(folders[product.archive]) for product in products}
    found = set()
    for product in products:
        try:
            found.add(read_mesh(archives[product.archive], product).geometry)
        except ModelError as error:
            raise SystemExit(f"cannot exclude {product.id} for sure: {error}") from None
    return found


def say(done: int, total: int, pictures: int, started: float) -> None:
    """Show how far the work is."""
    spent = time.monotonic() - started
    left = int(spent / done * (total - done)) if done else 0
    rate = pictures / spent
    ahead = f"{left // 60}:{left % 60:02d} left"
    line = f"{done}/{total} products, {pictures} pictures, {rate:.1f}/s, {ahead}"
    end = "\r" if sys.stderr.isatty() and done < total else "\n"
    print(line, end=end, file=sys.stderr, flush=True)


def main() -> None:
    """Render what is missing, write the tables, say what came of it."""
    args = arguments()
    started = time.monotonic()
    paths = [p for a in args.archives for p in (sorted(a.glob("*.sh3f")) if a.is_dir() else [a])]
    if not paths:
        raise SystemExit(
            f"no .sh3f files in {args.archives}: apt-get install sweethome3d-furniture"
        )
    folders = {path.name: path for path in paths}
    everything, broken = [], []
    for path in paths:
        products, faults = read_catalogue(path)
        everything += products
        broken += faults
    excluded: set[str] = set()
    if args.exclude_products:
        excluded = read_exclusion(args.exclude_products, everything)
    licence = (args.only_licence or "").lower()
    unwanted = sum(not p.licence.lower().startswith(licence) for p in everything)
    products = [
        p for p in everything if p.id not in excluded and p.licence.lower().startswith(licence)
    ]
    settings = Settings(args.seller_views, args.user_views, args.size, args.seed)
    store = Store(args.out, settings)
    notes = {p.id: store.note(p.id) for p in products}
    todo = [p for p in products if (n := notes[p.id]) is None or n.reason]
    barred = shapes([p for p in everything if p.id in excluded], folders) if todo else set()
    print(f"{len(products)} products, {len(products) - len(todo)} finished before", file=sys.stderr)

    begun = time.monotonic()
    pictures = 0
    shown = begun
    made = render(todo, args.workers, (store, folders, barred)) if todo else ()
    for done, note in enumerate(made, 1):
        pictures += 0 if note.reason else len(settings.shots())
        if time.monotonic() - shown > 5 or done == len(todo):
            shown = time.monotonic()
            say(done, len(todo), pictures, begun)
        if done % TABLES_EVERY == 0:
            store.write_tables(products, broken)
    kept, failures = store.write_tables(products, broken)

    spent = time.monotonic() - begun
    print(f"{len(kept)} products, {len(kept) * len(settings.shots())} pictures in {args.out}")
    print(f"  rendered now: {pictures} in {spent:.0f} s, {pictures / max(spent, 0.1):.1f}/s")
    print(f"  excluded by name: {len(excluded)}; of another licence: {unwanted}")
    for what, counts in (
        ("licence", Counter(p.licence for p in kept)),
        ("category", Counter(p.category for p in kept)),
        ("left out", Counter(reason for _, reason in failures)),
    ):
        print("".join(f"  {what}: {n} {name}\n" for name, n in counts.most_common()), end="")
    print(f"  {time.monotonic() - started:.0f} s in all")


if __name__ == "__main__":
    main()
