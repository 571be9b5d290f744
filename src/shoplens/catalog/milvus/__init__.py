"""A catalogue on a Milvus server (extra `[milvus]`): one collection, from one machine to a cluster.

`engine` is the catalogue. `address` reads its URI, `schema` says what the collection looks like,
`rows` turns entries into its rows and back, `expressions` turns filters into Milvus' expressions,
`connection` sends requests, `collection` knows which, and `alias` which collection the catalogue's
name leads to. `reading` reads entries from it, `writing` puts them in and removes them, `nearest`
searches, `verification` checks everything.
"""

from __future__ import annotations

from shoplens.catalog.milvus.engine import MilvusCatalog

__all__ = ["MilvusCatalog"]
