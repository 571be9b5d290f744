"""`--rerank auto` for a catalogue: the choice of a chain on its own photos, or on a test set."""

from __future__ import annotations

from typing import Any

import click

from shoplens.catalog.base import Catalog
from shoplens.catalog.gallery import gallery_of
from shoplens.catalog.opening import open_catalog
from shoplens.cli.options import settings_for
from shoplens.cli.reranking_options import Reranking, chosen_chain
from shoplens.embedding.settings import EmbeddingSettings
from shoplens.reranking import Chain

MOST_PHOTOS = 50_000
"""Photos that a catalogue may have for a choice on all of them: 100 MB of 512 dimensions."""


def catalog_chain(
    reranking: Reranking, catalog: Catalog, embedding: EmbeddingSettings
) -> tuple[Chain, dict[str, Any]]:
    """Return the chain that a search in a catalogue is asked to use, or choose one.

    If none is named, it is the one that the catalogue keeps.

    Returns:
        The chain, and what the choice adds to the command's JSON.
    """
    if not reranking.named:
        return catalog.chain, {}
    if reranking.chain is not None:
        return reranking.chain, {}
    if (n := catalog.count()) > MOST_PHOTOS:
        raise click.UsageError(
            f"--rerank auto compares all photos with each other, and {catalog.uri} has {n:,}: "
            f"{MOST_PHOTOS:,} are the most. Choose a chain on a part of them, with `shoplens "
            "evaluate DATASET --rerank auto`, and name the one that it prints"
        )
    settings = settings_for(catalog.model, embedding)
    gallery = gallery_of(catalog)
    return chosen_chain(reranking, gallery, settings.load_encoder, settings)


def keep_chosen_chain(
    reranking: Reranking, uri: str, embedding: EmbeddingSettings
) -> tuple[Chain, dict[str, Any]]:
    """Choose a chain on a catalogue, which keeps it.

    Returns:
        The chain, and what the choice adds to the command's JSON.
    """
    with open_catalog(uri) as catalog:
        chain, told = catalog_chain(reranking, catalog, embedding)
        catalog.set_chain(chain)
    return chain, told
