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

    from shoplens.adaptation.adapting import adapt
    from shoplens.adaptation.finetuning import finetune
    from shoplens.adaptation.report import AdaptationReport
    from shoplens.boxes import BoxProposal, BoxProposals, propose_boxes
    from shoplens.cache import VectorCache
    from shoplens.catalog import Catalog, Entry, open_catalog
    from shoplens.catalog.indexing import index
    from shoplens.confidence import Calibration, calibrate
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
    from shoplens.hits import Duplicate, Hit, SearchResult, View
    from shoplens.models import Encoder, load_encoder
    from shoplens.patches import Explanation, MatchedRegion, explain
    from shoplens.ranking import Ranking, rank
    from shoplens.records import Box, Photo, PhotoSet
    from shoplens.regions import with_regions
    from shoplens.reranking import rerank
    from shoplens.reranking.fusion import fuse
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
    "AdaptationReport": "adaptation.report",
    "Box": "records",
    "BoxProposal": "boxes",
    "BoxProposals": "boxes",
    "Calibration": "confidence",
    "Catalog": "catalog",
    "CatalogBusyError": "errors",
    "CatalogError": "errors",
    "DataError": "errors",
    "Dataset": "datasets.dataset",
    "Duplicate": "hits",
    "Embeddings": "vectors.embeddings",
    "Encoder": "models",
    "Entry": "catalog",
    "Explanation": "patches",
    "FilterError": "errors",
    "MatchedRegion": "patches",
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
    "adapt": "adaptation.adapting",
    "calibrate": "confidence",
    "check": "datasets.checking",
    "embed": "embedding",
    "embed_each": "embedding",
    "embed_photo": "embedding",
    "evaluate": "evaluation.scores",
    "explain": "patches",
    "finetune": "adaptation.finetuning",
    "fuse": "reranking.fusion",
    "index": "catalog.indexing",
    "load_encoder": "models",
    "open_catalog": "catalog",
    "propose_boxes": "boxes",
    "rank": "ranking",
    "read_dataset": "datasets.dataset",
    "read_gallery": "datasets.dataset",
    "read_queries": "datasets.dataset",
    "rerank": "reranking",
    "search": "searching",
    "search_each": "searching",
    "with_regions": "regions",
}

__all__ = [
    "PUBLIC_MODULES",
    "AdaptationReport",
    "Box",
    "BoxProposal",
    "BoxProposals",
    "Calibration",
    "Catalog",
    "CatalogBusyError",
    "CatalogError",
    "DataError",
    "Dataset",
    "Duplicate",
    "Embeddings",
    "Encoder",
    "Entry",
    "Explanation",
    "FilterError",
    "Hit",
    "MatchedRegion",
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
    "adapt",
    "calibrate",
    "check",
    "embed",
    "embed_each",
    "embed_photo",
    "evaluate",
    "explain",
    "finetune",
    "fuse",
    "index",
    "load_encoder",
    "open_catalog",
    "propose_boxes",
    "rank",
    "read_dataset",
    "read_gallery",
    "read_queries",
    "rerank",
    "search",
    "search_each",
    "with_regions",
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
