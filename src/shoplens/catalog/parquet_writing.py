"""Write a catalogue to a Parquet file, a few thousand photos in memory at a time."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np

from shoplens.arrow import arrow
from shoplens.attributes import Value
from shoplens.catalog.base import Catalog
from shoplens.catalog.entry import Entry, FailedPhoto, PhotoId, photo_id_of
from shoplens.catalog.model_stamp import ModelStamp
from shoplens.catalog.parquet_columns import (
    DOMAIN,
    AttributeColumn,
    attribute_columns,
    fixed_fields,
)
from shoplens.files import replacing
from shoplens.progress import Progress
from shoplens.reranking import Chain
from shoplens.vectors.region_columns import region_cells
from shoplens.vectors.writing import METADATA_KEY

_BATCH = 2048
"""Photos in memory, and rows of a row group."""
_SPOOLED_ATTRIBUTES = "attributes"


def write_parquet(
    path: Path, catalog: Catalog, model: ModelStamp, progress: Progress
) -> tuple[int, int]:
    """Write all photos of a catalogue, as of one moment; return how many, and how many failed.

    The columns are known only when all photos have been seen, so the rows wait in a file beside
    `path`.
    """
    with tempfile.TemporaryDirectory(dir=path.parent, prefix=f".{path.name}.") as scratch:
        spool = _Spool(Path(scratch, "rows.arrow"), model, catalog.regions, catalog.chain)
        # What is a failure before and an entry after, or the other way round, is not left out.
        failed = {photo.photo_id: photo for photo in catalog.failures()}
        spool.fill(catalog.entries(), catalog.count(), progress)
        failed |= {photo.photo_id: photo for photo in catalog.failures()}
        for photo in failed.values():
            spool.see(photo.photo_id, photo.attributes)
        with replacing(path) as stream:
            return spool.write(stream, failed, progress)


class _Spool:
    """Rows whose ids are texts and whose attributes are JSON, until their types are known."""

    def __init__(self, path: Path, model: ModelStamp, n_regions: int, chain: Chain) -> None:
        self._path = path
        self._model = model
        self._n_regions = n_regions
        self._chain = chain
        pyarrow = arrow()
        self._schema = pyarrow.schema(
            [*fixed_fields(model.dimension), (_SPOOLED_ATTRIBUTES, pyarrow.string())]
        )
        self._all_whole = True
        self._kinds: dict[str, set[type]] = {}

    def see(self, photo_id: PhotoId, attributes: Mapping[str, Value]) -> None:
        """Take note of the types of a row."""
        self._all_whole &= isinstance(photo_id, int)
        for name, value in attributes.items():
            if value is not None:
                self._kinds.setdefault(name, set()).add(type(value))

    def fill(self, entries: Iterator[Entry], n_expected: int, progress: Progress) -> None:
        """Take in all entries. `n_expected` is for the progress only."""
        n_read = 0
        with arrow("pyarrow.ipc").new_file(str(self._path), self._schema) as writer:
            while rows := list(islice(entries, _BATCH)):
                for entry in rows:
                    self.see(entry.photo_id, entry.attributes)
                writer.write_batch(self._batch(rows))
                n_read += len(rows)
                progress("read", n_read, max(n_read, n_expected))

    def write(
        self, stream: Any, failed: dict[PhotoId, FailedPhoto], progress: Progress
    ) -> tuple[int, int]:
        """Write the entries, and then the failed photos that are not among them."""
        pyarrow = arrow()
        meta: dict[str, str | int] = {
            "model": self._model.name,
            "fingerprint": self._model.fingerprint,
            "dimension": self._model.dimension,
        }
        if self._n_regions:
            meta["regions"] = self._n_regions
        if self._chain.steps:
            meta["chain"] = str(self._chain)
        whole = pyarrow.int64() if self._all_whole else pyarrow.string()
        fields = [
            (name, whole if name == "photo_id" else kind)
            for name, kind in fixed_fields(self._model.dimension)
        ]
        attributes = attribute_columns(self._kinds)
        further = [(column.name, column.kind) for column in attributes]
        schema = pyarrow.schema([*fields, *further], metadata={METADATA_KEY: json.dumps(meta)})
        n_entries = 0
        with (
            pyarrow.memory_map(str(self._path)) as mapped,
            arrow("pyarrow.parquet").ParquetWriter(stream, schema) as writer,
        ):
            spooled = arrow("pyarrow.ipc").open_file(mapped)
            for number in range(spooled.num_record_batches):
                batch = spooled.get_batch(number)
                for text in batch.column("photo_id").to_pylist():
                    failed.pop(photo_id_of(text), None)
                writer.write_batch(_typed(batch, schema, attributes))
                n_entries += len(batch)
                progress("write", number + 1, spooled.num_record_batches)
            rest = iter(failed.values())
            while rows := list(islice(rest, _BATCH)):
                writer.write_batch(_typed(self._batch(rows), schema, attributes))
            if not n_entries and not failed:
                writer.write_table(schema.empty_table())
        return n_entries, len(failed)

    def _batch(self, rows: Sequence[Entry | FailedPhoto]) -> Any:
        """Return rows as a batch of the spool."""
        pyarrow = arrow()
        dimension = self._model.dimension
        zero = np.zeros(dimension, dtype=np.float32)
        vectors = [row.vector if isinstance(row, Entry) else zero for row in rows]
        flat = pyarrow.array(np.concatenate(vectors))
        regions = [row.regions if isinstance(row, Entry) else None for row in rows]
        texts: dict[str, list[Any]] = {
            "photo_id": [str(row.photo_id) for row in rows],
            "product_id": [row.product_id for row in rows],
            "path": [row.path for row in rows],
            "sha256": [row.sha256 if isinstance(row, Entry) else None for row in rows],
            "domain": [DOMAIN] * len(rows),
            "failure": [None if isinstance(row, Entry) else row.reason for row in rows],
            "detail": [None if isinstance(row, Entry) else row.detail for row in rows],
            "source": [row.source for row in rows],
            "box": [_corners(row) if isinstance(row, Entry) else None for row in rows],
            "stamp": [row.stamp if isinstance(row, Entry) else "" for row in rows],
            "null_attributes": [
                [name for name, value in row.attributes.items() if value is None] or None
                for row in rows
            ],
            **region_cells(regions),
            _SPOOLED_ATTRIBUTES: [json.dumps(dict(row.attributes)) for row in rows],
        }
        columns = [
            pyarrow.FixedSizeListArray.from_arrays(flat, dimension)
            if field.name == "vector"
            else pyarrow.array(texts[field.name], field.type)
            for field in self._schema
        ]
        return pyarrow.record_batch(columns, schema=self._schema)


def _typed(batch: Any, schema: Any, attributes: Sequence[AttributeColumn]) -> Any:
    """Return a batch of the spool in the columns of the file."""
    pyarrow = arrow()
    *fixed, texts = batch.columns
    columns = [
        column.cast(field.type)
        for column, field in zip(fixed, schema, strict=False)  # Attributes come last.
    ]
    rows = [json.loads(text) for text in texts.to_pylist()]
    for column in attributes:
        values = [row.get(column.attribute) for row in rows]
        if column.mixed:
            values = [None if value is None else json.dumps(value) for value in values]
        columns.append(pyarrow.array(values, column.kind))
    return pyarrow.record_batch(columns, schema=schema)


def _corners(entry: Entry) -> list[float] | None:
    box = entry.box
    return None if box is None else [box.x0, box.y0, box.x1, box.y1]
