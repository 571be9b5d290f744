"""A catalogue that lasts: product photos with their vectors, searched exactly or by an index.

`open_catalog` opens one by its URI. `base` is the catalogue as users see it: `engine` what each
engine does, `entry_collection` what all do with entries, `finding` how hits are found. `embedded`
is the engine that needs nothing but a folder, `milvus` the one that needs a server. `filters` reads
filters, `checks` refuses what is faulty, `indexing` brings photos in, `transfer` takes everything
out and in again, `migration` changes the model, and `recall` measures what an approximate search
finds.
"""

from __future__ import annotations

from shoplens.catalog.base import Catalog
from shoplens.catalog.engine import Upserted
from shoplens.catalog.entry import Entry, FailedPhoto
from shoplens.catalog.model_stamp import ModelStamp
from shoplens.catalog.opening import open_catalog
from shoplens.catalog.stats import CatalogStats
from shoplens.catalog.verification import CatalogFault, Verification
from shoplens.vectors.regions import PhotoRegions

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from shoplens.catalog.index_report import IndexReport
    from shoplens.catalog.migration import MigrationReport, migrate
    from shoplens.catalog.recall import RecallReport, measure_recall
    from shoplens.catalog.transfer import (
        Copied,
        Exported,
        Imported,
        copy_catalog,
        export_catalog,
        import_catalog,
        restore,
    )

_HOME = {
    "Copied": "transfer",
    "Exported": "transfer",
    "Imported": "transfer",
    "IndexReport": "index_report",
    "MigrationReport": "migration",
    "RecallReport": "recall",
    "copy_catalog": "transfer",
    "export_catalog": "transfer",
    "import_catalog": "transfer",
    "measure_recall": "recall",
    "migrate": "migration",
    "restore": "transfer",
}
"""What a search does not need, and where it is."""

__all__ = [
    "Catalog",
    "CatalogFault",
    "CatalogStats",
    "Copied",
    "Entry",
    "Exported",
    "FailedPhoto",
    "Imported",
    "IndexReport",
    "MigrationReport",
    "ModelStamp",
    "PhotoRegions",
    "RecallReport",
    "Upserted",
    "Verification",
    "copy_catalog",
    "export_catalog",
    "import_catalog",
    "measure_recall",
    "migrate",
    "open_catalog",
    "restore",
]


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module 'shoplens.catalog' has no attribute {name!r}")
    import importlib  # noqa: PLC0415

    value = getattr(importlib.import_module(f"shoplens.catalog.{_HOME[name]}"), name)
    globals()[name] = value
    return value
