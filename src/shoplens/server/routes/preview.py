"""What a browser can show of a photo that it cannot read itself, such as HEIC."""

from __future__ import annotations

from fastapi import APIRouter, Request, Response

from shoplens.server.access import ACCESS_PROBLEMS, require
from shoplens.server.problems import problem_answers
from shoplens.server.requests import read_photo
from shoplens.server.routes.answers import service_of, while_connected

PREVIEW_SIDE = 1600
"""Pixels of the longer side at most."""

router = APIRouter(prefix="/v1", tags=["photos"], dependencies=[require("search")])

_FORM = {
    "type": "object",
    "required": ["photo"],
    "properties": {"photo": {"type": "string", "format": "binary"}},
}


@router.post(
    "/preview",
    response_class=Response,
    responses={
        200: {"content": {"image/jpeg": {}}, "description": "An upright JPEG without metadata"},
        **problem_answers(
            *("bad_request", "body_too_large", "photo_too_large", "slow_request"),
            *(
                "unsupported_media_type",
                "unsupported_photo",
                "overloaded",
                "timeout",
                *ACCESS_PROBLEMS,
            ),
        ),
    },
    openapi_extra={
        "requestBody": {"required": True, "content": {"multipart/form-data": {"schema": _FORM}}}
    },
)
async def preview(request: Request) -> Response:
    """Return an upright JPEG of a photo. Its longer side has 1600 pixels, or fewer."""
    data, _ = await read_photo(request)
    shown = await while_connected(request, service_of(request).thumbnail(data, PREVIEW_SIDE))
    return Response(shown, media_type="image/jpeg")
