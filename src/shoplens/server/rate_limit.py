"""How many requests a minute a key, or an address, may make: a token bucket for each."""

from __future__ import annotations

import ipaddress
import threading
import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass

MOST_BUCKETS = 10_000
"""Callers that are remembered. The one that was quiet longest is forgotten first."""


@dataclass(slots=True)
class _Bucket:
    tokens: float
    at: float
    """When `tokens` was right, in seconds."""


class RateLimiter:
    """Token buckets by caller. A bucket holds the requests of a minute, and fills all the time.

    So a caller may make the requests of a minute at once, and then as many as come back. May be
    used from several threads.
    """

    def __init__(
        self, *, most_buckets: int = MOST_BUCKETS, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._buckets: OrderedDict[str, _Bucket] = OrderedDict()
        self._most = most_buckets
        self._clock = clock
        self._guard = threading.Lock()

    def __len__(self) -> int:
        return len(self._buckets)

    def take(self, caller: str, per_minute: int) -> float:
        """Count a request.

        Args:
            caller: whose it is.
            per_minute: how many the caller may make.

        Returns:
            0 if it is allowed, else the seconds after which it would be.
        """
        with self._guard:
            now = self._clock()
            bucket = self._buckets.pop(caller, None)
            if bucket is None:
                bucket = _Bucket(float(per_minute), now)
            self._buckets[caller] = bucket
            if len(self._buckets) > self._most:
                self._buckets.popitem(last=False)
            refilled = bucket.tokens + (now - bucket.at) * per_minute / 60
            bucket.tokens, bucket.at = min(float(per_minute), refilled), now
            if bucket.tokens < 1:
                return (1 - bucket.tokens) * 60 / per_minute
            bucket.tokens -= 1
            return 0.0


def address_of(host: str) -> str:
    """Return what a client is known by: its address, or of IPv6 the /64 that a customer has."""
    try:
        address = ipaddress.ip_address(host.partition("%")[0])
    except ValueError:
        return host
    if address.version == 4:
        return str(address)
    if address.ipv4_mapped is not None:
        return str(address.ipv4_mapped)
    return str(ipaddress.ip_network((address, 64), strict=False))
