"""The file formats with columns of bytes, behind one interface."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any, Protocol

from shoplens.arrow import arrow, lance
from shoplens.attributes import Value
from shoplens.errors import DataError, MissingError, PhotoError
from shoplens.sources.file import File

_READ_AHEAD = 2**20
"""Bytes of a column that Parquet reads at a time, instead of a whole row group of it."""
_ALL_ROWS_OF_LANCE = 4096


class OpenColumns(Protocol):
    """A file of columns whose rows are stored in groups."""

    bytes_columns: tuple[str, ...]
    """Columns of bytes, or of structs with a field `bytes`."""
    value_columns: tuple[str, ...]
    """Columns of text, numbers or truth values."""
    n_groups: int
    seekable: bool
    """Whether rows in the middle of a group are reached without reading those before."""

    def n_rows(self, group: int) -> int:
        """Return the number of rows of a group."""

    def mean_bytes(self, column: str) -> int:
        """Return about how many bytes a value of the column has."""

    def read_values(
        self, group: int, columns: Sequence[str], image_column: str
    ) -> tuple[list[dict[str, Value]], list[str | None] | None]:
        """Return a group's rows, values by column, and the names that its photos have."""

    def read_bytes(self, group: int, column: str, start: int, n_rows: int) -> Iterator[Any]:
        """Yield Arrow arrays of bytes, about `n_rows` long, from row `start` of the group on."""

    def close(self) -> None:
        """Close the file."""


def open_columns(file: File, kind: str) -> OpenColumns:
    """Open a file of columns.

    Raises:
        DataError: it is damaged.
        MissingError: the package that reads it is not there.
        PhotoError: it cannot be read.
    """
    openers: dict[str, Callable[[File], OpenColumns]] = {
        "parquet": _ParquetFile,
        "arrow": _ArrowFile,
        "lance": _LanceDataset,
    }
    try:
        return openers[kind](file)
    except (MissingError, PhotoError):
        raise
    # Arrow and Lance raise OSError, ValueError and errors of their own on damaged files.
    except Exception as error:
        words = {"parquet": "a Parquet file", "arrow": "an Arrow file", "lance": "a Lance dataset"}
        raise DataError(f"{file} is not {words[kind]}, or is damaged: {error}") from error


class _Columns:
    """What all formats read from an Arrow schema."""

    def __init__(self, schema: Any) -> None:
        self.schema = schema
        self.bytes_columns = tuple(f.name for f in schema if _bytes_field(f.type) is not None)
        self.value_columns = tuple(f.name for f in schema if _is_value(f.type))

    def leaf(self, column: str) -> str:
        """Return the path of the field of bytes."""
        kind = self.schema.field(column).type
        return column if _is_bytes(kind) else f"{column}.bytes"

    def name_leaf(self, column: str) -> str | None:
        """Return the path of the field of names, None where there is none."""
        kind = self.schema.field(column).type
        if _is_bytes(kind) or kind.get_field_index("path") < 0:
            return None
        return f"{column}.path"


class _ParquetFile(_Columns):
    seekable = False

    def __init__(self, file: File) -> None:
        parquet = arrow("pyarrow.parquet")
        self._stream = _stream(file)
        self._file = parquet.ParquetFile(self._stream, buffer_size=_READ_AHEAD, pre_buffer=False)
        super().__init__(self._file.schema_arrow)
        self._metadata = self._file.metadata
        self.n_groups = self._metadata.num_row_groups

    def n_rows(self, group: int) -> int:
        return int(self._metadata.row_group(group).num_rows)

    def mean_bytes(self, column: str) -> int:
        leaf = self.leaf(column)
        n_bytes = 0
        for number in range(self.n_groups):
            group = self._metadata.row_group(number)
            chunks = (group.column(i) for i in range(group.num_columns))
            n_bytes += sum(c.total_uncompressed_size for c in chunks if c.path_in_schema == leaf)
        return int(n_bytes // max(self._metadata.num_rows, 1))

    def read_values(
        self, group: int, columns: Sequence[str], image_column: str
    ) -> tuple[list[dict[str, Value]], list[str | None] | None]:
        leaf = self.name_leaf(image_column)
        wanted = [*columns, *([leaf] if leaf else [])]
        table = self._file.read_row_group(group, columns=wanted, use_threads=False)
        n_rows = self.n_rows(group)
        names = _names(table[image_column]) if leaf else None
        return _rows(table, columns, n_rows), names

    def read_bytes(self, group: int, column: str, start: int, n_rows: int) -> Iterator[Any]:
        if start:
            raise ValueError("Parquet files are read from the beginning of a group")
        batches = self._file.iter_batches(
            n_rows, row_groups=[group], columns=[self.leaf(column)], use_threads=False
        )
        return (_bytes_of(batch.column(0)) for batch in batches)

    def close(self) -> None:
        self._file.close(force=True)
        self._stream.close()


class _ArrowFile(_Columns):
    seekable = True

    def __init__(self, file: File) -> None:
        self._ipc = arrow("pyarrow.ipc")
        # Mapped, an uncompressed batch costs the memory of the rows that are touched.
        if file.on_disk:
            file.stamp()
            self._stream = arrow().memory_map(str(file.path))
        else:
            self._stream = _stream(file)
        opened = self._ipc.open_file(self._stream)
        super().__init__(opened.schema)
        self.n_groups = opened.num_record_batches
        self._batches: tuple[int, str, Any] | None = None

    def n_rows(self, group: int) -> int:
        # Values are smaller than photos, where batches are compressed.
        columns = (*self.value_columns, *self.bytes_columns)
        return int(self._batch(group, columns[:1]).num_rows)

    def mean_bytes(self, column: str) -> int:
        if not self.n_groups:
            return 0
        batch = self._batch(0, [column])
        return int(batch.nbytes // max(batch.num_rows, 1))

    def read_values(
        self, group: int, columns: Sequence[str], image_column: str
    ) -> tuple[list[dict[str, Value]], list[str | None] | None]:
        has_names = self.name_leaf(image_column) is not None
        wanted = [*columns, *([image_column] if has_names or not columns else [])]
        batch = self._batch(group, wanted)
        names = _names(batch.column(image_column)) if has_names else None
        return _rows(batch, columns, batch.num_rows), names

    def read_bytes(self, group: int, column: str, start: int, n_rows: int) -> Iterator[Any]:
        if self._batches is None or self._batches[:2] != (group, column):
            self._batches = (group, column, self._batch(group, [column]))
        array = self._batches[2].column(column)
        for first in range(start, len(array), n_rows):
            yield _bytes_of(array.slice(first, n_rows))

    def close(self) -> None:
        self._batches = None
        self._stream.close()

    def _batch(self, group: int, columns: Sequence[str]) -> Any:
        fields = sorted({self.schema.get_field_index(name) for name in columns})
        options = self._ipc.IpcReadOptions(included_fields=fields, use_threads=False)
        return self._ipc.open_file(self._stream, options=options).get_batch(group)


class _LanceDataset(_Columns):
    seekable = True

    def __init__(self, file: File) -> None:
        self._dataset = lance().dataset(str(file.path))
        super().__init__(self._dataset.schema)
        self._n_rows = int(self._dataset.count_rows())
        self.n_groups = 1

    def n_rows(self, group: int) -> int:
        return self._n_rows

    def mean_bytes(self, column: str) -> int:
        n_rows = min(self._n_rows, 8)
        if not n_rows:
            return 0
        return int(self._dataset.take(list(range(n_rows)), columns=[column]).nbytes // n_rows)

    def read_values(
        self, group: int, columns: Sequence[str], image_column: str
    ) -> tuple[list[dict[str, Value]], list[str | None] | None]:
        leaf = self.name_leaf(image_column)
        if not columns and leaf is None:
            return [{} for _ in range(self._n_rows)], None
        wanted = {name: f"`{name}`" for name in columns}
        if leaf:
            wanted["@name"] = f"`{image_column}`.path"
        table = self._dataset.to_table(columns=wanted, batch_size=_ALL_ROWS_OF_LANCE)
        names = _plain(table["@name"].to_pylist()) if leaf else None
        return _rows(table, columns, self._n_rows), names

    def read_bytes(self, group: int, column: str, start: int, n_rows: int) -> Iterator[Any]:
        for first in range(start, self._n_rows, n_rows):
            rows = list(range(first, min(first + n_rows, self._n_rows)))
            yield _bytes_of(self._dataset.take(rows, columns=[column]).column(0))

    def close(self) -> None:
        pass


def _stream(file: File) -> Any:
    if file.on_disk:
        file.stamp()  # This reports a missing file better than Arrow does.
        return arrow().OSFile(str(file.path))
    return file.open()


def _is_bytes(kind: Any) -> bool:
    types = arrow().types
    return (
        bool(
            types.is_binary(kind) or types.is_large_binary(kind) or types.is_fixed_size_binary(kind)
        )
        or str(kind) == "binary_view"
    )


def _bytes_field(kind: Any) -> str | None:
    """Return the field of a type that holds bytes: itself (empty), or one of a struct."""
    if _is_bytes(kind):
        return ""
    if arrow().types.is_struct(kind):
        index = kind.get_field_index("bytes")
        if index >= 0 and _is_bytes(kind.field(index).type):
            return "bytes"
    return None


def _is_value(kind: Any) -> bool:
    types = arrow().types
    kind = kind.value_type if types.is_dictionary(kind) else kind
    return (
        bool(
            types.is_integer(kind)
            or types.is_floating(kind)
            or types.is_string(kind)
            or types.is_large_string(kind)
            or types.is_boolean(kind)
            or types.is_null(kind)
        )
        or str(kind) == "string_view"
    )


def _bytes_of(array: Any) -> Any:
    """Return an array's bytes, null where the struct around them is."""
    if not arrow().types.is_struct(array.type):
        return array
    return arrow("pyarrow.compute").struct_field(array, "bytes")


def _names(array: Any) -> list[str | None]:
    return _plain(arrow("pyarrow.compute").struct_field(array, "path").to_pylist())


def _plain(names: list[Any]) -> list[str | None]:
    return [None if name is None else str(name) for name in names]


def _rows(table: Any, columns: Sequence[str], n_rows: int) -> list[dict[str, Value]]:
    """Return rows of values by column; a null or NaN is None."""
    values = [table.column(table.schema.get_field_index(name)).to_pylist() for name in columns]
    return [
        {
            name: None if column[row] != column[row] else column[row]  # NaN
            for name, column in zip(columns, values, strict=True)
        }
        for row in range(n_rows)
    ]
