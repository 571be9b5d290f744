"""One collection on a Milvus server: its rows in requests of the size that a server takes."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any

from shoplens.catalog.milvus import schema
from shoplens.catalog.milvus.connection import Connection, DataType, LoadState, MilvusClient
from shoplens.catalog.milvus.expressions import keys_expression
from shoplens.catalog.milvus.region_rows import LONGEST_ENDING
from shoplens.catalog.milvus.rows import ENTRY_FIELDS, Row, mark_row
from shoplens.records import Vectors

CONSISTENCY = "Session"
"""A search sees what this process wrote before. What others wrote it sees a moment later."""

MOST_HITS = 16_384
"""Rows in one answer of a server."""
_ANSWER_BYTES = 48 * 2**20
"""In one answer, which may have 64 MB."""
_BATCH_BYTES = 4 * 2**20
"""In one upsert. Message queues take 5 MB."""
_KEYS = 1_000
"""Primary keys in one expression."""
_QUERIES = 64
"""Queries in one search."""
_LEAST_DIMENSION = 2
"""Of a collection that holds no vectors yet."""


class Collection:
    """One collection. May be used from several threads."""

    def __init__(self, connection: Connection, name: str) -> None:
        """Name a collection, or an alias of one."""
        self.name = name
        self.dimension = _LEAST_DIMENSION
        """Of its vectors."""
        self.has_regions = False
        """Whether it has a place for regions."""
        self.uri = connection.uri
        self._connection = connection
        self._call = connection.call

    # The collection itself.

    def exists(self) -> bool:
        """Return whether there is such a collection."""
        return bool(self._call(lambda client, s: client.has_collection(self.name, timeout=s)))

    def description(self) -> str:
        """Return what the collection says of itself."""
        found = self._call(lambda client, s: client.describe_collection(self.name, timeout=s))
        return str(found["description"])

    def real_name(self) -> str:
        """Return the name of the collection that an alias stands for."""
        found = self._call(lambda client, s: client.describe_collection(self.name, timeout=s))
        return str(found["collection_name"])

    def create_alias(self, alias: str) -> None:
        """Let a new alias stand for this collection.

        Raises `CatalogError` if there is such an alias.
        """
        self._call(lambda client, s: client.create_alias(self.name, alias, timeout=s))

    def take_alias(self, alias: str) -> None:
        """Let an alias stand for this collection, from one moment to the next."""
        self._call(lambda client, s: client.alter_alias(self.name, alias, timeout=s))

    def create(self, about: schema.About) -> None:
        """Make the collection. Without a model, it can hold no photos and is only a description.

        Raises `CatalogError` if the server has no index of this kind.
        """
        partitioned = self._connection.version() >= schema.PARTITION_KEY_FROM
        if about.model is not None:
            self.dimension = about.model.dimension
        made = MilvusClient.create_schema(description=about.to_text())
        self.has_regions = about.regions is not None
        key, text = {"max_length": schema.LONGEST_KEY}, {"max_length": schema.LONGEST_TEXT}
        longest = schema.LONGEST_KEY + (LONGEST_ENDING if self.has_regions else 0)
        made.add_field(schema.PHOTO, DataType.VARCHAR, is_primary=True, max_length=longest)
        made.add_field(schema.KIND, DataType.INT8)
        made.add_field(schema.SEQUENCE, DataType.INT64)
        made.add_field(schema.VECTOR, DataType.FLOAT_VECTOR, dim=self.dimension)
        made.add_field(schema.PRODUCT, DataType.VARCHAR, **key)
        made.add_field(schema.CATEGORY, DataType.VARCHAR, is_partition_key=partitioned, **key)
        made.add_field(schema.ATTRIBUTES, DataType.JSON)
        made.add_field(schema.FACTS, DataType.VARCHAR, **text)
        made.add_field(schema.CHECKSUM, DataType.VARCHAR, max_length=32)
        if self.has_regions:
            made.add_field(schema.REGIONS, DataType.VARCHAR, **text)
        index = schema.INDEXES[about.index]
        indexes = MilvusClient.prepare_index_params()
        indexes.add_index(
            schema.VECTOR, index_type=index.kind, metric_type="IP", params=dict(index.build)
        )
        options: dict[str, Any] = {"num_partitions": schema.N_PARTITIONS} if partitioned else {}
        self._call(
            lambda client, s: client.create_collection(
                self.name, schema=made, consistency_level=CONSISTENCY, timeout=s, **options
            )
        )
        if about.model is not None:
            # There is nothing to be indexed yet, so nothing to wait for.
            self._call(lambda client, s: client.create_index(self.name, indexes, s, sync=False))
            self.load()

    def drop(self) -> None:
        """Remove the collection."""
        self._call(lambda client, s: client.drop_collection(self.name, timeout=s))

    def load(self) -> None:
        """Have the server bring the collection into memory, if it is not there.

        One that is there may be there several times (replicas), which is for its administrator.
        """
        found = self._call(lambda client, s: client.get_load_state(self.name, timeout=s))
        if found["state"] != LoadState.Loaded:
            self._call(lambda client, s: client.load_collection(self.name, timeout=s))

    def flush(self) -> None:
        """Have the server write everything to its storage, so that it is indexed."""
        self._call(lambda client, s: client.flush(self.name, timeout=s))

    def compact(self) -> int:
        """Have the server merge what is small; return the number of the job."""
        return int(self._call(lambda client, s: client.compact(self.name, timeout=s)))

    def is_compacted(self, job: int) -> bool:
        """Return whether such a job is done."""
        state = self._call(lambda client, s: client.get_compaction_state(job, timeout=s))
        return str(state) == "Completed"

    def index(self) -> dict[str, Any]:
        """Return what the server says of the index of the vectors."""
        return dict(
            self._call(lambda client, s: client.describe_index(self.name, schema.VECTOR, timeout=s))
        )

    # Its rows.

    @property
    def entry_fields(self) -> list[str]:
        """What has to be read of an entry's row."""
        return [*ENTRY_FIELDS, schema.REGIONS] if self.has_regions else ENTRY_FIELDS

    def upsert(
        self, rows: Sequence[Row], *, progress: Callable[[int], None] = lambda _: None
    ) -> None:
        """Put rows in, or in the place of those with the same primary key.

        `progress` is told how many the server has acknowledged.
        """
        if not self.has_regions:
            rows = [
                {name: value for name, value in row.items() if name != schema.REGIONS}
                for row in rows
            ]
        done = 0
        for batch in _batches(rows):
            # Milvus' insert would not look for rows with the same key.
            self._call(
                lambda client, s, batch=batch: client.upsert(self.name, batch, timeout=s)  # type: ignore[misc]
            )
            done += len(batch)
            progress(done)

    def delete(self, keys: Sequence[str]) -> None:
        """Remove rows."""
        for part in _parts(keys):
            self._call(
                lambda client, s, part=part: client.delete(  # type: ignore[misc]
                    self.name, filter=keys_expression(part), timeout=s
                )
            )
        self.mark()

    def mark(self) -> None:
        """Have the next search wait for what took place before.

        A search waits for the last upsert of this process. The answer to a deletion does not say
        when it took place. So a row that stands for no photo is written after it.
        """
        self.upsert([mark_row(self.dimension)])

    def count(self, expression: str) -> int:
        """Return how many rows fulfil an expression."""
        [row] = self._query(expression, ["count(*)"])
        return int(row["count(*)"])

    def rows_of(self, keys: Sequence[str], fields: list[str]) -> Iterator[Row]:
        """Yield the rows with these primary keys, as far as they are there, in any order."""
        for part in _parts(keys, self._page(fields)):
            yield from self._query(keys_expression(part), fields)

    def rows(self, expression: str, fields: list[str]) -> Iterator[list[Row]]:
        """Yield all rows that fulfil an expression, page by page, in any order.

        If there is only one page, it is as of one moment.
        """
        size = self._page(fields)
        first = self._query(expression, fields, limit=size)
        if len(first) < size:
            yield first
            return
        iterator = self._call(
            lambda client, s: client.query_iterator(
                self.name, batch_size=size, filter=expression, output_fields=fields, timeout=s
            )
        )
        try:
            while page := self._call(lambda _client, _s: iterator.next()):
                yield list(page)
        finally:
            iterator.close()

    def search(
        self, vectors: Vectors, k: int, expression: str, settings: dict[str, Any]
    ) -> list[list[tuple[str, float]]]:
        """Return primary keys and scores of about the k nearest rows for each vector."""
        found = []
        for start in range(0, len(vectors), _QUERIES):
            block = list(vectors[start : start + _QUERIES])
            answers = self._call(
                lambda client, s, block=block: client.search(  # type: ignore[misc]
                    self.name,
                    block,
                    filter=expression,
                    limit=k,
                    search_params={"metric_type": "IP", "params": settings},
                    consistency_level=CONSISTENCY,
                    timeout=s,
                )
            )
            found += [
                # Old servers do not name the key's field.
                [(str(hit.get(schema.PHOTO) or hit["id"]), float(hit["distance"])) for hit in hits]
                for hits in answers
            ]
        return found

    def _query(self, expression: str, fields: list[str], limit: int | None = None) -> list[Row]:
        options = {} if limit is None else {"limit": limit}
        return list(
            self._call(
                lambda client, s: client.query(
                    self.name,
                    filter=expression,
                    output_fields=fields,
                    consistency_level=CONSISTENCY,
                    timeout=s,
                    **options,
                )
            )
        )

    # What these need.

    def _page(self, fields: list[str]) -> int:
        """Return how many rows fit an answer, however long their texts are."""
        widths = {
            schema.VECTOR: 4 * self.dimension,
            schema.FACTS: schema.LONGEST_TEXT,
            schema.ATTRIBUTES: schema.LONGEST_TEXT,
            schema.REGIONS: schema.LONGEST_TEXT,
        }
        width = sum(widths.get(name, schema.LONGEST_KEY) for name in fields)
        return max(1, min(MOST_HITS, _ANSWER_BYTES // width))


def _batches(rows: Sequence[Row]) -> Iterator[list[Row]]:
    """Yield rows in batches that fit a message."""
    batch: list[Row] = []
    size = 0
    for row in rows:
        attributes = row[schema.ATTRIBUTES].items()
        texts = (row[name] for name in (schema.PHOTO, schema.PRODUCT, schema.CATEGORY))
        own = (
            row[schema.VECTOR].nbytes
            + len(row[schema.FACTS].encode())
            + len(row.get(schema.REGIONS, ""))
            + sum(map(len, texts))
            + sum(len(name) + len(value) + 6 for name, value in attributes)
            + 100
        )
        if batch and size + own > _BATCH_BYTES:
            yield batch
            batch, size = [], 0
        batch.append(row)
        size += own
    if batch:
        yield batch


def _parts(keys: Sequence[str], size: int = _KEYS) -> Iterator[Sequence[str]]:
    size = min(size, _KEYS)
    for start in range(0, len(keys), size):
        yield keys[start : start + size]
