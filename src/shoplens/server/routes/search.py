"""Searching."""

from __future__ import annotations

import asyncio
from typing import Any, TypeVar

from fastapi import APIRouter, Request

from shoplens.errors import ShoplensError
from shoplens.server.access import ACCESS_PROBLEMS, key_of, require
from shoplens.server.openapi import request_body
from shoplens.server.problems import Problem, problem_answers, problem_of
from shoplens.server.query_schemas import BatchQuery, BatchRequest, QueryFields, SearchRequest
from shoplens.server.requests import read_json, read_search
from shoplens.server.result_schemas import BatchAnswer, SearchAnswer
from shoplens.server.routes.answers import (
    JsonAnswer,
    deadline_of,
    request_id_of,
    service_of,
    while_connected,
)
from shoplens.server.searching import searched

_Query = TypeVar("_Query", bound=QueryFields)

router = APIRouter(prefix="/v1", tags=["search"], dependencies=[require("search")])

_PROBLEMS = problem_answers(
    *("bad_request", "bad_box", "bad_filter", "bad_rerank", "not_found", "photo_forgotten"),
    *("slow_request", "model_mismatch"),
    *("body_too_large", "photo_too_large", "unsupported_media_type", "unsupported_photo"),
    *("urls_disabled", "overloaded", "timeout", "catalog_unavailable", *ACCESS_PROBLEMS),
)


_SEARCH_BODY = request_body(
    SearchRequest,
    {
        "by a photo in base64": {"photo": "/9j/4AAQSkZJRgABAQAA...", "box": "rel:0.2,0.1,0.5,0.6"},
        "more like a photo of the catalogue": {"photo_id": 1126804948, "k": 5},
        "re-ranked": {"photo_id": 1126804948, "rerank": "alpha-qe:k=4"},
    },
    form={"box": "120,40,300,200", "k": 5, "where": "price < 50", "group_by": "product"},
)
_BATCH_BODY = request_body(
    BatchRequest,
    {
        "two photos of the catalogue": {
            "queries": [{"id": "first", "photo_id": 1126804948}, {"id": "second", "photo_id": 7}],
            "k": 5,
        }
    },
)


@router.post(
    "/search", response_model=SearchAnswer, responses=_PROBLEMS, openapi_extra=_SEARCH_BODY
)
async def search(request: Request) -> JsonAnswer:
    """Find the photos or the products that are most similar to a photo, or to one of ours."""
    service = service_of(request)
    with service.metrics.stage("read"):
        asked = await read_search(request)
    query = with_photo(request, asked)
    answer = await while_connected(request, searched(service, query, asked, deadline_of(request)))
    return JsonAnswer({**answer, "request_id": request_id_of(request)})


@router.post(
    "/search/batch", response_model=BatchAnswer, responses=_PROBLEMS, openapi_extra=_BATCH_BODY
)
async def search_batch(request: Request) -> JsonAnswer:
    """Search for several photos on the same terms. A query that fails has a problem instead."""
    service = service_of(request)
    with service.metrics.stage("read"):
        asked = await read_json(request, BatchRequest)
    most = service.settings.max_batch
    if len(asked.queries) > most:
        raise Problem("bad_request", f"queries: at most {most} at a time")
    deadline, request_id = deadline_of(request), request_id_of(request)

    # A request may use all cores where they are idle, and no more where they are not.
    places = asyncio.Semaphore(service.settings.embedders)

    async def answered(query: BatchQuery) -> dict[str, Any]:
        try:
            async with places:
                found = await searched(service, with_photo(request, query), asked, deadline)
        except (Problem, ShoplensError) as error:
            found = {"problem": problem_of(error).to_json(request_id)}
        return {"id": query.id, **found}

    results = await while_connected(request, asyncio.gather(*map(answered, asked.queries)))
    return JsonAnswer({"results": results, "request_id": request_id})


def with_photo(request: Request, query: _Query) -> _Query:
    """Return a query with the photo that it names by a token.

    Raises `Problem` (`photo_forgotten`).
    """
    if query.photo_token is None:
        return query
    photo = service_of(request).kept_photos.find(query.photo_token, key_of(request))
    if photo is None:
        raise Problem("photo_forgotten", "photo_token: send the photo itself.")
    return query.model_copy(update={"photo": photo, "photo_token": None})
