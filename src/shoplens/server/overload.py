"""What a request is told when the service is full, or was too slow for it."""

from __future__ import annotations

from shoplens.errors import ShoplensError


class OverloadedError(ShoplensError):
    """Too many requests wait already. Catch it to answer that one may try again later."""


class DeadlineError(ShoplensError):
    """A request's time was over before its turn came. Nothing was computed for it."""
