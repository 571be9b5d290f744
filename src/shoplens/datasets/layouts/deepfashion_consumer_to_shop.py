"""DeepFashion, Consumer-to-shop Clothes Retrieval Benchmark (Liu et al. 2016): 33,881 articles.

::

    Anno/list_bbox_consumer2shop.txt   image_name clothes_type source_type x_1 y_1 x_2 y_2
    Eval/list_eval_partition.txt       image_pair_name_1 image_pair_name_2 item_id evaluation_status
    Img/img/TOPS/T_Shirt/id_00000218/comsumer_01.jpg
    Img/img/TOPS/T_Shirt/id_00000218/shop_01.jpg

The lists are described in the dataset's README and in `docs/dataset/CONSUMER_TO_SHOP_DATASET.md` of
`open-mmlab/mmfashion`. A row pairs a consumer's photo (called `comsumer_` in the published files)
with a shop's, so most photos are in several rows. The status is `train`, `val` or `test`. As
published, both `val` and `test` search in the shop photos of the two together.
"""

from __future__ import annotations

from pathlib import Path

from shoplens.datasets.layouts.deepfashion import (
    Photos,
    category_of,
    find_partition,
    partition_rows,
)
from shoplens.datasets.layouts.published import ALL, Collector, Layout, PublishedPhotos
from shoplens.records import Domain

_COLUMNS = ("image_pair_name_1", "image_pair_name_2", "item_id", "evaluation_status")
_BOX_COLUMNS = ("image_name", "clothes_type", "source_type", "x_1", "y_1", "x_2", "y_2")
_STATUSES = ("train", "val", "test")
_HELD_OUT = ("val", "test")


def _find(root: Path) -> Path | None:
    return find_partition(root, len(_COLUMNS), _STATUSES)


def _read(root: Path, split: str) -> PublishedPhotos:
    collector = Collector(root)
    photos = Photos(root, "list_bbox_consumer2shop.txt", _BOX_COLUMNS, collector)
    galleries = _HELD_OUT if split in _HELD_OUT else (split,)

    def add(name: str, item: str, domain: Domain, row: int) -> None:
        box, problem = photos.box(name)
        collector.add(
            photos.name(name),
            item,
            domain=domain,
            file="list_eval_partition.txt",
            row=row,
            box=box,
            problem=problem,
            category=category_of(name),
        )

    for row, (consumer, shop, item, status) in partition_rows(root, _COLUMNS, _STATUSES, collector):
        if split in (status, ALL):
            add(consumer, item, "user", row)
        if split == ALL or status in galleries:
            add(shop, item, "seller", row)
    return collector.result()


LAYOUT = Layout(
    "deepfashion-consumer-to-shop",
    "DeepFashion Consumer-to-shop",
    (*_STATUSES, ALL),
    _find,
    _read,
)
