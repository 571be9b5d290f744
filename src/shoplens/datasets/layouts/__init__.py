"""Datasets that others published, in the layout in which they are downloaded.

Each layout has a file, whose docstring shows its tree and says where it is described::

    published                     PublishedPhotos, Layout; collecting photos from lists
    lists                         the rows of a list whose fields stand between spaces
    products_10k                  Products-10K
    stanford_online_products      Stanford Online Products
    deepfashion                   what the two benchmarks of DeepFashion have in common
    deepfashion_in_shop           DeepFashion, In-shop Clothes Retrieval
    deepfashion_consumer_to_shop  DeepFashion, Consumer-to-shop Clothes Retrieval
    grocery_store                 Grocery Store Dataset
    rp2k                          RP2K
    known                         all of them, by name; which one a folder has
"""

from __future__ import annotations

from shoplens.datasets.layouts.known import LAYOUTS, read_published, recognise
from shoplens.datasets.layouts.published import Layout, PublishedPhotos

__all__ = ["LAYOUTS", "Layout", "PublishedPhotos", "read_published", "recognise"]
