"""The model at work, and what the page needs to know."""

from __future__ import annotations

from fastapi import APIRouter, Request

from shoplens._version import __version__
from shoplens.server.about_schemas import ModelsAnswer, PageSettingsAnswer
from shoplens.server.access import ACCESS_PROBLEMS, may, require
from shoplens.server.problems import problem_answers
from shoplens.server.routes.answers import JsonAnswer, service_of

router = APIRouter(prefix="/v1", tags=["about"])


@router.get(
    "/models",
    response_model=ModelsAnswer,
    responses=problem_answers(*ACCESS_PROBLEMS),
    dependencies=[require("search")],
)
async def models(request: Request) -> JsonAnswer:
    """Describe the model that embeds photos."""
    encoder = service_of(request).model.encoder
    model = None
    if encoder is not None:
        model = {
            "name": encoder.name,
            "fingerprint": encoder.fingerprint,
            "dimension": encoder.dimension,
            "input_size": max(recipe.input_size for recipe in encoder.recipes),
        }
    return JsonAnswer({"model": model, "version": __version__})


@router.get("/page-settings", response_model=PageSettingsAnswer, responses=problem_answers())
async def page_settings(request: Request) -> JsonAnswer:
    """Say what the page needs to know.

    Where keys are needed, attributes are told to who has one.
    """
    service = service_of(request)
    settings = service.settings
    attributes = {}
    if await may(request, "search"):
        attributes = dict((await service.stats.recent()).attributes)
    return JsonAnswer(
        {
            "title": settings.title,
            "max_upload_bytes": settings.max_upload_bytes,
            "max_pixels": settings.max_pixels,
            "max_k": settings.max_k,
            "keys_required": settings.keys is not None,
            "read_only": settings.read_only,
            "urls": settings.urls,
            "attributes": attributes,
        }
    )
