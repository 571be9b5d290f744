"""The engines compared with each other and with a brute force."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np
import pytest
from catalog_engines import (
    ENGINES,
    MODEL,
    Engine,
    assert_same_content,
    assert_same_results,
    axis,
    make_engine,
    shop,
    units,
)
from catalog_model import PlainCatalog
from catalog_operations import change
from test_catalog_behaviour import FILTERS

from shoplens.catalog import Catalog, Entry, ModelStamp
from shoplens.catalog.embedded.graphs import graph_available
from shoplens.errors import ShoplensError

__all__ = ["make_engine"]

RECALL = 0.98
"""What an index must find of the 100 nearest, as a mean over queries."""

pytestmark = pytest.mark.filterwarnings("error")


@pytest.fixture(params=[name for name in ENGINES if name != "plain"])
def pair(
    request: pytest.FixtureRequest, make_engine: Callable[[str], Engine]
) -> Iterator[tuple[Catalog, Catalog]]:
    """An engine and a plain catalogue, empty."""
    plain = PlainCatalog()
    plain.set_model(MODEL)
    with make_engine(request.param).make() as catalog:
        yield catalog, plain


def test_the_same_after_many_changes(pair: tuple[Catalog, Catalog]) -> None:
    for number in range(40):
        for catalog in pair:
            change(catalog, number)
    found, expected = pair
    assert expected.count() > 40
    assert_same_content(found, expected)
    for where in (None, "colour = 'red'", "number < 30", "colour is null or number >= 35"):
        for query in units(3, seed=5):
            for group_by in (None, "product"):
                for k in (1, 7, 1000):
                    asked = {"k": k, "where": where, "group_by": group_by, "facets": ["colour"]}
                    ours = found.search(vector=query, exact=True, **asked)  # type: ignore[arg-type]
                    assert_same_results(ours, expected.search(vector=query, **asked))  # type: ignore[arg-type]
                    assert ours.exact


def test_the_same_filters_and_facets(pair: tuple[Catalog, Catalog]) -> None:
    for catalog in pair:
        catalog.upsert(shop(200))
        catalog.delete(product_ids=["p3", "p4"])
    found, expected = pair
    for where in FILTERS:
        assert found.ids(where) == expected.ids(where), where
        names = ("colour", "size", "price", "sale", "product_id")
        assert found.facets(*names, where=where) == expected.facets(*names, where=where), where


ERRORS: dict[str, Callable[[Catalog], object]] = {
    "k": lambda c: c.search(vector=axis(0), k=0),
    "group": lambda c: c.search(vector=axis(0), group_by="colour"),  # type: ignore[arg-type]
    "dimension": lambda c: c.search(vector=[1.0, 0.0]),
    "length": lambda c: c.search(vector=2 * axis(0)),
    "nothing": lambda c: c.search(),
    "photo": lambda c: c.search(photo_id="nobody"),
    "filter": lambda c: c.search(vector=axis(0), where="colour = "),
    "filter of count": lambda c: c.count("colour == 'red'"),
    "delete": lambda c: c.delete(),
    "delete all": lambda c: c.delete(where=""),
    "id": lambda c: c.upsert([Entry(True, axis(0))]),
    "vector": lambda c: c.upsert([Entry(1, np.zeros_like(axis(0)))]),
    "dimensions": lambda c: c.upsert([Entry(1, axis(0)[1:])]),
    "attribute": lambda c: c.upsert([Entry(1, axis(0), attributes={"a": float("nan")})]),
    "model": lambda c: c.set_model(ModelStamp("toy", "sha256:9999", MODEL.dimension)),
    "encoder": lambda c: c.encoder(),
}


@pytest.mark.parametrize("mistake", ERRORS)
def test_the_same_errors(pair: tuple[Catalog, Catalog], mistake: str) -> None:
    messages = []
    for catalog in pair:
        catalog.upsert(shop(5))
        with pytest.raises(ShoplensError) as raised:
            ERRORS[mistake](catalog)
        said = str(raised.value).replace(catalog.uri, "URI")
        # An engine may say more of its models.
        messages.append((type(raised.value), "" if mistake == "model" else said))
    assert messages[0] == messages[1]


def clustered(n: int, seed: int = 0) -> np.ndarray[tuple[int, int], np.dtype[np.float32]]:
    rng = np.random.default_rng(seed)
    centres = units(40, seed=1000)
    rows = centres[rng.integers(40, size=n)] + 0.15 * rng.standard_normal((n, MODEL.dimension))
    return np.asarray(rows / np.linalg.norm(rows, axis=1, keepdims=True), dtype=np.float32)


def test_an_index_finds_nearly_all(pair: tuple[Catalog, Catalog]) -> None:
    """Approximate search, also with filters, after photos were added and removed."""
    vectors = clustered(4_000)
    colours = np.random.default_rng(1).choice(["red", "green", "rare"], 4_000, p=[0.5, 0.48, 0.02])
    entries = [
        Entry(i, vector, f"p{i // 4}", attributes={"colour": str(colours[i])})
        for i, vector in enumerate(vectors)
    ]
    for catalog in pair:
        catalog.upsert(entries[:3_500])
        catalog.compact()
        catalog.upsert(entries[3_500:])
        catalog.delete(range(0, 4_000, 7))
    found, expected = pair
    queries = clustered(10, seed=2)
    for where in (None, "colour = 'red'", "colour = 'rare'", "not colour = 'rare'"):
        recalls = []
        for ours, theirs in zip(
            found.search_vectors(queries, k=100, where=where),
            expected.search_vectors(queries, k=100, where=where),
            strict=True,
        ):
            assert len(ours) == len(theirs)
            if ours.exact:
                assert_same_results(ours, theirs)
            scores = {hit.photo_id: hit.score for hit in ours}
            assert all(hit.photo_id % 7 for hit in ours)  # type: ignore[operator]
            recalls.append(np.mean([hit.photo_id in scores for hit in theirs]))
            # Whatever is found has its own score.
            wide = vectors.astype(np.float64)
            for hit in ours:
                assert where is None or hit.attributes["colour"] in ("red", "rare", "green")
            for photo_id, score in scores.items():
                assert abs(score) <= 1 + 1e-6, (photo_id, wide.shape)
        assert np.mean(recalls) >= RECALL, where
    grouped = found.search(vector=queries[0], k=20, group_by="product")
    wanted = expected.search(vector=queries[0], k=20, group_by="product")
    assert len({hit.product_id for hit in grouped}) == 20
    both = {hit.product_id for hit in grouped} & {hit.product_id for hit in wanted}
    assert len(both) >= 19
    assert found.verify().faults == ()


@pytest.mark.skipif(not graph_available(), reason="needs the extra ann")
def test_small_segments_have_indexes_and_are_searched_by_them(
    make_engine: Callable[[str], Engine],
) -> None:
    """What the tests call `segments` is what it says."""
    with make_engine("segments").make(shop(300)) as catalog:
        catalog.compact()
        assert catalog.stats().details["n_indexed"] == 300
        assert not catalog.search(vector=axis(0), k=10).exact
        assert catalog.search(vector=axis(0), k=10, exact=True).exact
