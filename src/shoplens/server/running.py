"""A process that serves until it is told to stop."""

from __future__ import annotations

import asyncio
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType

import uvicorn

from shoplens.errors import ShoplensError
from shoplens.server.application import create_app
from shoplens.server.connections import TimedConnection
from shoplens.server.logs import start_logging
from shoplens.server.service import Service
from shoplens.server.settings import ServerSettings

_SIGNALS = (signal.SIGINT, signal.SIGTERM)
_IDLE_SECONDS = 15
"""How long a connection may send nothing."""
_MOST_CONNECTIONS = 500
"""Fewer than the files that systems let a process open, often 1,024."""


def serve(settings: ServerSettings, ready: Callable[[str], None]) -> None:
    """Serve until SIGINT or SIGTERM comes, and finish the requests that are under way.

    Args:
        settings: what to serve, and where.
        ready: told the address when searches are answered.

    Raises:
        ShoplensError: the catalogue or its model cannot be opened, or the port is taken.
    """
    require_keys(settings)
    start_logging(settings.log_format)
    asyncio.run(_serve(settings, ready))


def require_keys(settings: ServerSettings) -> None:
    """Refuse to let other machines in without keys.

    Raises `ShoplensError`; it says what to do.
    """
    if settings.keys is None and not settings.on_loopback:
        raise ShoplensError(
            f"{settings.host} can be reached from other machines, and there are no API keys. Make "
            "one (shoplens keys create --scope search) and serve with --keys keys.json, or leave "
            "out --host to serve this machine only."
        )


async def _serve(settings: ServerSettings, ready: Callable[[str], None]) -> None:
    app = create_app(settings)
    # Not left to uvicorn, so that what goes wrong comes out as it is.
    async with app.router.lifespan_context(app):
        config = uvicorn.Config(
            app,
            host=settings.host,
            port=settings.port,
            http=TimedConnection,
            ws="none",
            loop="asyncio",
            lifespan="off",
            log_config=None,
            access_log=False,
            proxy_headers=False,
            server_header=False,
            limit_concurrency=_MOST_CONNECTIONS,
            timeout_keep_alive=max(1, min(_IDLE_SECONDS, round(settings.timeout))),
            timeout_graceful_shutdown=max(1, round(settings.shutdown_seconds)),
        )
        server = _Server(config, app.state.service, settings, ready)
        try:
            await server.serve()
        except SystemExit:
            raise ShoplensError(
                f"cannot listen on {settings.host}, port {settings.port}: it is taken, or not "
                "allowed (see the line before)"
            ) from None


class _Server(uvicorn.Server):
    """Says when it is ready, and stops in order: not ready, then no new requests, then the end."""

    def __init__(
        self,
        config: uvicorn.Config,
        service: Service,
        settings: ServerSettings,
        ready: Callable[[str], None],
    ) -> None:
        super().__init__(config)
        self._service = service
        self._settings = settings
        self._tell_ready = ready
        self._asked_to_stop: float | None = None

    async def startup(self, sockets: list[object] | None = None) -> None:  # type: ignore[override]
        """Listen, and say where."""
        await super().startup(None)
        host = self._settings.host
        port = self.servers[0].sockets[0].getsockname()[1]
        self._tell_ready(f"http://{f'[{host}]' if ':' in host else host}:{port}/")

    async def on_tick(self, counter: int) -> bool:
        """Say whether to stop now."""
        asked = self._asked_to_stop
        if asked is not None and time.monotonic() - asked >= self._settings.drain_seconds:
            self.should_exit = True
        return await super().on_tick(counter)

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """Begin to stop; the second signal ends it at once."""
        if self._asked_to_stop is None:
            self._asked_to_stop = time.monotonic()
            self._service.stopping = True
        else:
            self.should_exit = self.force_exit = True

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Take signals as orders to stop. (uvicorn raises them again, which would skip closing.)"""
        before = {one: signal.signal(one, self.handle_exit) for one in _SIGNALS}
        try:
            yield
        finally:
            for one, handler in before.items():
                signal.signal(one, handler)
