"""What the catalogue holds, and its upkeep."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter, Path, Query, Request

from shoplens.catalog.entry import Entry, failures_json
from shoplens.server.access import ACCESS_PROBLEMS, require
from shoplens.server.catalog_schemas import (
    CatalogAnswer,
    FacetsAnswer,
    FailuresAnswer,
    JobAnswer,
    PhotosAnswer,
    StoredPhotoAnswer,
)
from shoplens.server.photo_links import photo_links
from shoplens.server.problems import Problem, problem_answers
from shoplens.server.query_schemas import MOST_FACETS
from shoplens.server.requests import MOST_ID_CHARACTERS, stored_id
from shoplens.server.routes.answers import JsonAnswer, service_of, while_connected

router = APIRouter(prefix="/v1/catalog", tags=["catalog"])

_SEARCH, _ADMIN = [require("search")], [require("admin")]
_MOST_VALUES = 1000
_MOST_PHOTOS = 500
_LAST_PLACE = 2**63 - 1
_FILTER = Query(
    None,
    max_length=10_000,
    examples=['category = "shoes" and price < 50'],
    description="Only photos that pass this filter.",
)
_READING = problem_answers(
    "bad_request", "bad_filter", "timeout", "catalog_unavailable", *ACCESS_PROBLEMS
)
_ONE = problem_answers("bad_request", "not_found", "catalog_unavailable", *ACCESS_PROBLEMS)
_UPKEEP = problem_answers("read_only", "overloaded", *ACCESS_PROBLEMS)


@router.get("", response_model=CatalogAnswer, responses=_READING, dependencies=_SEARCH)
async def catalog_stats(request: Request) -> JsonAnswer:
    """Say how many photos and products there are, of which model, and their attributes."""
    service = service_of(request)
    held = (await service.stats.now()).to_json()
    del held["uri"]  # A place on this machine.
    return JsonAnswer(held)


@router.get("/facets", response_model=FacetsAnswer, responses=_READING, dependencies=_SEARCH)
async def facets(
    request: Request,
    names: str = Query(
        max_length=10_000, examples=["colour,brand"], description="Attributes, with commas."
    ),
    where: str | None = _FILTER,
    limit: int = Query(
        50, ge=1, le=_MOST_VALUES, description="Most values of each attribute, frequent ones first."
    ),
) -> JsonAnswer:
    """Count how many photos that pass a filter have which value of some attributes."""
    service = service_of(request)
    wanted = list(dict.fromkeys(filter(None, map(str.strip, names.split(",")))))
    if not 1 <= len(wanted) <= MOST_FACETS:
        raise Problem("bad_request", f"names: give 1 to {MOST_FACETS} attributes")
    counting = service.in_thread(lambda: service.catalog.facets(*wanted, where=where))
    counted = await while_connected(request, counting)
    return JsonAnswer(
        {
            "facets": {
                name: [{"value": value, "count": n} for value, n in list(counts.items())[:limit]]
                for name, counts in counted.items()
            }
        }
    )


@router.get("/photos", response_model=PhotosAnswer, responses=_READING, dependencies=_SEARCH)
async def stored_photos(
    request: Request,
    where: str | None = _FILTER,
    limit: int = Query(50, ge=1, le=_MOST_PHOTOS),
    after: str = Query("0", max_length=19, description="The `next` of the page before."),
) -> JsonAnswer:
    """List photos in the order in which they were put in, a page at a time.

    What stays as it is comes once, whatever changes between two pages.
    """
    service = service_of(request)
    if not (after.isascii() and after.isdigit() and int(after) <= _LAST_PLACE):
        raise Problem("bad_request", "after: give the `next` of the page before")
    catalog = service.catalog
    page, n_photos = await while_connected(
        request,
        service.in_thread(
            lambda: (catalog.page(where, limit=limit, after=int(after)), catalog.count(where))
        ),
    )
    return JsonAnswer(
        {
            "photos": [_shown(entry) for entry in page.entries],
            "next": None if page.next is None else str(page.next),
            "n": n_photos,
        }
    )


@router.get(
    "/photos/{photo_id:photo_id}",
    response_model=StoredPhotoAnswer,
    responses=_ONE,
    dependencies=_SEARCH,
)
async def stored_photo(
    request: Request, photo_id: str = Path(max_length=MOST_ID_CHARACTERS)
) -> JsonAnswer:
    """Show what the catalogue holds of a photo."""
    service = service_of(request)
    wanted = stored_id(photo_id)
    entry = await service.in_thread(lambda: service.catalog.get(wanted))
    if entry is None:
        raise Problem("not_found", "The catalogue has no photo of this id.")
    return JsonAnswer(_shown(entry))


@router.get("/failures", response_model=FailuresAnswer, responses=_READING, dependencies=_ADMIN)
async def failures(request: Request) -> JsonAnswer:
    """List the photos that could not be embedded, as `shoplens catalog failures --json` does."""
    service = service_of(request)
    failed = await service.in_thread(lambda: list(service.catalog.failures()))
    return JsonAnswer(failures_json(failed))


@router.post(
    "/compact", status_code=202, response_model=JobAnswer, responses=_UPKEEP, dependencies=_ADMIN
)
async def begin_compact(request: Request) -> JsonAnswer:
    """Begin to build indexes and to give back space. Searches and changes go on meanwhile."""
    service = service_of(request)
    service.require_writable()
    service.compacting.start()
    return JsonAnswer(service.compacting.to_json(), status_code=202)


@router.get("/compact", response_model=JobAnswer, responses=_UPKEEP, dependencies=_ADMIN)
async def compact(request: Request) -> JsonAnswer:
    """Say how far that is, or how it ended."""
    return JsonAnswer(service_of(request).compacting.to_json())


@router.post(
    "/verify", status_code=202, response_model=JobAnswer, responses=_UPKEEP, dependencies=_ADMIN
)
async def begin_verify(request: Request) -> JsonAnswer:
    """Begin to check everything that is stored."""
    service = service_of(request)
    service.verifying.start()
    return JsonAnswer(service.verifying.to_json(), status_code=202)


@router.get("/verify", response_model=JobAnswer, responses=_UPKEEP, dependencies=_ADMIN)
async def verify(request: Request) -> JsonAnswer:
    """Say how far that is, or what was found: as `shoplens catalog verify --json` does."""
    return JsonAnswer(service_of(request).verifying.to_json())


def _shown(entry: Entry) -> dict[str, Any]:
    return {
        "photo_id": entry.photo_id,
        "product_id": entry.product_id,
        "path": entry.path,
        "attributes": dict(entry.attributes),
        **photo_links(entry.photo_id),
    }
