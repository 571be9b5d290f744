"""RP2K (Peng et al. 2020): 2,000 products on the shelves of shops.

::

    all/train/PRODUCT/....jpg
    all/test/PRODUCT/....jpg

The tree is that of `rp2k_dataset.zip` (pinlandata.com/rp2k_dataset), as `tensorbay`'s dataloader
describes it. The names of products are Chinese, and are their ids. Both splits have the same
products. All photos were taken in shops, and nothing says which are to be searched with. Many other
datasets have folders like these, so this layout must be named.
"""

from __future__ import annotations

from pathlib import Path

from shoplens.datasets.layouts.published import (
    ALL,
    Collector,
    Layout,
    PublishedPhotos,
    folders_to_try,
)
from shoplens.errors import DataError
from shoplens.sources.folder import DiskFolder
from shoplens.sources.images import photos_among

_SPLITS = ("train", "test")


def _find(root: Path) -> Path | None:
    above = folders_to_try(root)
    for folder in (*above, *(folder / "all" for folder in above)):
        if any((folder / split).is_dir() for split in _SPLITS):
            return folder
    return None


def _read(root: Path, split: str) -> PublishedPhotos:
    collector = Collector(root)
    for part in _SPLITS if split == ALL else (split,):
        if not (root / part).is_dir():
            raise DataError(f"{root} has no folder {part}")
        folder = DiskFolder(root / part)
        names, faults = folder.listing()
        if faults:
            raise DataError(f"{root}: folders that cannot be read", faults)
        for name in photos_among(folder, names):
            product, _, photo = name.partition("/")
            if photo:
                collector.add(f"{part}/{name}", product, domain=None)
            else:
                collector.stray(f"{part}/{name}")
    return collector.result()


LAYOUT = Layout("rp2k", "RP2K", (*_SPLITS, ALL), _find, _read, recognisable=False)
