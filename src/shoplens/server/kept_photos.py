"""Photos that are searched for again and again, kept in memory for a while."""

from __future__ import annotations

import secrets
import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass

MOST_BYTES = 64 * 2**20
"""Of all that are kept."""


@dataclass(slots=True)
class _Kept:
    data: bytes
    owner: str | None
    until: float


class KeptPhotos:
    """Keeps photos by random tokens. What was used least recently goes first.

    So a box can be moved on a photo without sending the photo each time. All of it is in memory.

    Args:
        seconds: that a photo is kept after it was last used; 0 keeps none.
        most_bytes: of all photos.
        clock: tells the time in seconds.
    """

    def __init__(
        self,
        seconds: float,
        *,
        most_bytes: int = MOST_BYTES,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._seconds = seconds
        self._most_bytes = most_bytes
        self._clock = clock
        self._photos: OrderedDict[str, _Kept] = OrderedDict()
        self.n_bytes = 0

    def keep(self, data: bytes, owner: str | None) -> str | None:
        """Keep a photo.

        Args:
            data: the bytes of its file.
            owner: the id of the key that sent it; only this key finds it again.

        Returns:
            Its token; None if it is not kept.
        """
        if not self._seconds or len(data) > self._most_bytes:
            return None
        token = secrets.token_urlsafe(24)
        self._photos[token] = _Kept(data, owner, self._clock() + self._seconds)
        self.n_bytes += len(data)
        while self.n_bytes > self._most_bytes:
            self._drop(next(iter(self._photos)))
        return token

    def find(self, token: str, owner: str | None) -> bytes | None:
        """Return the photo of a token, None if it is not kept for this owner."""
        self.expire()
        kept = self._photos.get(token)
        if kept is None or kept.owner != owner:
            return None
        kept.until = self._clock() + self._seconds
        self._photos.move_to_end(token)
        return kept.data

    def expire(self) -> None:
        """Forget what was not used for long enough."""
        now = self._clock()
        while self._photos:
            token, oldest = next(iter(self._photos.items()))
            if oldest.until > now:
                return
            self._drop(token)

    def _drop(self, token: str) -> None:
        self.n_bytes -= len(self._photos.pop(token).data)
