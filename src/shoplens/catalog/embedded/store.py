"""The truth of an embedded catalogue: one SQLite file.

Each version of a photo is a row with a number that no other version ever has: a photo that is
changed gets a new row, and the old one goes. So what is derived from rows (see `segments`) never
holds anything outdated, only rows that are gone. A commit is on disk when it returns
(`synchronous = FULL`). Every row carries a checksum over all that it says.
"""

from __future__ import annotations

import re
import sqlite3
import threading
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from operator import eq
from pathlib import Path
from typing import cast

import msgspec
import numpy as np
import numpy.typing as npt
import xxhash

from shoplens.attributes import Value
from shoplens.catalog.base import ModelStamp
from shoplens.catalog.embedded.version_mark import VersionMark
from shoplens.catalog.entry import Entry, FailedPhoto, PhotoId
from shoplens.errors import CatalogError, MissingError
from shoplens.records import Box, Vector, Vectors

FILE = "catalog.sqlite"
APPLICATION = 0x73686C73
"""`application_id` of the file: "shls"."""
VERSION = 1
"""`user_version`: of the schema."""
PAGE = 16_384
"""Bytes of a page: rows of a few kilobytes would waste much of a smaller one."""
_BUSY_SECONDS = 10.0
_CACHE_KIB = 131_072
"""At most, for each connection: enough for 50,000 photos with vectors of 512 dimensions, so that
exact searches read them from the file once."""
_DAMAGE = re.compile("malformed|not a database|corrupt|no such|unsupported file format")
"""In what SQLite says of a file that is damaged."""
_SURROGATE = re.compile("[\ud800-\udfff]")
_MOST_VARIABLES = 900
"""Values in one statement; SQLite was built with a limit of 999 for long."""

_SCHEMA = f"""
PRAGMA application_id = {APPLICATION};
PRAGMA user_version = {VERSION};
CREATE TABLE about (
    key TEXT PRIMARY KEY,
    value TEXT NOT NULL,
    checksum BLOB NOT NULL
) WITHOUT ROWID;
CREATE TABLE photos (
    row INTEGER PRIMARY KEY AUTOINCREMENT,
    photo_id NOT NULL UNIQUE,
    product_id TEXT,
    facts BLOB NOT NULL,
    vector BLOB NOT NULL,
    checksum BLOB NOT NULL
);
CREATE TABLE failed (
    photo_id PRIMARY KEY,
    product_id TEXT,
    facts BLOB NOT NULL,
    checksum BLOB NOT NULL
) WITHOUT ROWID;
CREATE TABLE removed (number INTEGER PRIMARY KEY AUTOINCREMENT, row INTEGER NOT NULL);
CREATE TABLE segments (
    name TEXT PRIMARY KEY,
    first_row INTEGER NOT NULL,
    last_row INTEGER NOT NULL
) WITHOUT ROWID;
CREATE TABLE state (version INTEGER NOT NULL, generation INTEGER NOT NULL);
INSERT INTO state VALUES (0, 0);
"""
"""`removed` lists rows that are gone, for readers that have them in memory or in a segment.
`state.version` grows with every change, `state.generation` when segments change."""

_MODEL = "model"
"""The key in `about`."""
_TABLES = {"about", "photos", "failed", "removed", "segments", "state"}
_COLUMNS = "row, photo_id, product_id, facts, vector, checksum"
_Stored = tuple[
    tuple[int, ...],
    tuple[PhotoId, ...],
    tuple[str | None, ...],
    tuple[bytes, ...],
    tuple[bytes, ...],
    tuple[bytes, ...],
]
"""Rows of `photos`, by column."""


class DamagedStoreError(CatalogError):
    """The file is that of a catalogue, and SQLite cannot make sense of it."""


class _Facts(msgspec.Struct, array_like=True):
    """What is stored of an entry beside its ids and its vector."""

    path: str
    source: str
    sha256: str | None
    stamp: str
    box: tuple[float, float, float, float] | None
    attributes: dict[str, Value]


class _FailedFacts(msgspec.Struct, array_like=True):
    path: str
    source: str
    reason: str
    detail: str
    attributes: dict[str, Value]


_FLOAT32 = np.dtype("<f4")
_encode = msgspec.json.Encoder().encode
_decode_facts = msgspec.json.Decoder(_Facts).decode
_decode_failed = msgspec.json.Decoder(_FailedFacts).decode


@dataclass(frozen=True, slots=True)
class Version:
    """A moment of the catalogue."""

    version: int
    generation: int
    last_row: int
    """The highest number that a row has had."""
    last_removed: int
    """The last number in `removed`."""


@dataclass(frozen=True, slots=True)
class SegmentRange:
    """A segment and the rows that it stands for, both ends included."""

    name: str
    first_row: int
    last_row: int


@dataclass(frozen=True, slots=True)
class Row:
    """A row and the entry that it holds."""

    row: int
    entry: Entry


@dataclass(frozen=True, slots=True, eq=False)
class RowBlock:
    """What searches need of n rows, by column, in rising order of the rows."""

    rows: npt.NDArray[np.int64]
    """(n,) their numbers."""
    vectors: Vectors
    """(n, d) float32."""
    photo_ids: Sequence[PhotoId]
    product_ids: Sequence[str | None]
    attributes: Sequence[Mapping[str, Value]]

    def __len__(self) -> int:
        return len(self.rows)


def checksum(photo_id: PhotoId, product_id: str | None, *blobs: bytes) -> bytes:
    """Return the checksum of a row."""
    digest = xxhash.xxh3_64(f"{type(photo_id).__name__} {photo_id!r} {product_id!r}".encode())
    for blob in blobs:
        digest.update(len(blob).to_bytes(8, "little"))
        digest.update(blob)
    return digest.digest()


class Reading:
    """What can be read in one transaction: everything as of one moment."""

    def __init__(self, connection: sqlite3.Connection, file: Path, identity: int) -> None:
        self._connection = connection
        self._file = file
        self.identity = identity
        """Of the file: a repair puts another one in its place."""

    def version(self) -> Version:
        """Return the moment."""
        row = self._connection.execute(
            "SELECT version, generation, "
            "coalesce((SELECT seq FROM sqlite_sequence WHERE name = 'photos'), 0), "
            "coalesce((SELECT seq FROM sqlite_sequence WHERE name = 'removed'), 0) FROM state"
        ).fetchone()
        if row is None or not all(isinstance(number, int) for number in row):
            raise DamagedStoreError(f"{self._file}: its version is damaged; {_advice(self._file)}")
        version = Version(*row)
        # What SQLite counts has no checksum. A file whose last rows are damaged opens all the same.
        with suppress(sqlite3.DatabaseError):
            last_row, last_removed = self._connection.execute(
                "SELECT coalesce((SELECT max(row) FROM photos), 0), "
                "coalesce((SELECT max(number) FROM removed), 0)"
            ).fetchone()
            version = replace(
                version,
                last_row=max(version.last_row, last_row),
                last_removed=max(version.last_removed, last_removed),
            )
        return version

    def extent(self) -> tuple[int, int]:
        """Return the number of rows, and the sum of their numbers."""
        n_rows, total = self._connection.execute(
            "SELECT count(*), coalesce(sum(row), 0) FROM photos"
        ).fetchone()
        return n_rows, total

    def model(self) -> ModelStamp | None:
        """Return the model of the vectors; None as long as there is none.

        Raises `CatalogError` if what is stored of it is damaged.
        """
        found = self._connection.execute("SELECT key, value, checksum FROM about").fetchall()
        if not found and not self._connection.execute("SELECT 1 FROM photos LIMIT 1").fetchone():
            return None
        for key, value, stored in found:
            with suppress(TypeError, AttributeError):  # Damage can change the type of a value.
                if key == _MODEL and checksum(key, None, value.encode()) == stored:
                    return msgspec.json.decode(value, type=ModelStamp)
        raise CatalogError(f"{self._file}: the name of the model is damaged; {_advice(self._file)}")

    def segments(self) -> list[SegmentRange]:
        """Return the segments, in order of their rows."""
        found = self._connection.execute(
            "SELECT name, first_row, last_row FROM segments ORDER BY first_row"
        ).fetchall()
        for name, *rows in found:
            if not isinstance(name, str) or not all(isinstance(row, int) for row in rows):
                raise CatalogError(
                    f"{self._file}: the list of segments is damaged; {_advice(self._file)}"
                )
        return [SegmentRange(*row) for row in found]

    def removed(self, after: int = 0) -> npt.NDArray[np.int64]:
        """Return the rows in `removed` whose number there is above `after`, in rising order."""
        return self._removed("number > ?", after)[0]

    def removed_between(
        self, first: int, last: int
    ) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
        """Return the rows from `first` to `last` that are in `removed`, in rising order, and their
        numbers there."""
        return self._removed("row BETWEEN ? AND ?", first, last)

    def _removed(
        self, which: str, *values: int
    ) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
        found = self._connection.execute(
            f"SELECT row, number FROM removed WHERE {which} ORDER BY row", values
        ).fetchall()
        if not all(type(row) is int for row, _ in found):
            raise CatalogError(
                f"{self._file}: the list of removed rows is damaged; {_advice(self._file)}"
            )
        rows, numbers = np.array(found, dtype=np.int64).reshape(-1, 2).T
        return rows, numbers

    def block(
        self, dimension: int, after: int = 0, until: int | None = None, limit: int | None = None
    ) -> RowBlock:
        """Return rows with numbers above `after` and up to `until`, `limit` of them at most.

        Raises `CatalogError` if one is damaged.
        """
        found = self.raw_rows(
            after,
            -1 if limit is None else limit,
            2**63 - 1 if until is None else until,
        )
        if not found:
            return RowBlock(np.empty(0, np.int64), np.empty((0, dimension), np.float32), (), (), ())
        rows, photo_ids, product_ids, facts, vectors, checksums = cast(
            _Stored, tuple(zip(*found, strict=True))
        )
        try:
            is_sound = all(
                map(eq, map(checksum, photo_ids, product_ids, facts, vectors), checksums)
            )
            attributes = [values.attributes for values in map(_decode_facts, facts)]
        except (TypeError, ValueError, msgspec.MsgspecError):
            is_sound = False  # Damage can change the type of a value, too.
        if not is_sound:
            for stored in found:
                self.checked(stored)
        if set(map(len, vectors)) != {_FLOAT32.itemsize * dimension}:
            raise CatalogError(
                f"{self._file}: a vector does not have {dimension} dimensions; "
                f"{_advice(self._file)}"
            )
        return RowBlock(
            np.array(rows, dtype=np.int64),
            np.frombuffer(b"".join(vectors), dtype=_FLOAT32).reshape(len(rows), dimension),
            photo_ids,
            product_ids,
            attributes,
        )

    def rows(self, after: int = 0, until: int | None = None) -> Iterator[Row]:
        """Yield rows with numbers above `after` and up to `until`, in their order.

        Raises `CatalogError` if one is damaged.
        """
        last = 2**63 - 1 if until is None else until
        found = self._connection.execute(
            f"SELECT {_COLUMNS} FROM photos WHERE row > ? AND row <= ? ORDER BY row",
            (after, last),
        )
        for row in found:
            yield self.checked(row)

    def raw_rows(self, after: int, limit: int, until: int = 2**63 - 1) -> list[tuple[object, ...]]:
        """Return rows as they are stored, unchecked."""
        return self._connection.execute(
            f"SELECT {_COLUMNS} FROM photos WHERE row > ? AND row <= ? ORDER BY row LIMIT ?",
            (after, until, limit),
        ).fetchall()

    def listed_rows(self) -> list[int]:
        """Return the numbers of all rows, from the index of photo ids."""
        found = self._connection.execute(
            "SELECT row FROM photos INDEXED BY sqlite_autoindex_photos_1 ORDER BY photo_id"
        )
        return [row for (row,) in found]

    def rows_at(self, rows: Sequence[int]) -> dict[int, Entry]:
        """Return the entries of rows.

        Raises `CatalogError` if one is damaged.
        """
        return {
            stored[0]: self._checked_entry(stored)
            for part in _parts(rows)
            for stored in self._connection.execute(
                f"SELECT {_COLUMNS} FROM photos WHERE row IN ({_marks(part)})", part
            )
        }

    def find(self, photo_ids: Sequence[PhotoId]) -> dict[PhotoId, Row]:
        """Return the rows of photos by their ids.

        Raises `CatalogError` if one is damaged.
        """
        return {
            photo_id: self.checked(stored) for photo_id, stored in self.raw_find(photo_ids).items()
        }

    def raw_find(self, photo_ids: Sequence[PhotoId]) -> dict[PhotoId, tuple[object, ...]]:
        """Return the rows of photos by their ids, as they are stored, unchecked."""
        return {
            stored[1]: stored
            for part in _parts(_storable(photo_ids))
            for stored in self._connection.execute(
                f"SELECT {_COLUMNS} FROM photos WHERE photo_id IN ({_marks(part)})", part
            )
        }

    def holds(self, stored: tuple[object, ...], entry: Entry) -> bool:
        """Return whether a row as it is stored is sound and just this entry."""
        if stored[4] != _bytes(entry.vector):
            return False  # At once: of most photos that change, the vector does.
        try:
            known = self._checked_entry(stored)
        except CatalogError:
            return False
        return entry == known and entry.stamp == known.stamp

    def row_numbers(self, photo_ids: Sequence[PhotoId]) -> dict[PhotoId, int]:
        """Return the numbers of the rows of photos, for those that are found."""
        return {
            photo_id: row
            for part in _parts(_storable(photo_ids))
            for photo_id, row in self._connection.execute(
                f"SELECT photo_id, row FROM photos WHERE photo_id IN ({_marks(part)})", part
            )
        }

    def ids_at(self, rows: Sequence[int]) -> dict[int, PhotoId]:
        """Return the photo ids of rows, in rising order of the rows' numbers."""
        found = {
            row: photo_id
            for part in _parts(rows)
            for row, photo_id in self._connection.execute(
                f"SELECT row, photo_id FROM photos WHERE row IN ({_marks(part)})", part
            )
        }
        if len(found) < len(rows):
            raise CatalogError(
                f"{self._file}: {len(rows) - len(found)} rows cannot be found; "
                f"{_advice(self._file)}"
            )
        return dict(sorted(found.items()))

    def n_photos(self) -> int:
        """Return the number of photos."""
        return int(self._connection.execute("SELECT count(*) FROM photos").fetchone()[0])

    def n_failed(self) -> int:
        """Return the number of photos that could not be embedded."""
        return int(self._connection.execute("SELECT count(*) FROM failed").fetchone()[0])

    def failed(self) -> list[FailedPhoto]:
        """Return the photos that could not be embedded, in order of their ids.

        Raises `CatalogError` if a record is damaged.
        """
        found = self._connection.execute(
            "SELECT photo_id, product_id, facts, checksum FROM failed ORDER BY photo_id"
        )
        return [self.checked_failed(*row) for row in found]

    def checked_failed(
        self, photo_id: PhotoId, product_id: str | None, facts: bytes, stored: bytes
    ) -> FailedPhoto:
        """Return a record of failure.

        Raises `CatalogError` if it is damaged.
        """
        if checksum(photo_id, product_id, facts) != stored:
            raise CatalogError(
                f"{self._file}: the record of the failed photo {photo_id!r} is damaged; "
                f"{_advice(self._file)}"
            )
        values = _decode_failed(facts)
        return FailedPhoto(
            photo_id,
            values.path,
            values.source,
            values.reason,
            values.detail,
            product_id,
            values.attributes,
        )

    def checked(self, stored: tuple[object, ...]) -> Row:
        """Return a row of `photos` as an entry.

        Raises `CatalogError` if it is damaged.
        """
        return Row(cast(int, stored[0]), self._checked_entry(stored))

    def _checked_entry(self, stored: tuple[object, ...]) -> Entry:
        row, photo_id, product_id, facts, vector, found = stored
        try:
            if checksum(photo_id, product_id, facts, vector) == found:  # type: ignore[arg-type]
                return _entry(photo_id, product_id, facts, vector)  # type: ignore[arg-type]
        except (TypeError, ValueError, msgspec.MsgspecError):
            pass  # Damage can change the type of a value, too.
        raise CatalogError(
            f"{self._file}: photo {photo_id!r} (row {row}) is damaged; {_advice(self._file)}"
        )

    def schema(self) -> list[tuple[object, ...]]:
        """Return tables and indexes, and where each begins in the file."""
        return self._connection.execute(
            "SELECT type, name, tbl_name, rootpage, sql FROM sqlite_master ORDER BY rowid"
        ).fetchall()

    def structure_faults(self) -> list[str]:
        """Return what SQLite finds wrong with the file itself."""
        found = [str(row[0]) for row in self._connection.execute("PRAGMA integrity_check(100)")]
        return [] if found == ["ok"] else found


class Writing(Reading):
    """What can be done in one transaction that writes: all of it, or nothing."""

    def set_model(self, model: ModelStamp) -> None:
        """State the model of the vectors."""
        value = _encode(model)
        self._connection.execute(
            "INSERT OR REPLACE INTO about VALUES (?, ?, ?)",
            (_MODEL, value.decode(), checksum(_MODEL, None, value)),
        )

    def remove(self, rows: Sequence[int]) -> None:
        """Remove rows."""
        self._connection.executemany("DELETE FROM photos WHERE row = ?", ((r,) for r in rows))
        self._connection.executemany(
            "INSERT INTO removed (row) VALUES (?)", ((r,) for r in sorted(rows))
        )

    def insert(self, entries: Iterable[Entry]) -> None:
        """Add entries whose photos are not here, in order."""
        self._connection.executemany(
            "INSERT INTO photos (photo_id, product_id, facts, vector, checksum) "
            "VALUES (?, ?, ?, ?, ?)",
            map(_stored, entries),
        )

    def remove_all(self) -> None:
        """Remove all rows."""
        self._connection.execute("DELETE FROM photos")
        self._connection.execute("DELETE FROM removed")

    def restore(self, row: int, entry: Entry) -> None:
        """Put back the row of an entry under its number."""
        self._connection.execute("DELETE FROM photos WHERE row = ?", (row,))
        self._connection.execute(
            f"INSERT INTO photos ({_COLUMNS}) VALUES (?, ?, ?, ?, ?, ?)", (row, *_stored(entry))
        )

    def forget_failures(self, photo_ids: Iterable[PhotoId]) -> int:
        """Remove records of failure; return how many there were."""
        return self._connection.executemany(
            "DELETE FROM failed WHERE photo_id = ?",
            ((photo_id,) for photo_id in _storable(list(photo_ids))),
        ).rowcount

    def add_failures(self, failed: Iterable[FailedPhoto]) -> None:
        """Add records of failure, or replace them."""

        def stored(one: FailedPhoto) -> tuple[PhotoId, str | None, bytes, bytes]:
            facts = _encode(
                _FailedFacts(one.path, one.source, one.reason, one.detail, dict(one.attributes))
            )
            return (
                one.photo_id,
                one.product_id,
                facts,
                checksum(one.photo_id, one.product_id, facts),
            )

        self._connection.executemany(
            "INSERT OR REPLACE INTO failed VALUES (?, ?, ?, ?)", map(stored, failed)
        )

    def replace_segments(self, gone: Iterable[str], added: Iterable[SegmentRange]) -> None:
        """Register segments and drop others."""
        self._connection.executemany("DELETE FROM segments WHERE name = ?", ((n,) for n in gone))
        self._connection.executemany(
            "INSERT INTO segments VALUES (?, ?, ?)",
            ((one.name, one.first_row, one.last_row) for one in added),
        )
        self._connection.execute("UPDATE state SET generation = generation + 1")

    def skip_to(self, last_row: int, version: int) -> None:
        """Give no row a number up to `last_row`, and count versions from `version`."""
        self._connection.execute("DELETE FROM sqlite_sequence WHERE name = 'photos'")
        self._connection.execute(
            "INSERT INTO sqlite_sequence SELECT 'photos', max(?, coalesce(max(row), 0)) "
            "FROM photos",
            (last_row,),
        )
        self._connection.execute("UPDATE state SET version = ?", (version,))

    def forget_removed(self, numbers: Iterable[int]) -> None:
        """Drop rows from `removed`, by their numbers there: no segment holds them any more."""
        self._connection.executemany(
            "DELETE FROM removed WHERE number = ?", ((number,) for number in numbers)
        )


class Store:
    """The SQLite file, opened.

    One connection writes; each thread that reads has one of its own.
    """

    def __init__(self, file: Path, *, create: bool = False, read_only: bool = False) -> None:
        self.file = file
        self._read_only = read_only
        self._local = threading.local()
        self._connections: list[sqlite3.Connection] = []
        self._guard = threading.Lock()
        self._writer: sqlite3.Connection | None = None
        self._writing = threading.RLock()
        self._closed = False
        self._mark = VersionMark(file)
        self.lost: tuple[int, int] | None = None
        """The version that the file is of, and the later one that was acknowledged; None if there
        is no such."""
        if create:
            self._create()
        # The mark comes first: another process may go on writing.
        acknowledged = self._mark.read()
        try:
            with self.reading() as reading:
                version = reading.version().version
            if acknowledged is not None and version < acknowledged:
                self.lost = version, acknowledged
        except DamagedStoreError:
            # It can be opened, to be repaired; whoever reads or writes it is told.
            if not _has_marks(file):
                raise

    def close(self) -> None:
        """Close all connections."""
        with self._writing, self._guard:
            self._closed = True
            if self._writer is not None:
                self._connections.append(self._writer)
                self._writer = None
            for connection in self._connections:
                with suppress(sqlite3.Error):
                    connection.close()
            self._connections.clear()
            self._mark.close()

    def require_open(self) -> None:
        """Raise `CatalogError` if the store was closed."""
        if self._closed:
            raise CatalogError(f"{self.file.parent} is closed")

    @contextmanager
    def reading(self) -> Iterator[Reading]:
        """Read as of one moment.

        Raises `CatalogError` if the file cannot be read.
        """
        with self._explained():
            connection = self._reader()
            reading = Reading(connection, self.file, self._local.identity)
            if connection.in_transaction:  # The caller reads already: the same moment.
                yield reading
                return
            connection.execute("BEGIN")
            try:
                yield reading
            finally:
                with suppress(sqlite3.Error):
                    connection.rollback()

    @contextmanager
    def writing(self) -> Iterator[Writing]:
        """Change something: all of it is on disk when the block ends, or nothing has changed.

        Raises `CatalogError` if the file cannot be written.
        """
        with self._writing, self._explained():
            if self._writer is None:
                self._writer = self._connect()
            self._writer.execute("BEGIN IMMEDIATE")
            try:
                yield Writing(self._writer, self.file, self._identity())
                self._writer.execute("UPDATE state SET version = version + 1")
                [version] = self._writer.execute("SELECT version FROM state").fetchone()
                self._writer.commit()
                self._mark.write(version)
            except BaseException:
                with suppress(sqlite3.Error):
                    self._writer.rollback()
                raise

    def accept_loss(self) -> None:
        """Go on with what is there although acknowledged changes are missing."""
        if self.lost is not None:
            with self.writing() as writing:
                writing.skip_to(writing.version().last_row, self.lost[1])
            self.lost = None

    def copy_to(self, target: sqlite3.Connection) -> None:
        """Copy the whole file, as of one moment."""
        with self._explained():
            # A connection of its own: a long copy must not hold back the readers of this thread.
            source = self._connect()
            try:
                source.backup(target)
            finally:
                source.close()

    def give_back_space(self) -> None:
        """Shrink the file and its log, as far as readers allow it."""
        with self._writing, self._explained():
            if self._writer is None:
                self._writer = self._connect()
            self._writer.execute("PRAGMA incremental_vacuum").fetchall()
            # A reader of an earlier moment keeps the log from being cut: do not wait for it.
            self._writer.execute("PRAGMA busy_timeout = 0")
            try:
                self._writer.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()
            finally:
                self._writer.execute(f"PRAGMA busy_timeout = {int(_BUSY_SECONDS * 1000)}")

    def _create(self) -> None:
        with self._explained():
            connection = self._connect()
            try:
                # A file without tables is one whose making was interrupted.
                if connection.execute("SELECT count(*) FROM sqlite_master").fetchone()[0]:
                    return
                connection.execute(f"PRAGMA page_size = {PAGE}")
                connection.execute("PRAGMA auto_vacuum = INCREMENTAL")
                connection.execute("PRAGMA journal_mode = WAL")
                connection.executescript(f"BEGIN EXCLUSIVE;{_SCHEMA}COMMIT;")
            finally:
                connection.close()

    def _reader(self) -> sqlite3.Connection:
        connection: sqlite3.Connection | None = getattr(self._local, "connection", None)
        if connection is not None and self._identity() != self._local.identity:
            # A repair has put another file in its place.
            connection.close()
            connection = None
        if connection is None or self._closed:
            with self._guard:
                self.require_open()
                connection = self._connect(read_only=True)
                self._connections.append(connection)
            self._require_ours(connection)
            self._local.connection = connection
            self._local.identity = self._identity()
        return connection

    def _connect(self, *, read_only: bool = False) -> sqlite3.Connection:
        connection = self._opened()
        connection.execute(f"PRAGMA query_only = {int(read_only)}")
        connection.execute("PRAGMA synchronous = FULL")
        connection.execute(f"PRAGMA cache_size = -{_CACHE_KIB}")
        return connection

    def _identity(self) -> int:
        try:
            return self.file.stat().st_ino
        except OSError as error:
            raise CatalogError(f"{self.file}: {error.strerror}") from error

    def _opened(self) -> sqlite3.Connection:
        modes = ["mode=rwc"]
        if self._read_only:
            # To read what a killed writer left in the log, SQLite has to write, though no data.
            modes = ["mode=rw", "mode=ro"]
            if not self.file.with_name(f"{self.file.name}-wal").exists():
                # On a disk that cannot be written nobody else changes the file either.
                modes.append("immutable=1")
        for mode in modes:
            connection = sqlite3.connect(
                f"{self.file.absolute().as_uri()}?{mode}",
                uri=True,
                timeout=_BUSY_SECONDS,
                isolation_level=None,
                check_same_thread=False,
            )
            try:
                connection.execute("SELECT count(*) FROM sqlite_master").fetchone()
                return connection
            except sqlite3.OperationalError:
                connection.close()
                if mode == modes[-1]:
                    raise
            except BaseException:
                connection.close()
                raise
        raise AssertionError("there is at least one mode")

    def _require_ours(self, connection: sqlite3.Connection) -> None:
        application = connection.execute("PRAGMA application_id").fetchone()[0]
        version = connection.execute("PRAGMA user_version").fetchone()[0]
        if not connection.execute("SELECT count(*) FROM sqlite_master").fetchone()[0]:
            raise MissingError(f"there is no catalogue at {self.file.parent} yet: it is being made")
        if application != APPLICATION:
            tables = {name for (name,) in connection.execute("SELECT name FROM sqlite_master")}
            if tables >= _TABLES:
                raise DamagedStoreError(
                    f"{self.file} is damaged (its header is another); {_advice(self.file)}"
                )
            raise CatalogError(f"{self.file} is an SQLite file, but not that of a catalogue")
        if version > VERSION:
            raise CatalogError(
                f"{self.file} was made by a newer version of shoplens (its format is {version}, "
                f"this version reads up to {VERSION}): update shoplens"
            )

    @contextmanager
    def _explained(self) -> Iterator[None]:
        try:
            yield
        except (sqlite3.DatabaseError, UnicodeDecodeError) as error:
            if self._closed:
                raise CatalogError(f"{self.file.parent} is closed") from error
            text = str(error)
            if isinstance(error, UnicodeDecodeError) or _DAMAGE.search(text):
                raise DamagedStoreError(
                    f"{self.file} is damaged ({text}); {_advice(self.file)}"
                ) from error
            if not self._read_only and ("unable to open" in text or "readonly" in text):
                raise CatalogError(
                    f"{self.file} cannot be written ({text}); open it with read_only=True to search"
                ) from error
            raise CatalogError(f"{self.file}: {text}") from error


def _has_marks(file: Path) -> bool:
    """Return whether a file begins like one of SQLite or has our number in its header."""
    with file.open("rb") as stream:
        header = stream.read(72)
    return header.startswith(b"SQLite format 3") or header[68:] == APPLICATION.to_bytes(4, "big")


def _advice(file: Path) -> str:
    return (
        f"`shoplens catalog verify {file.parent}` lists all that is, and --repair mends it, from a "
        "backup where that is needed"
    )


def _stored(entry: Entry) -> tuple[PhotoId, str | None, bytes, bytes, bytes]:
    box = entry.box
    facts = _encode(
        _Facts(
            entry.path,
            entry.source,
            entry.sha256,
            entry.stamp,
            None if box is None else (box.x0, box.y0, box.x1, box.y1),
            dict(entry.attributes),
        )
    )
    vector = _bytes(entry.vector)
    return (
        entry.photo_id,
        entry.product_id,
        facts,
        vector,
        checksum(entry.photo_id, entry.product_id, facts, vector),
    )


def _bytes(vector: Vector) -> bytes:
    return vector.astype(_FLOAT32, copy=False).tobytes()


def _entry(photo_id: PhotoId, product_id: str | None, facts: bytes, vector: bytes) -> Entry:
    values = _decode_facts(facts)
    # By position: a search makes hundreds of these.
    return Entry(
        photo_id,
        np.frombuffer(vector, _FLOAT32),
        product_id,
        values.path,
        values.source,
        values.sha256,
        None if values.box is None else Box(*values.box),
        values.attributes,
        values.stamp,
    )


def _parts(
    values: Sequence[PhotoId] | Sequence[int] | Sequence[str],
) -> Iterator[Sequence[PhotoId]]:
    for start in range(0, len(values), _MOST_VARIABLES):
        yield values[start : start + _MOST_VARIABLES]


def _storable(ids: Sequence[PhotoId]) -> list[PhotoId]:
    """Return the ids that can be in the store: text that is no Unicode is not."""
    return [one for one in ids if not isinstance(one, str) or not _SURROGATE.search(one)]


def _marks(values: Sequence[object]) -> str:
    return ",".join("?" * len(values))
