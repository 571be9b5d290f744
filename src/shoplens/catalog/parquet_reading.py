"""Read photos with their vectors from a Parquet file, a few thousand in memory at a time."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np

from shoplens.arrow import arrow
from shoplens.attributes import Value
from shoplens.catalog.chains import kept_chain
from shoplens.catalog.checks import UNIT_TOLERANCE
from shoplens.catalog.entry import Entry, FailedPhoto, PhotoId, photo_id_of
from shoplens.catalog.filters import RESERVED
from shoplens.catalog.parquet_columns import DOMAIN, attribute_of
from shoplens.errors import DataError, MissingError, PhotoError, RankingError
from shoplens.json_text import parse_object
from shoplens.progress import Progress
from shoplens.records import REASONS, Box, Fault, Vectors
from shoplens.regions.choosing import MOST
from shoplens.reranking import NONE, Chain
from shoplens.vectors.region_columns import REGION_COLUMNS
from shoplens.vectors.regions import PhotoRegions
from shoplens.vectors.writing import METADATA_KEY

_BATCH = 2048
"""Rows in memory."""
_MOST_FAULTS = 1000
"""Faults after which a file is not read further."""
_TEXTS = ("product_id", "path", "sha256", "domain", "failure", "detail", "source", "stamp")

Read = Entry | FailedPhoto


class ParquetPhotos:
    """The photos of a Parquet file, as `shoplens embed` or an export wrote it.

    Use it as a context manager. Raises `MissingError` if there is no such file, and `DataError` if
    it is another kind of file.
    """

    def __init__(self, path: Path) -> None:
        if not path.is_file():
            raise MissingError(f"there is no file {path}")
        self.path = path
        try:
            self._file = arrow("pyarrow.parquet").ParquetFile(path)
        except (OSError, ValueError) as error:  # pyarrow's errors derive from these.
            raise DataError(f"{path} is not a Parquet file: {error}") from error
        schema = self._file.schema_arrow
        try:
            if missing := [name for name in ("photo_id", "vector") if name not in schema.names]:
                raise DataError(f"{path}: columns {missing} are missing; there are {schema.names}")
            text = (schema.metadata or {}).get(METADATA_KEY, b"{}")
            stated = parse_object(text, f"{path}, metadata")
            self.chain = _chain(stated.get("chain", NONE), path)
            """By which the catalogue re-ranked searches."""
        except BaseException:
            self._file.close()
            raise
        self.model_name: str | None = stated.get("model")
        self.fingerprint: str | None = stated.get("fingerprint")
        """Of the model of the vectors; None where the file does not say."""
        stated_regions = stated.get("regions")
        self.regions = stated_regions if isinstance(stated_regions, int) else 0
        """How many regions of each photo the catalogue had vectors of."""
        self.n_rows: int = self._file.metadata.num_rows
        self.dimension = 0
        """The length of the vectors; 0 as long as `check` found none."""
        self._faults: list[Fault] = []

    def __enter__(self) -> ParquetPhotos:
        return self

    def __exit__(
        self,
        _kind: type[BaseException] | None,
        _error: BaseException | None,
        _traceback: TracebackType | None,
    ) -> None:
        self._file.close()

    def check(self, progress: Progress) -> None:
        """Check every row.

        Raises `DataError`; it lists the faults.
        """
        for column in self._file.schema_arrow.names:
            attribute = attribute_of(column)
            if attribute and (not attribute[0] or attribute[0] in RESERVED):
                self._fault(0, column, "", "cannot be an attribute: the name is taken or empty")
        seen: set[PhotoId] = set()
        n_read = 0
        for batch in self._batches():
            for row, photo in self._photos(batch, n_read + 1):
                if photo.photo_id in seen:
                    self._fault(row, "photo_id", photo.photo_id, "is there twice")
                seen.add(photo.photo_id)
            n_read += len(batch)
            progress("check", n_read, self.n_rows)
            if len(self._faults) >= _MOST_FAULTS:
                break
        self._refuse()

    def photos(self) -> Iterator[list[Read]]:
        """Yield the photos in order, a few thousand at a time.

        Raises `DataError` if a row is faulty.
        """
        n_read = 0
        for batch in self._batches():
            photos = [photo for _, photo in self._photos(batch, n_read + 1)]
            self._refuse()
            n_read += len(batch)
            yield photos

    def _batches(self) -> Iterator[Any]:
        try:
            yield from self._file.iter_batches(_BATCH)
        except (OSError, ValueError) as error:
            raise DataError(f"{self.path} is damaged: {error}") from error

    def _refuse(self) -> None:
        if self._faults:
            n_faults = len(self._faults)
            count = "1 fault" if n_faults == 1 else f"{n_faults:,} faults"
            raise DataError(f"{self.path}: {count}; nothing was put in", self._faults)

    def _fault(self, row: int, column: str, value: object, problem: str) -> None:
        self._faults.append(Fault(self.path.name, row, column, str(value), problem))

    def _photos(self, batch: Any, first_row: int) -> Iterator[tuple[int, Read]]:
        """Yield the sound rows of a batch with their numbers."""
        names = batch.schema.names
        empty = [None] * len(batch)
        columns = {
            name: empty if name not in names else batch.column(name).to_pylist()
            for name in ("photo_id", *_TEXTS, "box", "null_attributes", *REGION_COLUMNS)
        }
        attributes = [
            (*attribute, batch.column(name).to_pylist())
            for name in names
            if (attribute := attribute_of(name))
        ]
        vectors, has_vector = self._vectors(batch, first_row)
        lengths = np.linalg.norm(vectors.astype(np.float64), axis=1)
        for i in range(len(batch)):
            row = first_row + i
            n_faults = len(self._faults)
            cells = {name: column[i] for name, column in columns.items()}
            photo_id = self._photo_id(row, cells["photo_id"])
            self._check_texts(row, cells)
            box = self._box(row, cells["box"])
            regions = self._regions(row, *(cells[name] for name in REGION_COLUMNS))
            values: dict[str, Value] = dict.fromkeys(cells["null_attributes"] or ())
            for name, mixed, column in attributes:
                if column[i] is not None:
                    values[name] = self._value(row, name, column[i], mixed)
            reason: str | None = cells["failure"]
            if reason is None and not has_vector[i]:
                self._fault(row, "vector", "", "is missing, and `failure` does not say why")
            elif reason is None and not abs(lengths[i] - 1) <= UNIT_TOLERANCE:  # Also true of NaN.
                self._fault(row, "vector", f"{lengths[i]:g}", "is its length; it must be 1")
            if len(self._faults) > n_faults:
                continue
            path, source = cells["path"] or "", cells["source"] or ""
            yield (
                row,
                FailedPhoto(
                    photo_id,
                    path,
                    source,
                    reason,
                    cells["detail"] or f"{self.path.name} says so",
                    cells["product_id"],
                    values,
                )
                if reason is not None
                else Entry(
                    photo_id,
                    vectors[i],
                    cells["product_id"],
                    path,
                    source,
                    cells["sha256"],
                    box,
                    values,
                    cells["stamp"] or "",
                    regions,
                ),
            )

    def _vectors(self, batch: Any, first_row: int) -> tuple[Vectors, list[bool]]:
        """Return a vector for each row, zero where there is none, and which rows have one."""
        column = batch.column("vector")
        rows = np.flatnonzero(column.is_valid().to_numpy(zero_copy_only=False))
        column = column.drop_null()
        try:
            lengths = np.asarray(column.value_lengths().to_numpy(zero_copy_only=False))
            numbers = np.asarray(column.flatten().to_numpy(zero_copy_only=False))
        except AttributeError:
            raise DataError(
                f"{self.path}: vector holds {column.type}; it must hold lists of floats"
            ) from None
        if numbers.dtype.kind not in "fiu":
            raise DataError(
                f"{self.path}: vector holds {column.type}; it must hold lists of floats"
            )
        if len(lengths) and not self.dimension:
            self.dimension = int(lengths[0])
        for row in rows[lengths != self.dimension].tolist():
            problem = f"numbers are not a vector: the first row has {self.dimension}"
            self._fault(first_row + row, "vector", lengths[rows == row][0], problem)
        fits = lengths == self.dimension
        vectors = np.zeros((len(batch), self.dimension), dtype=np.float32)
        with np.errstate(over="ignore"):  # What overflows is refused for its length.
            vectors[rows[fits]] = numbers[np.repeat(fits, lengths)].reshape(-1, self.dimension)
        present = np.zeros(len(batch), dtype=np.bool_)
        present[rows] = True
        return vectors, present.tolist()

    def _photo_id(self, row: int, value: object) -> PhotoId:
        if isinstance(value, str) and value:
            return photo_id_of(value)
        if isinstance(value, int) and not isinstance(value, bool) and -(2**63) <= value < 2**63:
            return value
        shown = "" if value is None else value
        self._fault(row, "photo_id", shown, "must be a whole number of 64 bits, or a text")
        return 0

    def _check_texts(self, row: int, cells: dict[str, Any]) -> None:
        for name in _TEXTS:
            if not isinstance(cells[name], str | None):
                self._fault(row, name, cells[name], "must be a text")
        if cells["domain"] not in (None, DOMAIN):
            self._fault(row, "domain", cells["domain"], f"must be {DOMAIN}")
        if cells["failure"] is not None and cells["failure"] not in REASONS:
            self._fault(row, "failure", cells["failure"], "is no reason that shoplens knows")

    def _box(self, row: int, corners: Sequence[float] | None) -> Box | None:
        if corners is None:
            return None
        try:
            x0, y0, x1, y1 = corners
            return Box(x0, y0, x1, y1)
        except (PhotoError, TypeError, ValueError):
            self._fault(row, "box", corners, "must be x0, y0, x1 and y1, with an area")
            return None

    def _regions(
        self, row: int, limit: object, edges: object, numbers: object
    ) -> PhotoRegions | None:
        if limit is None:
            return None
        try:
            corners = np.array(edges, dtype=np.float64).reshape(-1, 4).tolist()
            boxes = tuple(Box(*four) for four in corners)
            vectors = np.array(numbers, dtype=np.float32).reshape(len(boxes), self.dimension)
            lengths = np.linalg.norm(vectors.astype(np.float64), axis=1)
            if (
                isinstance(limit, int)
                and len(boxes) <= limit <= MOST
                and (np.abs(lengths - 1) <= UNIT_TOLERANCE).all()
            ):
                return PhotoRegions(limit, boxes, vectors)
        except (PhotoError, TypeError, ValueError):
            pass
        problem = f"must be 1 to {MOST}, with as many boxes and vectors of length 1 at most"
        self._fault(row, "regions", limit, problem)
        return None

    def _value(self, row: int, attribute: str, value: object, mixed: bool) -> Value:
        if mixed:
            try:
                value = json.loads(str(value))
            except (ValueError, RecursionError):
                self._fault(row, attribute, value, "is not JSON")
                return None
        if isinstance(value, bool | str):
            return value
        if isinstance(value, int) and -(2**63) <= value < 2**63:
            return value
        if isinstance(value, float) and math.isfinite(value):
            return value
        problem = "must be a text, a whole number of 64 bits, a finite number, true or false"
        self._fault(row, attribute, value, problem)
        return None


def _chain(text: object, path: Path) -> Chain:
    try:
        return kept_chain(str(text))
    except RankingError as error:
        raise DataError(
            f"{path}: the catalogue re-ranked by {text}, which this shoplens cannot: {error}"
        ) from error
