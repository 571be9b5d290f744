"""What searches ask for, checked and described for OpenAPI."""

from __future__ import annotations

import base64
import binascii
import contextlib
import math
from typing import Annotated, Literal

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    FiniteFloat,
    TypeAdapter,
    ValidationError,
    WithJsonSchema,
    model_validator,
)

from shoplens.errors import RankingError
from shoplens.products.listing import Listing
from shoplens.search_options import SearchOptions
from shoplens.server.schemas import PhotoIdField, Scalar
from shoplens.server.settings import MOST_QUERIES

MOST_FACETS = 50
"""Attributes whose values a search counts."""
MOST_NUMBERS = 16_384
"""Of a vector."""


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


def _collapse(value: object) -> object:
    try:
        return _BOOLEAN.validate_python(value)
    except ValidationError:
        number = math.nan
    if isinstance(value, str | float):
        with contextlib.suppress(ValueError):
            number = float(value)
    if not 0 < number < 1:
        raise ValueError("it is true, false, or a similarity between 0 and 1")
    return number


_BOOLEAN = TypeAdapter(bool)
_Photo = Annotated[
    bytes | None,
    BeforeValidator(_bytes),
    WithJsonSchema({"type": "string", "format": "base64"}),
]
_Names = Annotated[list[str], BeforeValidator(_names), Field(max_length=MOST_FACETS)]
_Collapse = Annotated[
    bool | float,
    BeforeValidator(_collapse),
    WithJsonSchema(
        {
            "anyOf": [
                {"type": "boolean"},
                {"type": "number", "exclusiveMinimum": 0, "exclusiveMaximum": 1},
            ]
        }
    ),
]


class QueryFields(BaseModel):
    """What is searched for: exactly one of `photo`, `photo_token`, `photo_id`, `url` and
    `vector`."""

    model_config = ConfigDict(extra="forbid", use_attribute_docstrings=True)

    photo: _Photo = None
    """The bytes of a photo, in base64."""
    photo_token: str | None = Field(None, max_length=100)
    """A photo that was sent to `/v1/boxes` and is kept there for a while: the token of that
    answer."""
    photo_id: PhotoIdField | None = None
    """A photo of the catalogue: more like this. It is not among the hits."""
    url: str | None = Field(None, max_length=4096)
    """Where the photo is, if the server fetches photos."""
    vector: list[FiniteFloat] | None = Field(None, max_length=MOST_NUMBERS, fail_fast=True)
    """A vector of unit length, of the catalogue's model."""
    box: str | None = Field(None, max_length=200, examples=["120,40,300,200"])
    """Where in the photo the product is: `x,y,w,h` in pixels of the upright photo, or
    `rel:x,y,w,h` in fractions of it, or `auto` for the best box that is proposed. Without it the
    whole photo is searched for."""

    @model_validator(mode="after")
    def _one_of_them(self) -> QueryFields:
        photos = [self.photo, self.photo_token, self.url]
        given = [*photos, self.photo_id, self.vector]
        if sum(one is not None for one in given) != 1:
            raise ValueError("give exactly one of photo, photo_token, photo_id, url and vector")
        if self.box is not None and all(one is None for one in photos):
            raise ValueError("a box belongs to a photo or a url")
        return self


class ExplainRequest(QueryFields):
    """Why a photo of the catalogue matches what is searched for."""

    result_id: PhotoIdField
    """A photo of the catalogue: a hit of the search."""

    @model_validator(mode="after")
    def _a_photo(self) -> ExplainRequest:
        if self.vector is not None:
            raise ValueError("a vector cannot be explained: give the photo")
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
    product_score: str | None = Field(None, max_length=40, examples=["mean2"])
    """What products are ordered by: `best`, `mean2`, `mean3`, `logsum`. It needs `group_by`."""
    variants: str | None = Field(None, max_length=200, examples=["id:-"])
    """The attribute that variants of one product share, or `id:-` for ids that are the same before
    the last `-`. They are one hit together. It needs `group_by`."""
    collapse: _Collapse = False
    """Whether photos that show the same picture are one hit. A number is from which similarity of
    their vectors on they do; `true` is 0.95."""
    rerank: str | None = Field(None, max_length=200, examples=["alpha-qe:k=4"])
    """A chain of gallery-side re-ranking methods, which put the photos that were found in a better
    order; `none` for no re-ranking. Without it, the server's own is used or, if it has none, that
    of the catalogue."""

    @model_validator(mode="after")
    def _readable(self) -> Terms:
        try:
            self.listing()
        except RankingError as error:
            raise ValueError(str(error)) from None
        return self

    def listing(self) -> Listing:
        """Return how many hits are listed, and what is one."""
        return SearchOptions(
            self.k, self.group_by, self.product_score, self.variants, self.collapse
        ).listing()


class SearchRequest(QueryFields, Terms):
    """A search."""


class BatchQuery(QueryFields):
    """One of several queries."""

    id: Scalar = None
    """Comes back with the result."""


class BatchRequest(Terms):
    """Several searches on the same terms."""

    queries: list[BatchQuery] = Field(min_length=1, max_length=MOST_QUERIES, fail_fast=True)
