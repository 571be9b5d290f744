"""The client beside a real service: it answers what Python's catalogue answers."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from conftest import picture
from server_process import ServerProcess, serving

pytest.importorskip("fastapi", reason="needs the extra serve")
pytest.importorskip("httpx2", reason="needs the extra client")

from shoplens import Catalog, explain, index, open_catalog
from shoplens.client import AsyncClient, Client, Query, SearchResponse
from shoplens.errors import ServiceError
from shoplens.records import Box
from shoplens.server.keys import create_key

BOX = "10,5,40,30"
PHOTOS = 12


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with photos, a table of them with attributes, and a query."""
    folder = tmp_path_factory.mktemp("shop")
    (folder / "photos").mkdir()
    lines = ["seller_img_id,img_path,product_id,category,price,new"]
    for number in range(PHOTOS):
        name = f"photos/{number}.png"
        picture(number).save(folder / name)
        category = ("chair", "lamp", "")[number % 3]
        lines.append(f"{number},{name},p{number // 2},{category},{number * 2.5},{number > 5}")
    (folder / "photos" / "broken.png").write_bytes(b"no photo")
    lines.append("100,photos/broken.png,broken,chair,1,false")
    (folder / "products.csv").write_text("\n".join(lines) + "\n", encoding="utf-8")
    picture(3, (80, 60)).save(folder / "query.png")
    index(folder / "products.csv", folder / "catalog")
    return folder


@pytest.fixture(scope="module")
def server(folder: Path) -> Iterator[ServerProcess]:
    with serving("--catalog", folder / "catalog") as server:
        yield server


@pytest.fixture
def client(server: ServerProcess) -> Iterator[Client]:
    with Client(server.url) as client:
        yield client


@pytest.fixture
def catalog(folder: Path) -> Iterator[Catalog]:
    with open_catalog(folder / "catalog", read_only=True) as catalog:
        yield catalog


SEARCHES: list[dict[str, Any]] = [
    {},
    {"box": BOX},
    {"box": "auto"},
    {"box": "rel:0.1,0.1,0.5,0.5", "k": 3},
    {"box": Box(10.25, 5.5, 50.125, 35), "where": "price < 20 and category is not null"},
    {"where": 'category = "lamp" or new = true', "facets": ["category", "new", "price"]},
    {"group_by": "product", "k": 4, "facets": ["category"]},
    {"min_score": 0.5, "exact": True},
    {"where": "price > 1000"},
    {"rerank": "alpha-qe:k=4", "k": 5},
    {"rerank": "product-score", "group_by": "product", "k": 4},
]


@pytest.mark.parametrize("terms", SEARCHES, ids=str)
def test_a_photo_finds_what_it_finds_in_python(
    terms: dict[str, Any], client: Client, catalog: Catalog, folder: Path
) -> None:
    asked, expected = (
        client.search(folder / "query.png", **terms),
        catalog.search(folder / "query.png", **terms),
    )
    assert asked.hits == expected.hits
    assert [dict(hit.attributes) for hit in asked] == [dict(hit.attributes) for hit in expected]
    assert asked.facets == expected.facets
    for name in ("n_gallery", "n_failed", "exact", "model_name", "fingerprint", "chain"):
        assert getattr(asked, name) == getattr(expected, name)
    assert asked.query is not None
    assert (asked.query.width, asked.query.height) == (80, 60)
    assert asked.request_id


def test_ids_and_vectors_find_what_they_find_in_python(client: Client, catalog: Catalog) -> None:
    entry = catalog.get(4)
    assert entry is not None
    assert client.search(photo_id=4).hits == catalog.search(photo_id=4).hits
    assert client.search(vector=entry.vector).hits == catalog.search(vector=entry.vector).hits
    with pytest.raises(ServiceError, match="not_found"):
        client.search(photo_id="none")


def test_a_box_beyond_the_photo_is_cut(client: Client, folder: Path) -> None:
    query = client.search(folder / "query.png", box="60,30,50,50").query
    assert query is not None
    assert (query.box, query.clipped) == ("60,30,20,30", True)


def test_several_queries_have_results_or_errors(
    client: Client, catalog: Catalog, folder: Path
) -> None:
    vector = np.zeros(3)
    queries = [
        Query(folder / "query.png", box=BOX),
        Query(b"no photo"),
        Query(photo_id=4),
        Query(vector=vector),
        Query(folder / "query.png", box="0,0,0,0"),
    ]
    terms: dict[str, Any] = {"k": 3, "where": "price < 20", "rerank": "aqe"}
    first, bad, second, *worse = client.search_batch(queries, **terms)
    assert isinstance(first, SearchResponse)
    assert first.hits == catalog.search(folder / "query.png", box=BOX, **terms).hits
    assert isinstance(second, SearchResponse)
    assert second.hits == catalog.search(photo_id=4, **terms).hits
    assert isinstance(bad, ServiceError)
    assert (bad.code, bad.members) == ("unsupported_photo", {"reason": "not_an_image"})
    assert all(isinstance(error, ServiceError) for error in worse)


def test_a_faulty_filter_says_where(client: Client) -> None:
    with pytest.raises(ServiceError) as caught:
        client.search(photo_id=1, where="price <")
    assert caught.value.code == "bad_filter"
    assert caught.value.members["position"] == 7


def test_a_chain_that_is_refused_says_why(client: Client) -> None:
    with pytest.raises(ServiceError, match="csls is batch-side") as caught:
        client.search(photo_id=1, rerank="csls")
    assert caught.value.code == "bad_rerank"


def test_matches_are_explained_as_in_python(client: Client, folder: Path) -> None:
    query, result = folder / "query.png", folder / "photos" / "3.png"
    found = client.explain(query, result_id=3, box=Box(10, 5, 50, 35))
    expected = explain(query, result, box=Box(10, 5, 50, 35))
    assert (found.query.box, found.query.width, found.query.height) == (BOX, 80, 60)
    assert found.result.box == str(expected.result.box)
    for side, known in ((found.query, expected.query), (found.result, expected.result)):
        np.testing.assert_allclose(side.heat, known.heat, atol=2e-3)
    assert client.explain(photo_id=4, result_id=3).result.box == found.result.box
    with pytest.raises(ServiceError, match="not_found"):
        client.explain(query, result_id="none")


def test_regions_that_match_are_those_of_python(folder: Path, tmp_path: Path) -> None:
    index(folder / "products.csv", tmp_path / "regions", regions=2)
    with (
        open_catalog(tmp_path / "regions", read_only=True) as catalog,
        serving("--catalog", tmp_path / "regions") as server,
        Client(server.url) as client,
    ):
        found, expected = (each.search(folder / "query.png", box=BOX) for each in (client, catalog))
    assert found.hits == expected.hits
    assert any(hit.region is not None for hit in found)


def test_the_chain_of_the_catalogue_is_that_of_python(folder: Path, tmp_path: Path) -> None:
    index(folder / "products.csv", tmp_path / "ranked", rerank="aqe:k=3")
    with (
        open_catalog(tmp_path / "ranked", read_only=True) as catalog,
        serving("--catalog", tmp_path / "ranked") as server,
        Client(server.url) as client,
    ):
        for rerank in (None, "none", "alpha-qe"):
            found, expected = (
                each.search(folder / "query.png", box=BOX, rerank=rerank)
                for each in (client, catalog)
            )
            assert (found.hits, found.chain) == (expected.hits, expected.chain)
            assert bool(found.chain) is (rerank != "none")
        assert client.stats().chain == catalog.stats().chain == catalog.chain.names


def test_the_catalogue_is_told(client: Client, catalog: Catalog) -> None:
    held, expected = client.stats(), catalog.stats()
    for name in ("n_photos", "n_products", "n_failed", "attributes"):
        assert getattr(held, name) == getattr(expected, name)
    assert held.model is not None
    assert expected.model is not None
    assert held.model.fingerprint == expected.model.fingerprint
    assert client.facets(["category", "new"], where="price > 5") == catalog.facets(
        "category", "new", where="price > 5"
    )
    assert client.health().ready


def test_photos_come_in_pages(client: Client, catalog: Catalog) -> None:
    assert [photo.photo_id for photo in client.photos(page_size=5)] == catalog.ids()
    where = 'category = "lamp"'
    found = list(client.photos(where, page_size=1))
    assert [photo.photo_id for photo in found] == catalog.ids(where)
    assert found[0] == client.get_photo(found[0].photo_id)
    assert dict(found[0].attributes) == {"category": "lamp", "price": 2.5, "new": False}
    assert list(client.photos("price > 1000")) == []


def test_photos_and_thumbnails_are_given(client: Client, folder: Path) -> None:
    assert client.download_photo(3) == (folder / "photos" / "3.png").read_bytes()
    assert client.download_thumbnail(3, size=128).startswith(b"\xff\xd8")
    with pytest.raises(ServiceError, match="not_found"):
        client.download_photo(99)


def test_boxes_are_proposed(client: Client, folder: Path) -> None:
    proposed = client.propose_boxes(folder / "query.png")
    assert (proposed.width, proposed.height) == (80, 60)
    for each in proposed.boxes:
        Box.parse(each.box, (80, 60))


def test_photos_are_put_in_and_removed(client: Client, folder: Path) -> None:
    data = (folder / "photos" / "7.png").read_bytes()
    before = client.stats().n_photos
    given: dict[str, Any] = {"product_id": "new", "attributes": {"price": 7, "fine": True}}
    for photo_id in ("a/b ?.jpg", "..", 1000):
        assert client.put_photo(photo_id, data, **given).n_added == 1
        assert client.put_photo(photo_id, data, **given).n_unchanged == 1
        stored = client.get_photo(photo_id)
        assert (stored.photo_id, stored.product_id) == (photo_id, "new")
        assert dict(stored.attributes) == given["attributes"]
        assert client.download_photo(photo_id) == data
    assert client.search(data, k=1, where="fine = true")[0].product_id == "new"
    assert client.put_photo(1000, folder / "query.png", box=BOX).n_changed == 1
    assert client.delete_photos(["a/b ?.jpg", "unknown"]) == 1
    assert client.delete_photos(product_ids=["new"]) == 1
    assert client.delete_photos([1000]) == 1
    assert client.stats().n_photos == before


def test_failures_are_told(client: Client, catalog: Catalog) -> None:
    [failed], [expected] = client.failures(), catalog.failures()
    for name in ("photo_id", "product_id", "path", "reason", "detail"):
        assert getattr(failed, name) == getattr(expected, name)


def test_the_asynchronous_client_answers_the_same(
    server: ServerProcess, client: Client, folder: Path
) -> None:
    async def ask() -> None:
        async with AsyncClient(server.url) as many:
            found, held, health = await asyncio.gather(
                many.search(folder / "query.png", box=BOX), many.stats(), many.health()
            )
            assert found.hits == client.search(folder / "query.png", box=BOX).hits
            assert held == client.stats()
            assert health.ready
            photos = [photo async for photo in many.photos(page_size=4)]
            assert photos == list(client.photos())

    asyncio.run(ask())


def test_keys_and_scopes(folder: Path, tmp_path: Path) -> None:
    file = tmp_path / "keys.json"
    key = create_key(file, "search").text
    with serving("--catalog", folder / "catalog", "--keys", file) as server:
        with Client(server.url) as stranger, pytest.raises(ServiceError, match="no_key"):
            stranger.search(photo_id=1)
        with Client(server.url, key=key) as client:
            assert len(client.search(photo_id=1, k=2)) == 2
            for change in (client.failures, lambda: client.delete_photos([1])):
                with pytest.raises(ServiceError, match="wrong_scope") as caught:
                    change()
                assert caught.value.status == 403
        assert not [line for line in server.lines if key in line]
        assert server.stop() == 0
