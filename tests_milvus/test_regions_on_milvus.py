"""Regions of photos on a Milvus server; `tests/test_catalog_regions.py` compares the answers."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from catalog_engines import (
    MODEL,
    assert_same_content,
    assert_same_results,
    shop,
    units,
    with_regions,
)
from catalog_model import PlainCatalog
from pymilvus import MilvusClient

from shoplens import open_catalog
from shoplens.catalog import (
    Catalog,
    Entry,
    FailedPhoto,
    ModelStamp,
    Upserted,
    export_catalog,
    import_catalog,
)
from shoplens.catalog.milvus import alias
from shoplens.catalog.recall import measure_recall
from shoplens.catalog.transfer import copy_catalog
from shoplens.errors import EntryError, ModelError, ShoplensError
from shoplens.records import Box
from shoplens.vectors.regions import PhotoRegions


def filled(uri: str, entries: Sequence[Entry]) -> Catalog:
    catalog = open_catalog(uri, create=True)
    catalog.set_model(MODEL)
    catalog.upsert(entries)
    return catalog


def plain(entries: Sequence[Entry]) -> PlainCatalog:
    catalog = PlainCatalog()
    catalog.set_model(MODEL)
    catalog.upsert(entries)
    return catalog


def keys_of_regions(client: MilvusClient, uri: str) -> set[str]:
    """Return the primary keys of the rows of regions."""
    rows = client.query(
        uri.rpartition("/")[2].partition("?")[0],
        filter="kind == 3",
        output_fields=["photo"],
        consistency_level="Strong",
    )
    return {row["photo"] for row in rows}


def expected_keys(entries: Sequence[Entry]) -> set[str]:
    return {
        f"i{entry.photo_id}/{number}"
        for entry in entries
        for number in range(len(entry.vectors) - 1)
    }


def test_the_index_finds_photos_by_their_regions(uri: str) -> None:
    entries = with_regions(shop(500))
    expected = plain(entries)
    with filled(uri, entries) as catalog:
        catalog.compact()
        assert not catalog.search(vector=units(1, seed=8)[0], k=20).exact
        assert measure_recall(catalog, k=20, n_queries=40).recall > 0.98
        assert measure_recall(catalog, k=20, n_queries=40, where="price < 60").recall > 0.98
        for query in units(3, seed=5):
            for where in (None, "price < 60", "colour = 'red'"):
                products = {"k": 10, "group_by": "product", "where": where}
                assert_same_results(
                    catalog.search(vector=query, exact=True, **products),  # type: ignore[arg-type]
                    expected.search(vector=query, **products),  # type: ignore[arg-type]
                )


def test_an_exact_index_gives_exact_answers(uri: str) -> None:
    entries = with_regions(shop(300))
    expected = plain(entries)
    with filled(f"{uri}?index=flat", entries) as catalog:
        for query in units(5, seed=3):
            for k in (1, 20, 500):
                found = catalog.search(vector=query, k=k)
                assert found.exact
                assert_same_results(found, expected.search(vector=query, k=k))


def test_rows_of_regions_come_and_go_with_their_photos(uri: str, client: MilvusClient) -> None:
    entries = with_regions(shop(40))
    with filled(uri, entries) as catalog:
        assert keys_of_regions(client, uri) == expected_keys(entries)
        assert catalog.stats().details["n_vectors"] == 40 + len(expected_keys(entries))
        changed = with_regions(entries, seed=7)
        catalog.upsert(changed[:20])
        now = [*entries[20:], *changed[:20]]
        assert keys_of_regions(client, uri) == expected_keys(now)
        assert catalog.delete(range(5)) == 5
        catalog.record_failures(
            FailedPhoto(one.photo_id, one.path, one.source, "corrupt", "") for one in now[:5]
        )
        now = [one for one in now[5:] if int(one.photo_id) >= 5]
        assert keys_of_regions(client, uri) == expected_keys(now)
        assert sorted(catalog.ids()) == sorted(one.photo_id for one in now)
        assert catalog.verify().ok


def test_what_an_interrupted_call_left_changes_no_answer(uri: str, client: MilvusClient) -> None:
    entries = with_regions(shop(300))
    name, expected = uri.rpartition("/")[2], plain(entries)
    query = units(1, seed=4)[0]
    with filled(uri, entries) as catalog:
        rows = client.query(
            name, filter="kind == 3", output_fields=["*"], consistency_level="Strong"
        )
        some = [next(row for row in rows if row["photo"] == key) for key in ("i18/0", "i21/0")]
        # Regions of a photo that was never acknowledged, of an earlier version of one, and none.
        client.upsert(
            name,
            [
                {**some[0], "photo": "i9999/0", "vector": query},
                {**some[1], "photo": "i22/7", "vector": query},
                {**some[0], "vector": units(1, seed=6)[0]},
            ],
        )
        client.delete(name, ids=[some[1]["photo"]])
        time.sleep(1)
        for k in (5, 40):
            found = catalog.search(vector=query, k=k)
            assert [hit.photo_id for hit in found if hit.photo_id == 9999] == []
            assert {hit.photo_id: round(hit.score, 4) for hit in found}.items() <= {
                hit.photo_id: round(hit.score, 4) for hit in expected.search(vector=query, k=300)
            }.items()
        assert_same_results(
            catalog.search(vector=query, k=40, exact=True), expected.search(vector=query, k=40)
        )
        found = catalog.verify()
        assert not found.ok
        assert any("2 rows of regions are of no photo" in str(fault) for fault in found.faults)
        assert sum("not found by one of its regions" in str(f) for f in found.faults) == 2
        assert catalog.verify(repair=True).ok
        assert catalog.verify().faults == ()
        assert keys_of_regions(client, uri) == expected_keys(entries)


def test_a_damaged_region_is_found_and_mended(
    uri: str, client: MilvusClient, tmp_path: Path
) -> None:
    entries = with_regions(shop(20))
    last = next(entry for entry in reversed(entries) if len(entry.vectors) > 1)
    name = uri.rpartition("/")[2]
    with filled(uri, entries) as catalog:
        catalog.backup(tmp_path / "backup.parquet")
        [row] = client.query(
            name,
            filter=f'photo == "i{last.photo_id}"',
            output_fields=["*"],
            consistency_level="Strong",
        )
        client.upsert(name, [{**row, "regions": row["regions"].replace("A", "B", 1)}])
        time.sleep(1)
        assert [fault.where for fault in catalog.verify().faults] == [f"photo {last.photo_id}"]
        assert catalog.verify(repair=True, backup=tmp_path / "backup.parquet").ok
        assert catalog.verify().faults == ()
        assert catalog.get(last.photo_id) == last


def test_a_collection_without_a_place_for_regions_gets_one(uri: str) -> None:
    entries = shop(30)
    failed = FailedPhoto("bad", "bad.jpg", "", "corrupt", "")
    with filled(uri, entries) as catalog, open_catalog(uri, read_only=True) as reader:
        catalog.record_failures([failed])
        assert catalog.regions == 0
        assert catalog.upsert(entries) == Upserted(n_unchanged=30)
        with pytest.raises(ShoplensError, match="0 to 8"):
            catalog.set_regions(9)
        catalog.set_regions(3)
        more = with_regions(shop(30, first_id=30))
        catalog.upsert(more)
        time.sleep(alias.KNOWN_SECONDS)
        for one in (catalog, reader):
            assert one.regions == 3
            assert one.model == MODEL
            assert list(one.failures()) == [failed]
            assert list(one.entries()) == [*entries, *more]
        catalog.set_regions(0)
        assert catalog.regions == 0
        assert list(catalog.entries()) == [*entries, *more]


def test_an_entry_with_regions_makes_place_for_them(uri: str) -> None:
    entries = [*shop(10), *with_regions(shop(10, first_id=10))]
    with filled(uri, entries[:10]) as catalog, open_catalog(uri, read_only=True) as reader:
        assert reader.count() == 10
        catalog.upsert(entries[10:])
        # A reader that knew nothing of regions takes no photo for damaged.
        while reader.count() < 20:
            time.sleep(0.01)
        assert list(reader.entries()) == entries
        assert catalog.regions == 0
        assert_same_content(catalog, plain(entries))


def test_a_number_of_regions_needs_a_model(uri: str) -> None:
    with open_catalog(uri, create=True) as catalog, pytest.raises(ModelError, match="no model"):
        catalog.set_regions(2)


def test_they_go_from_a_folder_to_a_server_and_back(uri: str, tmp_path: Path) -> None:
    entries = with_regions(shop(60))
    expected = plain(entries)
    with (
        open_catalog(tmp_path / "shop", create=True) as folder,
        open_catalog(uri, create=True) as catalog,
    ):
        folder.set_model(MODEL)
        folder.set_regions(3)
        folder.upsert(entries)
        copy_catalog(folder, catalog)
        assert catalog.regions == 3
        assert_same_content(catalog, expected)
        export_catalog(catalog, tmp_path / "all.parquet")
        with open_catalog(tmp_path / "copy", create=True) as copy:
            copy_catalog(catalog, copy)
            assert copy.regions == 3
            assert_same_content(copy, expected)
    with open_catalog(f"{uri}_2", create=True) as imported:
        import_catalog(tmp_path / "all.parquet", imported)
        assert imported.regions == 3
        assert_same_content(imported, expected)


def test_vectors_of_another_model_keep_regions(uri: str) -> None:
    entries = with_regions(shop(20))
    model = ModelStamp("other", "sha256:2", 8)

    def shortened(vectors: np.ndarray) -> np.ndarray:
        cut = vectors[..., :8]
        return (cut / np.linalg.norm(cut, axis=-1, keepdims=True)).astype(np.float32)

    new = [
        replace(
            entry,
            vector=shortened(entry.vector),
            regions=None
            if entry.regions is None
            else replace(entry.regions, vectors=shortened(entry.regions.vectors)),
        )
        for entry in entries
    ]
    with filled(uri, entries) as catalog:
        catalog.set_regions(3)
        catalog.replace_vectors(model, new)
        assert (catalog.model, catalog.regions) == (model, 3)
        assert list(catalog.entries()) == new
        assert catalog.search(vector=new[0].vector, k=1)[0].photo_id == new[0].photo_id


def test_regions_that_a_server_cannot_hold_are_refused(uri: str) -> None:
    model = ModelStamp("wide", "sha256:1", 2_048)
    boxes = tuple(Box(x, 0, x + 1, 1) for x in range(8))
    wide = PhotoRegions(8, boxes, units(8, dimension=2_048))
    few = PhotoRegions(8, boxes[:5], wide.vectors[:5])
    with open_catalog(uri, create=True) as catalog:
        catalog.set_model(model)
        vector = units(1, dimension=2_048)[0]
        catalog.upsert([Entry(1, vector, regions=few)])
        with pytest.raises(EntryError, match="its regions take"):
            catalog.upsert([Entry(2, vector, regions=wide)])
        assert catalog.get(1) == Entry(1, vector, regions=few)
