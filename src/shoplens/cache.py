"""Vectors that were computed before, found again by the content they were made of.

One SQLite file a model fingerprint, in the user's cache folder. What was computed is on disk within
a second, so that a run that was killed goes on where it was; a photo under two names, or in two
catalogues, is computed once. The files can be removed at any time.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import sqlite3
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType

import numpy as np
import platformdirs

from shoplens.errors import ShoplensError
from shoplens.records import Photo, Vector

_FORMAT = 2
"""Part of the file's name: another layout is another file, and so are vectors of photos that were
made ready in another way (since 2 by `shoplens.pixels.resampling`)."""
_PASSING = frozenset({"not_an_image", "not_installed"})
"""Failures that a new version or an installed package may mend. To find them costs next to nothing,
so they are not kept, nor believed where an earlier version kept them."""
_COMMIT_AFTER = 1.0
"""Seconds of work that a kill may lose."""
_COMMIT_ROWS = 256
_BUSY_TIMEOUT = 30.0
"""Seconds to wait for another process that writes to the same file."""


def cache_folder() -> Path:
    """Return the folder of everything that can be computed again; it may not be there yet.

    It is `shoplens` in the platform's user cache folder, or in the folder that the environment
    variable `SHOPLENS_CACHE` names.
    """
    # A folder of our own in it: clearing must not reach what others keep there.
    chosen = os.environ.get("SHOPLENS_CACHE")
    return Path(chosen, "shoplens") if chosen else platformdirs.user_cache_path("shoplens", False)


@dataclass(frozen=True, slots=True, eq=False)
class Computed:
    """What a photo came to."""

    vector: Vector | None
    """(d,) float32 of unit length; None where it failed."""
    clipped: bool = False
    """Whether its box lay partly outside and was clipped."""
    reason: str = ""
    """Why it failed, a key of `shoplens.records.REASONS`; empty where it did not."""
    detail: str = ""


def content_key(sha256: str, photo: Photo) -> bytes:
    """Return what a photo's vector is found by: its bytes' hash, its region and its domain."""
    box = photo.box
    region = (
        "whole" if box is None else f"{photo.box_frame} {box.x0!r} {box.y0!r} {box.x1!r} {box.y1!r}"
    )
    return hashlib.sha256(f"{sha256} {photo.domain} {region}".encode()).digest()


class VectorCache:
    """What one model's photos came to; may be used from several threads and processes at once.

    Use it as a context manager, or `close` it: what was put is on disk then. A file that cannot be
    written (a full disk, a folder without permission) stops no work: `trouble` says what was the
    matter, and nothing more is kept.
    """

    def __init__(self, fingerprint: str, folder: Path | None = None) -> None:
        """Open or create the cache of a model.

        Args:
            fingerprint: of the model.
            folder: None takes `vectors` in `cache_folder()`.
        """
        folder = cache_folder() / "vectors" if folder is None else folder
        self.file = folder / f"{fingerprint}.{_FORMAT}.sqlite"
        self.trouble: str | None = None
        """Why nothing is kept any more; None while all is well."""
        self._lock = threading.Lock()
        self._fresh: dict[bytes, Computed] = {}
        self._running: dict[bytes, Future[Computed]] = {}
        self._committed = time.monotonic()
        self._database: sqlite3.Connection | None = None
        try:
            folder.mkdir(parents=True, exist_ok=True)
            self._database = self._open()
        except (OSError, sqlite3.Error) as error:
            self._give_up(error)

    def __enter__(self) -> VectorCache:
        return self

    def __exit__(
        self,
        _kind: type[BaseException] | None,
        _error: BaseException | None,
        _traceback: TracebackType | None,
    ) -> None:
        self.close()

    def get(self, key: bytes) -> Computed | None:
        """Return what was put under a key, by this process or another."""
        with self._lock:
            return self._get(key)

    def put(self, key: bytes, value: Computed) -> None:
        """Keep a value; it is on disk within a second or so, or when the cache is closed.

        Failures that depend on what is installed are not kept.
        """
        if value.reason in _PASSING:
            return
        with self._lock:
            self._fresh[key] = value
            if (
                len(self._fresh) >= _COMMIT_ROWS
                or time.monotonic() - self._committed > _COMMIT_AFTER
            ):
                self._commit()

    def remember(
        self, key: bytes, compute: Callable[[], Computed], *, retry_failed: bool = False
    ) -> tuple[Computed, bool]:
        """Return the value of a key, computed at most once however many threads ask for it.

        Args:
            key: see `content_key`.
            compute: makes the value.
            retry_failed: compute again what failed in an earlier run.

        Returns:
            The value, and whether it was there already.
        """
        with self._lock:
            running = self._running.get(key)
            if running is None:
                found = self._get(key)
                if found is not None and not (found.reason and retry_failed):
                    return found, True
                mine: Future[Computed] = Future()
                self._running[key] = mine
        if running is not None:
            return running.result(), True
        try:
            value = compute()
        except BaseException as error:
            with self._lock:
                del self._running[key]
            mine.set_exception(error)
            raise
        self.put(key, value)
        with self._lock:
            del self._running[key]
        mine.set_result(value)
        return value, False

    def close(self) -> None:
        """Write what is not on disk yet and close the file."""
        with self._lock:
            self._commit()
            if self._database is not None:
                with suppress(sqlite3.Error):
                    self._database.close()
                self._database = None

    def _get(self, key: bytes) -> Computed | None:
        if (fresh := self._fresh.get(key)) is not None:
            return fresh
        if self._database is None:
            return None
        try:
            row = self._database.execute(
                "SELECT vector, clipped, reason, detail FROM photos WHERE key = ?", (key,)
            ).fetchone()
        except sqlite3.Error as error:
            self._give_up(error)
            return None
        if row is None:
            return None
        vector, clipped, reason, detail = row
        if reason in _PASSING:
            return None
        rows = None if vector is None else np.frombuffer(vector, dtype="<f4")
        return Computed(rows, bool(clipped), reason, detail)

    def _commit(self) -> None:
        self._committed = time.monotonic()
        if not self._fresh or self._database is None:
            self._fresh.clear()
            return
        rows = [
            (
                key,
                None if value.vector is None else value.vector.astype("<f4").tobytes(),
                value.clipped,
                value.reason,
                value.detail.encode(errors="backslashreplace").decode(),
            )
            for key, value in self._fresh.items()
        ]
        try:
            with self._database:
                self._database.executemany("INSERT OR REPLACE INTO photos VALUES(?,?,?,?,?)", rows)
        except sqlite3.Error as error:
            self._give_up(error)
        self._fresh.clear()

    def _open(self) -> sqlite3.Connection:
        try:
            return self._connected()
        except sqlite3.OperationalError:
            raise
        except sqlite3.DatabaseError:
            # Not a database, or a damaged one: nothing in it is worth keeping.
            for suffix in ("", "-wal", "-shm"):
                self.file.with_name(self.file.name + suffix).unlink(missing_ok=True)
            return self._connected()

    def _connected(self) -> sqlite3.Connection:
        database = sqlite3.connect(self.file, timeout=_BUSY_TIMEOUT, check_same_thread=False)
        try:
            # Of smaller pages a row of 2 KB would take a whole one.
            database.execute("PRAGMA page_size = 32768")
            database.execute("PRAGMA journal_mode = WAL")
            # Safe against a kill of this process; a power cut may lose the last moments' rows.
            database.execute("PRAGMA synchronous = NORMAL")
            database.execute(
                "CREATE TABLE IF NOT EXISTS photos (key BLOB PRIMARY KEY, vector BLOB, "
                "clipped INTEGER NOT NULL, reason TEXT NOT NULL, detail TEXT NOT NULL)"
            )
            database.execute("SELECT key FROM photos LIMIT 1").fetchone()
        except BaseException:
            database.close()
            raise
        return database

    def _give_up(self, error: Exception) -> None:
        if self.trouble is None:
            self.trouble = f"{self.file}: {error}"
        if self._database is not None:
            with suppress(sqlite3.Error):
                self._database.close()
            self._database = None


@dataclass(frozen=True, slots=True)
class CacheSize:
    """What the cache folder holds."""

    folder: Path
    n_files: int
    megabytes: float
    """In 10^6 bytes."""


def measure_cache() -> CacheSize:
    """Return how much the cache folder holds."""
    folder = cache_folder()
    sizes = [file.stat().st_size for file in folder.rglob("*") if file.is_file()]
    return CacheSize(folder, len(sizes), sum(sizes) / 1e6)


def clear_cache() -> CacheSize:
    """Remove everything from the cache folder; return what it held.

    Raises `ShoplensError` when a file cannot be removed.
    """
    held = measure_cache()
    try:
        if held.folder.is_dir():
            shutil.rmtree(held.folder)
    except OSError as error:
        raise ShoplensError(f"cannot clear {held.folder}: {error}") from error
    return held
