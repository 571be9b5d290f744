"""Search engines under one interface, as `catalog_search.py` measures them.

Each is given the same rows: a vector, the number of the row, the product, the shop. An engine that
returns numbers of rows only has the easier task: ours returns entries with all their attributes,
read from the store and compared with their checksums. All build with their default settings.
"""

from __future__ import annotations

import json
import os
import time
from abc import ABC, abstractmethod
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
from made_vectors import made_products, made_shops

THREADS = 2
BATCH = 10_000
"""Rows that are put in at a time."""
N_SHOPS = 100
Filtered = Literal["all", "1 %", "50 %"]
FIRST_SHOPS: dict[Filtered, int] = {"all": N_SHOPS, "1 %": 1, "50 %": N_SHOPS // 2}
"""How many shops, from the first, each filter lets pass."""


@dataclass(frozen=True)
class Rows:
    """What is searched."""

    file: Path
    """(n, d) float32, raw."""
    dimension: int
    products: npt.NDArray[np.int64]
    shops: npt.NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.products)

    def batches(self) -> Iterator[tuple[int, npt.NDArray[np.float32]]]:
        """Yield the number of the first row and the vectors of each batch.

        They are read, not mapped: mapped pages would count as memory of the engine.
        """
        with self.file.open("rb") as stream:
            for start in range(0, len(self), BATCH):
                n = min(BATCH, len(self) - start)
                part = np.fromfile(stream, np.float32, n * self.dimension)
                yield start, part.reshape(n, self.dimension)


def rows_in(folder: Path) -> Rows:
    """Return the rows that `write_rows` wrote."""
    about = json.loads((folder / "about.json").read_text())
    n, d = about["n"], about["d"]
    return Rows(folder / "vectors.raw", d, made_products(n), made_shops(n, N_SHOPS))


class SearchEngine(ABC):
    """An engine. One process builds, another opens and searches."""

    filters = True
    """Whether it takes filters."""
    efforts: tuple[int, ...] = (100, 150, 200, 300, 400, 600, 800, 1200)
    """How much of the index a search looks at, from little to much."""

    def __init__(self, folder: Path, rows: Rows) -> None:
        self.folder = folder
        self.rows = rows
        self.effort = self.efforts[0] if self.efforts else 0

    @abstractmethod
    def build(self) -> dict[str, float]:
        """Put all rows in and on disk; return seconds by stage."""

    @abstractmethod
    def open(self) -> None:
        """Open what was built."""

    @abstractmethod
    def search(
        self, query: npt.NDArray[np.float32], k: int, filtered: Filtered
    ) -> npt.NDArray[np.int64]:
        """Return the numbers of the rows found."""


class Faiss(SearchEngine):
    """FAISS, HNSW32 on float32."""

    def build(self) -> dict[str, float]:  # noqa: D102
        import faiss  # noqa: PLC0415

        faiss.omp_set_num_threads(THREADS)
        index = faiss.IndexHNSWFlat(self.rows.dimension, 32, faiss.METRIC_INNER_PRODUCT)
        started = time.perf_counter()
        for _, vectors in self.rows.batches():
            index.add(vectors)
        built = time.perf_counter()
        faiss.write_index(index, str(self.folder / "index.faiss"))
        return {"index": built - started, "write": time.perf_counter() - built}

    def open(self) -> None:  # noqa: D102
        import faiss  # noqa: PLC0415

        faiss.omp_set_num_threads(THREADS)
        self._faiss = faiss
        self._index = faiss.read_index(str(self.folder / "index.faiss"))
        self._selectors: dict[str, Any] = {"all": None}
        for filtered in ("1 %", "50 %"):
            allowed = np.packbits(self.rows.shops < FIRST_SHOPS[filtered], bitorder="little")
            self._selectors[filtered] = faiss.IDSelectorBitmap(allowed)

    def search(  # noqa: D102
        self, query: npt.NDArray[np.float32], k: int, filtered: Filtered
    ) -> npt.NDArray[np.int64]:
        parameters = self._faiss.SearchParametersHNSW(
            efSearch=self.effort, sel=self._selectors[filtered]
        )
        found = self._index.search(query[None], k, params=parameters)[1][0]
        return found[found >= 0]


class USearch(SearchEngine):
    """usearch, HNSW on float16."""

    filters = False

    def build(self) -> dict[str, float]:  # noqa: D102
        from usearch.index import Index  # noqa: PLC0415

        index = Index(ndim=self.rows.dimension, metric="ip", dtype="f16")
        started = time.perf_counter()
        for start, vectors in self.rows.batches():
            keys = np.arange(start, start + len(vectors))
            index.add(keys, vectors.astype(np.float16), threads=THREADS)
        built = time.perf_counter()
        index.save(str(self.folder / "index.usearch"))
        return {"index": built - started, "write": time.perf_counter() - built}

    def open(self) -> None:  # noqa: D102
        from usearch.index import Index  # noqa: PLC0415

        self._index = Index.restore(str(self.folder / "index.usearch"), view=True)

    def search(  # noqa: D102
        self, query: npt.NDArray[np.float32], k: int, filtered: Filtered
    ) -> npt.NDArray[np.int64]:
        self._index.expansion_search = self.effort
        found = self._index.search(query.astype(np.float16), k, threads=1)
        return np.asarray(found.keys, dtype=np.int64)


class Lance(SearchEngine):
    """LanceDB, HNSW on 8 bits, with a bitmap of the shops."""

    def build(self) -> dict[str, float]:  # noqa: D102
        lancedb, pa = self._modules()
        d = self.rows.dimension
        schema = pa.schema(
            {"id": pa.int64(), "product": pa.int64(), "shop": pa.int64(),
             "vector": pa.list_(pa.float32(), d)}
        )  # fmt: skip

        def batches() -> Iterator[Any]:
            for start, vectors in self.rows.batches():
                part = slice(start, start + len(vectors))
                columns = [
                    np.arange(part.start, part.stop),
                    self.rows.products[part],
                    self.rows.shops[part],
                ]
                flat = pa.array(vectors.reshape(-1))
                yield pa.record_batch(
                    [*map(pa.array, columns), pa.FixedSizeListArray.from_arrays(flat, d)],
                    schema=schema,
                )

        started = time.perf_counter()
        table = lancedb.connect(self.folder).create_table(
            "rows", pa.RecordBatchReader.from_batches(schema, batches())
        )
        put_in = time.perf_counter()
        table.create_index(
            "dot", vector_column_name="vector", index_type="IVF_HNSW_SQ", num_partitions=1
        )
        table.create_scalar_index("shop", index_type="BITMAP")
        return {"put in": put_in - started, "index": time.perf_counter() - put_in}

    def open(self) -> None:  # noqa: D102
        lancedb, _ = self._modules()
        self._table = lancedb.connect(self.folder).open_table("rows")

    def search(  # noqa: D102
        self, query: npt.NDArray[np.float32], k: int, filtered: Filtered
    ) -> npt.NDArray[np.int64]:
        search = self._table.search(query, vector_column_name="vector").distance_type("dot")
        search = search.ef(self.effort).limit(k).select(["id", "product", "_distance"])
        if filtered != "all":
            search = search.where(f"shop < {FIRST_SHOPS[filtered]}", prefilter=True)
        return search.to_arrow()["id"].to_numpy()

    def _modules(self) -> tuple[Any, Any]:
        os.environ.setdefault("LANCE_LOG", "error")
        import lancedb  # noqa: PLC0415
        import pyarrow  # noqa: PLC0415

        return lancedb, pyarrow


class QdrantEdge(SearchEngine):
    """Qdrant Edge, HNSW on float16, with an index of the shops."""

    def build(self) -> dict[str, float]:  # noqa: D102
        import qdrant_edge as q  # noqa: PLC0415

        vectors = q.EdgeVectorParams(
            size=self.rows.dimension,
            distance=q.Distance.Dot,
            datatype=q.VectorStorageDatatype.Float16,
        )
        config = q.EdgeConfig(
            vectors=vectors,
            hnsw_config=q.HnswIndexConfig(16, 100, 10_000, max_indexing_threads=THREADS),
            optimizers=q.EdgeOptimizersConfig(default_segment_number=1, max_segment_size=10**8),
        )
        started = time.perf_counter()
        shard = q.EdgeShard.create(str(self.folder / "shard"), config)
        shard.update(q.UpdateOperation.create_field_index("shop", q.PayloadSchemaType.Integer))
        for start, part in self.rows.batches():
            points = [
                q.Point(
                    start + row,
                    vector,
                    {
                        "product": int(self.rows.products[start + row]),
                        "shop": int(self.rows.shops[start + row]),
                    },
                )
                for row, vector in enumerate(part.tolist())
            ]
            shard.update(q.UpdateOperation.upsert_points(points))
        put_in = time.perf_counter()
        shard.optimize()
        shard.flush()
        shard.close()
        return {"put in": put_in - started, "index": time.perf_counter() - put_in}

    def open(self) -> None:  # noqa: D102
        import qdrant_edge as q  # noqa: PLC0415

        self._q = q
        self._shard = q.EdgeShard.load(str(self.folder / "shard"))

    def search(  # noqa: D102
        self, query: npt.NDArray[np.float32], k: int, filtered: Filtered
    ) -> npt.NDArray[np.int64]:
        q = self._q
        passing = None
        if filtered != "all":
            condition = q.FieldCondition("shop", range=q.RangeFloat(lt=FIRST_SHOPS[filtered]))
            passing = q.Filter(must=[condition])
        request = q.SearchRequest(
            query=q.Query.Nearest(query.tolist()),
            limit=k,
            filter=passing,
            params=q.SearchParams(hnsw_ef=self.effort),
            with_payload=True,
        )
        return np.array([point.id for point in self._shard.search(request)], dtype=np.int64)


class Ours(SearchEngine):
    """The embedded catalogue of shoplens."""

    efforts = ()
    """It chooses itself."""
    exact = False

    def build(self) -> dict[str, float]:  # noqa: D102
        from shoplens.catalog import Entry, ModelStamp, open_catalog  # noqa: PLC0415

        started = time.perf_counter()
        with open_catalog(self.folder / "catalogue", create=True) as catalog:
            catalog.set_model(ModelStamp("made", "made", self.rows.dimension))
            for start, vectors in self.rows.batches():
                catalog.upsert(
                    Entry(
                        start + row,
                        vector,
                        f"p{self.rows.products[start + row]}",
                        path=f"photos/{start + row}.jpg",
                        attributes={"shop": int(self.rows.shops[start + row])},
                    )
                    for row, vector in enumerate(vectors)
                )
            put_in = time.perf_counter()
            catalog.compact()
        return {"put in": put_in - started, "index": time.perf_counter() - put_in}

    def open(self) -> None:  # noqa: D102
        from shoplens.catalog import open_catalog  # noqa: PLC0415

        self.catalog = open_catalog(self.folder / "catalogue", read_only=True)
        self.catalog.count()  # What is read at the first use.

    def search(  # noqa: D102
        self, query: npt.NDArray[np.float32], k: int, filtered: Filtered
    ) -> npt.NDArray[np.int64]:
        where = None if filtered == "all" else f"shop < {FIRST_SHOPS[filtered]}"
        found = self.catalog.search(vector=query, k=k, where=where, exact=self.exact)
        return np.array([hit.photo_id for hit in found], dtype=np.int64)

    def products(self, query: npt.NDArray[np.float32], k: int) -> npt.NDArray[np.int64]:
        """Return the numbers of the nearest products."""
        found = self.catalog.search(vector=query, k=k, group_by="product", exact=self.exact)
        return np.array([int(str(hit.product_id)[1:]) for hit in found], dtype=np.int64)


ENGINES: dict[str, type[SearchEngine]] = {
    "FAISS": Faiss,
    "usearch": USearch,
    "LanceDB": Lance,
    "Qdrant Edge": QdrantEdge,
    "shoplens": Ours,
}
