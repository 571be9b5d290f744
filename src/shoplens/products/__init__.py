"""Products instead of photos: their scores, and how a search lists them.

::

    scores        photo scores → the score of their product
    variants      which products are variants of one
    duplicates    photos that show the same picture, as one
    grouping      hits that are photos → hits that are products
    listing       all of it, as a search asks for it
    ranking       Ranking → Ranking, ordered by product
    temperature   the temperature of `logsum`, learned
"""

from __future__ import annotations

from shoplens.products.listing import Listing
from shoplens.products.scores import PRODUCT_SCORES, ProductScore

__all__ = ["PRODUCT_SCORES", "Listing", "ProductScore"]
