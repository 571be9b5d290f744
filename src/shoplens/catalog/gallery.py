"""A catalogue as a gallery: all of its vectors in memory, with their photos."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from shoplens.catalog.base import Catalog
from shoplens.catalog.originals import Originals
from shoplens.errors import CatalogError
from shoplens.records import PhotoSet
from shoplens.vectors.embeddings import Embeddings
from shoplens.vectors.regions import RegionVectors


def gallery_of(catalog: Catalog) -> Embeddings:
    """Return the vectors of a catalogue as those of a gallery.

    They are in the order in which they were put in. Ids count them, from 0. Photos that are not
    where they were have a `problem`.

    Raises `CatalogError` if the catalogue is empty, or a stored entry is damaged.
    """
    model, entries, originals = catalog.model, list(catalog.entries()), Originals()
    if model is None or not entries:
        raise CatalogError(f"{catalog.uri} is empty: put photos in first (shoplens index)")
    regions = None
    if catalog.regions:
        found = [entry.regions for entry in entries]
        regions = RegionVectors.of(catalog.regions, model.dimension, found)
    return Embeddings(
        np.arange(len(entries), dtype=np.int32),
        np.stack([entry.vector for entry in entries]),
        model_name=model.name,
        fingerprint=model.fingerprint,
        photos=PhotoSet(
            replace(originals.photo(entry), id=row) for row, entry in enumerate(entries)
        ),
        regions=regions,
    )
