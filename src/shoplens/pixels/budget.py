"""How many pixels the threads of this process may hold decoded at once.

A file of ten kilobytes can hold 89 million pixels. Without a common bound every thread could be
decoding such a file at the same time.
"""

from __future__ import annotations

import os
import threading
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache

from shoplens.cores import usable_cores
from shoplens.errors import ShoplensError
from shoplens.pixels.opening import MAX_PIXELS

VARIABLE = "SHOPLENS_PIXEL_BUDGET"
"""The environment variable that sets the budget, in pixels."""
_PER_CORE = 16_000_000
"""Room for a photo of a phone on every core, at full scale."""

_making = threading.Lock()


class PixelBudget:
    """A number of pixels that threads share. Who asks for more than is left waits in line."""

    def __init__(self, pixels: int) -> None:
        """Make a budget of so many pixels, at least 1."""
        self.pixels = pixels
        self._left = pixels
        self._line: deque[object] = deque()
        self._changed = threading.Condition()
        self._own = threading.local()

    @contextmanager
    def hold(self, pixels: int) -> Iterator[None]:
        """Wait until so many pixels are left, and keep them for the length of a `with` block.

        A photo larger than the whole budget gets all of it, so it is decoded alone. A thread that
        holds some already does not wait for more: two such threads would wait for each other.
        """
        if getattr(self._own, "holds", False):
            yield
            return
        share = min(pixels, self.pixels)
        self._take(share)
        self._own.holds = True
        try:
            yield
        finally:
            self._own.holds = False
            with self._changed:
                self._left += share
                self._changed.notify_all()

    def _take(self, share: int) -> None:
        place = object()
        with self._changed:
            self._line.append(place)
            try:
                # First come, first served: small photos do not overtake a large one for ever.
                self._changed.wait_for(lambda: self._line[0] is place and self._left >= share)
                self._left -= share
            finally:
                self._line.remove(place)
                self._changed.notify_all()


def pixel_budget() -> PixelBudget:
    """Return the budget of this process.

    It is 16 million pixels for each usable core, but at least the largest photo that is decoded at
    all (`MAX_PIXELS`); the environment variable `SHOPLENS_PIXEL_BUDGET` overrides it.

    Raises `ShoplensError` when the variable is not a positive whole number.
    """
    with _making:  # Threads that ask at once must not get one each.
        return _chosen_budget()


@cache
def _chosen_budget() -> PixelBudget:
    chosen = os.environ.get(VARIABLE)
    if chosen is None:
        return PixelBudget(max(MAX_PIXELS, _PER_CORE * usable_cores()))
    if not (chosen.isascii() and chosen.isdigit() and int(chosen) > 0):
        raise ShoplensError(f"{VARIABLE} is {chosen!r}; it must be a number of pixels above 0")
    return PixelBudget(int(chosen))
