"""Reading what the service answers from JSON, checked."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, TypeVar

import msgspec

from shoplens.attributes import Attributes, Value
from shoplens.client.responses import FailedPhoto, QueryPhoto, SearchResponse
from shoplens.errors import ServiceError
from shoplens.hits import Duplicate, Hit, View

if TYPE_CHECKING:
    from shoplens.records import Box

_T = TypeVar("_T")


class _Hit(msgspec.Struct):
    rank: int
    photo_id: int | str
    product_id: str | None
    score: float
    path: str
    attributes: dict[str, Value] = {}
    photos: tuple[View, ...] | None = None
    confidence: float | None = None
    product_score: float | None = None
    variants: tuple[str, ...] | None = None
    duplicates: tuple[Duplicate, ...] | None = None
    region: str | None = None

    def hit(self) -> Hit:
        places = {name: place for place, name in enumerate(self.attributes)}
        return Hit(
            self.rank,
            self.photo_id,
            self.product_id,
            self.score,
            self.path,
            attributes=Attributes(places, tuple(self.attributes.values())),
            photos=self.photos,
            region=None if self.region is None else _box(self.region),
            confidence=self.confidence,
            product_score=self.product_score,
            variants=self.variants,
            duplicates=self.duplicates,
        )


class _Count(msgspec.Struct):
    value: Value
    count: int


class _Model(msgspec.Struct):
    name: str | None
    fingerprint: str | None


class _Search(msgspec.Struct):
    hits: list[_Hit]
    n_gallery: int
    n_failed: int
    exact: bool
    model: _Model
    seconds: dict[str, float] = {}
    chain: tuple[str, ...] = ()
    confidence: float | None = None
    no_match: bool | None = None
    facets: dict[str, list[_Count]] | None = None
    query: QueryPhoto | None = None
    request_id: str | None = None


class _Outcome(msgspec.Struct):
    """One of a batch; without a problem it is a search."""

    problem: dict[str, Any] | None = None


class _Batch(msgspec.Struct):
    results: list[msgspec.Raw]


class _Facets(msgspec.Struct):
    facets: dict[str, list[_Count]]


class _Removed(msgspec.Struct):
    n_removed: int


class _Failures(msgspec.Struct):
    failed_photos: list[FailedPhoto]


def reads(kind: type[_T]) -> Callable[[bytes], _T]:
    """Return what reads JSON as a value of a type."""
    return msgspec.json.Decoder(kind).decode


def search_response(body: bytes) -> SearchResponse:
    """Read the answer to one search."""
    found = msgspec.json.decode(body, type=_Search)
    return SearchResponse(
        hits=tuple(hit.hit() for hit in found.hits),
        n_gallery=found.n_gallery,
        n_failed=found.n_failed,
        exact=found.exact,
        model_name=found.model.name,
        fingerprint=found.model.fingerprint,
        chain=found.chain,
        facets=None if found.facets is None else _counted(found.facets),
        confidence=found.confidence,
        no_match=found.no_match,
        query=found.query,
        request_id=found.request_id,
        seconds=found.seconds,
    )


def batch_responses(body: bytes) -> list[SearchResponse | ServiceError]:
    """Read the answer to several searches."""
    results = msgspec.json.decode(body, type=_Batch).results
    outcomes = [msgspec.json.decode(result, type=_Outcome) for result in results]
    return [
        search_response(bytes(result)) if outcome.problem is None else problem(outcome.problem)
        for result, outcome in zip(results, outcomes, strict=True)
    ]


def facet_counts(body: bytes) -> dict[str, dict[Value, int]]:
    """Read how many photos have which value of attributes."""
    return _counted(msgspec.json.decode(body, type=_Facets).facets)


def n_removed(body: bytes) -> int:
    """Read how many photos were removed."""
    return msgspec.json.decode(body, type=_Removed).n_removed


def failed_photos(body: bytes) -> list[FailedPhoto]:
    """Read the photos that could not be embedded."""
    return msgspec.json.decode(body, type=_Failures).failed_photos


def problem(
    members: Mapping[str, Any], status: int = 0, retry_after: float | None = None
) -> ServiceError:
    """Return the error that a problem document (RFC 9457) describes."""
    rest = dict(members)
    rest.pop("type", None)
    title = rest.pop("title", "")
    return ServiceError(
        status=rest.pop("status", status),
        code=rest.pop("code"),
        detail=rest.pop("detail", None) or title,
        request_id=rest.pop("request_id", None),
        retry_after=retry_after,
        members=rest,
    )


def _counted(facets: Mapping[str, list[_Count]]) -> dict[str, dict[Value, int]]:
    return {name: {each.value: each.count for each in counts} for name, counts in facets.items()}


def _box(text: str) -> Box:
    from shoplens.records import Box  # noqa: PLC0415  It loads NumPy, which few answers need.

    x, y, width, height = (float(number) for number in text.split(","))
    return Box.from_xywh(x, y, width, height)
