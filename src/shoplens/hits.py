"""What a search returns: hits, best first."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, overload

from shoplens.attributes import NO_ATTRIBUTES, Value

if TYPE_CHECKING:
    from shoplens.records import Box, Failure, Photo
    from shoplens.vectors.embeddings import Embeddings


ProductKey = tuple[str, int | str]
"""What a product is known by: `product` and its id; `photo` and its id for a photo without a
product, which stands for itself."""


@dataclass(frozen=True, slots=True)
class View:
    """One of the photos of a product that was found."""

    photo_id: int | str
    score: float
    path: str

    def to_json(self) -> dict[str, Any]:
        """Return the view as it stands in the JSON of its hit."""
        return {"photo_id": self.photo_id, "score": self.score, "path": self.path}


@dataclass(frozen=True, slots=True)
class Duplicate:
    """A hit that is left out because its photo shows the same picture as that of a better one."""

    photo_id: int | str
    product_id: str | None
    score: float
    path: str

    def to_json(self) -> dict[str, Any]:
        """Return it as it stands in the JSON of the hit that stands for it."""
        return {
            "photo_id": self.photo_id,
            "product_id": self.product_id,
            "score": self.score,
            "path": self.path,
        }


@dataclass(frozen=True, slots=True)
class Hit:
    """A photo that was found or, in a search grouped by product, a product with its best photo."""

    rank: int
    """From 1, the best."""
    photo_id: int | str
    """Text only in a catalogue of photos that have no number: then it is the photo's path."""
    product_id: str | None
    """None where it is not known."""
    score: float
    """Similarity to the query: the cosine, or what the last re-ranking step made of it."""
    path: str
    """The photo as its table or folder names it; empty where only the vectors are known."""
    photo: Photo | None = field(default=None, repr=False, compare=False)
    """The photo itself, where it is known."""
    attributes: Mapping[str, Value] = field(default=NO_ATTRIBUTES, repr=False)
    """Further columns of its table (category, brand, price)."""
    photos: tuple[View, ...] | None = field(default=None, repr=False)
    """All photos of the product that pass the filter, best first; None unless the search was
    grouped."""
    region: Box | None = None
    """The region of the photo that matched best, in pixels of the upright photo. None where the
    whole photo did, and where no regions were compared."""
    confidence: float | None = None
    """The probability that the product is the query's, in 0..1; None unless the search was given a
    calibration."""
    product_score: float | None = None
    """The score that products are ordered by; None unless one was asked for."""
    variants: tuple[str, ...] | None = field(default=None, repr=False)
    """The products that are this hit together, as far as they were found; None unless variants were
    asked for."""
    duplicates: tuple[Duplicate, ...] | None = field(default=None, repr=False)
    """What this hit stands for, best first; None unless photos of the same picture were to be one
    hit."""

    @property
    def product_key(self) -> ProductKey:
        """What the product is known by."""
        if self.product_id is None:
            return ("photo", self.photo_id)
        return ("product", self.product_id)

    def to_json(self) -> dict[str, Any]:
        """Return the hit as `shoplens search --json` writes it."""
        shown: dict[str, Any] = {
            "rank": self.rank,
            "photo_id": self.photo_id,
            "product_id": self.product_id,
            "score": self.score,
            "path": self.path,
        }
        if self.confidence is not None:
            shown["confidence"] = self.confidence
        if self.attributes:
            shown["attributes"] = dict(self.attributes)
        if self.photos is not None:
            shown["photos"] = [view.to_json() for view in self.photos]
        if self.region is not None:
            shown["region"] = str(self.region)
        if self.product_score is not None:
            shown["product_score"] = self.product_score
        if self.variants is not None:
            shown["variants"] = list(self.variants)
        if self.duplicates is not None:
            shown["duplicates"] = [one.to_json() for one in self.duplicates]
        return shown


@dataclass(frozen=True, slots=True)
class SearchResult(Sequence[Hit]):
    """The hits of one query, best first: a sequence of `Hit`."""

    query: Photo | None
    """None where the query was a vector."""
    hits: tuple[Hit, ...]
    n_gallery: int
    """Photos that were searched, those without a vector included."""
    model_name: str | None = None
    fingerprint: str | None = None
    exact: bool = True
    """Whether every vector that passes the filter was compared."""
    chain: tuple[str, ...] = ()
    """The re-ranking steps that were taken, in order."""
    failure: Failure | None = None
    """Why the query could not be searched; then there are no hits."""
    gallery: Embeddings | None = field(default=None, repr=False, compare=False)
    """The vectors that were searched: pass them to the next `search` to skip embedding. None for
    a catalogue."""
    n_failed: int = 0
    """Photos that were left out because they could not be embedded."""
    facets: Mapping[str, Mapping[Value, int]] | None = None
    """For each attribute that was asked for, how many photos that pass the filter have which
    value."""
    confidence: float | None = None
    """The largest confidence of a product; None unless the search was given a calibration."""
    no_match: bool | None = None
    """Whether no product is sure enough: at most the stated share of searches for products that are
    not in the gallery pass as a match. None unless the search was given a calibration."""
    seconds: Mapping[str, float] = field(default_factory=dict, compare=False)
    """By stage."""

    @overload
    def __getitem__(self, index: int) -> Hit: ...
    @overload
    def __getitem__(self, index: slice) -> tuple[Hit, ...]: ...
    def __getitem__(self, index: int | slice) -> Hit | tuple[Hit, ...]:
        return self.hits[index]

    def __iter__(self) -> Iterator[Hit]:
        return iter(self.hits)

    def __len__(self) -> int:
        return len(self.hits)

    def to_json(self) -> dict[str, Any]:
        """Return the result as `shoplens search --json` writes it."""
        box = None if self.query is None else self.query.box
        shown: dict[str, Any] = {
            "hits": [hit.to_json() for hit in self.hits],
            "exact": self.exact,
            "n_gallery": self.n_gallery,
            "n_failed": self.n_failed,
            "query_box": None if box is None else str(box),
            "model": {"name": self.model_name, "fingerprint": self.fingerprint},
            "seconds": dict(self.seconds),
        }
        if self.no_match is not None:
            shown["confidence"] = self.confidence
            shown["no_match"] = self.no_match
        if self.chain:
            shown["chain"] = list(self.chain)
        if self.facets is not None:
            shown["facets"] = {
                name: [{"value": value, "count": count} for value, count in counts.items()]
                for name, counts in self.facets.items()
            }
        return shown
