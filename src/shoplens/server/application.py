"""The application: layers around routes around the service."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from fastapi import FastAPI
from starlette.middleware import Middleware
from starlette.middleware.cors import CORSMiddleware

from shoplens._version import __version__
from shoplens.server.access import Access
from shoplens.server.challenge_schemas import SUBMISSIONS
from shoplens.server.keys import load_keys
from shoplens.server.layers.admission import Admission
from shoplens.server.layers.body_limit import BodyLimit
from shoplens.server.layers.headers import SecurityHeaders
from shoplens.server.layers.origins import Origins
from shoplens.server.layers.request_id import RequestIds
from shoplens.server.metrics import Metrics
from shoplens.server.openapi import install_description, operation_id
from shoplens.server.problems import install_handlers
from shoplens.server.routes import (
    boxes,
    catalog,
    changes,
    explain,
    health,
    models,
    photos,
    preview,
    search,
)
from shoplens.server.routes.page import page_router
from shoplens.server.service import Service
from shoplens.server.settings import ServerSettings

if TYPE_CHECKING:
    from shoplens.server.tracing import Tracer

_ABOUT = "Find a product by its photo: draw a box on a photo, search a catalogue for the product."


def create_app(settings: ServerSettings) -> FastAPI:
    """Return the application. Its lifespan opens the catalogue and the model, and closes them.

    Its `state` holds the `settings`, the `service`, and who has `access`.

    Raises:
        MissingError: the file of keys, the challenge, or the extra for traces is not there.
        DataError: the file of keys or that of the challenge cannot be read.
    """
    tracer = _tracer() if settings.tracing else None
    metrics = Metrics(None if tracer is None else tracer.stage)
    service = Service(settings, metrics)

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        try:
            await service.open()
            yield
        finally:
            await service.close()
            if (served := getattr(app.state, "challenge", None)) is not None:
                await asyncio.to_thread(served.close)
            if tracer is not None:
                await asyncio.to_thread(tracer.close)

    app = FastAPI(
        title="shoplens",
        version=__version__,
        description=_ABOUT,
        lifespan=lifespan,
        docs_url=None,
        redoc_url=None,
        generate_unique_id_function=operation_id,
        middleware=_layers(settings, metrics, tracer),
    )
    app.state.settings = settings
    app.state.service = service
    keys = None if settings.keys is None else load_keys(settings.keys)
    app.state.access = Access(keys, settings.rate)
    install_handlers(app)
    for module in (search, explain, boxes, preview, catalog, changes, photos, models, health):
        app.include_router(module.router)
    if settings.challenge is not None:
        _add_challenge(app, settings.challenge, settings.max_submission_bytes)
    app.include_router(page_router())
    install_description(app)
    return app


def _add_challenge(app: FastAPI, folder: Path, max_submission_bytes: int) -> None:
    """Serve a challenge, too."""
    # Most servers have none, and it takes its time to import.
    from shoplens.server.challenge import ServedChallenge  # noqa: PLC0415
    from shoplens.server.challenge_site import ChallengeSite  # noqa: PLC0415
    from shoplens.server.routes.challenge import router, site_router  # noqa: PLC0415

    served = ServedChallenge(folder, max_submission_bytes)
    app.state.challenge = served
    app.state.challenge_site = ChallengeSite(served.registry)
    app.include_router(router)
    app.include_router(site_router)


def _tracer() -> Tracer:
    from shoplens.server.tracing import Tracer  # noqa: PLC0415  An extra.

    return Tracer()


def _layers(settings: ServerSettings, metrics: Metrics, tracer: Tracer | None) -> list[Middleware]:
    """Return the layers, the outermost first."""
    layers = [
        Middleware(SecurityHeaders, shared=bool(settings.cors_origins)),
        Middleware(RequestIds, metrics=metrics),
    ]
    if tracer is not None:
        from shoplens.server.tracing import Traces  # noqa: PLC0415

        layers.append(Middleware(Traces, tracer=tracer))
    layers += [
        Middleware(
            BodyLimit,
            most_bytes=settings.max_upload_bytes,
            seconds=settings.timeout,
            larger={SUBMISSIONS: settings.max_submission_bytes},
        ),
        Middleware(Origins, settings=settings),
    ]
    if settings.cors_origins:
        layers.append(
            Middleware(
                CORSMiddleware,
                allow_origins=settings.cors_origins,
                allow_methods=["GET", "POST", "PUT", "DELETE"],
                allow_headers=["Authorization", "Content-Type", "X-API-Key", "X-Request-ID"],
                expose_headers=["Retry-After", "X-Request-ID"],
            )
        )
    layers.append(Middleware(Admission, most=settings.max_waiting, metrics=metrics))
    return layers
