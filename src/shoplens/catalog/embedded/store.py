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
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from shoplens.catalog.embedded.reading import DamagedStoreError, Reading, advice
from shoplens.catalog.embedded.version_mark import VersionMark
from shoplens.catalog.embedded.writing import WITH_REGIONS, Writing
from shoplens.errors import CatalogError, MissingError

FILE = "catalog.sqlite"
APPLICATION = 0x73686C73
"""`application_id` of the file: "shls"."""
VERSION = WITH_REGIONS
"""The newest `user_version`, of the schema and of what rows say, that is read."""
_WITHOUT_REGIONS = 1
"""A new store can be read by versions of shoplens that know no regions."""
PAGE = 16_384
"""Bytes of a page: rows of a few kilobytes would waste much of a smaller one."""
_BUSY_SECONDS = 10.0
_CACHE_KIB = 32_768
_DAMAGE = re.compile("malformed|not a database|corrupt|no such|unsupported file format")
"""In what SQLite says of a file that is damaged."""

_SCHEMA = f"""
PRAGMA application_id = {APPLICATION};
PRAGMA user_version = {_WITHOUT_REGIONS};
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

_TABLES = {"about", "photos", "failed", "removed", "segments", "state"}


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

    def loss(self) -> str | None:
        """Return what to say where acknowledged changes are missing; None where none are."""
        if self.lost is None:
            return None
        version, acknowledged = self.lost
        return (
            f"the last changes are missing: the catalogue is at version {version:,}, and version "
            f"{acknowledged:,} was saved. This file was damaged or removed. --repair keeps what is "
            "left; then run `shoplens index` again on your sources"
        )

    def require_complete(self) -> None:
        """Raise `CatalogError` if acknowledged changes are missing."""
        if (loss := self.loss()) is not None:
            raise CatalogError(
                f"{self.file}-wal: {loss} (shoplens catalog verify {self.file.parent} --repair)"
            )

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
                    f"{self.file} is damaged (its header is another); {advice(self.file)}"
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
                    f"{self.file} is damaged ({text}); {advice(self.file)}"
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


def require_free(folder: Path) -> None:
    """Check that a catalogue can be made at `folder`: it is empty, or not there.

    Raises:
        CatalogError: there is something.
        MissingError: the folder above it is not there.
    """
    if folder.is_dir() and not any(folder.iterdir()):
        return
    if folder.exists() or folder.is_symlink():
        raise CatalogError(f"{folder} is there already and is no catalogue; name a new folder")
    if not folder.absolute().parent.is_dir():
        raise MissingError(f"cannot make {folder}: the folder {folder.parent} is not there")
