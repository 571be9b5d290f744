"""Stanford Online Products (Song et al. 2016): 22,634 products from eBay, in 12 categories.

::

    Ebay_train.txt   image_id class_id super_class_id path
    Ebay_test.txt
    bicycle_final/111085122871_0.JPG

The tree is that of `Stanford_Online_Products.zip` (cvgl.stanford.edu/projects/lifted_struct), as
`tensorflow_datasets.image.stanford_online_products` and
`pytorch_metric_learning.datasets.StanfordOnlineProducts` read it. The splits have different
products. All photos are sellers'.
"""

from __future__ import annotations

from pathlib import Path

from shoplens.datasets.layouts.lists import spaced_rows
from shoplens.datasets.layouts.published import (
    ALL,
    Collector,
    Layout,
    PublishedPhotos,
    folders_to_try,
)

_LISTS = {"train": "Ebay_train.txt", "test": "Ebay_test.txt"}
_COLUMNS = ("image_id", "class_id", "super_class_id", "path")


def _find(root: Path) -> Path | None:
    for folder in folders_to_try(root):
        if any((folder / name).is_file() for name in _LISTS.values()):
            return folder
    return None


def _read(root: Path, split: str) -> PublishedPhotos:
    collector = Collector(root)
    for part, name in _LISTS.items():
        if split in (part, ALL):
            for row, (_, product, _, path) in spaced_rows(root / name, _COLUMNS, collector):
                category = path.split("/")[0].removesuffix("_final")
                collector.add(path, product, domain=None, file=name, row=row, category=category)
    return collector.result()


LAYOUT = Layout(
    "stanford-online-products", "Stanford Online Products", ("train", "test", ALL), _find, _read
)
