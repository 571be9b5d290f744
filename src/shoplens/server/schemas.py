"""What goes in and comes out, checked and described for OpenAPI."""

from __future__ import annotations

import base64
import binascii
from typing import Annotated, Any, Literal

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    FiniteFloat,
    StrictInt,
    StrictStr,
    WithJsonSchema,
    model_validator,
)

MOST_FACETS = 50
"""Attributes whose values a search counts."""

Scalar = bool | int | float | str | None


def _bytes(value: object) -> object:
    if isinstance(value, str):
        try:
            return base64.b64decode(value, validate=True)
        except (binascii.Error, ValueError):
            raise ValueError("it is no base64 text") from None
    return value


def _names(value: object) -> object:
    if isinstance(value, str):
        value = [value]
    if isinstance(value, list) and all(isinstance(one, str) for one in value):
        return [name.strip() for one in value for name in one.split(",") if name.strip()]
    return value


def example(value: Any, extra: Literal["ignore", "allow"] = "ignore") -> ConfigDict:
    """Return the configuration of an answer's model, with an example for OpenAPI."""
    return ConfigDict(
        use_attribute_docstrings=True, extra=extra, json_schema_extra={"examples": [value]}
    )


def _photo_id(value: int | str) -> int | str:
    if value == "" or (isinstance(value, int) and not -(2**63) <= value < 2**63):
        raise ValueError("a photo's id is a text, or a whole number of 64 bits")
    return value


PhotoIdField = Annotated[StrictInt | StrictStr, AfterValidator(_photo_id)]
_Photo = Annotated[
    bytes | None,
    BeforeValidator(_bytes),
    WithJsonSchema({"type": "string", "format": "base64"}),
]
_Names = Annotated[list[str], BeforeValidator(_names), Field(max_length=MOST_FACETS)]


class QueryFields(BaseModel):
    """What is searched for: exactly one of `photo`, `photo_id`, `url` and `vector`."""

    model_config = ConfigDict(extra="forbid", use_attribute_docstrings=True)

    photo: _Photo = None
    """The bytes of a photo, in base64."""
    photo_id: PhotoIdField | None = None
    """A photo of the catalogue: more like this. It is not among the hits."""
    url: str | None = Field(None, max_length=4096)
    """Where the photo is, if the server fetches photos."""
    vector: list[FiniteFloat] | None = None
    """A vector of unit length, of the catalogue's model."""
    box: str | None = Field(None, max_length=200, examples=["120,40,300,200"])
    """Where in the photo the product is: `x,y,w,h` in pixels of the upright photo, or
    `rel:x,y,w,h` in fractions of it, or `auto` for the best box that is proposed. Without it the
    whole photo is searched for."""

    @model_validator(mode="after")
    def _one_of_them(self) -> QueryFields:
        given = [self.photo, self.photo_id, self.url, self.vector]
        if sum(one is not None for one in given) != 1:
            raise ValueError("give exactly one of photo, photo_id, url and vector")
        if self.box is not None and self.photo is None and self.url is None:
            raise ValueError("a box belongs to a photo or a url")
        return self


class Terms(BaseModel):
    """How is searched."""

    model_config = ConfigDict(extra="forbid", use_attribute_docstrings=True)

    k: int = Field(20, ge=1)
    """How many hits to return."""
    where: str | None = Field(
        None, max_length=10_000, examples=['category = "shoes" and price < 50']
    )
    """Only photos that pass this filter."""
    group_by: Literal["product"] | None = None
    """`product` for k products, each with its best photo and its other photos."""
    min_score: float | None = Field(None, ge=-1, le=1)
    """Leave out hits with a lower score."""
    facets: _Names = []
    """Attributes whose values are counted among the photos that pass `where`."""
    exact: bool = False
    """Compare every photo that passes `where`, even where an index would be faster."""


class SearchRequest(QueryFields, Terms):
    """A search."""

    def terms(self) -> Terms:
        """Return how is searched."""
        return Terms.model_construct(**{name: getattr(self, name) for name in Terms.model_fields})


class BatchQuery(QueryFields):
    """One of several queries."""

    id: Scalar = None
    """Comes back with the result."""


class BatchRequest(Terms):
    """Several searches on the same terms."""

    queries: list[BatchQuery] = Field(min_length=1)


class ViewAnswer(BaseModel):
    """One of the photos of a product."""

    photo_id: int | str
    score: float
    path: str
    photo_url: str
    thumbnail_url: str


class HitAnswer(BaseModel):
    """A photo that was found or, in a search grouped by product, a product."""

    rank: int
    photo_id: int | str
    product_id: str | None
    score: float
    path: str
    attributes: dict[str, Scalar] | None = None
    photos: list[ViewAnswer] | None = None
    photo_url: str
    thumbnail_url: str


class ModelAnswer(BaseModel):
    """A model; all is null as long as the catalogue is empty."""

    name: str | None
    fingerprint: str | None


class FacetAnswer(BaseModel):
    """How many photos have a value."""

    value: Scalar
    count: int


class BoxAnswer(BaseModel):
    """A box that may hold the product."""

    model_config = ConfigDict(use_attribute_docstrings=True)

    box: str
    """`x,y,w,h` in pixels of the upright photo."""
    score: float
    """0..1, higher is better. It compares boxes of one photo."""


class BoxesAnswer(BaseModel):
    """Boxes that are proposed, the best first. There is always one."""

    model_config = example(
        {
            "width": 1000,
            "height": 750,
            "boxes": [
                {"box": "212,96,530,584", "score": 0.81},
                {"box": "0,60,410,420", "score": 0.37},
            ],
        }
    )

    width: int
    """Of the upright photo, in pixels."""
    height: int
    boxes: list[BoxAnswer]


class QueryAnswer(BaseModel):
    """How the photo of a query was understood."""

    width: int
    """In pixels, upright."""
    height: int
    box: str | None
    """`x,y,w,h` in pixels, cut to the photo; null for the whole photo."""
    clipped: bool
    """Whether the box reached beyond the photo."""


class ResultAnswer(BaseModel):
    """What was found, as `shoplens search --json` writes it, and where its photos are."""

    hits: list[HitAnswer]
    exact: bool
    """Whether every vector that passes the filter was compared."""
    n_gallery: int
    n_failed: int
    model: ModelAnswer
    query_box: str | None
    """The box that was searched for, as it was given or proposed, in pixels."""
    seconds: dict[str, float]
    facets: dict[str, list[FacetAnswer]] | None = None
    query: QueryAnswer | None = None
    """Where the query was a photo."""


class SearchAnswer(ResultAnswer):
    """The answer to a search."""

    model_config = example(
        {
            "hits": [
                {
                    "rank": 1,
                    "photo_id": 1126804948,
                    "product_id": "b0012",
                    "score": 0.8313,
                    "path": "gallery/1126804948.jpg",
                    "attributes": {"category": "shoes", "price": 49.9},
                    "photo_url": "/v1/photos/1126804948",
                    "thumbnail_url": "/v1/thumbnails/1126804948",
                }
            ],
            "exact": True,
            "n_gallery": 20000,
            "n_failed": 0,
            "model": {"name": "lite0-products", "fingerprint": "1c658d6913cc336b"},
            "query_box": "120,40,300,200",
            "seconds": {"query": 0.041, "search": 0.006},
            "query": {"width": 1000, "height": 750, "box": "120,40,300,200", "clipped": False},
            "request_id": "0f8c2b6e9d3a4c51",
        }
    )

    request_id: str


class ProblemDocument(BaseModel):
    """An error (RFC 9457)."""

    model_config = ConfigDict(extra="allow")

    type: str
    title: str
    status: int
    detail: str
    code: str
    """Stable: what a program tells errors apart by."""
    request_id: str | None


class BatchResult(BaseModel):
    """The result of one query: that of a search, or its `problem`."""

    model_config = ConfigDict(extra="allow")

    id: Scalar = None
    problem: ProblemDocument | None = None


class BatchAnswer(BaseModel):
    """The results, in the order of the queries."""

    model_config = example(
        {
            "results": [
                {
                    "id": "first",
                    "hits": [],
                    "exact": True,
                    "n_gallery": 20000,
                    "n_failed": 0,
                    "model": {"name": "lite0-products", "fingerprint": "1c658d6913cc336b"},
                    "query_box": None,
                    "seconds": {"query": 0.041, "search": 0.006},
                },
                {
                    "id": "second",
                    "problem": {
                        "type": "about:blank",
                        "title": "There is no such thing",
                        "status": 404,
                        "detail": "There is no photo 7.",
                        "code": "not_found",
                        "request_id": "0f8c2b6e9d3a4c51",
                    },
                },
            ],
            "request_id": "0f8c2b6e9d3a4c51",
        }
    )

    results: list[BatchResult]
    request_id: str


class StampAnswer(BaseModel):
    """The model of the catalogue's vectors."""

    name: str
    fingerprint: str
    dimension: int


class CatalogAnswer(BaseModel):
    """What the catalogue holds, as `shoplens catalog stats --json` writes it."""

    model_config = example(
        {
            "engine": "embedded",
            "model": {
                "name": "lite0-products",
                "fingerprint": "1c658d6913cc336b",
                "dimension": 512,
            },
            "n_photos": 20000,
            "n_products": 9800,
            "n_failed": 3,
            "attributes": {"category": "str", "price": "float"},
        },
        extra="allow",
    )

    engine: str
    model: StampAnswer | None
    n_photos: int
    n_products: int
    n_failed: int
    attributes: dict[str, str]


class LoadedModelAnswer(StampAnswer):
    """The model that embeds queries."""

    input_size: int
    """Side in pixels of the largest square that it is shown."""


class ModelsAnswer(BaseModel):
    """The model at work."""

    model_config = example(
        {
            "model": {
                "name": "lite0-products",
                "fingerprint": "1c658d6913cc336b",
                "dimension": 512,
                "input_size": 384,
            },
            "version": "0.1.0",
        }
    )

    model: LoadedModelAnswer | None
    version: str
    """Of shoplens."""


class PageSettingsAnswer(BaseModel):
    """What the page needs to know."""

    model_config = example(
        {
            "title": "shoplens",
            "max_upload_bytes": 20000000,
            "max_pixels": 89478485,
            "max_k": 1000,
            "keys_required": False,
            "read_only": False,
            "urls": False,
            "attributes": {"category": "str", "price": "float"},
        }
    )

    title: str
    max_upload_bytes: int
    max_pixels: int
    max_k: int
    keys_required: bool
    read_only: bool
    urls: bool
    attributes: dict[str, str]


class StatusAnswer(BaseModel):
    """How the server is."""

    model_config = example({"status": "ready"})

    status: Literal["alive", "ready"]
