"""What a search finds: a query and its terms in, the JSON of the result out."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Any

import numpy as np

from shoplens.boxes.queries import AUTO
from shoplens.catalog.checks import UNIT_TOLERANCE
from shoplens.errors import MissingError, ModelError
from shoplens.hits import SearchResult
from shoplens.records import Box
from shoplens.reranking import Chain
from shoplens.server.calibrations import fitting
from shoplens.server.chains import asked_chain, own_chain
from shoplens.server.photo_links import photo_links
from shoplens.server.problems import Problem
from shoplens.server.query_schemas import QueryFields, Terms
from shoplens.server.service import Service


async def searched(
    service: Service, query: QueryFields, terms: Terms, deadline: float | None = None
) -> dict[str, Any]:
    """Search, and return the JSON of the result.

    Args:
        service: whose catalogue is searched.
        query: what is searched for.
        terms: how.
        deadline: a moment of `time.monotonic` after which waiting work is not begun.

    Raises:
        ShoplensError: the query or its terms cannot be used.
        Problem: the same, or there is too much to do.
    """
    if terms.k > service.settings.max_k:
        raise Problem("bad_request", f"k: at most {service.settings.max_k:,} hits are given")
    chain = await _chain_of(service, terms)
    if query.url is not None:
        # Of all requests together: each photo is in memory until it was searched for.
        async with service.fetching:
            photo = await service.fetched(query.url)
            return await _by_photo(service, photo, query.box, terms, chain, deadline)
    if query.photo is not None:
        return await _by_photo(service, query.photo, query.box, terms, chain, deadline)
    if query.photo_id is not None:
        return await _by_id(service, query.photo_id, terms, chain)
    return await _by_vector(service, query.vector or [], terms, chain)


async def _chain_of(service: Service, terms: Terms) -> Chain:
    return asked_chain(
        terms.rerank,
        await service.in_thread(lambda: own_chain(service.settings.chain, service.catalog)),
        service.settings.max_rerank_seconds,
        terms.listing().n_photos,
        service.model.embedder.encoder.dimension,
    )


async def _by_photo(
    service: Service,
    data: bytes,
    box: str | None,
    terms: Terms,
    chain: Chain,
    deadline: float | None,
) -> dict[str, Any]:
    started = time.perf_counter()
    if box == AUTO:
        box = str((await service.boxes(data, 1))[0].box)
    for _ in range(2):
        embedder = service.model.at_work
        photo = await embedder.embed(data, box, "user", deadline)
        spent = time.perf_counter() - started
        try:
            answer = await _answer(service, terms, chain, vector=photo.vector)
        except ModelError:  # The vectors are of another dimension.
            answer = None
        if answer and answer["model"]["fingerprint"] in (None, embedder.encoder.fingerprint):
            answer["seconds"]["query"] = spent
            if box is not None:
                answer["query_box"] = str(Box.parse(box, (photo.width, photo.height)))
            return {**answer, "query": photo.to_json()}
        # The catalogue was migrated to another model meanwhile.
        await service.follow()
    raise Problem("model_mismatch", "The catalogue's model is being changed: try again.")


async def _by_id(
    service: Service, photo_id: int | str, terms: Terms, chain: Chain
) -> dict[str, Any]:
    try:
        return await _answer(service, terms, chain, photo_id=photo_id)
    except MissingError:
        raise Problem("not_found", f"There is no photo {photo_id}.") from None


async def _by_vector(
    service: Service, values: Sequence[float], terms: Terms, chain: Chain
) -> dict[str, Any]:
    vector = np.asarray(values, dtype=np.float32)
    length = float(np.linalg.norm(vector.astype(np.float64)))
    if not abs(length - 1) <= UNIT_TOLERANCE:
        raise Problem("bad_request", f"vector: its length is {length:g}; it must be 1")
    try:
        return await _answer(service, terms, chain, vector=vector)
    except ModelError:
        raise Problem(
            "model_mismatch",
            f"vector: it has {len(vector)} dimensions, and those of the catalogue have another "
            "number (see /v1/models).",
        ) from None


async def _answer(service: Service, terms: Terms, chain: Chain, **query: Any) -> dict[str, Any]:
    """Return the JSON of what the catalogue finds."""

    def answer() -> dict[str, Any]:
        confidence = fitting(service.confidence, service.catalog, chain)
        return _linked(
            service.catalog.search(
                k=terms.k,
                where=terms.where,
                group_by=terms.group_by,
                min_score=terms.min_score,
                facets=terms.facets,
                exact=terms.exact,
                product_score=terms.product_score,
                variants=terms.variants,
                collapse=terms.collapse,
                confidence=confidence,
                rerank=chain,
                **query,
            )
        )

    with service.metrics.stage("search"):
        return await service.in_thread(answer)


def _linked(result: SearchResult) -> dict[str, Any]:
    """Return the JSON of a result, with the links of its photos."""
    answer = result.to_json()
    for hit in answer["hits"]:
        hit.update(photo_links(hit["photo_id"]))
        for view in (*hit.get("photos", ()), *hit.get("duplicates", ())):
            view.update(photo_links(view["photo_id"]))
    return answer
