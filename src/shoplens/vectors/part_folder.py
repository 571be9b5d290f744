"""A folder of vectors in parts, which several machines can write. A part is complete or absent.

::

    part-000000.parquet             rows of the first partition, a table as `writing` writes
    part-000001.parquet             and so on, in the order of the table
    _records/part-000000.json       the result of a partition; written after its part
    _manifest.json                  describes the whole; written last, so if it exists, every part
                                    exists

Names depend only on the position of a partition. So a partition that is computed twice, because a
machine died just after it had finished, exists only once.
"""

from __future__ import annotations

import json
import re
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from shoplens.arrow import arrow
from shoplens.errors import DataError, RankingError, ShoplensError
from shoplens.files import replacing
from shoplens.json_text import parse_json, parse_object
from shoplens.parts import is_part
from shoplens.vectors.writing import VectorFileInfo, VectorWriter, writing_vectors

MANIFEST = "_manifest.json"
RECORDS = "_records"
FORMAT = 1
"""Version of the manifest and the records."""

_URL = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*://")
_PART = re.compile(r"part-([0-9]{6,})\.parquet")
_RECORD = re.compile(r"part-([0-9]{6,})\.json")


def part_name(number: int) -> str:
    """Return the file name of a partition: its number, counted from 0."""
    return f"part-{number:06}.parquet"


@dataclass(frozen=True, slots=True)
class FailedRow:
    """A photo of a partition that has no vector."""

    row: int
    """Row in its partition, counted from 0."""
    id: int
    name: str
    reason: str
    detail: str


@dataclass(frozen=True, slots=True)
class PartRecord:
    """The result of a partition."""

    number: int
    fingerprint: str
    """Fingerprint of the model."""
    photos: str
    """A hash of the rows of the table that it was made from."""
    n_photos: int
    n_bytes: int
    """Size of the part's file."""
    n_clipped: int
    failures: tuple[FailedRow, ...]


@dataclass(frozen=True, slots=True)
class Manifest:
    """The description of a complete folder of parts."""

    n_photos: int
    n_parts: int
    n_failed: int
    dimension: int
    model: str
    fingerprint: str
    format: int = FORMAT


class PartFolder:
    """A folder of parts, on a disk that all machines share or in an object store.

    It can be pickled. Every method raises `ShoplensError` if the folder cannot be read or
    written.

    Args:
        location: a path, or a URL that pyarrow can write to (`s3://`, `gs://`, `file://`).
    """

    def __init__(self, location: str | Path) -> None:
        text = str(location)
        self._location = text if _URL.match(text) else str(Path(text).absolute())

    def __str__(self) -> str:
        return self._location

    def begin(self) -> None:
        """Prepare the folder for writing; from now on it is incomplete.

        Raises `ShoplensError` if it holds anything that does not belong in such a folder.
        """
        with self._told("write"):
            files, root = self._files()
            files.create_dir(f"{root}/{RECORDS}")
            strangers = [
                name
                for name in self._names("")
                if name not in (MANIFEST, RECORDS)
                and not _PART.fullmatch(name)
                and not is_part(name)
            ]
            if strangers:
                raise ShoplensError(
                    f"{self} holds {strangers[0]}, which does not belong to vectors; name an empty "
                    "folder, a new folder, or the folder of an earlier run"
                )
            self._remove(MANIFEST)

    def finish(self, manifest: Manifest) -> None:
        """Remove what a run with more partitions left, and mark the folder as complete."""
        with self._told("write"):
            for name in self._names(""):
                found = _PART.fullmatch(name)
                if is_part(name) or (found and int(found[1]) >= manifest.n_parts):
                    self._remove(name)
            for name in self._names(RECORDS):
                found = _RECORD.fullmatch(name)
                if found and int(found[1]) >= manifest.n_parts:
                    self._remove(f"{RECORDS}/{name}")
            self._write(MANIFEST, _json(manifest))

    def manifest(self) -> Manifest | None:
        """Return the manifest, or None if the folder is not complete."""
        with self._told("read"):
            data = self._read(MANIFEST)
        if data is None:
            return None
        return parse_json(data, Manifest, f"{self}/{MANIFEST}", RankingError)

    def record(self, number: int) -> PartRecord | None:
        """Return the record of a partition, or None if it or its part is missing or damaged."""
        with self._told("read"):
            data = self._read(_record_name(number))
            if data is None:
                return None
            try:
                if parse_object(data, RECORDS).get("format") != FORMAT:
                    return None
                record = parse_json(data, PartRecord, RECORDS)
            except DataError:
                return None
            files, root = self._files()
            info = files.get_file_info(f"{root}/{part_name(number)}")
            return record if info.is_file and info.size == record.n_bytes else None

    def put_record(self, record: PartRecord) -> None:
        """Write the record of a partition."""
        with self._told("write"):
            self._write(_record_name(record.number), _json(record, format=FORMAT))

    def drop_record(self, number: int) -> None:
        """Remove the record of a partition."""
        with self._told("write"):
            self._remove(_record_name(number))

    @contextmanager
    def writing_part(self, number: int, info: VectorFileInfo) -> Iterator[VectorWriter]:
        """Write a part. It appears when it is complete, even if two machines write it at once."""
        name = part_name(number)
        if not _URL.match(self._location):
            with writing_vectors(Path(self._location, name), info) as writer:
                yield writer
            return
        with tempfile.TemporaryDirectory(prefix="shoplens") as scratch:
            file = Path(scratch, name)
            with writing_vectors(file, info) as writer:
                yield writer
            with self._told("write"):
                self._write(name, file.read_bytes())

    def size_of_part(self, number: int) -> int:
        """Return the size of a part in bytes."""
        with self._told("read"):
            files, root = self._files()
            return int(files.get_file_info(f"{root}/{part_name(number)}").size)

    def read_part(self, number: int) -> Any:
        """Return a part as an Arrow table.

        Raises `RankingError` if it is missing or damaged.
        """
        files, root = self._files()
        try:
            return arrow("pyarrow.parquet").read_table(
                f"{root}/{part_name(number)}", filesystem=files
            )
        except (OSError, ValueError) as error:  # pyarrow's errors derive from these.
            raise RankingError(f"{self}/{part_name(number)} cannot be read: {error}") from error

    def read_all(self) -> Any:
        """Return all parts as one Arrow table, with rows in order.

        Raises as `each_part`.
        """
        return arrow().concat_tables(list(self.each_part()))

    def each_part(self) -> Iterator[Any]:
        """Yield the parts in order as Arrow tables.

        Raises `RankingError` if the folder is not complete, or, after the last part, if the parts
        come from different runs.
        """
        manifest = self.manifest()
        if manifest is None:
            raise RankingError(
                f"{self} has no {MANIFEST}: the run that writes it is not finished, or was "
                "stopped. Run the same command again."
            )
        metadata = set()
        n_rows = 0
        for number in range(manifest.n_parts):
            table = self.read_part(number)
            n_rows += len(table)
            metadata.add(tuple(sorted((table.schema.metadata or {}).items())))
            yield table
        if len(metadata) > 1 or n_rows != manifest.n_photos:
            raise RankingError(
                f"{self}: the parts do not match its {MANIFEST} ({n_rows} of {manifest.n_photos} "
                f"rows, from {len(metadata)} models). Run the command again."
            )

    def _files(self) -> tuple[Any, str]:
        filesystem = arrow("pyarrow.fs")
        if _URL.match(self._location):
            files, root = filesystem.FileSystem.from_uri(self._location)
            return files, str(root).rstrip("/")
        return filesystem.LocalFileSystem(), self._location

    def _names(self, folder: str) -> list[str]:
        files, root = self._files()
        selector = arrow("pyarrow.fs").FileSelector(f"{root}/{folder}".rstrip("/"))
        return sorted(str(info.base_name) for info in files.get_file_info(selector))

    def _read(self, name: str) -> bytes | None:
        files, root = self._files()
        try:
            with files.open_input_stream(f"{root}/{name}") as stream:
                return bytes(stream.read())
        except FileNotFoundError:
            return None

    def _write(self, name: str, data: bytes) -> None:
        """Write a file in one step: a rename on disk, a single upload in an object store."""
        if not _URL.match(self._location):
            with replacing(Path(self._location, name)) as stream:
                stream.write(data)
            return
        files, root = self._files()
        with files.open_output_stream(f"{root}/{name}") as stream:
            stream.write(data)

    def _remove(self, name: str) -> None:
        files, root = self._files()
        with suppress(FileNotFoundError):
            files.delete_file(f"{root}/{name}")

    @contextmanager
    def _told(self, what: str) -> Iterator[None]:
        try:
            yield
        except (OSError, ValueError) as error:  # pyarrow's errors derive from these.
            raise ShoplensError(f"cannot {what} {self}: {error}") from error


def _record_name(number: int) -> str:
    return f"{RECORDS}/part-{number:06}.json"


def _json(value: Manifest | PartRecord, **more: object) -> bytes:
    text = json.dumps({**more, **asdict(value)}, indent=1, ensure_ascii=True)
    return text.encode() + b"\n"
