"""Products-10K (Bai et al. 2020): 10,000 products of an online shop.

::

    train.csv             name,class,group
    test_kaggletest.csv   name,class,Usage
    train/1.jpg
    test/1.jpg

The tables are described on products-10k.github.io and with the Kaggle competition "products-10k";
`bartosz_ludwiczuk/visual-product-recognition-2023-starter-kit` shows the tree. Both splits have
the same products. Sellers' photos and customers' are mixed, and nothing tells them apart.
`group` is the product's category, which only the training table has.
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
from shoplens.sources.file import DiskFile

_TABLES = {"train": ("train.csv",), "test": ("test_kaggletest.csv", "test.csv")}
_NAME, _CLASS, _GROUP = "name", "class", "group"


def _find(root: Path) -> Path | None:
    return next((f for f in folders_to_try(root) if _is_here(f)), None)


def _is_here(folder: Path) -> bool:
    for split in _TABLES:
        table = _table(folder, split)
        if table is not None and (folder / split).is_dir():
            header = next(csv_lines(DiskFile(table), lambda *_: None), (1, []))[1]
            if {_NAME, _CLASS} <= {name.strip().casefold() for name in header}:
                return True
    return False


def _table(folder: Path, split: str) -> Path | None:
    return next((folder / n for n in _TABLES[split] if (folder / n).is_file()), None)


def _read(root: Path, split: str) -> PublishedPhotos:
    collector = Collector(root)
    wanted = list(_TABLES) if split == ALL else [split]
    groups: dict[str, str] = {}
    rows: list[tuple[str, str, int, str, str]] = []
    for part in _TABLES:
        table = _table(root, part)
        if table is not None:
            for row, name, product, group in _table_rows(table, collector):
                if group:
                    groups[product] = group
                if part in wanted:
                    rows.append((part, table.name, row, name, product))
        elif part in wanted:
            raise MissingError(f"{root} has no {_TABLES[part][0]}")
    for part, file, row, name, product in rows:
        collector.add(
            f"{part}/{name}",
            product,
            domain=None,
            file=file,
            row=row,
            category=groups.get(product, ""),
        )
    return collector.result()


def _table_rows(table: Path, collector: Collector) -> list[tuple[int, str, str, str]]:
    """Return row, name, class and group of each row; the group is empty where there is none."""

    def fault(row: int, column: str, value: str, problem: str) -> None:
        collector.fault(table.name, row, value, problem)

    lines = csv_lines(DiskFile(table), fault)
    header = [name.strip().casefold() for name in next(lines, (1, []))[1]]
    absent = [name for name in (_NAME, _CLASS) if name not in header]
    if absent:
        collector.fault(table.name, 1, ",".join(header), f"has no column {' and no '.join(absent)}")
        return []
    name, product = header.index(_NAME), header.index(_CLASS)
    group = header.index(_GROUP) if _GROUP in header else None
    return [
        (row, f[name].strip(), f[product].strip(), "" if group is None else f[group].strip())
        for row, f in complete_rows(lines, header, fault)
    ]


LAYOUT = Layout("products-10k", "Products-10K", ("train", "test", ALL), _find, _read)
