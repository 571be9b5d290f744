"""The re-ranking methods that chains can name."""

from __future__ import annotations

from shoplens.reranking.augmentation import NeighbourAugmentation, ProductAugmentation
from shoplens.reranking.expansion import AlphaExpansion, AverageExpansion
from shoplens.reranking.patches import Patches
from shoplens.reranking.pooling import ProductPooling
from shoplens.reranking.reciprocal import BatchReciprocal, GalleryReciprocal
from shoplens.reranking.refinement import Refinement
from shoplens.reranking.reranker import Reranker
from shoplens.reranking.scaling import LocalScaling
from shoplens.reranking.verification import Verification

METHODS: tuple[type[Reranker], ...] = (
    AverageExpansion,
    AlphaExpansion,
    ProductPooling,
    ProductAugmentation,
    NeighbourAugmentation,
    Refinement,
    GalleryReciprocal,
    BatchReciprocal,
    LocalScaling,
    Patches,
    Verification,
)
"""In the order in which they are listed. A new method is a file beside this one, and a line
here."""
