"""`shoplens search --gallery`."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

from shoplens.cli.console import progress_display
from shoplens.cli.reranking_options import (
    Reranking,
    chosen_chain,
    tell_costs,
)
from shoplens.cli.search_found import Found
from shoplens.cli.search_query import Query, tell_clipped
from shoplens.cli.telling import tell_others, tell_photos
from shoplens.datasets.dataset import read_gallery
from shoplens.embedding.sets import embed
from shoplens.embedding.settings import EmbeddingSettings
from shoplens.errors import PhotoError
from shoplens.pipeline import VectorFiles, failures_json, load_vectors, require_same_model
from shoplens.regions.embedding import first_regions, with_regions
from shoplens.reranking import Ranked
from shoplens.search_options import SearchOptions
from shoplens.searching import search_vectors


def search_gallery(
    asked: Query,
    gallery: str,
    options: SearchOptions,
    regions: int,
    files: VectorFiles,
    embedding: EmbeddingSettings,
    reranking: Reranking,
) -> Found:
    """Search a gallery, and say what is done.

    Args:
        asked: what is searched for.
        gallery: where.
        options: how hits are listed and judged.
        regions: of how many regions of each gallery photo vectors are compared.
        files: vectors to take instead of embedding.
        embedding: how photos are embedded.
        reranking: how hits are re-ranked.
    """
    with ThreadPoolExecutor(1) as pool:
        # The model loads while the gallery is listed: for one photo a fifth of the time.
        needed = files.gallery is None or files.queries is None or regions
        loading = pool.submit(embedding.load_encoder) if needed else None
        searched = read_gallery(gallery, columns=asked.columns, remote=asked.remote)
        tell_others(searched.n_others)
        loaded = load_vectors(searched, files.gallery)
        if loaded is not None:
            loaded = first_regions(loaded, regions)
        wanted = asked.read()
        vectors = load_vectors(wanted, files.queries)
        encoder = None if loading is None else loading.result()
    for known, file in ((loaded, files.gallery), (vectors, files.queries)):
        if known is not None and encoder is not None:
            require_same_model(known, encoder, file)
    # The queries come first: a bad box is told before a large gallery is embedded.
    if vectors is None:
        assert encoder is not None  # It is needed, then.
        use_cache = asked.table is not None and embedding.use_cache
        vectors = embed(wanted, encoder, views=asked.views, cache=use_cache)
    if asked.is_single and vectors.failures:
        failure = vectors.failures[0]
        raise PhotoError(failure.reason, f"{asked.photos[0]}: {failure.detail}")
    if asked.is_single and vectors.n_clipped:
        tell_clipped(wanted[0])
    with progress_display() as progress:
        if loaded is None:
            assert encoder is not None
            loaded = embedding.embed(searched, encoder, progress)
        if regions:
            assert encoder is not None
            loaded = with_regions(
                loaded,
                regions,
                encoder,
                cache=embedding.use_cache,
                workers=embedding.workers,
                progress=progress,
            )
    tell_photos("gallery", loaded)
    sides = {"gallery": loaded}
    if not asked.is_single:
        tell_photos("queries", vectors)
        sides["queries"] = vectors
    load = None if files.gallery is not None or encoder is None else lambda: encoder
    chain, chosen = chosen_chain(reranking, loaded, load, embedding)
    seconds = {"query": vectors.seconds.get("embed", 0.0)}
    if chain.steps:
        tell_costs(chain, chain.costs(Ranked.sized(len(wanted), *loaded.vectors.shape)))
    results = search_vectors(wanted, vectors, loaded, replace(options, chain=chain), seconds)
    return Found(
        results,
        asked.is_single,
        f"{len(searched):,} gallery photos",
        {**failures_json(sides), **chosen},
        [
            (photo, [hit.photo for hit in result if hit.photo is not None])
            for photo, result in zip(wanted, results, strict=True)
        ],
    )
