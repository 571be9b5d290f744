"""DeepFashion, In-shop Clothes Retrieval Benchmark (Liu et al. 2016): 7,982 articles.

::

    Anno/list_bbox_inshop.txt       image_name clothes_type pose_type x_1 y_1 x_2 y_2
    Eval/list_eval_partition.txt    image_name item_id evaluation_status
    Img/img/WOMEN/Dresses/id_00000002/02_1_front.jpg

The lists are described in the dataset's README and in `docs/dataset/IN_SHOP_DATASET.md` of
`open-mmlab/mmfashion`. The status is `train`, `query` or `gallery`. The photos to search with are
shop photos too.
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

_COLUMNS = ("image_name", "item_id", "evaluation_status")
_BOX_COLUMNS = ("image_name", "clothes_type", "pose_type", "x_1", "y_1", "x_2", "y_2")
_DOMAINS: dict[str, Domain | None] = {"train": None, "query": "user", "gallery": "seller"}


def _find(root: Path) -> Path | None:
    return find_partition(root, len(_COLUMNS), tuple(_DOMAINS))


def _read(root: Path, split: str) -> PublishedPhotos:
    collector = Collector(root)
    photos = Photos(root, "list_bbox_inshop.txt", _BOX_COLUMNS, collector)
    for row, (name, item, status) in partition_rows(root, _COLUMNS, tuple(_DOMAINS), collector):
        if split not in ("train" if status == "train" else "test", ALL):
            continue
        box, problem = photos.box(name)
        collector.add(
            photos.name(name),
            item,
            domain=_DOMAINS[status],
            file="list_eval_partition.txt",
            row=row,
            box=box,
            problem=problem,
            category=category_of(name),
        )
    return collector.result()


LAYOUT = Layout("deepfashion-in-shop", "DeepFashion In-shop", ("train", "test", ALL), _find, _read)
