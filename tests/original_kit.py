"""The scoring of the 2023 starter kit, written from its description.

A row has exactly 1000 columns, nothing twice, its numbers are positions in the gallery, and the sum
of precisions at the hits is divided by all photos of the product.
"""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np
import numpy.typing as npt

Answer = npt.NDArray[np.int32]


def original_score(answer: Answer, data: Path) -> tuple[float, list[float]]:
    """Score as the original does; returns the mean and each query's AP."""
    gallery = np.array(column(data / "gallery.csv", "product_id"))
    queries = column(data / "queries.csv", "product_id")
    assert answer.shape == (len(queries), 1000)
    precisions = []
    for row, product in zip(answer, queries, strict=True):
        assert len(set(row.tolist())) == 1000, "a photo is named twice"
        n_hits, total = 0, 0.0
        for rank, found in enumerate(gallery[row], start=1):
            if found == product:
                n_hits += 1
                total += n_hits / rank
        precisions.append(total / int((gallery == product).sum()))
    return float(np.mean(precisions)), precisions


def column(table: Path, name: str) -> list[str]:
    with table.open(newline="") as stream:
        return [row[name] for row in csv.DictReader(stream)]
