"""Cleaning a dataset: rows that are left out or changed, written as a new dataset.

Nothing is removed from the dataset that is cleaned. Each task looks at its photos and returns a
`Cleaning`: a list of changes with their reasons. `write_cleaned` writes what is left.

::

    tables     the tables of a dataset, row by row, and its photos
    changes    Change, Cleaning
    pairs      user photos that look unlike every seller photo of their product
    products   products that have the same photos
    copies     photos that show the same picture as another of their product
    boxes      the product's box in user photos that have none
    writing    tables and changes → a new folder
"""

from __future__ import annotations

from shoplens.curation.cleaning.boxes import find_boxes
from shoplens.curation.cleaning.changes import Change, Cleaning
from shoplens.curation.cleaning.copies import find_copies
from shoplens.curation.cleaning.pairs import find_unlike_pairs
from shoplens.curation.cleaning.products import find_same_products
from shoplens.curation.cleaning.tables import DatasetTables, read_tables
from shoplens.curation.cleaning.writing import write_cleaned

__all__ = [
    "Change",
    "Cleaning",
    "DatasetTables",
    "find_boxes",
    "find_copies",
    "find_same_products",
    "find_unlike_pairs",
    "read_tables",
    "write_cleaned",
]
