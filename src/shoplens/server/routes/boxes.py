"""Where in a photo the product may be."""

from __future__ import annotations

from fastapi import APIRouter, Request

from shoplens.server.access import ACCESS_PROBLEMS, require
from shoplens.server.problems import problem_answers
from shoplens.server.requests import read_photo
from shoplens.server.routes.answers import JsonAnswer, service_of, while_connected
from shoplens.server.schemas import BoxesAnswer

router = APIRouter(prefix="/v1", tags=["search"], dependencies=[require("search")])

_FORM = {
    "type": "object",
    "required": ["photo"],
    "properties": {"photo": {"type": "string", "format": "binary"}},
}


@router.post(
    "/boxes",
    response_model=BoxesAnswer,
    responses=problem_answers(
        *("bad_request", "body_too_large", "photo_too_large", "slow_request", "timeout"),
        *("unsupported_media_type", "unsupported_photo", "overloaded", *ACCESS_PROBLEMS),
    ),
    openapi_extra={
        "requestBody": {"required": True, "content": {"multipart/form-data": {"schema": _FORM}}}
    },
)
async def propose_boxes(request: Request) -> JsonAnswer:
    """Propose boxes around the product in a photo."""
    service = service_of(request)
    with service.metrics.stage("read"):
        data, _ = await read_photo(request)
    proposals = await while_connected(request, service.boxes(data))
    return JsonAnswer(proposals.to_json())
