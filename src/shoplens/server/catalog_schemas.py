"""What goes in and comes out of the routes of the catalogue, described for OpenAPI."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, StrictStr, model_validator

from shoplens.server.schemas import FacetAnswer, PhotoIdField, Scalar, StampAnswer, example

_PHOTO = {
    "photo_id": 919670327,
    "product_id": "6471",
    "path": "shoes/919670327.jpg",
    "attributes": {"category": "shoes", "price": 49.5},
    "photo_url": "/v1/photos/919670327",
    "thumbnail_url": "/v1/thumbnails/919670327",
}


class StoredPhotoAnswer(BaseModel):
    """A photo of the catalogue."""

    model_config = example(_PHOTO)

    photo_id: int | str
    product_id: str | None
    path: str
    """The photo as its table or folder names it."""
    attributes: dict[str, Scalar]
    photo_url: str
    thumbnail_url: str


class PhotosAnswer(BaseModel):
    """Some photos of the catalogue."""

    model_config = example({"photos": [_PHOTO], "next": "50", "n": 20000})

    photos: list[StoredPhotoAnswer]
    next: str | None
    """Give it as `after` for the next page; null on the last page."""
    n: int
    """How many photos pass the filter, on all pages."""


class FacetsAnswer(BaseModel):
    """How many photos have which value, by attribute."""

    model_config = example(
        {"facets": {"category": [{"value": "shoes", "count": 812}, {"value": None, "count": 3}]}}
    )

    facets: dict[str, list[FacetAnswer]]


class ChangesAnswer(BaseModel):
    """What putting a photo in did."""

    model_config = example({"n_added": 1, "n_changed": 0, "n_unchanged": 0})

    n_added: int
    n_changed: int
    n_unchanged: int


class RemovedAnswer(BaseModel):
    """How many photos were removed. Those that were not there are not counted."""

    model_config = example({"n_removed": 1})

    n_removed: int


class DeleteRequest(BaseModel):
    """Which photos to remove: exactly one of the three."""

    model_config = ConfigDict(extra="forbid", use_attribute_docstrings=True)

    photo_ids: list[PhotoIdField] | None = Field(None, max_length=10_000, fail_fast=True)
    product_ids: list[StrictStr] | None = Field(None, max_length=1000, fail_fast=True)
    """All photos of these products, and the records of those that failed."""
    where: str | None = Field(None, max_length=10_000, examples=["discontinued = true"])
    """All photos that pass this filter."""

    @model_validator(mode="after")
    def _one_of_them(self) -> DeleteRequest:
        given = [self.photo_ids, self.product_ids, self.where]
        if sum(one is not None for one in given) != 1:
            raise ValueError("give exactly one of photo_ids, product_ids and where")
        if self.where is not None and not self.where.strip():
            raise ValueError("an empty filter would remove every photo: say which to remove")
        return self


class FailedPhotoAnswer(BaseModel):
    """A photo that could not be embedded."""

    photo_id: int | str
    product_id: str | None
    path: str
    source: str
    reason: str
    """Stable: what a program tells reasons apart by."""
    detail: str
    attributes: dict[str, Scalar]


class FailuresAnswer(BaseModel):
    """The photos that could not be embedded."""

    model_config = example(
        {
            "n_failed": 1,
            "failures": {"truncated": 1},
            "failed_photos": [
                {
                    "photo_id": 919670328,
                    "product_id": "6471",
                    "path": "shoes/919670328.jpg",
                    "source": "/srv/photos",
                    "reason": "truncated",
                    "detail": "JPEG truncated: image file is truncated",
                    "attributes": {},
                }
            ],
        }
    )

    n_failed: int
    failures: dict[str, int]
    """How many there are for each reason."""
    failed_photos: list[FailedPhotoAnswer]


class JobAnswer(BaseModel):
    """How work stands that goes on in the background."""

    model_config = example(
        {
            "state": "running",
            "began": "2026-11-24T17:22:03+00:00",
            "ended": None,
            "progress": {"stage": "verify", "done": 8000, "total": 20000},
            "result": None,
            "detail": None,
        }
    )

    state: Literal["none", "running", "done", "failed"]
    """`none`: it was not begun since the server was started."""
    began: str | None
    """In UTC, as `ended`."""
    ended: str | None
    progress: dict[str, str | int] | None
    """`stage`, and how much of it is done: `done` of `total`."""
    result: dict[str, Any] | None
    detail: str | None
    """Why it failed."""


class CatalogAnswer(BaseModel):
    """What the catalogue holds, as `shoplens catalog stats --json` writes it."""

    model_config = example(
        {
            "engine": "embedded",
            "model": {
                "name": "lite0-lite2-products",
                "fingerprint": "24ee24c6b8905507",
                "dimension": 512,
            },
            "n_photos": 20000,
            "n_products": 9800,
            "n_failed": 3,
            "attributes": {"category": "str", "price": "float"},
            "chain": ["alpha-qe:k=4,alpha=3,gap=0.1"],
        },
        extra="allow",
    )

    engine: str
    model: StampAnswer | None
    n_photos: int
    n_products: int
    n_failed: int
    attributes: dict[str, str]
    chain: list[str]
    """The steps by which the catalogue has searches re-ranked that name no chain."""
