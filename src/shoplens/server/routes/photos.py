"""The photos of the catalogue, and small pictures of them."""

from __future__ import annotations

import asyncio
import hashlib
import time
from collections.abc import Iterator
from contextlib import AsyncExitStack
from typing import Any, BinaryIO

from fastapi import APIRouter, Path, Query, Request, Response
from fastapi.responses import StreamingResponse
from starlette.requests import ClientDisconnect
from starlette.types import Message, Receive, Scope, Send

from shoplens.catalog.entry import Entry
from shoplens.errors import PhotoError
from shoplens.server.access import ACCESS_PROBLEMS, require
from shoplens.server.problems import Problem, problem_answers
from shoplens.server.requests import MOST_ID_CHARACTERS, stored_id
from shoplens.server.routes.answers import service_of, while_connected
from shoplens.server.service import Service

router = APIRouter(prefix="/v1", tags=["photos"], dependencies=[require("search")])

_CACHING = "private, max-age=300"
_PIECE = 1 << 17
_LEAST_RATE = 1 << 17
"""Bytes a second that a client takes at least, beside the time that each request has."""


def _answers(media_type: str) -> dict[int | str, dict[str, Any]]:
    picture = {media_type: {"schema": {"type": "string", "format": "binary"}}}
    return {
        **problem_answers(
            *("bad_request", "not_found", "url_refused", "fetch_failed"),
            *("overloaded", "timeout", "catalog_unavailable", *ACCESS_PROBLEMS),
        ),
        200: {"description": "The picture.", "content": picture},
        304: {"description": "The picture with the tag of If-None-Match is still right."},
    }


@router.get("/photos/{photo_id:photo_id}", response_class=Response, responses=_answers("image/*"))
async def photo(request: Request, photo_id: str = Path(max_length=MOST_ID_CHARACTERS)) -> Response:
    """Return the file of a photo as it is."""
    service = service_of(request)
    entry = await _entry(service, photo_id)
    async with AsyncExitStack() as held:
        await while_connected(request, held.enter_async_context(service.shown_from_memory))
        found = await while_connected(request, service.stored_photo(entry))
        headers = {"ETag": found.etag, "Cache-Control": _CACHING, "Content-Disposition": "inline"}
        if _has(request, found.etag):
            return Response(status_code=304, headers=headers)
        if not found.in_memory:
            # However many of these are sent, and to clients however slow, they need no memory.
            await held.aclose()
        stream, n_bytes = await service.in_thread(found.opened)
        held.callback(stream.close)
        headers["Content-Length"] = str(n_bytes)
        return _Sending(
            stream, n_bytes, held.pop_all(), service.settings.timeout, found.media_type, headers
        )


@router.get(
    "/thumbnails/{photo_id:photo_id}", response_class=Response, responses=_answers("image/jpeg")
)
async def thumbnail(
    request: Request,
    photo_id: str = Path(max_length=MOST_ID_CHARACTERS),
    size: int = Query(256, ge=16, le=1024, description="The longer side in pixels."),
) -> Response:
    """Return a small picture of a photo: an upright JPEG without metadata."""
    service = service_of(request)
    entry = await _entry(service, photo_id)
    key = entry.photo_id, entry.sha256, size
    picture = None if entry.sha256 is None else service.thumbnails.get(key)
    if picture is None:
        picture = await while_connected(request, _shrunk(service, entry, size))
        if entry.sha256 is not None:
            service.thumbnails.put(key, picture)
    etag = f'"{hashlib.sha256(picture).hexdigest()[:32]}"'
    headers = {"ETag": etag, "Cache-Control": _CACHING}
    if _has(request, etag):
        return Response(status_code=304, headers=headers)
    return Response(picture, media_type="image/jpeg", headers=headers)


class _Sending(StreamingResponse):
    """Sends a file piece by piece: however slow clients are, photos on disk are not in memory.

    Args:
        stream: the file.
        n_bytes: that it has.
        held: what is given back at the end, even if the client leaves.
        seconds: that a client may take for each piece; for all of them, as long and the time that
            they need at the least rate.
        media_type: of the file.
        headers: further ones.
    """

    def __init__(
        self,
        stream: BinaryIO,
        n_bytes: int,
        held: AsyncExitStack,
        seconds: float,
        media_type: str,
        headers: dict[str, str],
    ) -> None:
        super().__init__(_pieces(stream), media_type=media_type, headers=headers)
        self._held = held
        self._seconds = seconds
        self._all_seconds = seconds + n_bytes / _LEAST_RATE

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send it."""
        until = time.monotonic() + self._all_seconds

        async def sending(message: Message) -> None:
            left = min(self._seconds, until - time.monotonic())
            try:
                await asyncio.wait_for(send(message), left)
            except asyncio.TimeoutError:
                raise ClientDisconnect from None

        async with self._held:
            await super().__call__(scope, receive, sending)


def _pieces(stream: BinaryIO) -> Iterator[bytes]:
    while piece := stream.read(_PIECE):
        yield piece


async def _entry(service: Service, photo_id: str) -> Entry:
    wanted = stored_id(photo_id)
    entry = await service.in_thread(lambda: service.catalog.get(wanted))
    if entry is None:
        raise Problem("not_found", "The catalogue has no photo of this id.")
    return entry


async def _shrunk(service: Service, entry: Entry, size: int) -> bytes:
    async with service.shown_from_memory:
        found = await service.stored_photo(entry)
        data = await service.in_thread(found.read)
        try:
            return await service.thumbnail(data, size)
        except PhotoError:
            raise Problem("not_found", "The photo cannot be decoded any more.") from None


def _has(request: Request, etag: str) -> bool:
    """Whether the client has what a tag stands for."""
    known = [tag.strip() for tag in request.headers.get("if-none-match", "").split(",")]
    return etag in known or f"W/{etag}" in known or "*" in known
