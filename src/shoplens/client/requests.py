"""The service's requests, each described once for both clients."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Generic, Literal, TypeVar

from shoplens.attributes import Value
from shoplens.client import parsing
from shoplens.client.encoding import (
    Picture,
    box_text,
    form,
    given,
    photo_bytes,
    query_json,
    segment,
    terms_json,
)
from shoplens.client.responses import (
    CatalogStats,
    Changes,
    Explanation,
    FailedPhoto,
    Health,
    PhotoPage,
    ProposedBoxes,
    SearchResponse,
    StoredPhoto,
)
from shoplens.errors import ServiceError

if TYPE_CHECKING:
    from shoplens.records import Box

T = TypeVar("T")


@dataclass(frozen=True)
class Request(Generic[T]):
    """A request, and how its answer is read."""

    method: str
    path: str
    read: Callable[[bytes], T]
    """Makes the result of the body of an answer."""
    params: Mapping[str, Any] = field(default_factory=dict)
    """Of the URL."""
    json: Any = None
    fields: Mapping[str, Any] = field(default_factory=dict)
    """Of a form, beside the photo."""
    photo: bytes | None = None
    changes: bool = False
    """Whether it changes the catalogue: then it is not sent again unless the service says that it
    did nothing."""
    unavailable: Callable[[ServiceError], T] | None = None
    """Makes the result of a refusal with status 503, where that is an answer and no failure."""


@dataclass(frozen=True, slots=True)
class Query:
    """One of the queries of `search_batch`: a photo, the id of one, a URL or a vector."""

    photo: Picture | None = None
    box: Box | str | None = None
    photo_id: int | str | None = None
    url: str | None = None
    vector: Iterable[float] | None = None


def search(
    photo: Picture | None = None,
    *,
    box: Box | str | None = None,
    photo_id: int | str | None = None,
    url: str | None = None,
    vector: Iterable[float] | None = None,
    k: int = 20,
    where: str | None = None,
    group_by: Literal["product"] | None = None,
    min_score: float | None = None,
    facets: Sequence[str] = (),
    exact: bool = False,
    product_score: str | None = None,
    variants: str | None = None,
    collapse: bool | float = False,
    rerank: str | None = None,
) -> Request[SearchResponse]:
    """Find the photos or the products that are most similar to a query.

    The query is a photo with a box, a photo of the catalogue by its id ("more like this"; it is not
    among the hits), the URL of a photo, or a vector.

    Args:
        photo: the path of a file, or the bytes of one.
        box: where the product is in the photo: a `shoplens.Box` in pixels of the upright photo, or
            the text `x,y,w,h`, `rel:x,y,w,h` (fractions), or `auto` for the best box that is
            proposed (see `propose_boxes`). None searches for the whole photo.
        photo_id: of a photo in the catalogue.
        url: of a photo that the service fetches, where it allows that.
        vector: (d,) of unit length, of the catalogue's model.
        k: how many hits to return.
        where: a filter such as `category = "shoes" and price < 50` (see docs/filters.md).
        group_by: `product` for k products, each with its best photo and its other photos.
        min_score: leave out hits with a lower score.
        facets: names of attributes whose values are counted among the photos that pass `where`.
        exact: compare every vector that passes the filter, even where an index would be faster.
        product_score: what products are ordered by, where they are grouped: `best`, `mean2`,
            `mean3` or `logsum` (see docs/product-scores.md).
        variants: which products are one hit together, where they are grouped: those that share the
            value of an attribute, by its name, or `id:-` for those whose ids are the same before
            the last `-`.
        collapse: show photos of the same picture as one hit. A number is from which similarity of
            their vectors on they do.
        rerank: a chain of re-ranking methods, such as `alpha-qe:k=4` (docs/reranking.md); `none`
            for no re-ranking. None takes the service's own or, if it has none, that of its
            catalogue. The result's `chain` says what was done.

    Returns:
        The hits, best first.

    Raises:
        PhotoError: the file of the photo cannot be read.
        ServiceError: the service refuses the query, or does not answer.
    """
    terms = terms_json(
        k, where, group_by, min_score, facets, exact, product_score, variants, collapse, rerank
    )
    query = query_json(photo_id, url, vector, box)
    if photo is None:
        return Request("POST", "/v1/search", parsing.search_response, json={**query, **terms})
    return Request(
        "POST",
        "/v1/search",
        parsing.search_response,
        fields=form({**query, **terms}),
        photo=photo_bytes(photo),
    )


def search_batch(
    queries: Iterable[Query],
    *,
    k: int = 20,
    where: str | None = None,
    group_by: Literal["product"] | None = None,
    min_score: float | None = None,
    facets: Sequence[str] = (),
    exact: bool = False,
    product_score: str | None = None,
    variants: str | None = None,
    collapse: bool | float = False,
    rerank: str | None = None,
) -> Request[list[SearchResponse | ServiceError]]:
    """Search for several queries in one request (see `search`).

    Args:
        queries: at most as many as the service takes at once, 32 unless it is set up otherwise.

    Returns:
        For each query, in their order, its hits, or the error why it could not be searched.

    Raises:
        PhotoError: the file of a photo cannot be read.
        ServiceError: the service refuses them all, or does not answer.
    """
    shown = []
    for number, query in enumerate(queries):
        asked = query_json(query.photo_id, query.url, query.vector, query.box)
        if query.photo is not None:
            asked["photo"] = base64.b64encode(photo_bytes(query.photo)).decode("ascii")
        shown.append({"id": number, **asked})
    terms = terms_json(
        k, where, group_by, min_score, facets, exact, product_score, variants, collapse, rerank
    )
    return Request(
        "POST", "/v1/search/batch", parsing.batch_responses, json={"queries": shown, **terms}
    )


def explain(
    photo: Picture | None = None,
    *,
    result_id: int | str,
    box: Box | str | None = None,
    photo_id: int | str | None = None,
    url: str | None = None,
) -> Request[Explanation]:
    """Show why a photo of the catalogue matches: which parts of it and of the query do.

    The query is that of a search (see `search`): a photo with a box, a photo of the catalogue by
    its id, or the URL of a photo. It takes about as long as searching for two photos.

    Args:
        photo: the path of a file, or the bytes of one.
        result_id: the `photo_id` of a hit.
        box: where the product is in the photo, as in `search`.
        photo_id: of a photo in the catalogue.
        url: of a photo that the service fetches, where it allows that.

    Returns:
        A heat map over the query and one over the result (docs/explaining.md).

    Raises:
        PhotoError: the file of the photo cannot be read.
        ServiceError: with the code `unexplained`, the catalogue is of a model whose matches cannot
            be explained; with `not_found`, there is no such photo; or another.
    """
    query = {**query_json(photo_id, url, None, box), "result_id": result_id}
    if photo is None:
        return Request("POST", "/v1/explain", parsing.reads(Explanation), json=query)
    return Request(
        "POST",
        "/v1/explain",
        parsing.reads(Explanation),
        fields=form(query),
        photo=photo_bytes(photo),
    )


def propose_boxes(photo: Picture) -> Request[ProposedBoxes]:
    """Propose boxes for a photo: where its products may be.

    Raises:
        PhotoError: the file of the photo cannot be read.
        ServiceError: the photo cannot be used, or the service does not answer.
    """
    return Request("POST", "/v1/boxes", parsing.reads(ProposedBoxes), photo=photo_bytes(photo))


def put_photo(
    photo_id: int | str,
    photo: Picture,
    *,
    product_id: str | None = None,
    box: Box | str | None = None,
    attributes: Mapping[str, Value] | None = None,
) -> Request[Changes]:
    """Put a photo into the catalogue, or replace the one that has its id. Needs the scope `write`.

    When this returns, the photo is kept and the next search finds it.

    Args:
        photo_id: the id of the photo.
        photo: the path of a file, or the bytes of one.
        product_id: the product that it shows.
        box: where the product is, as in `search`.
        attributes: what filters and facets use.

    Raises:
        PhotoError: the file of the photo cannot be read.
        ServiceError: the photo cannot be used, the key does not allow it, or the service does not
            answer. If no answer came, the photo may be there; put it again.
    """
    values = {
        "product_id": product_id,
        "box": None if box is None else box_text(box),
        "attributes": None if attributes is None else json.dumps(dict(attributes)),
    }
    return Request(
        "PUT",
        _photo_path(photo_id),
        parsing.reads(Changes),
        fields=form(values),
        photo=photo_bytes(photo),
        changes=True,
    )


def get_photo(photo_id: int | str) -> Request[StoredPhoto]:
    """Return what the catalogue holds of a photo.

    Raises:
        ServiceError: with the code `not_found`, there is no such photo; or another.
    """
    return Request("GET", _photo_path(photo_id), parsing.reads(StoredPhoto))


def delete_photos(
    photo_ids: Iterable[int | str] | None = None,
    *,
    product_ids: Iterable[str] | None = None,
    where: str | None = None,
) -> Request[int]:
    """Remove photos from the catalogue: by id, by product, or by a filter. Needs the scope `write`.

    Returns:
        How many there were.

    Raises:
        ServiceError: the arguments do not fit together, the key does not allow it, or the service
            does not answer.
    """
    wanted = {
        "photo_ids": None if photo_ids is None else list(photo_ids),
        "product_ids": None if product_ids is None else list(product_ids),
        "where": where,
    }
    return Request(
        "POST", "/v1/catalog/delete", parsing.n_removed, json=given(wanted), changes=True
    )


def download_photo(photo_id: int | str) -> Request[bytes]:
    """Return the file of a photo of the catalogue.

    Raises:
        ServiceError: with the code `not_found`, there is no such photo or its file is gone; or
            another.
    """
    return Request("GET", f"/v1/photos/{segment(photo_id)}", bytes)


def download_thumbnail(photo_id: int | str, *, size: int = 256) -> Request[bytes]:
    """Return a small upright JPEG of a photo of the catalogue.

    Args:
        photo_id: the photo.
        size: the longer side in pixels.

    Raises:
        ServiceError: as for `download_photo`.
    """
    return Request("GET", f"/v1/thumbnails/{segment(photo_id)}", bytes, params={"size": size})


def photo_page(
    where: str | None = None, *, limit: int = 50, after: str | None = None
) -> Request[PhotoPage]:
    """Return some photos of the catalogue, in the order in which they were put in."""
    params = given({"where": where, "limit": limit, "after": after})
    return Request("GET", "/v1/catalog/photos", parsing.reads(PhotoPage), params=params)


def stats() -> Request[CatalogStats]:
    """Return what the catalogue holds."""
    return Request("GET", "/v1/catalog", parsing.reads(CatalogStats))


def facets(
    names: Sequence[str], *, where: str | None = None, limit: int | None = None
) -> Request[dict[str, dict[Value, int]]]:
    """Count how many photos that pass a filter have which value of an attribute.

    Args:
        names: the attributes.
        where: a filter, as in `search`.
        limit: how many values of each attribute to return, at most.

    Returns:
        For each name, counts by value, the largest first. None counts photos without a value.

    Raises:
        ServiceError: the filter cannot be understood, or the service does not answer.
    """
    params = given({"names": ",".join(names), "where": where, "limit": limit})
    return Request("GET", "/v1/catalog/facets", parsing.facet_counts, params=params)


def failures() -> Request[list[FailedPhoto]]:
    """Return the photos that could not be embedded. Needs the scope `admin`."""
    return Request("GET", "/v1/catalog/failures", parsing.failed_photos)


def health() -> Request[Health]:
    """Return whether the service can answer searches now. Needs no key."""
    return Request(
        "GET",
        "/readyz",
        lambda body: Health(ready=True),
        unavailable=lambda error: Health(ready=False, detail=error.detail),
    )


def _photo_path(photo_id: int | str) -> str:
    return f"/v1/catalog/photos/{segment(photo_id)}"
