"""Building a test set out of photos that are tagged user or seller."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

import numpy as np

from shoplens.curation.layout import FOLDERS, write_tables
from shoplens.curation.placing import Placing, put
from shoplens.curation.tagged import TaggedPhotos, read_tagged
from shoplens.datasets.checking import check
from shoplens.datasets.format import TABLE_NAMES
from shoplens.datasets.tagged_table import CATEGORY
from shoplens.errors import DataError, PhotoError
from shoplens.folders import require_new_folder, writing_folder
from shoplens.looking import decoded_photo, look_at
from shoplens.progress import Progress, silent
from shoplens.records import Box, BoxFrame, Domain, Photo
from shoplens.report.counts import counted

How = Literal["copy", "link", "reference"]
"""How photos get into the test set. `copy` copies them. `link` makes hard links: one file under two
names, so writing to one changes both. `reference` leaves them where they are, and writes the tables
into a folder above them."""

_PROBE = 64
"""Size in pixels that photos are decoded towards: it only matters whether they can be decoded."""


@dataclass(frozen=True, slots=True)
class LeftOut:
    """A photo that cannot be used."""

    name: str
    """Its path, as the source has it."""
    row: int | None
    """Its row in the table, where the header is row 1; None for a folder tree."""
    reason: str
    """A key of `shoplens.records.REASONS`."""
    detail: str


@dataclass(frozen=True, slots=True)
class Made:
    """What came of making a test set."""

    folder: Path
    layout: str
    """See `shoplens.curation.tagged.Layout`."""
    how: How
    n_gallery: int
    n_queries: int
    n_products: int
    n_distractor_products: int
    """Products without a user photo: their seller photos are distractors in the gallery."""
    n_user_only_products: int
    """Products without a seller photo: no query can find them."""
    n_user_only_photos: int
    """Their photos, which are left out unless `keep_user_only` is set."""
    n_over_limit: int
    """User photos left out because of `max_queries_per_product`."""
    n_whole: int
    """Queries without a box: the whole photo is searched for."""
    n_repeated: int
    """Rows of the source that repeat another row."""
    strays: tuple[str, ...]
    """Images outside the expected folders, left out."""
    failures: tuple[LeftOut, ...]
    """Photos that cannot be used, left out."""

    def to_json(self) -> dict[str, Any]:
        """Return the values as `shoplens dataset make --json` writes them."""
        return {
            "output": str(self.folder),
            "layout": self.layout,
            "photos": self.how,
            "n_gallery": self.n_gallery,
            "n_queries": self.n_queries,
            "n_products": self.n_products,
            "n_distractor_products": self.n_distractor_products,
            "n_user_only_products": self.n_user_only_products,
            "n_user_only_photos": self.n_user_only_photos,
            "n_over_limit": self.n_over_limit,
            "n_whole": self.n_whole,
            "n_repeated": self.n_repeated,
            "strays": list(self.strays),
            "failures": dict(Counter(failure.reason for failure in self.failures)),
            "failed_photos": [
                {"path": f.name, "row": f.row, "reason": f.reason, "detail": f.detail}
                for f in self.failures
            ],
        }


def make_dataset(
    source: str | Path,
    folder: str | Path,
    *,
    how: How = "copy",
    columns: Mapping[str, str] | None = None,
    box_frame: BoxFrame = "upright",
    max_queries_per_product: int | None = None,
    keep_user_only: bool = False,
    seed: int = 0,
    workers: int | None = None,
    progress: Progress = silent,
) -> Made:
    """Build a test set: `gallery.csv`, `queries.csv` and photos, ready for `shoplens check`.

    Every photo is decoded; those that cannot be used are left out and counted. Rows are shuffled,
    so that their order reveals nothing, and numbered from 0: the id is the row. The same source and
    seed
    give the same set.

    Args:
        source: as for `shoplens.curation.tagged.read_tagged`; so are `columns` and `box_frame`.
        folder: where to; must be new. With `how="reference"`, an existing folder above the photos
            that has no tables yet, because a table can only name photos below its own folder.
        how: what becomes of the photos.
        max_queries_per_product: at most so many user photos of a product, chosen by the seed.
        keep_user_only: keep user photos of products without a seller photo. These queries find
            nothing, and no metric counts them.
        seed: decides on order and choice.
        workers: threads that decode; None takes one for each usable core.
        progress: told how many photos are done.

    Raises:
        MissingError: the source, or the folder above `folder`, is not there.
        DataError: the source is faulty, nothing of it can be used, or `folder` is not as needed.
        ShoplensError: a photo cannot be copied or linked.
    """
    require_target(folder, how)
    tagged = read_tagged(source, columns=columns, box_frame=box_frame)
    return write_test_set(
        tagged,
        folder,
        how=how,
        max_queries_per_product=max_queries_per_product,
        keep_user_only=keep_user_only,
        seed=seed,
        workers=workers,
        progress=progress,
    )


def require_target(folder: str | Path, how: How) -> None:
    """Check that a test set can be written, before its source is read.

    Raises as `shoplens.folders.require_new_folder`.
    """
    if how != "reference":
        require_new_folder(folder)


def write_test_set(
    tagged: TaggedPhotos,
    folder: str | Path,
    *,
    how: How = "copy",
    max_queries_per_product: int | None = None,
    keep_user_only: bool = False,
    seed: int = 0,
    workers: int | None = None,
    progress: Progress = silent,
) -> Made:
    """Build a test set of photos that have been read. See `make_dataset`."""
    folder = Path(folder)
    if how == "reference":
        _require_above(folder, tagged)
    usable, boxless, failures = _usable(tagged, workers, progress)
    chosen = _choose(usable, max_queries_per_product, keep_user_only, seed)
    if not chosen.gallery or not chosen.queries:
        side = "seller" if not chosen.gallery else "user"
        raise DataError(
            f"{tagged.root}: no {side} photo is left for a test set "
            f"({counted(len(tagged.photos), 'photo')}, unusable {len(failures):,})"
        )
    categories = any(CATEGORY in photo.attributes for photo in tagged.photos)
    sides: dict[Domain, Sequence[Photo]] = {"seller": chosen.gallery, "user": chosen.queries}
    if how == "reference":
        names = {_key(p): _relative(p, folder) for photos in sides.values() for p in photos}
        write_tables(folder, sides, names, categories=categories)
        try:
            _require_sound(folder, workers, progress)
        except BaseException:
            for table in TABLE_NAMES.values():
                (folder / table).unlink(missing_ok=True)
            raise
    else:
        with writing_folder(folder) as made:
            names = _place(made, sides, how, progress)
            write_tables(made, sides, names, categories=categories)
            _require_sound(made, workers, progress)
    products = {photo.product_id for photo in chosen.gallery}
    return Made(
        folder=folder,
        layout=tagged.layout,
        how=how,
        n_gallery=len(chosen.gallery),
        n_queries=len(chosen.queries),
        n_products=len(products | {photo.product_id for photo in chosen.queries}),
        n_distractor_products=len(products - {photo.product_id for photo in chosen.queries}),
        n_user_only_products=chosen.n_user_only_products,
        n_user_only_photos=chosen.n_user_only_photos,
        n_over_limit=chosen.n_over_limit,
        n_whole=sum(photo.id in boxless for photo in chosen.queries),
        n_repeated=tagged.n_repeated,
        strays=tagged.strays,
        failures=failures,
    )


@dataclass(frozen=True, slots=True)
class _Chosen:
    """The usable photos that become the test set, in its order."""

    gallery: Sequence[Photo]
    queries: Sequence[Photo]
    n_user_only_products: int
    n_user_only_photos: int
    n_over_limit: int


def _usable(
    tagged: TaggedPhotos, workers: int | None, progress: Progress
) -> tuple[list[Photo], set[int], tuple[LeftOut, ...]]:
    """Return the photos that can be decoded, user photos with upright boxes.

    Also return the ids of the user photos that had no box, and the photos that failed.
    """
    usable: list[Photo] = []
    boxless: set[int] = set()
    failures: list[LeftOut] = []
    photos = tagged.photos
    rows = tagged.rows or (None,) * len(photos)
    looked = look_at(photos, _look, workers=workers, progress=progress)
    for row, (photo, found) in zip(rows, looked, strict=True):
        if isinstance(found, PhotoError):
            failures.append(LeftOut(photo.name, row, found.reason, str(found)))
        else:
            usable.append(replace(photo, box=found, box_frame="upright"))
            if photo.domain == "user" and photo.box is None:
                boxless.add(photo.id)
    return usable, boxless, tuple(failures)


def _look(photo: Photo) -> Box | None:
    """Return a user photo's box in upright pixels; None for a seller photo."""
    with decoded_photo(photo, _PROBE) as found:
        if photo.domain == "seller":
            return None
        if photo.box is None:
            return Box(0, 0, *found.size)
        # A box partly outside stays as it was given: tables may hold such boxes, readers clip them.
        return photo.box if photo.box_frame == "upright" else found.box


def _choose(photos: Sequence[Photo], limit: int | None, keep_user_only: bool, seed: int) -> _Chosen:
    in_order = sorted(photos, key=lambda photo: (photo.name, repr(photo.box), photo.id))
    random = np.random.default_rng(seed)
    shuffled = [in_order[i] for i in random.permutation(len(in_order))]
    gallery = [photo for photo in shuffled if photo.domain == "seller"]
    sold = {photo.product_id for photo in gallery}
    by_product: dict[str | None, list[Photo]] = defaultdict(list)
    for photo in shuffled:
        if photo.domain == "user":
            by_product[photo.product_id].append(photo)
    user_only = [product for product in by_product if product not in sold]
    n_user_only = sum(len(by_product[product]) for product in user_only)
    kept = {
        photo.id
        for product, of in by_product.items()
        if keep_user_only or product in sold
        for photo in of[:limit]
    }
    queries = [photo for photo in shuffled if photo.id in kept]
    n_left_out = 0 if keep_user_only else n_user_only
    n_user = sum(map(len, by_product.values()))
    return _Chosen(
        gallery, queries, len(user_only), n_user_only, n_user - n_left_out - len(queries)
    )


def _place(
    folder: Path, sides: Mapping[Domain, Sequence[Photo]], how: Placing, progress: Progress
) -> dict[tuple[Domain, int], str]:
    """Copy or link the photos into a new folder; return their names there."""
    names: dict[tuple[Domain, int], str] = {}
    total = sum(map(len, sides.values()))
    for domain, photos in sides.items():
        (folder / FOLDERS[domain]).mkdir()
        for number, photo in enumerate(photos):
            name = f"{FOLDERS[domain]}/{number}{photo.path.suffix.lower()}"
            put(photo.path, folder / name, how)
            names[_key(photo)] = name
            progress(how, len(names), total)
    return names


def _key(photo: Photo) -> tuple[Domain, int]:
    return photo.domain, photo.id


def _relative(photo: Photo, folder: Path) -> str:
    return photo.path.resolve().relative_to(folder.resolve()).as_posix()


def _require_above(folder: Path, tagged: TaggedPhotos) -> None:
    """Check that a folder may hold the tables of photos that stay where they are."""
    root = tagged.root.resolve()
    if not root.is_relative_to(folder.resolve()) or not folder.is_dir():
        raise DataError(
            f"{folder} is not above the photos in {tagged.root}: a table can only name photos "
            f"below its own folder. Name {tagged.root}, or copy or link the photos"
        )
    for name in TABLE_NAMES.values():
        if (folder / name).exists():
            raise DataError(f"{folder / name} exists already; it is not replaced")


def _require_sound(folder: Path, workers: int | None, progress: Progress) -> None:
    """Refuse a set that `shoplens check` would refuse: photos may have changed meanwhile."""
    report = check(folder, workers=workers, progress=progress)
    if not report.ok:
        raise DataError("the test set has faults, so nothing was written", report.faults)
