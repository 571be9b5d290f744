"""The site of a challenge, from memory, and built anew when something has changed."""

from __future__ import annotations

import hashlib
import logging
import mimetypes
import tempfile
import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from shoplens.challenge.registry.instants import current
from shoplens.challenge.registry.registry import Registry
from shoplens.challenge.registry.terms import read_terms
from shoplens.challenge.site.build import build_site
from shoplens.errors import ShoplensError
from shoplens.server.logs import log_event

_LOOK_SECONDS = 2.0
"""Between two looks whether something has changed."""
_TYPES = {".xml": "application/atom+xml", ".csv": "text/csv", ".json": "application/json"}


@dataclass(frozen=True, slots=True)
class SiteFile:
    """A file of the site."""

    data: bytes
    media_type: str
    etag: str


class ChallengeSite:
    """The files of the site, as of now. May be used from several threads; `file` blocks."""

    def __init__(self, registry: Registry) -> None:
        self._registry = registry
        self._guard = threading.Lock()
        self._files: Mapping[str, SiteFile] = {}
        self._built: object = None
        """What the files were built of."""
        self._looked = -_LOOK_SECONDS

    def file(self, name: str) -> SiteFile | None:
        """Return a file by its path in the site; None if there is none.

        Raises `ShoplensError` if the site could never be built.
        """
        # Whoever comes while it is built gets the earlier one.
        if self._guard.acquire(blocking=not self._files):
            try:
                if time.monotonic() - self._looked >= _LOOK_SECONDS:
                    self._bring_up_to_date()
            finally:
                self._guard.release()
        return self._files.get(name)

    def _bring_up_to_date(self) -> None:
        now = current()
        try:
            state = self._state(now)
            if state != self._built:
                self._files, self._built = self._build(now), state
        except ShoplensError as error:
            log_event("no new site of the challenge", logging.ERROR, reason=str(error))
            if not self._files:
                raise
        self._looked = time.monotonic()

    def _state(self, now: datetime) -> object:
        """Return what the site depends on."""
        with self._registry.database.reading() as connection:
            terms = read_terms(connection)
            [last] = connection.execute("SELECT max(id) FROM events").fetchone()
        pages = sorted(self._registry.pages.glob("*.md"))
        written = [(page.name, page.stat().st_mtime_ns) for page in pages]
        return last, terms.is_over(now), terms.latest_round(now), written

    def _build(self, now: datetime) -> Mapping[str, SiteFile]:
        public, private = (self._registry.board(side, now) for side in ("public", "private"))
        with tempfile.TemporaryDirectory(prefix="shoplens-site-") as made:
            folder = Path(made) / "site"
            build_site(folder, public, private, challenge=self._registry.folder)
            return {
                path.relative_to(folder).as_posix(): _file(path)
                for path in folder.rglob("*")
                if path.is_file() and not path.name.startswith(".")
            }


def _file(path: Path) -> SiteFile:
    data = path.read_bytes()
    media_type = _TYPES.get(path.suffix) or mimetypes.guess_type(path.name)[0]
    etag = f'"{hashlib.sha256(data).hexdigest()[:32]}"'
    return SiteFile(data, media_type or "application/octet-stream", etag)
