"""What only a catalogue on a server has; what all engines do is in test_catalog_behaviour.py."""

from __future__ import annotations

import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from catalog_engines import MODEL, assert_same_results, axis, shop, units
from catalog_model import PlainCatalog
from conftest import ADDRESS
from hypothesis import HealthCheck, given, settings
from milvus_server import MilvusServer
from pymilvus import MilvusClient
from test_expressions import filters

from shoplens import open_catalog
from shoplens.catalog import Catalog, Entry, FailedPhoto, ModelStamp, Upserted
from shoplens.catalog.filters import And, Filter, Not, Or, matches
from shoplens.catalog.milvus import alias, connection
from shoplens.catalog.milvus.schema import INDEXES
from shoplens.errors import CatalogError, MissingError


def filled(uri: str, entries: list[Entry]) -> Catalog:
    catalog = open_catalog(uri, create=True)
    catalog.set_model(MODEL)
    catalog.upsert(entries)
    return catalog


def plain(entries: list[Entry]) -> PlainCatalog:
    catalog = PlainCatalog()
    catalog.set_model(MODEL)
    catalog.upsert(entries)
    return catalog


# Opening.


def test_what_cannot_be_opened(uri: str, client: MilvusClient) -> None:
    with pytest.raises(MissingError, match="no catalogue"):
        open_catalog(uri)
    with pytest.raises(MissingError, match="no database nowhere"):
        open_catalog(f"milvus://{ADDRESS}/nowhere/shop", create=True)
    with pytest.raises(CatalogError, match=r"no Milvus server at 127\.0\.0\.1:1"):
        open_catalog("milvus://127.0.0.1:1/shop", create=True)
    with pytest.raises(CatalogError, match="there is no index fast"):
        open_catalog(f"{uri}?index=fast", create=True)
    name = uri.rpartition("/")[2]
    client.create_collection(name, dimension=4)
    with pytest.raises(CatalogError, match="something else"):
        open_catalog(uri, create=True)


def test_a_catalogue_in_a_database_of_its_own(client: MilvusClient) -> None:
    if "shops" not in client.list_databases():
        client.create_database("shops")
    entries = shop(5)
    with filled(f"milvus://{ADDRESS}/shops/one", entries) as catalog:
        assert list(catalog.entries()) == entries
    inside = MilvusClient(f"http://{ADDRESS}", db_name="shops")
    for name in inside.list_collections():
        inside.drop_collection(name)
    inside.close()
    client.drop_database("shops")


def test_several_make_the_same_catalogue_at_once(uri: str) -> None:
    entries = shop(4)
    faults: list[Exception] = []

    def make(entry: Entry) -> None:
        try:
            with open_catalog(uri, create=True) as catalog:
                for _ in range(600):
                    try:
                        catalog.set_model(MODEL)
                        break
                    except CatalogError:
                        time.sleep(0.1)
                catalog.upsert([entry])
        except Exception as error:
            faults.append(error)

    makers = [threading.Thread(target=make, args=(entry,)) for entry in entries]
    for maker in makers:
        maker.start()
    for maker in makers:
        maker.join()
    assert faults == []
    with open_catalog(uri) as catalog:
        assert sorted(catalog.ids()) == [0, 1, 2, 3]


# Indexes.


@pytest.mark.parametrize("index", ["hnsw", "ivf_sq8", "flat"])
def test_every_index_finds_the_nearest(uri: str, index: str) -> None:
    entries = [Entry(i, vector, f"p{i // 3}") for i, vector in enumerate(units(4_000))]
    expected = plain(entries)
    with filled(f"{uri}?index={index}", entries) as catalog:
        for compacted in (False, True):
            if compacted:
                catalog.compact()
                details = catalog.stats().details
                assert details["index"] == index
                assert details["indexed_rows"] == details["total_rows"] >= 4_000
            hits = 0
            for query in units(10, seed=1):
                wanted = expected.search(vector=query, k=100)
                found = catalog.search(vector=query, k=100)
                assert found.exact == INDEXES[index].exact
                if found.exact:
                    assert_same_results(found, wanted)
                hits += len({h.photo_id for h in found} & {h.photo_id for h in wanted})
                exact = catalog.search(vector=query, k=100, exact=True)
                assert exact.exact
                assert_same_results(exact, wanted)
            assert hits >= 950
            few = catalog.search(vector=query, k=10, where="product_id in ('p1', 'p7')")
            assert few.exact
            assert {hit.photo_id for hit in few} == {3, 4, 5, 21, 22, 23}


def test_an_index_that_the_server_lacks(uri: str) -> None:
    with (
        open_catalog(f"{uri}?index=ivf_rabitq", create=True) as catalog,
        pytest.raises(CatalogError, match="refuses"),
    ):
        catalog.set_model(MODEL)


def test_equal_scores_come_in_order_at_the_end_of_a_search(uri: str) -> None:
    entries = [Entry(i, axis(i % 2)) for i in range(1_000)]
    with filled(f"{uri}?index=flat", entries) as catalog:
        found = catalog.search(vector=axis(0), k=20)
        assert found.exact
        assert [hit.photo_id for hit in found] == list(range(0, 40, 2))


def test_many_hits(uri: str) -> None:
    entries = [Entry(i, vector) for i, vector in enumerate(units(17_000))]
    expected = plain(entries)
    with filled(uri, entries) as catalog:
        assert catalog.ids() == list(range(17_000))
        for k in (1_000, 16_380, 17_000):
            found = catalog.search(vector=axis(0), k=k)
            assert len(found) == k
            assert found.exact == (k > 10_000)
            if found.exact:
                assert_same_results(found, expected.search(vector=axis(0), k=k))
        assert catalog.delete(list(range(0, 17_000, 2))) == 8_500
        assert catalog.ids() == list(range(1, 17_000, 2))


# Filters.


@pytest.fixture(scope="module")
def mixed(client: MilvusClient) -> Iterator[Catalog]:
    """A catalogue whose photos have attributes of all kinds under the same names."""
    name = "test_mixed"
    values: list[object] = [
        0, 1, -1, 2**53, 2**53 + 1, 2**63 - 1, -(2**63), 0.5, -0.0, 1e308, 5e-324, True, False,
        "", "0", "1", "true", "a", "ab", "é", "😀", "'", '"', "\\", "\n", "a\x00b", "n00", None,
    ]  # fmt: skip
    entries = [
        Entry(
            i,
            vector,
            product_id=value if isinstance(value, str) and value else None,
            attributes={"a": value, "category": values[i - 1], "b": values[i // 2]},  # type: ignore[dict-item]
        )
        for i, (value, vector) in enumerate(zip(values, units(len(values)), strict=True))
    ]
    with filled(f"milvus://{ADDRESS}/{name}", entries) as catalog:
        yield catalog
    for collection in client.list_collections():
        if collection.startswith(name):
            client.drop_collection(collection)


def renamed(where: Filter, names: tuple[str, ...]) -> Filter:
    """Return a filter that looks at other attributes."""
    if isinstance(where, And | Or):
        return type(where)(tuple(renamed(part, names) for part in where.parts))
    if isinstance(where, Not):
        return Not(renamed(where.part, names))
    return replace(where, name=names[len(where.name) % len(names)])


@settings(
    max_examples=200, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None
)
@given(where=filters)
def test_the_server_means_by_a_filter_what_we_mean(mixed: Catalog, where: Filter) -> None:
    entries = list(_entries(mixed))
    for asked in (where, renamed(where, ("a", "b", "category", "product_id", "nothing"))):
        expected = [e.photo_id for e in entries if matches(asked, e.attributes, e.product_id)]
        assert mixed._ids(asked, None) == expected


_KNOWN: list[Entry] = []


def _entries(catalog: Catalog) -> list[Entry]:
    if not _KNOWN:
        _KNOWN.extend(catalog.entries())
    return _KNOWN


def test_the_largest_filters_are_understood(mixed: Catalog) -> None:
    deep = " and ".join(f"(a = {i}" for i in range(30)) + ")" * 30
    flat = " or ".join(f"a = {i}" for i in range(256))
    long = f"a in ({', '.join(map(str, range(5_000)))})"
    nots = "not " * 31 + "a = 1"
    assert mixed.count(deep) == 0
    assert mixed.count(flat) == mixed.count(long) == 3
    assert mixed.count(nots) == mixed.count() - 1
    turns = "(a = 1 or b = 1 and " * 30 + "a = 2" + ")" * 30
    assert mixed.count(turns) == 1


# Writing.


def test_the_next_search_sees_every_change(uri: str) -> None:
    with filled(uri, shop(10)) as catalog, open_catalog(uri, read_only=True) as other:
        for turn in range(20):
            entry = Entry("new", axis(turn % 16), attributes={"turn": turn})
            catalog.upsert([entry])
            [hit] = catalog.search(vector=entry.vector, k=1)
            assert (hit.photo_id, hit.attributes["turn"]) == ("new", turn)
            assert catalog.delete(["new"]) == 1
            assert catalog.get("new") is None
            assert catalog.count() == 10
        # Another process sees it a moment later.
        limit = time.monotonic() + 60
        while other.count() != 10 and time.monotonic() < limit:
            time.sleep(0.05)
        assert other.count() == 10


def test_a_photo_fails_and_is_mended(uri: str) -> None:
    one, two = shop(2)
    failed = FailedPhoto(one.photo_id, one.path, one.source, "corrupt", "cut off", "p", {"a": 1.0})
    with filled(uri, [one, two]) as catalog:
        catalog.record_failures([failed])
        assert catalog.ids() == [two.photo_id]
        assert list(catalog.failures()) == [failed]
        assert catalog.upsert([one]) == Upserted(n_added=1)
        assert list(catalog.failures()) == []
        assert catalog.ids() == [two.photo_id, one.photo_id]


def test_a_photo_that_a_server_cannot_hold_is_refused(uri: str) -> None:
    one, two = shop(2)
    long = "x" * 70_000
    with filled(uri, [one]) as catalog:
        for entry in (
            replace(two, attributes={"text": long}),
            replace(two, attributes={"text": "x" * 40_000}),
            replace(two, photo_id=long),
            replace(two, product_id=long),
            replace(two, path=long),
        ):
            with pytest.raises(CatalogError, match=r"longer than|bytes; a Milvus server holds"):
                catalog.upsert([one, entry])
        assert list(catalog.entries()) == [one]


def test_more_than_fits_one_request(uri: str) -> None:
    """6 MB of vectors and texts, which the server takes in several requests."""
    model = ModelStamp("wide", "sha256:1", 1_024)
    entries = [
        Entry(i, vector, attributes={"text": "é" * (i % 7) * 400})
        for i, vector in enumerate(units(1_000, dimension=1_024))
    ]
    with open_catalog(uri, create=True) as catalog:
        catalog.set_model(model)
        assert catalog.upsert(entries) == Upserted(n_added=1_000)
        assert catalog.upsert(entries) == Upserted(n_unchanged=1_000)
        assert list(catalog.entries()) == entries


def test_vectors_of_another_model_replace_all_at_once(uri: str) -> None:
    old = shop(20)
    model = ModelStamp("other", "sha256:2", 8)
    new = [replace(e, vector=v) for e, v in zip(old, units(20, dimension=8), strict=True)]
    failed = FailedPhoto("bad", "bad.jpg", "", "corrupt", "")
    lost = FailedPhoto(old[3].photo_id, "3.jpg", "", "missing_file", "")
    with filled(uri, old) as catalog, open_catalog(uri, read_only=True) as reader:
        catalog.record_failures([failed])
        with pytest.raises(CatalogError):
            catalog.replace_vectors(model, [*new, replace(new[0], vector=axis(0)[:8] * 2)])
        assert catalog.model == MODEL
        assert list(catalog.entries()) == old
        catalog.replace_vectors(model, (e for e in new if e.photo_id != lost.photo_id), [lost])
        for one in (catalog, reader):
            time.sleep(alias.KNOWN_SECONDS)
            assert one.model == model
            assert list(one.entries()) == [e for e in new if e.photo_id != lost.photo_id]
            assert list(one.failures()) == [lost, failed]
            assert one.search(vector=new[0].vector, k=1)[0].photo_id == 0


# Damage.


def test_verify_finds_what_does_not_fit(uri: str, client: MilvusClient, tmp_path: Path) -> None:
    entries = shop(8)
    with filled(uri, entries) as catalog:
        catalog.backup(tmp_path / "backup.parquet")
        name = uri.rpartition("/")[2]
        rows = {
            row["photo"]: row
            for row in client.query(
                name, filter="kind == 0", output_fields=["*"], consistency_level="Strong"
            )
        }
        vector = list(rows["i1"]["vector"])
        vector[0], vector[1] = vector[1], vector[0]
        bad = [
            {**rows["i1"], "vector": vector},
            {**rows["i2"], "facts": rows["i3"]["facts"]},
            {**rows["i4"], "facts": rows["i5"]["facts"], "vector": rows["i5"]["vector"],
             "checksum": rows["i5"]["checksum"]},
            {**rows["i6"], "attributes": {}, "category": "n0"},
        ]  # fmt: skip
        client.upsert(name, bad)
        time.sleep(1)
        for photo_id in (1, 2):
            with pytest.raises(CatalogError, match=f"photo {photo_id} is damaged"):
                catalog.get(photo_id)
        with pytest.raises(CatalogError, match="is damaged"):
            catalog.search(vector=axis(0))
        found = catalog.verify()
        assert not found.ok
        assert found.n_photos == 8
        assert [(f.where, f.repaired) for f in sorted(found.faults, key=str)] == [
            ("photo 1", False),
            ("photo 2", False),
            ("photo 4", False),
            ("photo 6", False),
        ]
        assert [f.where for f in catalog.verify(repair=True).faults if f.repaired] == ["photo 6"]
        # What comes in again takes the place of what is damaged.
        assert catalog.upsert(entries[:2]) == Upserted(n_changed=1, n_unchanged=1)
        found = catalog.verify(repair=True, backup=tmp_path / "backup.parquet")
        assert found.ok
        assert [f.where for f in found.faults] == ["photo 2", "photo 4"]
        assert catalog.verify().faults == ()
        assert sorted(catalog.entries(), key=lambda e: int(e.photo_id)) == entries


# The server goes away.


def test_a_server_that_is_killed_keeps_what_it_acknowledged(uri: str, server: MilvusServer) -> None:
    entries = [Entry(i, vector, f"p{i}") for i, vector in enumerate(units(6_000))]
    acknowledged: list[Entry] = []
    enough = threading.Event()
    with filled(uri, entries[:1]) as catalog:

        def write() -> None:
            for start in range(0, len(entries), 100):
                part = entries[start : start + 100]
                catalog.upsert(part)
                acknowledged.extend(part)
                if len(acknowledged) >= 1_500:
                    enough.set()

        writer = threading.Thread(target=write)
        writer.start()
        assert enough.wait(600)
        server.kill()
        n_before = len(acknowledged)
        server.start()
        # The writer goes on by itself.
        writer.join()
        assert len(acknowledged) == 6_000 > n_before
        assert list(catalog.entries()) == entries
        assert catalog.verify().ok
        assert catalog.search(vector=entries[7].vector, k=1)[0].photo_id == 7


def test_a_server_that_stays_away_is_named(
    uri: str, server: MilvusServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    with filled(uri, shop(3)) as catalog:
        monkeypatch.setattr(connection, "REQUEST_SECONDS", 3.0)
        server.kill()
        try:
            uses: list[Callable[[], object]] = [
                catalog.count,
                lambda: catalog.search(vector=axis(0)),
                lambda: catalog.upsert(shop(4)),
                lambda: catalog.delete([1]),
            ]
            for use in uses:
                with pytest.raises(CatalogError, match=f"{ADDRESS} did not answer within 3 s"):
                    use()
            with pytest.raises(CatalogError, match=f"{ADDRESS} did not answer"):
                open_catalog(uri)
        finally:
            server.start()
        monkeypatch.undo()
        assert catalog.count() == 3


# The command for the server.


def test_a_command_beside_a_server_sees_only_loopback() -> None:
    """We are such a command."""
    interfaces = [path.name for path in Path("/sys/class/net").iterdir()]
    named = subprocess.run(
        [sys.executable, "-c", "import socket; print(socket.if_nameindex())"],
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert named.stdout.strip() == "[(1, 'lo')]", interfaces
