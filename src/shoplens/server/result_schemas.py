"""What searches answer, described for OpenAPI."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict

from shoplens.server.schemas import FacetAnswer, ProblemDocument, Scalar, example


class ViewAnswer(BaseModel):
    """One of the photos of a product."""

    photo_id: int | str
    score: float
    path: str
    photo_url: str
    thumbnail_url: str


class DuplicateAnswer(ViewAnswer):
    """A hit that is left out because its photo shows the same picture."""

    product_id: str | None


class HitAnswer(BaseModel):
    """A photo that was found or, in a search grouped by product, a product."""

    model_config = ConfigDict(use_attribute_docstrings=True)

    rank: int
    photo_id: int | str
    product_id: str | None
    score: float
    path: str
    attributes: dict[str, Scalar] | None = None
    photos: list[ViewAnswer] | None = None
    confidence: float | None = None
    """The probability that the product is the query's, where the server has a calibration."""
    product_score: float | None = None
    """The score that products are ordered by, where one was asked for."""
    variants: list[str] | None = None
    """The products that are this hit together, where variants were asked for."""
    duplicates: list[DuplicateAnswer] | None = None
    region: str | None = None
    """`x,y,w,h` in pixels of the upright photo: the region of it that matched best, where the
    catalogue has regions and one did."""
    photo_url: str
    thumbnail_url: str


class ModelAnswer(BaseModel):
    """A model; all is null as long as the catalogue is empty."""

    name: str | None
    fingerprint: str | None


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
    confidence: float | None = None
    """The largest confidence of a product, where the server has a calibration."""
    no_match: bool | None = None
    """Whether no product is sure enough to be a match, where the server has a calibration."""
    seconds: dict[str, float]
    chain: list[str] | None = None
    """The re-ranking steps that were taken, in order, where the search was re-ranked."""
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
            "model": {"name": "lite0-lite2-products", "fingerprint": "24ee24c6b8905507"},
            "query_box": "120,40,300,200",
            "seconds": {"query": 0.041, "search": 0.006},
            "query": {"width": 1000, "height": 750, "box": "120,40,300,200", "clipped": False},
            "request_id": "0f8c2b6e9d3a4c51",
        }
    )

    request_id: str


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
                    "model": {"name": "lite0-lite2-products", "fingerprint": "24ee24c6b8905507"},
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
