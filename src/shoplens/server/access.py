"""Who may do what: API keys, their scopes and their rates, as dependencies of routes."""

from __future__ import annotations

import logging
import math
from typing import Annotated, Any

from fastapi import Request, Security
from fastapi.security import (
    APIKeyHeader,
    HTTPAuthorizationCredentials,
    HTTPBearer,
    SecurityScopes,
)

from shoplens.errors import ShoplensError
from shoplens.server.keys import Key, Keys, KeyScope
from shoplens.server.logs import log_event
from shoplens.server.problems import Problem
from shoplens.server.rate_limit import RateLimiter, address_of
from shoplens.server.settings import is_loopback

ACCESS_PROBLEMS = ("no_key", "wrong_scope", "too_many_requests", "keys_unavailable")
"""What `require` refuses a request with."""

_bearer = HTTPBearer(
    scheme_name="bearer", description="Authorization: Bearer KEY", auto_error=False
)
_header = APIKeyHeader(
    name="X-API-Key", scheme_name="header", description="X-API-Key: KEY", auto_error=False
)


class Access:
    """Decides about requests. The `access` of an application's state is one."""

    def __init__(self, keys: Keys | None, rate: int | None) -> None:
        """Take what there is.

        Args:
            keys: the keys; None lets everybody do everything.
            rate: requests a minute of a key without a rate of its own or, without keys, of an
                address; None for any number.
        """
        self._keys = keys
        self._rate = rate
        self._limiter = RateLimiter()

    def admit(self, scope: KeyScope, text: str | None, host: str) -> Key | None:
        """Admit a request.

        Args:
            scope: what it needs.
            text: the key that came with it; None if none did.
            host: the address that it came from.

        Returns:
            The key; None where there are no keys.

        Raises `Problem`: `no_key`, `wrong_scope`, `too_many_requests` or `keys_unavailable`.
        """
        if self._keys is None:
            self._count(f"address {address_of(host)}", self._rate)
            return None
        if not text:
            raise _no_key("Send an API key: Authorization: Bearer KEY, or X-API-Key: KEY.")
        try:
            key = self._keys.find(text)
        except ShoplensError as error:
            log_event("no keys", logging.ERROR, reason=str(error))
            raise Problem(
                "keys_unavailable", "The server cannot read its file of keys; see its log."
            ) from None
        if key is None:
            raise _no_key("The API key is not valid, or was revoked.")
        # Before the scope: what is refused counts, too.
        self._count(f"key {key.id}", key.rate or self._rate)
        if not key.allows(scope):
            raise Problem(
                "wrong_scope", f"This needs the scope {scope}, and the key has {key.scope}."
            )
        return key

    def _count(self, caller: str, rate: int | None) -> None:
        if rate is not None and (wait := self._limiter.take(caller, rate)):
            raise Problem(
                "too_many_requests",
                f"{rate:,} requests a minute are allowed.",
                headers={"Retry-After": str(math.ceil(wait))},
            )


def require(scope: KeyScope) -> Any:
    """Return the dependency of a route for callers with a scope.

    It is checked before the body of the request is read.
    """
    return Security(_admitted, scopes=[scope])


def key_of(request: Request) -> str | None:
    """Return the id of the key that came with a request; None where there are no keys."""
    key: str | None = request.scope["state"].get("key")
    return key


async def may(request: Request, scope: KeyScope) -> bool:
    """Return whether the caller of a route for everybody may also do what needs a scope."""
    bearer, header = await _bearer(request), await _header(request)
    try:
        await _admitted(request, SecurityScopes([scope]), bearer, header)
    except Problem:
        return False
    return True


async def reading_metrics(
    request: Request,
    bearer: Annotated[HTTPAuthorizationCredentials | None, Security(_bearer)],
    header: Annotated[str | None, Security(_header)],
) -> None:
    """Let a request read the metrics, as a dependency of a route.

    Raises as `Access.admit`.
    """
    host = "" if request.client is None else request.client.host
    # The route also takes "/metrics" with a line break, which rules of a proxy may let pass.
    without_key = request.scope["path"] == "/metrics" and is_loopback(host)
    if request.app.state.settings.metrics == "key" or not without_key:
        await _admitted(request, SecurityScopes(["search"]), bearer, header)


async def _admitted(
    request: Request,
    needed: SecurityScopes,
    bearer: Annotated[HTTPAuthorizationCredentials | None, Security(_bearer)],
    header: Annotated[str | None, Security(_header)],
) -> None:
    access = request.app.state.access
    assert isinstance(access, Access)
    text = header if bearer is None else bearer.credentials
    host = "" if request.client is None else request.client.host
    [scope] = needed.scopes
    key = access.admit(scope, text, host)  # type: ignore[arg-type]
    if key is not None:
        request.scope["state"]["key"] = key.id


def _no_key(detail: str) -> Problem:
    return Problem("no_key", detail, headers={"WWW-Authenticate": "Bearer"})
