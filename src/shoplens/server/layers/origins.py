"""Which pages in a browser may use the server, and under which names it is known.

A page of another site must not use a server on its visitor's machine. Browsers say whose page
sends a request (Origin). A site can also let its own name point at this machine (DNS rebinding);
then the name in the Host header is not one of ours.
"""

from __future__ import annotations

from urllib.parse import urlsplit

from starlette.types import ASGIApp, Receive, Scope, Send

from shoplens.server.layers.refusing import refuse
from shoplens.server.problems import Problem
from shoplens.server.settings import ServerSettings

_LOOPBACK_NAMES = frozenset({"localhost", "127.0.0.1", "::1"})


class Origins:
    """Refuses requests of other sites' pages, and requests to names that are not ours."""

    def __init__(self, app: ASGIApp, settings: ServerSettings) -> None:
        self._app = app
        self._allowed = frozenset(settings.cors_origins)
        names = frozenset(name.lower() for name in settings.allowed_hosts)
        if settings.on_loopback:
            names |= {settings.host.strip("[]")}
        if names:
            # Probes on this machine, as of a container, use these; no other site has them.
            names |= _LOOPBACK_NAMES
        self._names = names
        """Empty where any is taken."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on."""
        problem = self._problem(scope) if scope["type"] == "http" else None
        if problem is None:
            await self._app(scope, receive, send)
        else:
            await refuse(problem, scope, receive, send)

    def _problem(self, scope: Scope) -> Problem | None:
        headers = {name: value.decode("latin-1") for name, value in scope["headers"]}
        host = headers.get(b"host", "")
        if self._names and _name(host) not in self._names:
            return Problem(
                "unknown_host",
                f"The Host header says {host!r}, which is not a name of this server. Use localhost,"
                " or give the name with allowed_hosts.",
            )
        origin = headers.get(b"origin")
        if origin is None or origin in self._allowed or _host(origin) == host.lower():
            return None
        return Problem(
            "cross_origin",
            f"The page is of {origin!r}. An operator can allow that with cors_origins.",
        )


def _name(host: str) -> str:
    try:
        return (urlsplit(f"//{host}").hostname or "").lower()
    except ValueError:
        return ""


def _host(origin: str) -> str:
    scheme, _, host = origin.partition("://")
    return host.lower() if scheme in ("http", "https") else ""
