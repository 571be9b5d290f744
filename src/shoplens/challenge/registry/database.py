"""The challenge's file: opened, checked, and changed in transactions that leave a trail.

Every use opens the file, does its work in one transaction and closes it again. So a `Database` is
a plain value that any thread or process may use, nothing is held while a submission runs for
minutes, and a kill at any moment leaves either all of a change or nothing of it.
"""

from __future__ import annotations

import getpass
import json
import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from shoplens.challenge.registry.instants import to_text
from shoplens.challenge.registry.migrations import FIRST, VERSION, migrate
from shoplens.challenge.registry.schema import APPLICATION, TABLES
from shoplens.errors import DataError, MissingError, ShoplensError
from shoplens.parts import part_beside

FILE_NAME = "challenge.db"

_BUSY_TIMEOUT = 30.0
"""Seconds to wait for another process that writes."""


def current_user() -> str:
    """Return the name of the current user, for the trail."""
    try:
        return getpass.getuser()
    except (OSError, KeyError):  # A user without a name, as in some containers.
        return "unknown"


@dataclass(frozen=True, slots=True)
class Change:
    """A writing transaction: its statements and its entries in the trail."""

    connection: sqlite3.Connection
    who: str
    at: str
    """The time of the change, as text."""

    def execute(self, statement: str, values: tuple[Any, ...] = ()) -> sqlite3.Cursor:
        """Run one statement."""
        return self.connection.execute(statement, values)

    def record(self, what: str, **detail: Any) -> None:
        """Add an entry to the trail; it is written with the change or not at all."""
        self.execute(
            "INSERT INTO events (at, who, what, detail) VALUES (?, ?, ?, ?)",
            (self.at, self.who, what, json.dumps(detail)),
        )


@dataclass(frozen=True, slots=True)
class Database:
    """The SQLite file of a challenge."""

    file: Path

    @contextmanager
    def change(self, now: datetime, who: str | None = None) -> Iterator[Change]:
        """Write in one transaction; an exception in the block undoes all of it.

        Other writers wait until it ends, and readers see the file as it was before. So whatever
        the block reads is still true when it writes. A file of an older version is upgraded
        first (see `upgrade`).

        Args:
            now: the time of the change.
            who: for the trail; None takes the user's name.

        Raises:
            MissingError: there is no such file.
            DataError: the file is not a challenge, or one of a newer version.
            ShoplensError: it cannot be written (locked for half a minute, full disk, permissions).
        """
        at = to_text(now)
        self.upgrade(now, who)
        with self._transaction("IMMEDIATE") as connection:
            yield Change(connection, current_user() if who is None else who, at)

    @contextmanager
    def reading(self) -> Iterator[sqlite3.Connection]:
        """Read, all of it as of one moment.

        Raises as `change`, and `DataError` when the file is of an older version: reading it
        changes nothing, so it has to be upgraded first.
        """
        with self._transaction("DEFERRED") as connection:
            yield connection

    def upgrade(self, now: datetime, who: str | None = None) -> Path | None:
        """Bring a file of an older version up to date, in one transaction.

        Before that it is copied to `challenge.db.version-N` beside it, N its version.

        Args:
            now: the time, for the trail.
            who: for the trail; None takes the user's name.

        Returns:
            The copy; None where the file was up to date.

        Raises as `change`.
        """
        self._require_file()
        with self._plain_errors(), closing(self._connect()) as connection:
            if self._version(connection) == VERSION:
                return None
            connection.execute("PRAGMA foreign_keys = OFF")  # See `migrate`.
            with _committed(connection, "IMMEDIATE"):
                before = self._version(connection)
                if before == VERSION:  # Another process was faster.
                    return None
                copy = self._back_up(before)
                migrate(connection, before)
                change = Change(connection, current_user() if who is None else who, to_text(now))
                change.record("file upgraded", before=before, after=VERSION)
                return copy

    def _back_up(self, version: int) -> Path:
        """Copy the file as it is, while this process keeps others from writing."""
        copy = self.file.with_name(f"{self.file.name}.version-{version}")
        part = part_beside(copy)
        try:
            part.touch(mode=0o600)
            with closing(self._connect()) as source, closing(sqlite3.connect(part)) as target:
                source.backup(target)
            part.replace(copy)
        except OSError as error:
            raise ShoplensError(f"cannot write {copy}: {error.strerror or error}") from error
        finally:
            part.unlink(missing_ok=True)
        return copy

    @contextmanager
    def create(self, now: datetime, who: str | None = None) -> Iterator[Change]:
        """Make the file and its tables in one transaction, in which the block adds the first rows.

        Raises:
            DataError: a challenge is there already.
            ShoplensError: the file cannot be written.
        """
        at = to_text(now)
        # For its owner alone: it holds the private scores.
        try:
            self.file.touch(mode=0o600)
        except OSError as error:
            raise ShoplensError(f"cannot write {self.file}: {error.strerror or error}") from error
        with self._plain_errors(), closing(self._connect()) as connection:
            # Readers go on while one writes; kept in the file, so set once.
            connection.execute("PRAGMA journal_mode = WAL")
            with _committed(connection, "IMMEDIATE"):
                if _is_filled(connection):
                    raise DataError(f"{self.file} is there already: choose another folder")
                for table in TABLES:
                    connection.execute(table)
                connection.execute(f"PRAGMA application_id = {APPLICATION}")
                connection.execute(f"PRAGMA user_version = {VERSION}")
                yield Change(connection, current_user() if who is None else who, at)

    @contextmanager
    def _transaction(self, kind: str) -> Iterator[sqlite3.Connection]:
        self._require_file()
        with (
            self._plain_errors(),
            closing(self._connect()) as connection,
            _committed(connection, kind),
        ):
            version = self._version(connection)
            if version != VERSION:
                raise DataError(
                    f"{self.file} has schema version {version}, this shoplens reads version "
                    f"{VERSION}: run `shoplens challenge upgrade {self.file.parent}`"
                )
            yield connection

    def _require_file(self) -> None:
        if not self.file.is_file():
            raise MissingError(
                f"{self.file.parent} is not a challenge: it has no {self.file.name} "
                "(`shoplens challenge create` makes one)"
            )

    def _connect(self) -> sqlite3.Connection:
        connection = sqlite3.connect(self.file, timeout=_BUSY_TIMEOUT, isolation_level=None)
        try:
            connection.row_factory = sqlite3.Row
            # A commit is on the disk when it returns: no submission is lost to a power cut.
            connection.execute("PRAGMA synchronous = FULL")
            connection.execute("PRAGMA foreign_keys = ON")
        except BaseException:
            connection.close()
            raise
        return connection

    def _version(self, connection: sqlite3.Connection) -> int:
        """Return the version of the tables; raises `DataError` when it is not a known one."""
        version = _pragma(connection, "user_version")
        application = _pragma(connection, "application_id")
        if application != APPLICATION:
            raise DataError(
                f"{self.file} is an SQLite file, but not a challenge"
                if _is_filled(connection)
                else f"{self.file} is empty: creating the challenge was interrupted; run "
                "`shoplens challenge create` again"
            )
        if not FIRST <= version <= VERSION:
            what_to_do = "use a newer shoplens for it" if version > VERSION else "restore a backup"
            raise DataError(
                f"{self.file} has schema version {version}, this shoplens knows versions {FIRST} "
                f"to {VERSION}: {what_to_do}"
            )
        return version

    @contextmanager
    def _plain_errors(self) -> Iterator[None]:
        """Turn SQLite's errors into errors that name the file."""
        try:
            yield
        except sqlite3.OperationalError as error:
            if "locked" in str(error):
                raise ShoplensError(
                    f"{self.file} was being written by another process for {_BUSY_TIMEOUT:g} s: "
                    "try again"
                ) from error
            raise ShoplensError(f"{self.file} cannot be used: {error}") from error
        except sqlite3.IntegrityError:
            raise
        except sqlite3.DatabaseError as error:
            raise DataError(
                f"{self.file} is damaged, or not an SQLite file: {error}; restore a backup"
            ) from error


@contextmanager
def _committed(connection: sqlite3.Connection, kind: str) -> Iterator[None]:
    connection.execute(f"BEGIN {kind}")
    try:
        yield
    except BaseException:
        # SQLite may have undone it itself (a full disk).
        if connection.in_transaction:
            connection.execute("ROLLBACK")
        raise
    connection.execute("COMMIT")


def _is_filled(connection: sqlite3.Connection) -> bool:
    """Whether any table is there."""
    return bool(connection.execute("SELECT count(*) FROM sqlite_master").fetchone()[0])


def _pragma(connection: sqlite3.Connection, name: str) -> int:
    return int(connection.execute(f"PRAGMA {name}").fetchone()[0])
