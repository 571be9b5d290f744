"""Regions of gallery photos that get vectors of their own: a product may fill a part of its photo.

`choosing` says which regions, `embedding` gives them vectors. How they count in a score is said in
`shoplens.vectors.regions`.
"""

from __future__ import annotations

from shoplens.regions.embedding import with_regions

__all__ = ["with_regions"]
