"""Write vectors to a file row by row, so that memory holds only a few of them."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, Protocol

import numpy as np

from shoplens.arrow import arrow
from shoplens.errors import RankingError
from shoplens.files import replacing
from shoplens.records import Photo, Vector
from shoplens.vectors.lance import SUFFIX as LANCE
from shoplens.vectors.lance import require_lance, write_lance
from shoplens.vectors.matching import stored_name
from shoplens.vectors.region_columns import region_cells, region_types
from shoplens.vectors.regions import PhotoRegions

METADATA_KEY = b"shoplens"
"""The metadata key of a Parquet file that holds the model."""
_BLOCK = 2048
"""Rows of a Parquet row group."""


@dataclass(frozen=True, slots=True)
class VectorFileInfo:
    """What a vector file says about all its rows."""

    n_photos: int
    dimension: int
    model_name: str | None
    fingerprint: str | None
    views: int = 1
    """Of how many views of each photo a vector is the mean."""
    regions: int = 0
    """How many regions of each photo have vectors beside it, at most; 0 for none."""


@dataclass(frozen=True, slots=True, eq=False)
class VectorRow:
    """A row of a vector file."""

    photo: Photo
    vector: Vector | None
    """(dimension,) float32; None if the photo failed."""
    sha256: str | None
    """SHA-256 of the photo's bytes; None if unknown."""
    reason: str
    """Why it failed; empty if it did not."""
    regions: PhotoRegions | None = None


class VectorWriter(Protocol):
    """Writes the rows of a file, in table order."""

    def add(self, row: VectorRow) -> None:
        """Write a row."""


@contextmanager
def writing_vectors(path: str | Path, info: VectorFileInfo) -> Iterator[VectorWriter]:
    """Write vectors as `.parquet`, `.lance` or `.npy`. The file appears when it is complete.

    A `.npy` holds float32 (n, dimension), with a row of NaN if the photo failed.

    Raises:
        RankingError: the suffix is unknown, the file cannot hold regions, or the number of rows is
            not the announced one.
        MissingError: the extra for Parquet or Lance is missing.
    """
    path = Path(path)
    require_vector_file(path)
    if info.regions and path.suffix == ".npy":
        raise RankingError(
            f"{path}: a .npy has no place for vectors of regions; write .parquet or .lance"
        )
    if path.suffix == LANCE:
        # Lance takes rows instead of being given them, so they wait in a file.
        with tempfile.TemporaryDirectory(dir=path.parent, prefix=f".{path.name}.") as scratch:
            file = Path(scratch, "vectors.parquet")
            with writing_vectors(file, info) as writer:
                yield writer
            write_lance(parquet_batches(file), path)
        return
    with replacing(path) as stream:
        writer = (_NpyWriter if path.suffix == ".npy" else _ParquetWriter)(stream, info)
        try:
            yield writer
        finally:
            writer.finish()
        if writer.n_rows != info.n_photos:
            raise RankingError(f"{path}: {writer.n_rows} rows of {info.n_photos} were written")


def require_vector_file(path: Path) -> None:
    """Check that vectors can be written to a file of this name, before the work for it begins.

    Raises the errors of `writing_vectors`.
    """
    if path.suffix not in (".npy", ".parquet", LANCE):
        raise RankingError(f"{path}: vectors are written as .parquet, .lance or .npy")
    if path.suffix != ".npy":
        arrow("pyarrow.parquet")
    if path.suffix == LANCE:
        require_lance(path)


def parquet_batches(file: Path) -> Iterator[Any]:
    """Yield the rows of a Parquet file as record batches; the first batch has no rows."""
    with arrow("pyarrow.parquet").ParquetFile(file) as parquet:
        yield arrow().RecordBatch.from_pylist([], schema=parquet.schema_arrow)
        yield from parquet.iter_batches(_BLOCK)


class _NpyWriter:
    def __init__(self, stream: IO[bytes], info: VectorFileInfo) -> None:
        self.n_rows = 0
        self._stream = stream
        self._absent = np.full(info.dimension, np.nan, dtype="<f4")
        header = {"descr": "<f4", "fortran_order": False, "shape": (info.n_photos, info.dimension)}
        np.lib.format.write_array_header_1_0(stream, header)

    def add(self, row: VectorRow) -> None:
        vector = self._absent if row.vector is None else row.vector.astype("<f4")
        self._stream.write(vector.tobytes())
        self.n_rows += 1

    def finish(self) -> None:
        pass


class _ParquetWriter:
    def __init__(self, stream: IO[bytes], info: VectorFileInfo) -> None:
        self.n_rows = 0
        self._rows: list[VectorRow] = []
        self._dimension = info.dimension
        pyarrow = arrow()
        meta: dict[str, Any] = {"model": info.model_name, "fingerprint": info.fingerprint}
        if info.views != 1:
            meta["views"] = info.views
        if info.regions:
            meta["regions"] = info.regions
        fields = [
            ("photo_id", pyarrow.int32()),
            ("product_id", pyarrow.string()),
            ("path", pyarrow.string()),
            ("sha256", pyarrow.string()),
            ("domain", pyarrow.string()),
            # Failed photos have zeros: many versions of pyarrow cannot write null fixed-size lists.
            ("vector", pyarrow.list_(pyarrow.float32(), info.dimension)),
            ("failure", pyarrow.string()),
        ]
        self._types = region_types() if info.regions else {}
        fields += self._types.items()
        self._schema = pyarrow.schema(fields, metadata={METADATA_KEY: json.dumps(meta)})
        self._writer: Any = arrow("pyarrow.parquet").ParquetWriter(stream, self._schema)

    def add(self, row: VectorRow) -> None:
        self._rows.append(row)
        self.n_rows += 1
        if len(self._rows) == _BLOCK:
            self._write()

    def finish(self) -> None:
        # A table without rows still has its columns.
        if self._rows or not self.n_rows:
            self._write()
        self._writer.close()

    def _write(self) -> None:
        pyarrow = arrow()
        rows, self._rows = self._rows, []
        zero = np.zeros(self._dimension, dtype=np.float32)
        vectors = [zero if row.vector is None else row.vector for row in rows]
        flat = np.concatenate(vectors) if vectors else zero[:0]
        columns = [
            pyarrow.array([row.photo.id for row in rows], pyarrow.int32()),
            pyarrow.array([row.photo.product_id for row in rows], pyarrow.string()),
            pyarrow.array([stored_name(row.photo.name) for row in rows], pyarrow.string()),
            pyarrow.array([row.sha256 for row in rows], pyarrow.string()),
            pyarrow.array([row.photo.domain for row in rows], pyarrow.string()),
            pyarrow.FixedSizeListArray.from_arrays(pyarrow.array(flat), self._dimension),
            pyarrow.array([row.reason or None for row in rows], pyarrow.string()),
        ]
        cells = region_cells([row.regions for row in rows])
        columns += [pyarrow.array(cells[name], kind) for name, kind in self._types.items()]
        self._writer.write_table(pyarrow.table(columns, schema=self._schema))
