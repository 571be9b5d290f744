"""The regions of a photo that is put into a catalogue which keeps vectors of regions."""

from __future__ import annotations

import asyncio
from contextlib import suppress

import numpy as np

from shoplens.boxes.network import load_network
from shoplens.errors import PhotoError
from shoplens.records import Box, Vector
from shoplens.regions.choosing import regions_in
from shoplens.server.embedder import EmbeddedPhoto, Embedder
from shoplens.vectors.regions import PhotoRegions


async def embed_regions(
    embedder: Embedder, data: bytes, photo: EmbeddedPhoto, n: int, deadline: float | None = None
) -> PhotoRegions:
    """Choose and embed regions of a photo, as `shoplens index` does.

    Args:
        embedder: the model at work.
        data: the bytes of the photo's file.
        photo: the photo as it was embedded. One with a box has no regions.
        n: how many regions the catalogue keeps of a photo, at most.
        deadline: as in `Embedder.embed`.

    Returns:
        The regions with their vectors. One that cannot be embedded is left out.

    Raises as `Embedder.embed` does.
    """
    boxes: list[Box] = []
    if photo.box is None:
        network = await asyncio.to_thread(load_network)
        [views] = (await embedder.prepare(data, network.recipe)).prepared
        size = photo.width, photo.height
        boxes = (await asyncio.to_thread(regions_in, views, size))[:n]
    found: list[tuple[Box, Vector]] = []
    for box in boxes:
        with suppress(PhotoError):
            region = await embedder.embed(data, str(box), "seller", deadline)
            found.append((box, region.vector))
    vectors = np.array([vector for _, vector in found], dtype=np.float32)
    return PhotoRegions(
        n, tuple(box for box, _ in found), vectors.reshape(-1, embedder.encoder.dimension)
    )
