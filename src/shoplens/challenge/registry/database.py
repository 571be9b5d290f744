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
from shoplens.challenge.registry.schema import APPLICATION, TABLES, VERSION
from shoplens.errors import DataError, MissingError, ShoplensError

FILE_NAME = "challenge.db"

_BUSY_TIMEOUT = 30.0
"""Seconds to wait for another process that writes."""


def current_user() -> str:
    """Return the name of who is at the keyboard, for the trail."""
    try:
        return getpass.getuser()
    except (OSError, KeyError):  # A user without a name, as in some containers.
        return "unknown"


@dataclass(frozen=True, slots=True)
class Change:
    """A transaction that writes: its statements, and what the trail will say of it."""

    connection: sqlite3.Connection
    who: str
    at: str
    """The time of the change, as text."""

    def execute(self, statement: str, values: tuple[Any, ...] = ()) -> sqlite3.Cursor:
        """Run one statement."""
        return self.connection.execute(statement, values)

    def record(self, what: str, **detail: Any) -> None:
        """Add a line to the trail; it is written with the change or not at all."""
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

        Other writers wait until it is through, readers see the file as it was before. So what the
        block reads is still true when it writes.

        Args:
            now: the time of the change.
            who: for the trail; None takes the user's name.

        Raises:
            MissingError: there is no such file.
            DataError: the file is no challenge, or one of another version.
            ShoplensError: it cannot be written (locked for half a minute, full disk, permissions).
        """
        at = to_text(now)
        with self._transaction("IMMEDIATE") as connection:
            yield Change(connection, current_user() if who is None else who, at)

    @contextmanager
    def reading(self) -> Iterator[sqlite3.Connection]:
        """Read, all of it as of one moment. Raises as `change`."""
        with self._transaction("DEFERRED") as connection:
            yield connection

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
        with self._speaking_plainly(), closing(self._connect()) as connection:
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
        if not self.file.is_file():
            raise MissingError(
                f"{self.file.parent} is no challenge: it holds no {self.file.name} "
                "(`shoplens challenge create` makes one)"
            )
        with (
            self._speaking_plainly(),
            closing(self._connect()) as connection,
            _committed(connection, kind),
        ):
            self._check(connection)
            yield connection

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

    def _check(self, connection: sqlite3.Connection) -> None:
        version = _pragma(connection, "user_version")
        application = _pragma(connection, "application_id")
        if application != APPLICATION:
            raise DataError(
                f"{self.file} is an SQLite file, but not of a challenge"
                if _is_filled(connection)
                else f"{self.file} is empty: making the challenge was broken off; run `shoplens "
                "challenge create` again"
            )
        if version != VERSION:
            other = "a newer" if version > VERSION else "an older"
            raise DataError(
                f"{self.file} has schema version {version}, this shoplens reads version {VERSION}: "
                f"use {other} shoplens for it"
            )

    @contextmanager
    def _speaking_plainly(self) -> Iterator[None]:
        """Turn SQLite's complaints into errors that name the file."""
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
                f"{self.file} is damaged, or no SQLite file: {error}; go back to a backup"
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
