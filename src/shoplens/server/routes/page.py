"""The page and its files, from memory."""

from __future__ import annotations

import gzip
import hashlib
import mimetypes
from dataclasses import dataclass
from importlib import resources

from fastapi import APIRouter, Request, Response

_IMMUTABLE = "public, max-age=31536000, immutable"
_TYPES = {".js": "text/javascript", ".svg": "image/svg+xml", ".webmanifest": "application/json"}
_NOT_BUILT = (
    b"<!doctype html><meta charset=utf-8><title>shoplens</title>"
    b"<p>The page is not part of this installation. The API is described at /openapi.json."
)


@dataclass(frozen=True, slots=True)
class _File:
    data: bytes
    packed: bytes | None
    """Compressed, where that is smaller."""
    media_type: str
    etag: str
    caching: str

    async def response(self, request: Request) -> Response:
        headers = {"ETag": self.etag, "Cache-Control": self.caching, "Vary": "Accept-Encoding"}
        known = [tag.strip() for tag in request.headers.get("if-none-match", "").split(",")]
        if self.etag in known or f"W/{self.etag}" in known:
            return Response(status_code=304, headers=headers)
        if self.packed is not None and "gzip" in request.headers.get("accept-encoding", ""):
            headers["Content-Encoding"] = "gzip"
            return Response(self.packed, media_type=self.media_type, headers=headers)
        return Response(self.data, media_type=self.media_type, headers=headers)


def page_router() -> APIRouter:
    """Return the routes of the page. Its files are read now; names in assets/ hold hashes."""
    with resources.as_file(resources.files("shoplens.server") / "page") as folder:
        found = {p.relative_to(folder).as_posix(): p for p in folder.rglob("*") if p.is_file()}
        files = {name: _file(name, path.read_bytes()) for name, path in found.items()}
    index = files.pop("index.html") if "index.html" in files else _file("x.html", _NOT_BUILT)
    router = APIRouter(include_in_schema=False)
    for name, one in {"": index, **files}.items():
        router.add_api_route(f"/{name}", one.response, methods=["GET"])
    return router


def _file(name: str, data: bytes) -> _File:
    suffix = name[name.rfind(".") :]
    media_type = _TYPES.get(suffix) or mimetypes.guess_type(name)[0] or "application/octet-stream"
    packed = gzip.compress(data, mtime=0)
    return _File(
        data,
        packed if len(packed) < 0.9 * len(data) else None,
        media_type,
        f'"{hashlib.sha256(data).hexdigest()[:32]}"',
        _IMMUTABLE if name.startswith("assets/") else "no-cache",
    )
