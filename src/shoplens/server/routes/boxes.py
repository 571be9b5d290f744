"""Where in a photo the product may be."""

from __future__ import annotations

from fastapi import APIRouter, Request

from shoplens.server.access import ACCESS_PROBLEMS, key_of, require
from shoplens.server.box_schemas import BoxesAnswer
from shoplens.server.problems import Problem, problem_answers
from shoplens.server.requests import read_photo
from shoplens.server.routes.answers import JsonAnswer, service_of, while_connected

router = APIRouter(prefix="/v1", tags=["search"], dependencies=[require("search")])

_FORM = {
    "type": "object",
    "required": ["photo"],
    "properties": {
        "photo": {"type": "string", "format": "binary"},
        "keep": {
            "type": "string",
            "enum": ["true", "false"],
            "default": "false",
            "description": "Whether the server keeps the photo in memory for a while, so that "
            "searches can name it by its token.",
        },
    },
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
        data, form = await read_photo(request)
    keep = form.get("keep", "false")
    if keep not in ("true", "false"):
        raise Problem("bad_request", "keep: give true or false")
    proposals = await while_connected(request, service.boxes(data))
    answer = proposals.to_json()
    if keep == "true":
        answer["photo_token"] = service.kept_photos.keep(data, key_of(request))
    return JsonAnswer(answer)
