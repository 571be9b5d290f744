"""The layouts that can be read, and which one a folder has."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from shoplens.datasets.layouts.deepfashion_consumer_to_shop import LAYOUT as CONSUMER_TO_SHOP
from shoplens.datasets.layouts.deepfashion_in_shop import LAYOUT as IN_SHOP
from shoplens.datasets.layouts.grocery_store import LAYOUT as GROCERY_STORE
from shoplens.datasets.layouts.products_10k import LAYOUT as PRODUCTS_10K
from shoplens.datasets.layouts.published import Layout, PublishedPhotos
from shoplens.datasets.layouts.rp2k import LAYOUT as RP2K
from shoplens.datasets.layouts.stanford_online_products import LAYOUT as ONLINE_PRODUCTS
from shoplens.errors import DataError, MissingError

LAYOUTS: Mapping[str, Layout] = {
    layout.name: layout
    for layout in (
        PRODUCTS_10K,
        ONLINE_PRODUCTS,
        IN_SHOP,
        CONSUMER_TO_SHOP,
        GROCERY_STORE,
        RP2K,
    )
}
"""By name."""


def recognise(source: str | Path) -> Layout:
    """Return the layout of a folder.

    Raises:
        MissingError: there is no such folder.
        DataError: it has none of the layouts, several of them, or one that must be named.
    """
    root = _folder(source)
    found = [one for one in LAYOUTS.values() if one.recognisable and one.find(root) is not None]
    if len(found) == 1:
        return found[0]
    if found:
        names = " and ".join(layout.name for layout in found)
        raise DataError(f"{root} has the layouts {names}; name the one that is meant")
    known = ", ".join(one.name for one in LAYOUTS.values() if one.recognisable)
    others = ", ".join(one.name for one in LAYOUTS.values() if not one.recognisable)
    raise DataError(
        f"{root} has none of the layouts that are recognised ({known}); "
        f"{others} must be named, because other datasets look like it"
    )


def read_published(source: str | Path, layout: Layout, split: str) -> PublishedPhotos:
    """Read a split of a published dataset.

    Args:
        source: the dataset's folder, or the one that holds it.
        layout: one of `LAYOUTS`.
        split: one of the layout's splits.

    Raises:
        MissingError: there is no such folder, or a list is not there.
        DataError: the folder has another layout, the layout has no such split, or the lists are
            faulty, with every fault at once.
    """
    if split not in layout.splits:
        known = ", ".join(layout.splits)
        raise DataError(f"{layout.title} has no split {split!r}; it has {known}")
    root = layout.find(_folder(source))
    if root is None:
        raise DataError(f"{source} does not have the layout of {layout.title} ({layout.name})")
    return layout.read(root, split)


def _folder(source: str | Path) -> Path:
    path = Path(source)
    if not path.exists():
        raise MissingError(f"{path} is not there")
    if not path.is_dir():
        raise DataError(f"{path} is not a folder; unpack the dataset first")
    return path
