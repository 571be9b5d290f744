"""What the service answers, as values."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import overload

from shoplens.attributes import NO_ATTRIBUTES, Value
from shoplens.hits import Hit


@dataclass(frozen=True, slots=True)
class QueryPhoto:
    """What the service saw of a photo that it searched for."""

    width: int
    """In pixels, of the upright photo."""
    height: int
    box: str | None = None
    """`x,y,w,h`: what was searched for; None for the whole photo."""
    clipped: bool = False
    """Whether the box reached beyond the photo."""


@dataclass(frozen=True, slots=True)
class SearchResponse(Sequence[Hit]):
    """The hits of one search, best first: a sequence of `Hit`."""

    hits: tuple[Hit, ...]
    """As `Catalog.search` returns them, without `photo`."""
    n_gallery: int
    """Photos that were searched, those without a vector included."""
    n_failed: int
    """Photos that were left out because they could not be embedded."""
    exact: bool
    """Whether every vector that passes the filter was compared."""
    model_name: str | None
    fingerprint: str | None
    chain: tuple[str, ...] = ()
    """The re-ranking steps that were taken, in order."""
    facets: Mapping[str, Mapping[Value, int]] | None = None
    """For each attribute that was asked for, how many photos that pass the filter have which
    value."""
    confidence: float | None = None
    """The largest confidence of a product; None unless the service has a calibration."""
    no_match: bool | None = None
    """Whether no product is sure enough to be a match; None unless the service has a
    calibration."""
    query: QueryPhoto | None = None
    """None unless the query was a photo."""
    request_id: str | None = field(default=None, compare=False)
    """What the service's logs call the request."""
    seconds: Mapping[str, float] = field(default_factory=dict, compare=False)
    """By stage, in the service."""

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


@dataclass(frozen=True, slots=True)
class MatchedRegion:
    """How much each place of a photo has to do with the match."""

    width: int
    """Of the upright photo, in pixels."""
    height: int
    box: str
    """What the map covers: `x,y,w,h` in pixels of the upright photo."""
    heat: tuple[tuple[float, ...], ...]
    """24 rows of 24 places, 0..1, from the top left corner of the box, whatever its shape. The
    hottest place has 1; all are 0 if nothing matches."""


@dataclass(frozen=True, slots=True)
class Explanation:
    """Which regions of a query and of a result match."""

    query: MatchedRegion
    result: MatchedRegion


@dataclass(frozen=True, slots=True)
class ProposedBox:
    """A box that the service proposes for a photo."""

    box: str
    """`x,y,w,h` in pixels of the upright photo, as `search` takes it."""
    score: float
    """From 0 to 1: how likely it holds the product."""


@dataclass(frozen=True, slots=True)
class ProposedBoxes:
    """Boxes that the service proposes for a photo."""

    width: int
    """In pixels, of the upright photo."""
    height: int
    boxes: tuple[ProposedBox, ...]
    """Best first."""


@dataclass(frozen=True, slots=True)
class StoredPhoto:
    """A photo in the service's catalogue."""

    photo_id: int | str
    product_id: str | None
    path: str
    """The photo as its table or folder names it."""
    attributes: Mapping[str, Value] = NO_ATTRIBUTES
    """Further columns of its table (category, brand, price)."""


@dataclass(frozen=True, slots=True)
class PhotoPage:
    """Some photos of the catalogue."""

    photos: tuple[StoredPhoto, ...]
    n: int
    """How many photos pass the filter."""
    next: str | None
    """Where the next page begins; None on the last."""


@dataclass(frozen=True, slots=True)
class FailedPhoto:
    """A photo that could not be embedded."""

    photo_id: int | str
    path: str
    reason: str
    """A key of `shoplens.records.REASONS`."""
    detail: str
    product_id: str | None = None


@dataclass(frozen=True, slots=True)
class Changes:
    """What putting a photo in did."""

    n_added: int
    n_changed: int
    n_unchanged: int


@dataclass(frozen=True, slots=True)
class ModelStamp:
    """The model of the catalogue's vectors."""

    name: str
    fingerprint: str
    dimension: int


@dataclass(frozen=True, slots=True)
class CatalogStats:
    """What the service's catalogue holds."""

    model: ModelStamp | None
    """None as long as nothing was put in."""
    n_photos: int
    n_products: int
    n_failed: int
    """Photos that could not be embedded; see `failures`."""
    attributes: Mapping[str, str]
    """For each attribute, the types of its values: `int`, `float`, `bool`, `str`, or several."""
    chain: tuple[str, ...] = ()
    """The steps by which the catalogue has searches re-ranked that name no chain."""


@dataclass(frozen=True, slots=True)
class Health:
    """Whether the service can answer searches now."""

    ready: bool
    detail: str | None = None
    """Why not."""
