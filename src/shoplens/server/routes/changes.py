"""Photos that are put into the catalogue, and removed from it."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter, Path, Request
from starlette.datastructures import FormData

from shoplens.attributes import Value
from shoplens.catalog.base import Catalog
from shoplens.catalog.engine import Upserted
from shoplens.catalog.entry import Entry
from shoplens.errors import DataError, EntryError
from shoplens.json_text import parse_json
from shoplens.server.access import ACCESS_PROBLEMS, require
from shoplens.server.catalog_schemas import ChangesAnswer, DeleteRequest, RemovedAnswer
from shoplens.server.openapi import request_body
from shoplens.server.originals import SUFFIXES, media_type_of
from shoplens.server.problems import Problem, problem_answers
from shoplens.server.requests import MOST_ID_CHARACTERS, read_json, read_photo, stored_id
from shoplens.server.routes.answers import JsonAnswer, deadline_of, service_of, while_connected
from shoplens.server.service import Service

router = APIRouter(prefix="/v1/catalog", tags=["catalog"], dependencies=[require("write")])

_MOST_ATTRIBUTES = 200
_FIELDS = {"product_id": 1000, "box": 200, "attributes": 1_000_000}
"""The fields beside a photo, and how many characters each may have."""
_PUTTING = problem_answers(
    *("bad_request", "bad_box", "unsupported_photo", "photo_too_large", "body_too_large"),
    *("unsupported_media_type", "slow_request", "read_only", "catalog_busy", "model_mismatch"),
    *("overloaded", "timeout", "catalog_unavailable", *ACCESS_PROBLEMS),
)
_REMOVING = problem_answers(
    *("bad_request", "bad_filter", "read_only", "catalog_busy", "catalog_unavailable"),
    *("unsupported_media_type", "body_too_large", "slow_request", "overloaded", *ACCESS_PROBLEMS),
)
_FORM = {
    "type": "object",
    "required": ["photo"],
    "properties": {
        "photo": {"type": "string", "format": "binary"},
        "product_id": {"type": "string", "description": "What the photo shows."},
        "box": {
            "type": "string",
            "description": "Where the product is: `x,y,w,h` in pixels of the upright photo, or "
            "`rel:x,y,w,h` in fractions of it.",
            "examples": ["120,40,300,200"],
        },
        "attributes": {
            "type": "string",
            "description": "A JSON object with texts, numbers, true, false and null.",
            "examples": ['{"colour": "red", "price": 49.5}'],
        },
    },
}


@router.put(
    "/photos/{photo_id:photo_id}",
    response_model=ChangesAnswer,
    responses=_PUTTING,
    openapi_extra={
        "requestBody": {"required": True, "content": {"multipart/form-data": {"schema": _FORM}}}
    },
)
async def put_photo(
    request: Request, photo_id: str = Path(max_length=MOST_ID_CHARACTERS)
) -> JsonAnswer:
    """Put a photo into the catalogue, or replace the one of this id.

    When this answers, the photo is on disk and the next search finds it.
    """
    service = service_of(request)
    wanted = stored_id(photo_id)
    if "\N{REPLACEMENT CHARACTER}" in photo_id:
        raise Problem("bad_request", "The id in the path is no UTF-8.")
    service.require_writable()
    uploads = service.uploads
    if uploads is None:
        raise Problem("read_only", "The server has no folder for uploads (the setting uploads).")
    data, form = await read_photo(request)
    fields = _fields(form)
    attributes = _attributes(fields.get("attributes"))
    media_type = media_type_of(data)
    if media_type is None:
        raise Problem(
            "unsupported_photo", "The file is no photo of a known format.", reason="not_an_image"
        )
    embedding = service.embed(data, fields.get("box"), deadline_of(request))
    photo, regions, stamp = await while_connected(request, embedding)
    entry = Entry(
        photo_id=wanted,
        vector=photo.vector,
        product_id=fields.get("product_id"),
        box=photo.box,
        attributes=attributes,
        regions=regions,
    )

    def put(catalog: Catalog) -> Upserted:
        if (model := catalog.model) is None:
            catalog.set_model(model := stamp)
        if (model.fingerprint, model.dimension) != (stamp.fingerprint, stamp.dimension):
            raise Problem("model_mismatch", "The catalogue's model was just changed: try again.")
        try:
            return uploads.put(catalog, entry, data, SUFFIXES[media_type])
        except EntryError as error:
            raise Problem("bad_request", str(error).removeprefix(f"{catalog.uri}: ")) from None

    async with service.writing() as catalog:
        done = await service.in_thread(lambda: put(catalog))
    return JsonAnswer(
        {"n_added": done.n_added, "n_changed": done.n_changed, "n_unchanged": done.n_unchanged}
    )


@router.delete("/photos/{photo_id:photo_id}", response_model=RemovedAnswer, responses=_REMOVING)
async def delete_photo(
    request: Request, photo_id: str = Path(max_length=MOST_ID_CHARACTERS)
) -> JsonAnswer:
    """Remove a photo. The next search does not find it; the file of an upload is deleted."""
    return await _removed(service_of(request), photo_ids=[stored_id(photo_id)])


@router.post(
    "/delete",
    response_model=RemovedAnswer,
    responses=_REMOVING,
    openapi_extra=request_body(
        DeleteRequest,
        {
            "by id": {"photo_ids": [919670327, "red/shoe.jpg"]},
            "by product": {"product_ids": ["6471"]},
            "by filter": {"where": "discontinued = true"},
        },
    ),
)
async def delete_photos(request: Request) -> JsonAnswer:
    """Remove photos by their ids, those of products, or those that pass a filter."""
    service = service_of(request)
    asked = await read_json(request, DeleteRequest)
    if asked.photo_ids is not None:
        return await _removed(service, photo_ids=list(map(stored_id, asked.photo_ids)))
    if asked.product_ids is not None:
        return await _removed(service, product_ids=asked.product_ids)
    return await _removed(service, where=asked.where)


async def _removed(service: Service, **chosen: Any) -> JsonAnswer:
    uploads = service.uploads

    def remove(catalog: Catalog) -> int:
        if uploads is None:
            return catalog.delete(**chosen)
        return uploads.delete(catalog, **chosen)

    async with service.writing() as catalog:
        n_removed = await service.in_thread(lambda: remove(catalog))
    return JsonAnswer({"n_removed": n_removed})


def _fields(form: FormData) -> dict[str, str]:
    """Return the fields beside a photo; those that were left empty are left out.

    Raises `Problem` for others.
    """
    fields: dict[str, str] = {}
    for name, value in form.multi_items():
        if name == "photo":
            continue
        if name not in _FIELDS or name in fields or not isinstance(value, str):
            raise Problem(
                "bad_request", f"{name[:40]!r}: the fields are {', '.join(_FIELDS)}, once"
            )
        if len(value) > _FIELDS[name]:
            raise Problem("bad_request", f"{name}: at most {_FIELDS[name]:,} characters")
        fields[name] = value
    return {name: value for name, value in fields.items() if value}


def _attributes(text: str | None) -> dict[str, Value]:
    if text is None:
        return {}
    try:
        attributes = parse_json(text, dict[str, Value], "attributes")
    except DataError as error:
        raise Problem("bad_request", str(error)) from None
    if len(attributes) > _MOST_ATTRIBUTES:
        raise Problem("bad_request", f"attributes: at most {_MOST_ATTRIBUTES} are kept of a photo")
    return attributes
