"""What the collection of a catalogue looks like on the server.

A row is a photo: an entry, or a photo that could not be embedded. All that is known of it is in
`facts`, as JSON; `product`, `category` and `attributes` repeat of that what filters look at, in the
form that `expressions` describes. A row of kind `REGION` only leads a search to its photo (see
`region_rows`).
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

from shoplens.catalog.model_stamp import ModelStamp
from shoplens.errors import CatalogError
from shoplens.reranking import NONE

FORMAT = 2
"""Of collections that have a place for regions, else 1; a program refuses those of a higher one."""

PHOTO = "photo"
"""Primary key: the photo's id, see `rows.key_of`."""
KIND = "kind"
SEQUENCE = "sequence"
"""Grows from entry to entry in the order in which they were put in."""
VECTOR = "vector"
PRODUCT = "product"
CATEGORY = "category"
ATTRIBUTES = "attributes"
FACTS = "facts"
CHECKSUM = "checksum"
REGIONS = "regions"
"""Only in collections that have a place for regions."""

ENTRY, FAILED, MARK, REGION = 0, 1, 2, 3
"""Values of `KIND`. For `MARK` see `collection.Collection.delete`."""

LONGEST_KEY = 8_193
"""Characters of a photo's or a product's id and of a category as they are stored: 4,096 bytes."""
LONGEST_TEXT = 65_535
"""Milvus' own limit, in bytes, for texts and for attributes."""

PARTITION_KEY_FROM = (2, 4)
"""Older servers put an upserted row into a wrong partition, where a search in the partition of its
category does not find it (milvus-io/milvus#30772)."""
N_PARTITIONS = 16


@dataclass(frozen=True, slots=True)
class Index:
    """A kind of index, with its settings."""

    kind: str
    build: Mapping[str, Any]
    exact: bool = False
    """Whether a search compares all vectors."""
    overfetch: int = 1
    """How many candidates are scored again with full vectors for each hit, because the index only
    knows compressed ones."""
    search: Mapping[str, Any] = field(default_factory=dict)
    breadth: str | None = None
    """The setting of a search that must be at least its number of hits."""
    least_breadth: int = 0

    def search_settings(self, k: int) -> dict[str, Any]:
        """Return the settings of a search for k candidates."""
        widened = {} if self.breadth is None else {self.breadth: max(self.least_breadth, 2 * k)}
        return {**self.search, **widened}


INDEXES = {
    "hnsw": Index("HNSW", {"M": 32, "efConstruction": 200}, breadth="ef", least_breadth=200),
    "ivf_sq8": Index("IVF_SQ8", {"nlist": 1024}, overfetch=3, search={"nprobe": 64}),
    "ivf_rabitq": Index(
        "IVF_RABITQ",
        {"nlist": 1024, "refine": True, "refine_type": "SQ8"},
        overfetch=3,
        search={"nprobe": 64, "refine_k": 2},
    ),
    "diskann": Index("DISKANN", {}, breadth="search_list", least_breadth=200),
    "flat": Index("FLAT", {}, exact=True),
}
"""By the name in a URI."""
USUAL_INDEX = "hnsw"


@dataclass(frozen=True, slots=True)
class About:
    """What the description of a collection says."""

    model: ModelStamp | None
    """None as long as no photos can be put in."""
    index: str
    """A key of `INDEXES`."""
    regions: int | None = None
    """How many regions of each photo `index` gives vectors of their own; None if the collection has
    no place for regions."""
    chain: str = NONE
    """The text of the chain that re-ranks searches."""

    def to_text(self) -> str:
        """Write the description."""
        model = None if self.model is None else asdict(self.model)
        # Earlier versions can read a collection without regions.
        about = {"shoplens": 1, "model": model, "index": self.index}
        if self.regions is not None:
            about |= {"shoplens": FORMAT, "regions": self.regions}
        if self.chain != NONE:
            about["chain"] = self.chain
        return json.dumps(about)

    @classmethod
    def parse(cls, text: str, where: str) -> About:
        """Read the description.

        Raises `CatalogError` if it is not that of a catalogue, or of a newer form; `where` begins
        its message.
        """
        try:
            about = json.loads(text)
            version = int(about["shoplens"])
            if version > FORMAT:
                raise CatalogError(
                    f"{where} was made by a newer shoplens (form {version}, and this one reads "
                    f"{FORMAT}): install a newer version"
                )
            model = about["model"]
            stamp = None if model is None else ModelStamp(**model)
            INDEXES[about["index"]]
            regions = None if version == 1 else int(about["regions"])
            return cls(stamp, about["index"], regions, str(about.get("chain", NONE)))
        except (ValueError, KeyError, TypeError):
            raise CatalogError(
                f"{where} is a collection of something else, not a catalogue of shoplens: use "
                "another name"
            ) from None
