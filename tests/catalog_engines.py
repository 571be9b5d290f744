"""Catalogues of every engine for tests, empty ones and filled ones."""

from __future__ import annotations

import math
import os
import uuid
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
from catalog_model import PlainCatalog, Shelf

from shoplens import SearchResult
from shoplens.attributes import Value
from shoplens.catalog import Catalog, Entry, ModelStamp, open_catalog
from shoplens.catalog.embedded.graphs import graph_available
from shoplens.records import Box
from shoplens.vectors.regions import PhotoRegions

DIMENSION = 16
MODEL = ModelStamp("toy", "sha256:0123", DIMENSION)

CLOSE = 2e-6
"""How far a score may be from the float64 product. Photos that are closer than this may change
places."""


class Engine(ABC):
    """Makes one new catalogue of an engine, and opens it any number of times."""

    name: str

    @abstractmethod
    def open(self, *, create: bool = False, read_only: bool = False) -> Catalog: ...

    def remove(self) -> None:  # noqa: B027  Most have nothing to remove.
        """Leave nothing behind."""

    def make(self, entries: Sequence[Entry] = ()) -> Catalog:
        """Make the catalogue, with a model and these entries."""
        catalog = self.open(create=True)
        catalog.set_model(MODEL)
        if entries:
            catalog.upsert(entries)
        return catalog


class Plain(Engine):
    name = "plain"

    def __init__(self) -> None:
        self._shelf = Shelf()

    def open(self, *, create: bool = False, read_only: bool = False) -> Catalog:
        return PlainCatalog(self._shelf, read_only=read_only)


class Embedded(Engine):
    name = "embedded"

    def __init__(self, folder: Path):
        self.folder = folder

    def open(self, *, create: bool = False, read_only: bool = False) -> Catalog:
        return open_catalog(self.folder, create=create, read_only=read_only)


def make_small(monkeypatch: pytest.MonkeyPatch, *, graphs: bool) -> None:
    """Have embedded catalogues make segments of a few photos, joined often, with indexes."""
    from shoplens.catalog.embedded import compaction, engine, nearest

    monkeypatch.setattr(engine, "SEAL_ROWS", 24)
    monkeypatch.setattr(engine, "MOST_SMALL", 3)
    if graphs:
        monkeypatch.setattr(compaction, "INDEX_ROWS", 60)
        # An index never pays for so few.
        monkeypatch.setattr(nearest._Searched, "exact_milliseconds", lambda _self: math.inf)


class Milvus(Engine):
    name = "milvus"

    def __init__(self, server: str):
        self._server = server
        self._collection = f"test_{uuid.uuid4().hex}"

    def open(self, *, create: bool = False, read_only: bool = False) -> Catalog:
        uri = f"milvus://{self._server}/{self._collection}"
        return open_catalog(uri, create=create, read_only=read_only)

    def remove(self) -> None:
        from pymilvus import MilvusClient

        client = MilvusClient(f"http://{self._server}")
        for name in client.list_collections():
            if name.startswith(self._collection):
                client.drop_collection(name)
        client.close()


SERVER = os.environ.get("SHOPLENS_MILVUS")
"""host:port of a Milvus server for tests."""
ENGINES = ["plain", "embedded", "segments", *(["milvus"] if SERVER else [])]
"""`segments` is the embedded engine with several small segments that have indexes. `python3 make.py
milvus` runs a server."""


@pytest.fixture
def make_engine(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Callable[[str], Engine]]:
    """Make engines by their names."""
    made: list[Engine] = []

    def make(name: str) -> Engine:
        if name == "plain":
            made.append(Plain())
        elif name == "milvus":
            if SERVER is None:
                pytest.skip("SHOPLENS_MILVUS names no server (host:port)")
            pytest.importorskip("pymilvus")
            made.append(Milvus(SERVER))
        else:
            if name == "segments":
                make_small(monkeypatch, graphs=graph_available())
            made.append(Embedded(tmp_path / f"catalogue{len(made)}"))
        return made[-1]

    yield make
    for one in made:
        one.remove()


@pytest.fixture(params=ENGINES)
def engine(request: pytest.FixtureRequest, make_engine: Callable[[str], Engine]) -> Engine:
    return make_engine(request.param)


def units(n: int, seed: int = 0, dimension: int = DIMENSION) -> npt.NDArray[np.float32]:
    """Return (n, dimension) float32, random rows of unit length."""
    rows = np.random.default_rng(seed).standard_normal((n, dimension))
    return np.asarray(rows / np.linalg.norm(rows, axis=1, keepdims=True), dtype=np.float32)


def axis(number: int) -> npt.NDArray[np.float32]:
    """Return the unit vector of a dimension."""
    return np.eye(DIMENSION, dtype=np.float32)[number]


def leaning(cosine: float) -> npt.NDArray[np.float32]:
    """Return a unit vector whose similarity to `axis(0)` is `cosine`."""
    return np.asarray(cosine * axis(0) + np.sqrt(1 - cosine**2) * axis(1), dtype=np.float32)


COLOURS = ("red", "green", "blue", None)
SIZES = (36, 37.5, 38, None)


def shop(n: int, seed: int = 0, first_id: int = 0) -> list[Entry]:
    """Return n entries of n / 4 products with colour, size, price and sale."""
    rng = np.random.default_rng(seed)
    vectors = units(n, seed)
    entries = []
    for row in range(n):
        attributes: dict[str, Value] = {
            "colour": COLOURS[rng.integers(4)],
            "size": SIZES[rng.integers(4)],
            "price": int(rng.integers(100)),
        }
        if rng.integers(2):
            attributes["sale"] = bool(rng.integers(2))
        entries.append(
            Entry(
                photo_id=first_id + row,
                vector=vectors[row],
                product_id=f"p{rng.integers(max(1, n // 4))}" if rng.integers(8) else None,
                path=f"photos/{first_id + row}.jpg",
                source="shop.csv",
                attributes=attributes,
            )
        )
    return entries


def with_regions(entries: Sequence[Entry], seed: int = 0) -> list[Entry]:
    """Return entries with up to three regions; some were asked for none."""
    rng = np.random.default_rng(seed)
    made = []
    for entry in entries:
        n = int(rng.integers(-1, 4))
        regions = None
        if n >= 0:
            corners = [(float(x), 0.0, float(x + 5), 7.0) for x in range(n)]
            noise = units(n, int(rng.integers(1000))) if n else np.empty((0, DIMENSION))
            vectors = 0.6 * entry.vector + 0.8 * noise
            vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
            boxes = tuple(Box(*four) for four in corners)
            regions = PhotoRegions(3, boxes, vectors.astype(np.float32))
        made.append(replace(entry, regions=regions))
    return made


def assert_same_results(found: SearchResult, expected: SearchResult) -> None:
    """Compare two exact results. Photos with nearly equal scores may be in another order."""
    assert len(found) == len(expected)
    assert [hit.rank for hit in found] == list(range(1, len(found) + 1))
    scores = np.array([hit.score for hit in found])
    np.testing.assert_allclose(scores, [hit.score for hit in expected], atol=CLOSE, rtol=0)
    assert (np.diff(scores) <= 0).all()
    by_id = {hit.photo_id: hit for hit in expected}
    last = expected[-1].score if len(expected) else 0.0
    for hit, other in zip(found, expected, strict=True):
        if hit.photo_id != other.photo_id:
            # Its neighbours are as near. The last may be one that was just left out.
            assert abs(hit.score - other.score) <= CLOSE
            assert hit.photo_id in by_id or abs(hit.score - last) <= CLOSE
        same = by_id.get(hit.photo_id)
        if same is None:
            continue
        assert abs(hit.score - same.score) <= CLOSE
        assert (hit.product_id, hit.path) == (same.product_id, same.path)
        assert dict(hit.attributes) == dict(same.attributes)
        assert hit.region == same.region
        assert (hit.photos is None) == (same.photos is None)
        if hit.photos is not None and same.photos is not None:
            assert_same_views(hit.photos, same.photos)
    assert len({hit.photo_id for hit in found}) == len(found)
    assert found.n_gallery == expected.n_gallery
    assert found.n_failed == expected.n_failed
    assert found.facets == expected.facets


def assert_same_views(found: Sequence[object], expected: Sequence[object]) -> None:
    ours = {view.photo_id: view for view in found}  # type: ignore[attr-defined]
    theirs = {view.photo_id: view for view in expected}  # type: ignore[attr-defined]
    assert len(ours) == len(found)
    assert ours.keys() == theirs.keys()
    for photo_id, view in ours.items():
        assert abs(view.score - theirs[photo_id].score) <= CLOSE
        assert view.path == theirs[photo_id].path
    scores = [view.score for view in ours.values()]
    assert scores == sorted(scores, reverse=True)


def assert_same_content(catalog: Catalog, expected: Catalog) -> None:
    """Compare all that two catalogues hold, order included."""
    ours, theirs = list(catalog.entries()), list(expected.entries())
    assert [entry.photo_id for entry in ours] == [entry.photo_id for entry in theirs]
    assert ours == theirs
    assert [entry.stamp for entry in ours] == [entry.stamp for entry in theirs]
    assert catalog.ids() == expected.ids()
    assert catalog.count() == expected.count() == len(ours)
    assert list(catalog.failures()) == list(expected.failures())
    assert catalog.model == expected.model
