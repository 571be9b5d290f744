"""A chain that a catalogue on a Milvus server keeps; `tests/test_catalog_chains.py` searches by
it."""

from __future__ import annotations

import json
import time

from catalog_engines import MODEL, shop, units, with_regions
from pymilvus import MilvusClient

from shoplens import open_catalog
from shoplens.catalog.milvus import alias
from shoplens.reranking import parse_chain

CHAIN = parse_chain("dba:k=3+aqe")


def description(client: MilvusClient, name: str) -> dict[str, object]:
    """Return what the collection says of itself."""
    told = json.loads(client.describe_collection(name)["description"])
    assert isinstance(told, dict)
    return told


def test_a_chain_needs_no_place_for_regions(uri: str, client: MilvusClient) -> None:
    name = uri.rpartition("/")[2]
    with open_catalog(uri, create=True) as catalog:
        catalog.set_model(MODEL)
        catalog.upsert(shop(20))
        before = description(client, name)
        catalog.set_chain(CHAIN)
        # Earlier versions read on, and know of no chain.
        assert description(client, name) == {**before, "chain": str(CHAIN)}
        assert before["shoplens"] == 1
        collection = client.describe_collection(name)["collection_name"]
        catalog.set_chain(str(CHAIN))
        # Nothing is copied for the chain that it has.
        assert client.describe_collection(name)["collection_name"] == collection
        catalog.upsert(with_regions(shop(20)))
        assert description(client, name)["shoplens"] == 2
        assert catalog.chain == CHAIN
        catalog.set_chain("none")
        assert "chain" not in description(client, name)
        assert {entry.photo_id for entry in catalog.entries()} == set(range(20))


def test_other_processes_use_a_new_chain(uri: str) -> None:
    query = units(1, seed=8)[0]
    with open_catalog(uri, create=True) as catalog:
        catalog.set_model(MODEL)
        catalog.upsert(shop(20))
        with open_catalog(uri, read_only=True) as reader:
            assert reader.search(vector=query).chain == ()
            catalog.set_chain(CHAIN)
            time.sleep(alias.KNOWN_SECONDS)
            found = reader.search(vector=query)
            expected = catalog.search(vector=query, rerank=CHAIN)
            assert found.chain == CHAIN.names
            assert [hit.photo_id for hit in found] == [hit.photo_id for hit in expected]
