"""Why a photo of the catalogue matches a query."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any

from shoplens.boxes.queries import AUTO
from shoplens.catalog.entry import Entry
from shoplens.errors import ModelError, PhotoError
from shoplens.patches import explain_in
from shoplens.patches.explanation import require_explained
from shoplens.patches.patch_map import PreparedRegion
from shoplens.server.problems import Problem
from shoplens.server.query_schemas import ExplainRequest
from shoplens.server.requests import stored_id
from shoplens.server.service import Service


async def explained(service: Service, asked: ExplainRequest) -> dict[str, Any]:
    """Return the JSON of an explanation (see `shoplens.explain`).

    Raises `Problem` or `ShoplensError`, as searches do; `unexplained` if the catalogue is of a
    model whose feature maps are not known.
    """
    if service.model.encoder is not None:
        try:
            require_explained(service.model.encoder)
        except ModelError as error:
            raise Problem("unexplained", str(error)) from None
    query, result = await _both(_query(service, asked), _stored(service, asked.result_id))
    with service.metrics.stage("explain"):
        found = await service.in_thread(lambda: explain_in(query, result))
    return found.to_json()


async def _both(
    query: Coroutine[Any, Any, PreparedRegion], result: Coroutine[Any, Any, PreparedRegion]
) -> list[PreparedRegion]:
    """Wait for both; when one fails, the other ends before the request does."""
    tasks = [asyncio.ensure_future(query), asyncio.ensure_future(result)]
    try:
        return await asyncio.gather(*tasks)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def _query(service: Service, asked: ExplainRequest) -> PreparedRegion:
    if asked.photo_id is not None:
        return await _stored(service, asked.photo_id)
    data = asked.photo if asked.url is None else await service.fetched(asked.url)
    assert data is not None  # The request was checked: there is no other kind of query.
    box = asked.box
    if box == AUTO:
        box = str((await service.boxes(data, 1))[0].box)
    return await service.region(data, box, "user")


async def _stored(service: Service, photo_id: int | str) -> PreparedRegion:
    wanted = stored_id(photo_id)
    entry: Entry | None = await service.in_thread(lambda: service.catalog.get(wanted))
    if entry is None:
        raise Problem("not_found", f"The catalogue has no photo {photo_id}.")
    async with service.shown_from_memory:
        stored = await service.stored_photo(entry)
        data = await service.in_thread(stored.read)
        try:
            box = None if entry.box is None else str(entry.box)
            return await service.region(data, box, "seller")
        except PhotoError:
            raise Problem("not_found", "The photo cannot be decoded any more.") from None
