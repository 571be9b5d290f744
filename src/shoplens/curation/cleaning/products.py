"""Products that have the same photos: one product that was listed twice.

Two products may also share a picture that says nothing about them: a size chart, a brand's logo,
"no photo yet". So a picture that many products show is no evidence, and neither is one picture of
many.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from itertools import combinations

from shoplens.curation.cleaning.changes import Change, Cleaning
from shoplens.curation.cleaning.groups import linked_groups
from shoplens.curation.cleaning.tables import DatasetTables
from shoplens.curation.duplicates import THRESHOLD, Kind, find_duplicates, sketch_photos
from shoplens.errors import ShoplensError
from shoplens.progress import Progress, silent
from shoplens.records import Photo
from shoplens.report.counts import counted

_SAME: tuple[Kind, ...] = ("bytes", "pixels", "near")
_Evidence = dict[tuple[str, str], tuple[Photo, Photo]]
"""By two products: a photo of each that show one picture."""


def find_same_products(
    tables: DatasetTables,
    *,
    min_shared: float = 0.5,
    most_products: int = 5,
    recoloured: bool = False,
    threshold: float = THRESHOLD,
    workers: int | None = None,
    progress: Progress = silent,
) -> Cleaning:
    """Find products that are one, by their seller photos.

    All photos of such products get one id: that of the product with the most seller photos, or the
    first of them.

    Args:
        tables: the dataset; the product of every photo must be known.
        min_shared: two products are one if at least this share of the seller photos of one of them
            is shown by the other too, 0..1.
        most_products: a picture that more products show is ignored.
        recoloured: whether the same shot in another colour counts.
        threshold: as in `shoplens.curation.duplicates.find_duplicates`.
        workers: threads that decode; None takes one for each usable core.
        progress: told how far the work is.

    Raises:
        DataError: the product of a photo is not known.
        ShoplensError: `min_shared` is not above 0 and at most 1.
    """
    if not 0 < min_shared <= 1:
        raise ShoplensError(f"min_shared must be above 0 and at most 1, got {min_shared}")
    tables.require_products()
    sellers = tables.of("seller")
    sketches, failures = sketch_photos(sellers, workers=workers, progress=progress)
    kinds = (*_SAME, "recoloured") if recoloured else _SAME
    found = find_duplicates(sketches, threshold=threshold, progress=progress)
    pictures = linked_groups((p.first, p.second) for p in found if p.kind in kinds)
    n_photos = Counter(photo.product_id or "" for photo in sellers)
    shared: dict[tuple[str, str], Counter[str]] = defaultdict(Counter)
    evidence: _Evidence = {}
    n_ignored = 0
    for picture in pictures:
        shown: dict[str, list[Photo]] = defaultdict(list)
        for position in picture:
            photo = sketches[position].photo
            shown[photo.product_id or ""].append(photo)
        if len(shown) > most_products:
            n_ignored += 1
            continue
        for pair in combinations(sorted(shown), 2):
            evidence.setdefault(pair, (shown[pair[0]][0], shown[pair[1]][0]))
            for product in pair:
                shared[pair][product] += len(shown[product])
    same = [
        pair
        for pair, counts in shared.items()
        if max(counts[product] / n_photos[product] for product in pair) >= min_shared
    ]
    groups = linked_groups(same)
    return Cleaning(
        "products",
        tables,
        changes=tuple(_changes(tables, groups, n_photos, evidence)),
        counts={
            "n_products_before": len({photo.product_id for photo in tables.photos}),
            "n_merged": sum(len(group) - 1 for group in groups),
            "n_groups": len(groups),
            "n_pairs_spared": len(shared) - len(same),
            "n_pictures_ignored": n_ignored,
        },
        failures=tuple(failures),
    )


def _changes(
    tables: DatasetTables,
    groups: Sequence[Sequence[str]],
    n_photos: Mapping[str, int],
    evidence: _Evidence,
) -> list[Change]:
    """Return a change for each photo whose product gets another id; the largest groups last."""
    first: dict[str, int] = {}
    of_product: dict[str, list[Photo]] = defaultdict(list)
    for photo in tables.photos:
        product = photo.product_id or ""
        first.setdefault(product, photo.id)
        of_product[product].append(photo)
    changes = []
    for group in sorted(groups, key=lambda g: (len(g), min(first[p] for p in g))):
        kept = min(group, key=lambda product: (-n_photos[product], first[product]))
        for product in sorted((p for p in group if p != kept), key=first.__getitem__):
            shown = _shown(evidence, product, kept, group)
            for photo in of_product[product]:
                reason = f"product {product} shows the photos of product {kept}"
                if len(group) > 2:
                    reason += f" ({counted(len(group), 'product')} are one)"
                beside = shown[1] if photo is shown[0] else None
                changes.append(Change(photo, "product_id", reason, kept, beside))
    return changes


def _shown(
    evidence: _Evidence, product: str, kept: str, group: Sequence[str]
) -> tuple[Photo, Photo]:
    """Return a photo of a product, and one of the product that is kept or of another of its group
    that shows the same picture."""
    for other in (kept, *(p for p in group if p not in (kept, product))):
        if (product, other) in evidence:
            return evidence[product, other]
        if (other, product) in evidence:
            second, first = evidence[other, product]
            return first, second
    raise AssertionError("a product of a group is linked to another of it")
