"""Why a result matches."""

from __future__ import annotations

from fastapi import APIRouter, Request

from shoplens.server.access import ACCESS_PROBLEMS, require
from shoplens.server.explain_schemas import ExplainAnswer
from shoplens.server.explaining import explained
from shoplens.server.openapi import request_body
from shoplens.server.problems import problem_answers
from shoplens.server.query_schemas import ExplainRequest
from shoplens.server.requests import read_query
from shoplens.server.routes.answers import JsonAnswer, request_id_of, service_of, while_connected
from shoplens.server.routes.search import with_photo

router = APIRouter(prefix="/v1", tags=["search"], dependencies=[require("search")])

_PROBLEMS = problem_answers(
    *("bad_request", "bad_box", "not_found", "photo_forgotten", "slow_request", "unexplained"),
    *("body_too_large", "photo_too_large", "unsupported_media_type", "unsupported_photo"),
    *("urls_disabled", "url_refused", "fetch_failed", "overloaded", "timeout"),
    *("model_mismatch", "catalog_unavailable", *ACCESS_PROBLEMS),
)
_BODY = request_body(
    ExplainRequest,
    {
        "a photo in base64 and a hit": {
            "photo": "/9j/4AAQSkZJRgABAQAA...",
            "box": "rel:0.2,0.1,0.5,0.6",
            "result_id": 1126804948,
        },
        "two photos of the catalogue": {"photo_id": 1126804948, "result_id": 7},
    },
    form={"box": "120,40,300,200", "result_id": 1126804948},
)


@router.post("/explain", response_model=ExplainAnswer, responses=_PROBLEMS, openapi_extra=_BODY)
async def explain(request: Request) -> JsonAnswer:
    """Show which parts of a photo and of a hit match."""
    service = service_of(request)
    with service.metrics.stage("read"):
        asked = await read_query(request, ExplainRequest)
    answer = await while_connected(request, explained(service, with_photo(request, asked)))
    return JsonAnswer({**answer, "request_id": request_id_of(request)})
