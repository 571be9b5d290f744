"""A client of the service (`shoplens serve`): extra `shoplens[client]`.

>>> from shoplens.client import Client
>>> with Client("http://127.0.0.1:8000") as client:
...     for hit in client.search("snapshot.jpg", box="120,40,300,200"):
...         print(hit.rank, hit.score, hit.path)

Importing it is quick: neither NumPy nor a model is loaded.
"""

from __future__ import annotations

from shoplens.client.clients import AsyncClient, Client
from shoplens.client.requests import Query
from shoplens.client.responses import (
    CatalogStats,
    Changes,
    Explanation,
    FailedPhoto,
    Health,
    MatchedRegion,
    ModelStamp,
    ProposedBox,
    ProposedBoxes,
    QueryPhoto,
    SearchResponse,
    StoredPhoto,
)

__all__ = [
    "AsyncClient",
    "CatalogStats",
    "Changes",
    "Client",
    "Explanation",
    "FailedPhoto",
    "Health",
    "MatchedRegion",
    "ModelStamp",
    "ProposedBox",
    "ProposedBoxes",
    "Query",
    "QueryPhoto",
    "SearchResponse",
    "StoredPhoto",
]
