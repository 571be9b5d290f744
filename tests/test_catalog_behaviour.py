"""What every engine of the catalogue does, a plain one in memory included."""

from __future__ import annotations

import math
import threading
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from catalog_engines import (
    DIMENSION,
    MODEL,
    Engine,
    assert_same_results,
    axis,
    engine,
    leaning,
    make_engine,
    shop,
    units,
)
from catalog_model import PlainCatalog
from conftest import picture
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from shoplens import Photo, PhotoSet, SearchResult, embed_photo, load_encoder
from shoplens.catalog import Catalog, Entry, FailedPhoto, ModelStamp, Upserted
from shoplens.catalog.filters import And, Compare, Filter, IsNull, Not, OneOf, Or
from shoplens.errors import (
    CatalogError,
    FilterError,
    MissingError,
    ModelError,
    PhotoError,
    ShoplensError,
)
from shoplens.records import Box

__all__ = ["engine", "make_engine"]


def plain(*entries: Entry) -> PlainCatalog:
    """Return a plain catalogue of entries."""
    catalog = PlainCatalog()
    catalog.set_model(MODEL)
    catalog.upsert(entries)
    return catalog


def ids_of(result: SearchResult) -> list[int | str]:
    return [hit.photo_id for hit in result]


# Opening and closing.


def test_a_new_catalogue_is_empty(engine: Engine) -> None:
    with engine.open(create=True) as catalog:
        assert catalog.model is None
        assert (catalog.count(), catalog.ids(), list(catalog.entries())) == (0, [], [])
        assert list(catalog.failures()) == []
        assert catalog.get(1) is None
        stats = catalog.stats()
        assert (stats.n_photos, stats.n_products, stats.n_failed) == (0, 0, 0)
        assert (stats.model, dict(stats.attributes)) == (None, {})
        found = catalog.search(vector=axis(0), facets=["colour"])
        assert (len(found), found.n_gallery, found.facets) == (0, 0, {"colour": {}})
        assert len(catalog.search(vector=axis(0), group_by="product")) == 0
        assert catalog.facets("colour") == {"colour": {}}
        assert catalog.delete([1, "a"]) == 0
        assert catalog.delete(product_ids=["p"]) == 0
        assert catalog.delete(where="colour is null") == 0
        catalog.compact()
        assert catalog.verify().ok
        with pytest.raises(MissingError, match="no photo 1"):
            catalog.search(photo_id=1)
        with pytest.raises(CatalogError, match="is empty"):
            catalog.search(picture(0))


def test_everything_is_there_after_reopening(engine: Engine) -> None:
    entries = shop(20)
    failed = FailedPhoto("bad.jpg", "bad.jpg", "shop.csv", "corrupt", "cut off", "p1", {"a": 1})
    with engine.make(entries) as catalog:
        catalog.record_failures([failed])
    for read_only in (True, False):
        with engine.open(read_only=read_only) as catalog:
            assert catalog.read_only == read_only
            assert list(catalog.entries()) == entries
            assert list(catalog.failures()) == [failed]
            assert catalog.model == MODEL
            query = units(1, seed=5)[0]
            assert_same_results(
                catalog.search(vector=query), _with_failures(plain(*entries), failed, query)
            )


def _with_failures(catalog: Catalog, failed: FailedPhoto, query: object) -> SearchResult:
    catalog.record_failures([failed])
    return catalog.search(vector=query)  # type: ignore[arg-type]


def test_opening_with_create_keeps_what_is_there(engine: Engine) -> None:
    engine.make(shop(3)).close()
    with engine.open(create=True) as catalog:
        assert catalog.count() == 3


def test_a_reader_changes_nothing(engine: Engine) -> None:
    engine.make(shop(3)).close()
    with engine.open(read_only=True) as catalog:
        attempts: list[Callable[[], object]] = [
            lambda: catalog.upsert(shop(1)),
            lambda: catalog.delete([0]),
            lambda: catalog.delete(product_ids=["p0"]),
            lambda: catalog.delete(where="price >= 0"),
            lambda: catalog.set_model(replace(MODEL, name="other")),
            lambda: catalog.record_failures([FailedPhoto(0, "", "", "corrupt", "")]),
            catalog.compact,
            lambda: catalog.verify(repair=True),
        ]
        for attempt in attempts:
            with pytest.raises(CatalogError, match="reading only"):
                attempt()
        assert catalog.count() == 3
        assert catalog.verify().ok


def test_a_closed_catalogue_says_so(engine: Engine) -> None:
    catalog = engine.make(shop(3))
    catalog.close()
    catalog.close()
    attempts: list[Callable[[], object]] = [
        lambda: catalog.get(0),
        catalog.count,
        lambda: catalog.search(vector=axis(0)),
        lambda: catalog.upsert(shop(1)),
        lambda: catalog.delete([0]),
    ]
    for attempt in attempts:
        with pytest.raises(CatalogError, match="closed"):
            attempt()


# The model.


def test_one_model_for_all_vectors(engine: Engine) -> None:
    with engine.make() as catalog:
        catalog.set_model(MODEL)
        for other in (
            ModelStamp("toy", "sha256:9999", DIMENSION),
            ModelStamp("toy", "sha256:0123", DIMENSION + 1),
        ):
            with pytest.raises(ModelError):
                catalog.set_model(other)
        assert catalog.model == MODEL


def test_without_a_model_nothing_is_put_in(engine: Engine) -> None:
    with engine.open(create=True) as catalog:
        with pytest.raises(ModelError, match="set_model"):
            catalog.upsert(shop(1))
        assert catalog.count() == 0


def test_an_encoder_of_another_model_is_refused(engine: Engine, make_model: object) -> None:
    encoder = load_encoder(make_model("toy"))  # type: ignore[operator]
    with engine.make(shop(3)) as catalog:
        with pytest.raises(ModelError, match="catalog migrate"):
            catalog.search(picture(0), encoder=encoder)
        with pytest.raises(ModelError, match="not built in"):
            catalog.search(picture(0))


# Putting in.


FULL = Entry(
    photo_id="rød sko/1.jpg",
    vector=axis(0),
    product_id="007",
    path="photos/rød sko/1.jpg",
    source="/data/shop.csv",
    sha256="ab" * 32,
    box=Box(1.5, 2, 30.25, 40),
    attributes={
        "colour": "rød",
        "price": 12,
        "weight": 1.0,
        "sale": True,
        "gone": None,
        "zero": 0,
        "false": False,
    },
    stamp="12 34",
)


def test_an_entry_comes_back_as_it_was(engine: Engine) -> None:
    with engine.make([FULL]) as catalog:
        for found in (catalog.get(FULL.photo_id), *catalog.entries()):
            assert found is not None
            assert found == FULL
            assert found.stamp == FULL.stamp
            assert found.vector.dtype == np.float32
            assert found.vector.tobytes() == FULL.vector.tobytes()
        [hit] = catalog.search(vector=axis(0))
        assert (hit.photo_id, hit.product_id, hit.path) == (FULL.photo_id, "007", FULL.path)
        assert {name: (type(v), v) for name, v in hit.attributes.items()} == {
            name: (type(v), v) for name, v in FULL.attributes.items()
        }
        assert hit.score == pytest.approx(1, abs=1e-6)


def test_a_photo_that_is_there_is_replaced(engine: Engine) -> None:
    one, two, three = shop(3)
    with engine.make() as catalog:
        assert catalog.upsert([one, two, three]) == Upserted(n_added=3)
        assert catalog.upsert([one, two, three]) == Upserted(n_unchanged=3)
        new = replace(one, vector=axis(3), attributes={"colour": "red"})
        assert catalog.upsert([new, two]) == Upserted(n_changed=1, n_unchanged=1)
        assert catalog.count() == 3
        assert catalog.get(one.photo_id) == new
        assert ids_of(catalog.search(vector=axis(3), k=1)) == [one.photo_id]
        assert catalog.search(vector=one.vector, k=3)[0].score < 1 - 1e-3
        # It was put in last.
        assert catalog.ids() == [1, 2, 0]


@pytest.mark.parametrize(
    "change",
    [
        {"product_id": "other"},
        {"product_id": None},
        {"path": "other.jpg"},
        {"source": "other.csv"},
        {"sha256": "cd" * 32},
        {"sha256": None},
        {"box": None},
        {"box": Box(1.5, 2, 30.25, 41)},
        {"attributes": {}},
        {"attributes": {**FULL.attributes, "weight": 1}},
        {"attributes": {**FULL.attributes, "sale": 1}},
        {"attributes": {**FULL.attributes, "price": 12.0}},
        {"attributes": {**FULL.attributes, "price": "12"}},
        {"attributes": {**FULL.attributes, "colour": None}},
        {"vector": leaning(0.999999)},
    ],
    ids=str,
)
def test_the_smallest_change_is_kept(engine: Engine, change: dict[str, object]) -> None:
    changed = replace(FULL, **change)  # type: ignore[arg-type]
    with engine.make([FULL]) as catalog:
        assert catalog.upsert([changed]) == Upserted(n_changed=1)
        assert catalog.get(FULL.photo_id) == changed
    with engine.open() as catalog:
        assert catalog.get(FULL.photo_id) == changed


def test_a_new_stamp_is_kept(engine: Engine) -> None:
    with engine.make([FULL]) as catalog:
        catalog.upsert([replace(FULL, stamp="56 78")])
        found = catalog.get(FULL.photo_id)
        assert found is not None
        assert found.stamp == "56 78"


def test_of_one_photo_twice_the_last_counts(engine: Engine) -> None:
    first, other = shop(2)
    last = replace(first, vector=axis(2))
    with engine.make() as catalog:
        assert catalog.upsert([first, other, last]) == Upserted(n_added=2)
        assert catalog.get(0) == last


def test_nothing_to_put_in_or_remove(engine: Engine) -> None:
    with engine.make() as catalog:
        assert catalog.upsert([]) == Upserted()
        assert catalog.delete([]) == 0
        assert catalog.delete(product_ids=[]) == 0
        catalog.record_failures([])


def test_a_number_as_text_is_the_number(engine: Engine) -> None:
    one = shop(1)[0]
    with engine.make() as catalog:
        catalog.upsert([replace(one, photo_id="7")])
        assert catalog.upsert([replace(one, photo_id=7)]) == Upserted(n_unchanged=1)
        catalog.upsert([replace(one, photo_id="007"), replace(one, photo_id="7.0")])
        assert catalog.ids() == [7, "007", "7.0"]
        assert catalog.get("7") == catalog.get(7) != None  # noqa: E711
        assert ids_of(catalog.search(photo_id="7", k=5)) == ["007", "7.0"]
        assert catalog.delete(["7", 7]) == 1
        assert catalog.ids() == ["007", "7.0"]


def test_the_largest_numbers(engine: Engine) -> None:
    one = shop(1)[0]
    ids = [2**63 - 1, -(2**63), 2**53 + 1, 0, -1]
    with engine.make([replace(one, photo_id=photo_id) for photo_id in ids]) as catalog:
        assert catalog.ids() == ids
        assert catalog.get(str(2**63 - 1)) is not None
        assert catalog.get(2**53) is None
        big = str(2**63)
        catalog.upsert([replace(one, photo_id=big)])
        assert catalog.get(big) is not None
        assert catalog.delete([2**63 - 1]) == 1
        assert catalog.count() == 5


AWKWARD = [
    "a\x00b",
    "a",
    "\n",
    " a",
    "a ",
    "A",
    "\u00e9",
    "e\u0301",
    "'; DROP TABLE photos; --",
    '"',
    "\\",
    "`",
    "%",
    "_",
    "😀",
    "\u202egpj.x",
    "x" * 1000,
    "null",
    "true",
    "1.0",
    "\uff11\uff12",
]
"""Texts that an engine may mix up or read as something else."""


def test_awkward_texts_stay_what_they_are(engine: Engine) -> None:
    vectors = units(len(AWKWARD))
    entries = [
        Entry(text, vector, product_id=text, path=text, source=text, attributes={"a": text})
        for text, vector in zip(AWKWARD, vectors, strict=True)
    ]
    with engine.make(entries) as catalog:
        assert list(catalog.entries()) == entries
        for entry in entries:
            assert catalog.get(entry.photo_id) == entry
            [hit] = catalog.search(vector=entry.vector, k=1, group_by="product")
            assert (hit.photo_id, hit.product_id) == (entry.photo_id, entry.product_id)
        assert catalog.facets("a") == {"a": dict.fromkeys(sorted(AWKWARD), 1)}
        for left, text in reversed(list(enumerate(AWKWARD))):
            assert catalog.delete(product_ids=[text]) == 1
            assert catalog.count() == left


def test_awkward_names_of_attributes(engine: Engine) -> None:
    names = [name for name in AWKWARD if "\x00" not in name]
    attributes = {name: number for number, name in enumerate(names)}
    with engine.make([Entry(1, axis(0), attributes=attributes)]) as catalog:
        found = catalog.get(1)
        assert found is not None
        assert dict(found.attributes) == attributes
        assert catalog.facets(*names) == {name: {value: 1} for name, value in attributes.items()}
        assert set(catalog.stats().attributes) == set(names)
        # Others have none of them.
        catalog.upsert([Entry(2, axis(1))])
        assert catalog.facets("%") == {"%": {attributes["%"]: 1, None: 1}}


@pytest.mark.parametrize(
    ("faulty", "error"),
    [
        ({"photo_id": True}, CatalogError),
        ({"photo_id": 1.0}, CatalogError),
        ({"photo_id": None}, CatalogError),
        ({"photo_id": b"1"}, CatalogError),
        ({"photo_id": ""}, CatalogError),
        ({"photo_id": 2**63}, CatalogError),
        ({"photo_id": -(2**63) - 1}, CatalogError),
        ({"photo_id": "\ud800"}, CatalogError),
        ({"vector": np.full(DIMENSION, np.nan, np.float32)}, CatalogError),
        ({"vector": np.full(DIMENSION, np.inf, np.float32)}, CatalogError),
        ({"vector": np.zeros(DIMENSION, np.float32)}, CatalogError),
        ({"vector": 2 * axis(0)}, CatalogError),
        ({"vector": axis(0)[:-1]}, ModelError),
        ({"vector": np.append(axis(0), np.float32(0))}, ModelError),
        ({"vector": axis(0)[None]}, ModelError),
        ({"vector": []}, ModelError),
        ({"vector": None}, ShoplensError),
        ({"vector": "no vector"}, ShoplensError),
        ({"product_id": 7}, CatalogError),
        ({"product_id": "\ud800"}, CatalogError),
        ({"path": "\ud800"}, CatalogError),
        ({"attributes": {"": 1}}, CatalogError),
        ({"attributes": {7: 1}}, CatalogError),
        ({"attributes": {"product_id": "p"}}, CatalogError),
        ({"attributes": {"photo_id": "p"}}, CatalogError),
        ({"attributes": {"a": math.nan}}, CatalogError),
        ({"attributes": {"a": math.inf}}, CatalogError),
        ({"attributes": {"a": 2**63}}, CatalogError),
        ({"attributes": {"a": [1]}}, CatalogError),
        ({"attributes": {"a": b"1"}}, CatalogError),
        ({"attributes": {"a": "\ud800"}}, CatalogError),
        ({"attributes": {"\ud800": "a"}}, CatalogError),
    ],
    ids=str,
)
def test_one_faulty_entry_and_none_is_put_in(
    engine: Engine, faulty: dict[str, object], error: type[Exception]
) -> None:
    old, one, two = shop(3)
    with engine.make([old]) as catalog:
        bad = replace(one, **faulty)  # type: ignore[arg-type]
        with pytest.raises(error) as raised:
            catalog.upsert([two, replace(old, vector=axis(0)), bad])
        str(raised.value).encode()  # A message that can be printed.
        assert list(catalog.entries()) == [old]
        # It goes on.
        assert catalog.upsert([two]) == Upserted(n_added=1)


def test_numbers_of_numpy_are_numbers_or_refused(engine: Engine) -> None:
    """Ids and attributes often come from arrays."""
    one = shop(1)[0]
    with engine.make([replace(one, photo_id=5)]) as catalog:
        try:
            found = catalog.get(np.int64(5))  # type: ignore[arg-type]
            assert found is not None
            assert catalog.delete([np.int64(5)]) == 1  # type: ignore[list-item]
        except CatalogError:
            assert catalog.ids() == [5]
        try:
            catalog.upsert([replace(one, photo_id=np.int64(6))])  # type: ignore[arg-type]
        except CatalogError:
            assert catalog.get(6) is None
        else:
            assert catalog.get(6) is not None
            assert type(catalog.ids()[-1]) is int


@pytest.mark.parametrize("photo_id", [True, None, 1.0, b"1", (1,), 2**63, -(2**70), "\ud800"])
def test_what_is_no_id_is_not_here(engine: Engine, photo_id: object) -> None:
    with engine.make([Entry(1, axis(0)), Entry(0, axis(1))]) as catalog:
        for attempt in (
            lambda: catalog.get(photo_id) is None,  # type: ignore[arg-type]
            lambda: catalog.delete([photo_id]) == 0,  # type: ignore[list-item]
        ):
            with suppress(CatalogError):
                assert attempt()
        with pytest.raises(ShoplensError):
            catalog.search(photo_id=photo_id)  # type: ignore[arg-type]
        assert catalog.count() == 2


def test_a_source_that_breaks_off_puts_nothing_in(engine: Engine) -> None:
    def breaking() -> Iterator[Entry]:
        yield from shop(3)
        raise RuntimeError("the table ended")

    with engine.make() as catalog:
        with pytest.raises(RuntimeError, match="the table ended"):
            catalog.upsert(breaking())
        assert catalog.count() == 0


def test_vectors_are_copied(engine: Engine) -> None:
    vector = axis(0).copy()
    with engine.make([Entry(1, vector)]) as catalog:
        vector[:] = axis(1)
        [hit] = catalog.search(vector=axis(0))
        assert hit.score == pytest.approx(1, abs=1e-6)


def test_other_types_of_vectors_are_converted(engine: Engine) -> None:
    vectors = [axis(0).astype(np.float64), axis(1).astype(np.float16), axis(2).tolist()]
    strided = np.zeros(2 * DIMENSION, np.float32)
    strided[6] = 1
    entries = [Entry(i, vector) for i, vector in enumerate([*vectors, strided[::2]])]  # type: ignore[arg-type]
    with engine.make(entries) as catalog:
        for number in range(4):
            found = catalog.get(number)
            assert found is not None
            assert found.vector.dtype == np.float32
            assert found.vector.tolist() == axis(number).tolist()


# Removing.


def test_removed_photos_are_gone_at_once(engine: Engine) -> None:
    entries = shop(40)
    kept = plain(*entries)
    with engine.make(entries) as catalog:
        for arguments in (
            {"photo_ids": [3, "4", 4, 1000, "none"]},
            {"product_ids": ["p1", "p2", "p2", "none"]},
            {"where": "price < 30 and colour = 'red'"},
            {"where": "size is null"},
        ):
            assert catalog.delete(**arguments) == kept.delete(**arguments)  # type: ignore[arg-type]
            assert catalog.delete(**arguments) == 0  # type: ignore[arg-type]
            assert catalog.ids() == kept.ids()
            found = catalog.search(vector=axis(0), k=100, facets=["colour"])
            assert_same_results(found, kept.search(vector=axis(0), k=100, facets=["colour"]))
        assert 0 < catalog.count() < 40
        assert catalog.delete(where="not price = -1") == kept.count()
        assert catalog.count() == 0
        assert len(catalog.search(vector=axis(0))) == 0


def test_a_removed_photo_can_come_back(engine: Engine) -> None:
    one, two = shop(2)
    with engine.make([one, two]) as catalog:
        catalog.delete([0])
        assert catalog.upsert([one]) == Upserted(n_added=1)
        assert catalog.ids() == [1, 0]


def test_one_way_to_say_what_is_removed(engine: Engine) -> None:
    with engine.make(shop(3)) as catalog:
        with pytest.raises(CatalogError, match="one of them"):
            catalog.delete()
        with pytest.raises(CatalogError, match="one of them"):
            catalog.delete([1], product_ids=["p0"])
        with pytest.raises(FilterError):
            catalog.delete(where="price <")
        assert catalog.count() == 3


@pytest.mark.parametrize("where", ["", " ", "\n"])
def test_an_empty_filter_does_not_remove_everything(engine: Engine, where: str) -> None:
    """As a variable that was not set gives it."""
    with engine.make(shop(3)) as catalog:
        with pytest.raises(CatalogError):
            catalog.delete(where=where)
        assert catalog.count() == 3


def test_a_bare_text_is_not_a_list_of_its_letters(engine: Engine) -> None:
    entries = [Entry("a", axis(0), "p"), Entry("b", axis(1), "q"), Entry("ab", axis(2), "pq")]
    with engine.make(entries) as catalog:
        for arguments in ({"photo_ids": "ab"}, {"product_ids": "pq"}):
            try:
                assert catalog.delete(**arguments) == 1  # type: ignore[arg-type]
                assert catalog.ids() == ["a", "b"]
                catalog.upsert(entries)
            except CatalogError:
                assert catalog.ids() == ["a", "b", "ab"]
        with pytest.raises(CatalogError):
            catalog.search(vector=axis(0), facets="colour")


# Failures.


def failed(photo_id: int | str, **more: object) -> FailedPhoto:
    told = {"path": f"{photo_id}.jpg", "source": "s", "reason": "corrupt", "detail": "cut"}
    return FailedPhoto(photo_id, **{**told, **more})  # type: ignore[arg-type]


def test_failures_are_kept_in_order_of_their_ids(engine: Engine) -> None:
    some = [failed(i) for i in ("b", 10, "a", 9, -1, "é", "Z", "😀", "\ufffd")]
    with engine.make() as catalog:
        catalog.record_failures(some)
        assert [f.photo_id for f in catalog.failures()] == [
            -1, 9, 10, "Z", "a", "b", "é", "\ufffd", "😀",
        ]  # fmt: skip
        assert sorted(catalog.failures(), key=str) == sorted(some, key=str)
        assert catalog.stats().n_failed == 9
        assert catalog.stats().n_photos == catalog.count() == 0


def test_a_photo_is_an_entry_or_a_failure(engine: Engine) -> None:
    one, two = shop(2)
    with engine.make([one, two]) as catalog:
        catalog.record_failures([failed(0, detail="first"), failed(0), failed(5)])
        assert catalog.ids() == [1]
        assert ids_of(catalog.search(vector=one.vector)) == [1]
        assert list(catalog.failures()) == [failed(0), failed(5)]
        found = catalog.search(vector=axis(0))
        assert (found.n_gallery, found.n_failed) == (3, 2)
        assert catalog.upsert([one]) == Upserted(n_added=1)
        assert [f.photo_id for f in catalog.failures()] == [5]
        # A record of failure is no photo, but it goes with it.
        assert catalog.delete([5]) == 0
        assert list(catalog.failures()) == []


def test_a_failure_keeps_everything(engine: Engine) -> None:
    full = FailedPhoto(
        "é/1", "é/1", "src", "no_direction", "what\nhappened", "007", {"a": 1.0, "b": True, "c": ""}
    )
    with engine.make() as catalog:
        catalog.record_failures([full, failed("7")])
        number, found = catalog.failures()
        assert number.photo_id == 7
        assert found == full
        assert {k: type(v) for k, v in found.attributes.items()} == {
            "a": float, "b": bool, "c": str,
        }  # fmt: skip


# Reading.


def test_reading_many_keeps_their_order(engine: Engine) -> None:
    entries = shop(10)
    with engine.make(entries) as catalog:
        assert catalog.get_many([7, "none", 0, 7]) == [entries[7], None, entries[0], entries[7]]
        assert catalog.get_many([]) == []


def test_entries_are_of_one_moment(engine: Engine) -> None:
    entries = shop(10)
    with engine.make(entries) as catalog:
        read = catalog.entries()
        seen = [next(read)]
        catalog.upsert([replace(entries[5], vector=axis(0)), *shop(5, first_id=100)])
        catalog.delete([7])
        assert [*seen, *read] == entries


def test_stats_name_the_types_of_attributes(engine: Engine) -> None:
    entries = [
        Entry(1, axis(0), "p", attributes={"a": 1, "b": "x", "c": True, "d": None}),
        Entry(2, axis(1), "p", attributes={"a": 2, "b": 1.5, "c": False}),
        Entry(3, axis(2), None),
    ]
    with engine.make(entries) as catalog:
        stats = catalog.stats()
        assert (stats.n_photos, stats.n_products, stats.model) == (3, 1, MODEL)
        types = {name: set(kinds.split(", ")) for name, kinds in stats.attributes.items()}
        assert types.pop("d", {""}) in ({""}, {"None"}, {"null"})
        assert types == {"a": {"int"}, "b": {"str", "float"}, "c": {"bool"}}
        stats.to_json()


# Searching.


@pytest.mark.parametrize("compacted", [False, True])
@pytest.mark.parametrize("k", [1, 3, 50, 1000, 10**6])
def test_search_is_a_brute_force(engine: Engine, k: int, compacted: bool) -> None:
    entries = shop(120)
    expected = plain(*entries)
    with engine.make(entries) as catalog:
        if compacted:
            catalog.compact()
        queries = units(5, seed=9)
        for exact in (False, True):
            for query, found, wanted in zip(
                queries,
                catalog.search_vectors(queries, k=k, exact=exact),
                expected.search_vectors(queries, k=k),
                strict=True,
            ):
                assert_same_results(found, wanted)
                assert_same_results(catalog.search(vector=query, k=k, exact=exact), wanted)
                assert found.exact or not exact
                assert (found.model_name, found.fingerprint) == (MODEL.name, MODEL.fingerprint)


def test_equal_vectors_are_in_the_order_they_were_put_in(engine: Engine) -> None:
    vector = units(1)[0]
    ids: list[int | str] = [5, "z", 3, "a", 9, -2]
    with engine.make([Entry(photo_id, vector) for photo_id in ids]) as catalog:
        for _ in range(2):
            assert ids_of(catalog.search(vector=units(1, seed=3)[0])) == ids
            assert ids_of(catalog.search(vector=units(1, seed=3)[0], k=3)) == ids[:3]
            catalog.compact()
        catalog.upsert([Entry(3, vector, "changed")])
        assert ids_of(catalog.search(vector=vector, k=4)) == [5, "z", "a", 9]
        assert ids_of(catalog.search(vector=vector)) == [5, "z", "a", 9, -2, 3]


def test_opposite_vectors_have_negative_scores(engine: Engine) -> None:
    with engine.make([Entry(1, axis(0)), Entry(2, -axis(0)), Entry(3, axis(1))]) as catalog:
        found = catalog.search(vector=axis(0))
        assert ids_of(found) == [1, 3, 2]
        assert [hit.score for hit in found] == pytest.approx([1, 0, -1], abs=1e-6)


@pytest.mark.parametrize("k", [0, -1])
def test_k_is_at_least_1(engine: Engine, k: int) -> None:
    with engine.make(shop(3)) as catalog:
        for group_by in (None, "product"):
            with pytest.raises(CatalogError, match=f"k must be at least 1, got {k}"):
                catalog.search(vector=axis(0), k=k, group_by=group_by)  # type: ignore[arg-type]


@pytest.mark.parametrize("k", [2**31, 2**63, 10**30])
def test_k_may_be_far_too_large(engine: Engine, k: int) -> None:
    with engine.make(shop(3)) as catalog:
        assert len(catalog.search(vector=axis(0), k=k)) == 3
        assert len(catalog.search(vector=axis(0), k=k, exact=True)) == 3
        assert len(catalog.search(photo_id=0, k=k)) == 2
        assert catalog.search(vector=axis(0), k=k, group_by="product").hits


@pytest.mark.parametrize(
    ("query", "error"),
    [
        (np.full(DIMENSION, np.nan), CatalogError),
        (np.full(DIMENSION, np.inf), CatalogError),
        (np.zeros(DIMENSION), CatalogError),
        (np.full(DIMENSION, 1e300), CatalogError),
        (3 * axis(0), CatalogError),
        (axis(0)[:-1], ModelError),
        (np.append(axis(0), 0), ModelError),
        (np.array([]), ModelError),
        (1.0, ShoplensError),
        (axis(0)[None], ShoplensError),
        ("a text", ShoplensError),
    ],
    ids=str,
)
def test_a_query_that_is_no_vector_of_the_model(
    engine: Engine, query: object, error: type[Exception]
) -> None:
    with engine.make(shop(3)) as catalog, pytest.raises(error):
        catalog.search(vector=query)  # type: ignore[arg-type]


def test_a_batch_of_no_vectors(engine: Engine) -> None:
    with engine.make(shop(3)) as catalog:
        assert catalog.search_vectors(np.empty((0, DIMENSION), np.float32)) == []


def test_one_query_in_one_way(engine: Engine) -> None:
    with engine.make(shop(3)) as catalog:
        with pytest.raises(CatalogError, match="one of them"):
            catalog.search()
        with pytest.raises(CatalogError, match="one of them"):
            catalog.search(vector=axis(0), photo_id=1)
        with pytest.raises(CatalogError, match="belongs to a photo"):
            catalog.search(vector=axis(0), box="1,2,3,4")
        with pytest.raises(CatalogError, match="'product'"):
            catalog.search(vector=axis(0), group_by="colour")  # type: ignore[arg-type]


def test_more_like_this_leaves_the_photo_itself_out(engine: Engine) -> None:
    entries = shop(30)
    twin = replace(entries[4], photo_id="twin")
    expected = plain(*entries, twin)
    with engine.make([*entries, twin]) as catalog:
        for arguments in ({}, {"group_by": "product"}, {"where": "price < 50"}, {"min_score": 0.3}):
            found = catalog.search(photo_id=4, k=5, **arguments)  # type: ignore[arg-type]
            assert_same_results(found, expected.search(photo_id=4, k=5, **arguments))  # type: ignore[arg-type]
            assert 4 not in ids_of(found)
            assert 4 not in [view.photo_id for hit in found for view in hit.photos or ()]
        assert catalog.search(photo_id=4)[0].photo_id == "twin"
        with pytest.raises(MissingError, match="no photo 31"):
            catalog.search(photo_id=31)


def test_hits_below_the_least_score_are_left_out(engine: Engine) -> None:
    entries = [Entry(i, leaning(c), f"p{i % 2}") for i, c in enumerate((1, 0.8, 0.5, 0.25, 0))]
    with engine.make(entries) as catalog:
        for least, n in ((1.01, 0), (0.9, 1), (0.4, 3), (-1, 5)):
            assert ids_of(catalog.search(vector=axis(0), min_score=least)) == [0, 1, 2, 3, 4][:n]
            grouped = catalog.search(vector=axis(0), min_score=least, group_by="product", k=1)
            assert len(grouped) == min(n, 1)
        # What is just as good is among them.
        best = catalog.search(vector=axis(0))[1].score
        assert ids_of(catalog.search(vector=axis(0), min_score=best)) == [0, 1]


# Grouping.


@pytest.mark.parametrize("k", [1, 4, 10, 100])
def test_grouping_gives_k_products(engine: Engine, k: int) -> None:
    entries = shop(100)
    expected = plain(*entries)
    with engine.make(entries) as catalog:
        for where in (None, "price < 30", "colour = 'red' and size is not null", "price = -1"):
            for query in units(3, seed=4):
                found = catalog.search(vector=query, k=k, group_by="product", where=where)
                assert_same_results(
                    found, expected.search(vector=query, k=k, group_by="product", where=where)
                )
                products = [hit.product_id for hit in found if hit.product_id is not None]
                assert len(set(products)) == len(products)
                for hit in found:
                    assert hit.photos is not None
                    best = hit.photos[0]
                    assert (best.photo_id, best.path) == (hit.photo_id, hit.path)
                    assert best.score == pytest.approx(hit.score, abs=1e-6)


def test_grouping_looks_past_a_product_of_many_photos(engine: Engine) -> None:
    many = [Entry(i, leaning(0.99 - i / 1e4), "many") for i in range(400)]
    few = [Entry(1000 + i, leaning(0.5 - i / 100), f"p{i}") for i in range(5)]
    with engine.make([*many, *few]) as catalog:
        found = catalog.search(vector=axis(0), k=4, group_by="product")
        assert [hit.product_id for hit in found] == ["many", "p0", "p1", "p2"]
        assert found[0].photos is not None
        assert [view.photo_id for view in found[0].photos] == list(range(400))


def test_photos_without_a_product_stand_for_themselves(engine: Engine) -> None:
    entries = [Entry(i, leaning(1 - i / 10)) for i in range(3)] + [Entry("None", axis(1), "None")]
    with engine.make(entries) as catalog:
        found = catalog.search(vector=axis(0), group_by="product")
        assert ids_of(found) == [0, 1, 2, "None"]
        assert all(hit.photos is not None and len(hit.photos) == 1 for hit in found)


def test_an_empty_product_id_is_a_product_or_refused(engine: Engine) -> None:
    entries = [Entry(1, leaning(0.9), ""), Entry(2, leaning(0.8), ""), Entry(3, axis(0), None)]
    with engine.make() as catalog:
        try:
            catalog.upsert(entries)
        except CatalogError:
            return
        found = catalog.search(vector=axis(0), group_by="product")
        assert [(hit.photo_id, hit.product_id) for hit in found] == [(3, None), (1, "")]
        assert catalog.delete(product_ids=[""]) == 2


# Filters.


FILTERS = [
    "colour = 'red'",
    'colour = "red"',
    "colour != 'red'",
    "not colour = 'red'",
    "colour is null",
    "colour is not null",
    "not (colour is null)",
    "colour in ('red', 'blue')",
    "colour not in ('red', 'blue')",
    "not colour in ('red')",
    "price < 50",
    "price <= 50",
    "price > 50.5",
    "price >= 1e1",
    "price = 12.0",
    "price >= 10 and price < 20 or price > 90",
    "price >= 10 and (price < 20 or price > 90)",
    "size = 37.5",
    "size = 36",
    "size < 37.5",
    "size in (36, 37.5)",
    "sale = true",
    "sale = false",
    "sale != true",
    "sale = 1",
    "sale < true",
    "price = '12'",
    "colour < 'green'",
    "colour >= 'green'",
    "colour < 5",
    "product_id = 'p1'",
    "product_id in ('p1', 'p2')",
    "product_id is null",
    "product_id < 'p2'",
    "nothing = 1",
    "nothing != 1",
    "nothing is null",
    "`colour` = 'red'",
    "not not sale = true",
    "price = -1",
    "price > -1",
    "price < 9223372036854775807",
]


@pytest.fixture(params=[False, True], ids=["new", "compacted"])
def filled(request: pytest.FixtureRequest, engine: Engine) -> Iterator[Catalog]:
    catalog = engine.make(shop(150))
    if request.param:
        catalog.compact()
    yield catalog
    catalog.close()


def test_a_filter_means_the_same_everywhere(filled: Catalog) -> None:
    expected = plain(*shop(150))
    some = 0
    for where in FILTERS:
        assert filled.ids(where) == expected.ids(where), where
        assert filled.count(where) == expected.count(where)
        names = ("colour", "size", "price", "sale", "product_id", "nothing")
        assert filled.facets(*names, where=where) == expected.facets(*names, where=where)
        for exact in (False, True):
            found = filled.search(vector=axis(0), k=200, where=where, exact=exact)
            assert_same_results(found, expected.search(vector=axis(0), k=200, where=where))
            found = filled.search(vector=axis(0), k=3, where=where, exact=exact)
            assert_same_results(found, expected.search(vector=axis(0), k=3, where=where))
        some += 0 < filled.count(where) < 150
    assert some > 25


def test_no_filter_and_an_empty_one(filled: Catalog) -> None:
    assert filled.count("") == filled.count(" ") == filled.count() == 150
    assert filled.ids(where="") == filled.ids()


MIXED: list[object] = [
    0, 1, -1, 2**53, 2**53 + 1, 2**63 - 1, -(2**63), 0.0, -0.0, 1.0, 0.1, 1e308, 5e-324, 2.0**53,
    2.0**63, True, False, "", "0", "1", "true", "null", "a", "A", "é", "e", "😀", "\ufffd", "%",
    "'", '"', "\\", "\n", "a\x00b", None,
]  # fmt: skip


def test_values_of_all_kinds_are_told_apart(engine: Engine) -> None:
    vectors = units(len(MIXED))
    entries = [
        Entry(i, vector, attributes={"a": value})  # type: ignore[dict-item]
        for i, (value, vector) in enumerate(zip(MIXED, vectors, strict=True))
    ]
    entries.append(Entry("none", axis(0)))
    expected = plain(*entries)
    with engine.make(entries) as catalog:
        for compacted in (False, True):
            if compacted:
                catalog.compact()
            for value in MIXED:
                if value is None:
                    continue
                for op in ("=", "!=", "<", "<=", ">", ">="):
                    where = Compare("a", op, value)  # type: ignore[arg-type]
                    assert catalog._ids(where, None) == expected._ids(where, None), where
            for wanted in (MIXED[:5], MIXED[10:20], [1, "a"], [True, "1"], [0, False]):
                kept = OneOf("a", tuple(wanted))  # type: ignore[arg-type]
                assert catalog._ids(kept, None) == expected._ids(kept, None), kept
                inverse = Not(kept)
                assert catalog._ids(inverse, None) == expected._ids(inverse, None), inverse


names = st.sampled_from(["colour", "size", "price", "sale", "product_id", "nothing"])
values = st.one_of(
    st.sampled_from(["red", "green", "blue", "p1", "p2", "", "p"]),
    st.integers(-5, 105),
    st.sampled_from([36.0, 37.5, 38.0, 50.5, 1e300, -0.0]),
    st.booleans(),
)
conditions = st.one_of(
    st.builds(Compare, names, st.sampled_from(["=", "!=", "<", "<=", ">", ">="]), values),
    st.builds(OneOf, names, st.lists(values, min_size=1, max_size=4).map(tuple)),
    st.builds(IsNull, names),
)
filters = st.recursive(
    conditions,
    lambda parts: st.one_of(
        st.builds(And, st.lists(parts, min_size=2, max_size=3).map(tuple)),
        st.builds(Or, st.lists(parts, min_size=2, max_size=3).map(tuple)),
        st.builds(Not, parts),
    ),
    max_leaves=8,
)


@settings(
    max_examples=60,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(where=filters)
def test_any_filter_means_the_same_everywhere(filled: Catalog, where: Filter) -> None:
    expected = plain(*shop(150))
    assert filled._ids(where, None) == expected._ids(where, None)
    assert filled._ids(where, ["p1", "p2"]) == expected._ids(where, ["p1", "p2"])
    assert filled._count(where) == expected._count(where)
    query = units(1, seed=77)
    for exact in (False, True):
        [found] = filled._nearest(query, 10, where, exact)
        [wanted] = expected._nearest(query, 10, where, exact)
        assert [e.photo_id for e, _ in found.found] == [e.photo_id for e, _ in wanted.found]


@pytest.mark.parametrize(
    ("where", "position"),
    [("price <", 7), ("price < < 3", 8), ("(price < 3", 0), ("price ~ 3", 6), ("= 3", 0)],
)
def test_a_faulty_filter_is_shown_where(engine: Engine, where: str, position: int) -> None:
    with engine.make(shop(3)) as catalog:
        for use in (
            lambda: catalog.search(vector=axis(0), where=where),
            lambda: catalog.count(where),
            lambda: catalog.ids(where),
            lambda: catalog.facets("colour", where=where),
            lambda: catalog.delete(where=where),
        ):
            with pytest.raises(FilterError) as raised:
                use()
            assert raised.value.position == position
            assert raised.value.text == where


# Facets.


def test_facets_count_the_photos_that_pass(engine: Engine) -> None:
    entries = shop(80)
    expected = plain(*entries)
    with engine.make(entries) as catalog:
        for where in (None, "price < 50", "colour is null", "price = -1"):
            found = catalog.search(
                vector=axis(0), k=2, where=where, facets=["colour", "size", "sale", "nothing"]
            )
            wanted = expected.facets("colour", "size", "sale", "nothing", where=where)
            assert found.facets == wanted
            assert found.facets is not None
            for name, counts in found.facets.items():
                assert list(counts) == list(wanted[name])
                assert [type(value) for value in counts] == [type(value) for value in wanted[name]]
                assert sum(counts.values()) == catalog.count(where)
        assert catalog.facets() == {}
        assert catalog.search(vector=axis(0)).facets is None


# Photos as queries.


def test_a_photo_as_query(engine: Engine, make_model: Callable[..., Path], tmp_path: Path) -> None:
    encoder = load_encoder(make_model("toy"))
    folder = tmp_path / "photos"
    folder.mkdir()
    for seed in range(4):
        picture(seed).save(folder / f"{seed}.png")
    with engine.open(create=True) as catalog:
        catalog.set_model(ModelStamp(encoder.name, encoder.fingerprint, encoder.dimension))
        catalog.upsert(
            Entry(seed, embed_photo(folder / f"{seed}.png", encoder), f"p{seed}")
            for seed in range(4)
        )
        whole = catalog.search(folder / "2.png", encoder=encoder)
        assert whole[0].photo_id == 2
        assert whole[0].score == pytest.approx(1, abs=1e-5)
        assert whole.query is not None
        boxed = catalog.search(folder / "2.png", box="0,0,20,20", encoder=encoder)
        assert boxed[0].score < 1 - 1e-4
        data = (folder / "2.png").read_bytes()
        assert ids_of(catalog.search(data, encoder=encoder)) == ids_of(whole)
        with pytest.raises(PhotoError):
            catalog.search(b"no photo", encoder=encoder)
        with pytest.raises(PhotoError):
            catalog.search(folder / "2.png", box="900,900,5,5", encoder=encoder)
        (folder / "3.png").write_bytes(b"no photo")
        queries = PhotoSet([Photo(i, f"{i}.png", folder / f"{i}.png", "user") for i in range(4)])
        results = catalog.search_each(queries, k=2, encoder=encoder)
        assert [len(result) for result in results] == [2, 2, 2, 0]
        assert [result[0].photo_id for result in results[:3]] == [0, 1, 2]
        assert results[3].failure is not None
        assert results[3].n_gallery == 4


# Sizes.


def test_one_product_of_10000_photos(engine: Engine) -> None:
    vectors = units(10_000)
    entries = [Entry(i, vector, "p") for i, vector in enumerate(vectors)]
    with engine.make(entries) as catalog:
        found = catalog.search(vector=axis(0), group_by="product", k=5)
        assert len(found) == 1
        photos = found[0].photos
        assert photos is not None
        order = np.argsort(-(vectors.astype(np.float64) @ axis(0)), kind="stable")
        assert len(photos) == 10_000
        assert [view.photo_id for view in photos[:50]] == order[:50].tolist()
        assert catalog.stats().n_products == 1
        assert catalog.delete(product_ids=["p"]) == 10_000
        assert catalog.count() == 0


def test_10000_products_of_one_photo(engine: Engine) -> None:
    vectors = units(10_000)
    entries = [Entry(i, vector, f"p{i}") for i, vector in enumerate(vectors)]
    with engine.make(entries) as catalog:
        found = catalog.search(vector=axis(0), group_by="product", k=1000)
        order = np.argsort(-(vectors.astype(np.float64) @ axis(0)), kind="stable")
        assert ids_of(found) == order[:1000].tolist()
        assert catalog.stats().n_products == 10_000
        products = [f"p{i}" for i in range(0, 10_000, 2)]
        assert catalog.delete(product_ids=products) == 5_000
        assert catalog.ids() == list(range(1, 10_000, 2))


# Threads.


def test_threads_share_a_catalogue(engine: Engine) -> None:
    """Each search sees whole upserts: the photos of a product come and go together."""
    faults: list[str] = []
    stop = threading.Event()
    vectors = units(8)

    def entries(version: int) -> list[Entry]:
        return [
            Entry(i, vector, "p", attributes={"version": version})
            for i, vector in enumerate(vectors)
        ]

    def read(catalog: Catalog) -> None:
        while not stop.is_set():
            try:
                found = catalog.search(vector=axis(0), k=10)
                versions = {hit.attributes["version"] for hit in found}
                if len(found) != 8 or len(versions) != 1:
                    faults.append(f"{len(found)} photos of versions {versions}")
            except Exception as error:
                faults.append(repr(error))

    with engine.make(entries(0)) as catalog:
        readers = [threading.Thread(target=read, args=(catalog,)) for _ in range(3)]
        for reader in readers:
            reader.start()
        for version in range(1, 30):
            catalog.upsert(entries(version))
            if version % 10 == 0:
                catalog.compact()
        stop.set()
        for reader in readers:
            reader.join()
        assert {e.attributes["version"] for e in catalog.entries()} == {29}
    assert faults == []


# Paging.


def pages(catalog: Catalog, where: str | None, limit: int) -> list[list[int | str]]:
    """Return the ids of all pages."""
    found: list[list[int | str]] = []
    after: int | None = 0
    while after is not None:
        page = catalog.page(where, limit=limit, after=after)
        found.append([entry.photo_id for entry in page.entries])
        after = page.next
    return found


@pytest.mark.parametrize("where", [None, 'colour = "red"', "price < 0"])
@pytest.mark.parametrize("limit", [1, 7, 1000])
def test_pages_have_each_photo_once_in_order(engine: Engine, where: str | None, limit: int) -> None:
    with engine.make(shop(40)) as catalog:
        catalog.delete(range(10, 20))
        catalog.upsert([replace(one, path="new") for one in shop(40)[3:5]])
        found = pages(catalog, where, limit)
        assert [one for page in found for one in page] == catalog.ids(where)
        assert all(len(page) == limit for page in found[:-1])


def test_a_page_goes_on_where_it_ended_whatever_changed(engine: Engine) -> None:
    with engine.make(shop(12)) as catalog:
        first = catalog.page(limit=4)
        assert [entry.photo_id for entry in first.entries] == [0, 1, 2, 3]
        assert first.next is not None
        catalog.delete([2, 3, 4])
        catalog.upsert([replace(one, path="new") for one in shop(6)[:1] + shop(6)[5:]])
        second = catalog.page(limit=100, after=first.next)
        assert [entry.photo_id for entry in second.entries] == [6, 7, 8, 9, 10, 11, 0, 5]
        assert second.next is None


def test_a_page_that_cannot_be(engine: Engine) -> None:
    with engine.make(shop(3)) as catalog:
        for limit, after in ((0, 0), (-1, 0), (5, -1), (5, 2**63)):
            with pytest.raises(CatalogError, match="no page"):
                catalog.page(limit=limit, after=after)
        with pytest.raises(FilterError):
            catalog.page("colour ==")
        end = catalog.page(after=2**63 - 1)
        assert (end.entries, end.next) == ((), None)


def test_an_empty_catalogue_has_an_empty_page(engine: Engine) -> None:
    with engine.open(create=True) as catalog:
        assert catalog.page().entries == ()
