"""Grocery Store Dataset (Klasson et al. 2019): 81 kinds of groceries, photographed in shops.

::

    dataset/classes.csv   a class a row, with its name, id, coarse class and iconic photo
    dataset/train.txt     path, class id, coarse class id
    dataset/val.txt
    dataset/test.txt
    dataset/train/Fruit/Apple/Golden-Delicious/Golden-Delicious_001.jpg
    dataset/iconic-images-and-descriptions/Fruit/.../Golden-Delicious_Iconic.jpg

The tree is that of the repository `marcusklasson/GroceryStoreDataset`. Phone photos are searched
with; the iconic photos, from the website of a shop, are searched in, those of all classes in every
split.
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
from shoplens.datasets.tables import complete_rows, csv_lines
from shoplens.errors import MissingError
from shoplens.files import read_text
from shoplens.sources.file import DiskFile

_SPLITS = ("train", "val", "test")
_CLASSES = "classes.csv"
_NAME, _ID, _COARSE, _ICONIC = (
    "Class Name (str)",
    "Class ID (int)",
    "Coarse Class Name (str)",
    "Iconic Image Path (str)",
)
_FIELDS = 3


def _find(root: Path) -> Path | None:
    for folder in folders_to_try(root):
        lists = any((folder / f"{split}.txt").is_file() for split in _SPLITS)
        if lists and (folder / _CLASSES).is_file():
            return folder
    return None


def _read(root: Path, split: str) -> PublishedPhotos:
    collector = Collector(root)
    classes = _classes(root, collector)
    for part in _SPLITS if split == ALL else (split,):
        name = f"{part}.txt"
        for row, line in enumerate(read_text(root / name).splitlines(), start=1):
            if not line.strip():
                continue
            fields = [field.strip() for field in line.split(",")]
            if len(fields) != _FIELDS:
                problem = (
                    f"has {len(fields)} fields, not {_FIELDS}: path, class id, coarse class id"
                )
                collector.fault(name, row, line, problem)
            elif fields[1] not in classes:
                collector.fault(name, row, fields[1], f"is no class of {_CLASSES}")
            else:
                product, category = classes[fields[1]]
                collector.add(
                    fields[0], product, domain="user", file=name, row=row, category=category
                )
    return collector.result()


def _classes(root: Path, collector: Collector) -> dict[str, tuple[str, str]]:
    """Add the iconic photos; return the name and the coarse name of each class, by its id."""

    def fault(row: int, column: str, value: str, problem: str) -> None:
        collector.fault(_CLASSES, row, value, problem)

    if not (root / _CLASSES).is_file():
        raise MissingError(f"{root} has no {_CLASSES}")
    lines = csv_lines(DiskFile(root / _CLASSES), fault)
    header = [name.strip() for name in next(lines, (1, []))[1]]
    absent = [name for name in (_NAME, _ID, _COARSE, _ICONIC) if name not in header]
    if absent:
        collector.fault(_CLASSES, 1, ",".join(header), f"has no column {absent[0]!r}")
        return {}
    classes = {}
    for row, fields in complete_rows(lines, header, fault):
        name, number, coarse, iconic = (
            fields[header.index(column)].strip() for column in (_NAME, _ID, _COARSE, _ICONIC)
        )
        classes[number] = name, coarse
        collector.add(iconic, name, domain="seller", file=_CLASSES, row=row, category=coarse)
    return classes


LAYOUT = Layout("grocery-store", "Grocery Store Dataset", (*_SPLITS, ALL), _find, _read)
