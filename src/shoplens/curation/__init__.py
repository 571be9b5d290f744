"""Tools for people who make test sets: build one, look at it, find leaks, hand it out unlabelled.

::

    from shoplens.curation import anonymise, find_leaks, make_dataset, survey

The modules, in the order in which they build on each other:

::

    reading          the photos of any source
    tagged           a folder tree or a CSV of photos tagged user or seller
    layout           what a test set folder looks like
    making           tagged photos → a test set folder
    converting       a published dataset → a test set folder
    placing          copying and linking photos
    cleaning         a dataset → the same without faulty rows (a package)
    sketches         a photo → thumbnails and hashes that survive re-encoding
    hamming          which hashes differ in few bits
    alignment        how far two thumbnails differ, one laid on the other
    duplicates       photos that show the same picture
    measuring        a photo → its size, light, sharpness
    statistics       a dataset in numbers
    leaks            what a training set and a test set share
    data_pages       pages of statistics and leaks
    metadata         a photo's file without its metadata
    anonymous        a test set without labels, and the key to it
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from shoplens.curation.anonymous import anonymise, read_key
    from shoplens.curation.converting import convert_dataset
    from shoplens.curation.leaks import find_leaks
    from shoplens.curation.making import make_dataset
    from shoplens.curation.statistics import survey

_HOME = {
    "anonymise": "anonymous",
    "convert_dataset": "converting",
    "find_leaks": "leaks",
    "make_dataset": "making",
    "read_key": "anonymous",
    "survey": "statistics",
}

__all__ = ["anonymise", "convert_dataset", "find_leaks", "make_dataset", "read_key", "survey"]


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module 'shoplens.curation' has no attribute {name!r}")
    return getattr(importlib.import_module(f"shoplens.curation.{_HOME[name]}"), name)
