"""Image-based product search: a photo and a box in, the same product out of a catalogue.

>>> import shoplens
>>> encoder = shoplens.load_encoder()
>>> dataset = shoplens.read_dataset("examples/furniture")  # doctest: +SKIP

Nothing heavy is imported before it is used: `import shoplens` takes milliseconds.

What the modules in `PUBLIC_MODULES` list in their `__all__` is public. It changes only with a
deprecation first. All other modules may change with any version.
"""

from __future__ import annotations

from shoplens._version import __version__

TYPE_CHECKING = False  # That of `typing` takes longer to import than all of this.
if TYPE_CHECKING:
    from typing import Any

    from shoplens.boxes import BoxProposal, BoxProposals, propose_boxes
    from shoplens.cache import VectorCache
    from shoplens.catalog import Catalog, Entry, open_catalog
    from shoplens.catalog.indexing import index
    from shoplens.datasets.checking import check
    from shoplens.datasets.dataset import Dataset, read_dataset, read_gallery, read_queries
    from shoplens.embedding import embed, embed_each, embed_photo
    from shoplens.errors import (
        CatalogBusyError,
        CatalogError,
        DataError,
        FilterError,
        MissingError,
        PhotoError,
        ShoplensError,
        ShoplensWarning,
    )
    from shoplens.evaluation.scores import Scores, evaluate
    from shoplens.hits import Hit, SearchResult, View
    from shoplens.models import Encoder, load_encoder
    from shoplens.ranking import Ranking, rank
    from shoplens.records import Box, Photo, PhotoSet
    from shoplens.searching import search, search_each
    from shoplens.vectors.embeddings import Embeddings

PUBLIC_MODULES = (
    "shoplens",
    "shoplens.catalog",
    "shoplens.client",
    "shoplens.curation",
    "shoplens.errors",
    "shoplens.runs",
)
"""The modules that you can rely on."""

_HOME = {
    "Box": "records",
    "BoxProposal": "boxes",
    "BoxProposals": "boxes",
    "Catalog": "catalog",
    "CatalogBusyError": "errors",
    "CatalogError": "errors",
    "DataError": "errors",
    "Dataset": "datasets.dataset",
    "Embeddings": "vectors.embeddings",
    "Encoder": "models",
    "Entry": "catalog",
    "FilterError": "errors",
    "MissingError": "errors",
    "Photo": "records",
    "PhotoError": "errors",
    "PhotoSet": "records",
    "Ranking": "ranking",
    "Scores": "evaluation.scores",
    "Hit": "hits",
    "SearchResult": "hits",
    "ShoplensError": "errors",
    "ShoplensWarning": "errors",
    "VectorCache": "cache",
    "View": "hits",
    "check": "datasets.checking",
    "embed": "embedding",
    "embed_each": "embedding",
    "embed_photo": "embedding",
    "evaluate": "evaluation.scores",
    "index": "catalog.indexing",
    "load_encoder": "models",
    "open_catalog": "catalog",
    "propose_boxes": "boxes",
    "rank": "ranking",
    "read_dataset": "datasets.dataset",
    "read_gallery": "datasets.dataset",
    "read_queries": "datasets.dataset",
    "search": "searching",
    "search_each": "searching",
}

__all__ = [
    "PUBLIC_MODULES",
    "Box",
    "BoxProposal",
    "BoxProposals",
    "Catalog",
    "CatalogBusyError",
    "CatalogError",
    "DataError",
    "Dataset",
    "Embeddings",
    "Encoder",
    "Entry",
    "FilterError",
    "Hit",
    "MissingError",
    "Photo",
    "PhotoError",
    "PhotoSet",
    "Ranking",
    "Scores",
    "SearchResult",
    "ShoplensError",
    "ShoplensWarning",
    "VectorCache",
    "View",
    "__version__",
    "check",
    "embed",
    "embed_each",
    "embed_photo",
    "evaluate",
    "index",
    "load_encoder",
    "open_catalog",
    "propose_boxes",
    "rank",
    "read_dataset",
    "read_gallery",
    "read_queries",
    "search",
    "search_each",
]


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module 'shoplens' has no attribute {name!r}")
    import importlib  # noqa: PLC0415

    value = getattr(importlib.import_module(f"shoplens.{_HOME[name]}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted(__all__)
