"""Errors as problem documents (RFC 9457): one table of codes, which never change their meaning."""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any

import msgspec
from fastapi import FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.routing import Match

from shoplens.errors import (
    CatalogBusyError,
    CatalogError,
    FilterError,
    MissingError,
    ModelError,
    PhotoError,
    ShoplensError,
)
from shoplens.server.overload import DeadlineError, OverloadedError

MEDIA_TYPE = "application/problem+json"

_METHODS = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE")

_log = logging.getLogger("shoplens.server")


@dataclass(frozen=True, slots=True)
class Kind:
    """What one code means."""

    status: int
    title: str


KINDS: Mapping[str, Kind] = {
    "bad_request": Kind(400, "The request cannot be understood"),
    "bad_box": Kind(400, "The box cannot be used"),
    "bad_filter": Kind(400, "The filter cannot be understood"),
    "bad_rerank": Kind(400, "The search cannot be re-ranked in this way"),
    "unsupported_photo": Kind(422, "The photo cannot be used"),
    "photo_too_large": Kind(413, "The photo has too many pixels"),
    "body_too_large": Kind(413, "The body of the request is too large"),
    "unsupported_media_type": Kind(415, "The body is of a type that is not read here"),
    "slow_request": Kind(408, "The body of the request did not arrive in time"),
    "no_key": Kind(401, "An API key is needed"),
    "no_token": Kind(401, "The token of a team is needed"),
    "wrong_scope": Kind(403, "The API key does not allow this"),
    "cross_origin": Kind(403, "Pages of other sites may not do this"),
    "unknown_host": Kind(403, "The server is not known by this name"),
    "not_found": Kind(404, "There is no such thing"),
    "unexplained": Kind(422, "Matches of this model cannot be explained"),
    "photo_forgotten": Kind(404, "The server does not have the photo any more"),
    "method_not_allowed": Kind(405, "This cannot be done here"),
    "challenge_rule": Kind(403, "A rule of the challenge forbids it"),
    "bad_answer": Kind(422, "The answer cannot be scored"),
    "bad_submission": Kind(422, "The submission cannot be taken"),
    "read_only": Kind(409, "The catalogue is open for reading only"),
    "catalog_busy": Kind(409, "Another process is changing the catalogue"),
    "model_mismatch": Kind(409, "The server does not have the catalogue's model"),
    "too_many_requests": Kind(429, "Too many requests with this API key"),
    "overloaded": Kind(429, "The server is busy"),
    "urls_disabled": Kind(403, "Photos behind URLs are not fetched"),
    "url_refused": Kind(422, "The URL may not be fetched"),
    "fetch_failed": Kind(502, "The photo could not be fetched"),
    "timeout": Kind(503, "The request took too long"),
    "stopping": Kind(503, "The server is being stopped"),
    "keys_unavailable": Kind(503, "The API keys cannot be read"),
    "catalog_unavailable": Kind(503, "The catalogue cannot be read"),
    "internal": Kind(500, "Something went wrong in the server"),
}
"""Every code with its HTTP status."""


class Problem(Exception):
    """An error that is answered with a problem document.

    Args:
        code: one of `KINDS`, which gives the status and the title.
        detail: what was wrong here, and what to do about it.
        status: another status than usual.
        headers: further headers of the answer.
        members: further members of the document.
    """

    def __init__(
        self,
        code: str,
        detail: str,
        *,
        status: int | None = None,
        headers: Mapping[str, str] | None = None,
        **members: object,
    ) -> None:
        super().__init__(detail)
        kind = KINDS[code]
        self.code, self.status, self.title = code, status or kind.status, kind.title
        self.detail = detail
        self.headers = dict(headers or {})
        self.members = members

    def to_json(self, request_id: str | None) -> dict[str, Any]:
        """Return the document."""
        return {
            "type": "about:blank",
            "title": self.title,
            "status": self.status,
            "detail": self.detail,
            "code": self.code,
            "request_id": request_id,
            **self.members,
        }

    def response(self, request_id: str | None) -> Response:
        """Return the answer."""
        return Response(
            msgspec.json.encode(self.to_json(request_id)),
            status_code=self.status,
            media_type=MEDIA_TYPE,
            headers=self.headers,
        )


def not_open() -> Problem:
    """Return the problem of a server that is not open yet, or no more."""
    return Problem("stopping", "The server is not open yet, or no more.")


def problem_of(error: Exception) -> Problem:
    """Return the problem that an error of the library is answered with."""
    match error:
        case Problem():
            return error
        case FilterError():
            return Problem("bad_filter", error.problem, position=error.position)
        case PhotoError(reason="bad_box" | "outside_box"):
            return Problem("bad_box", str(error), reason=error.reason)
        case PhotoError(reason="too_large"):
            return Problem("photo_too_large", str(error), reason=error.reason)
        case PhotoError():
            return Problem("unsupported_photo", str(error), reason=error.reason)
        case MissingError():
            return Problem("not_found", str(error))
        case CatalogBusyError():
            return Problem("catalog_busy", "Another process is changing the catalogue: try later.")
        case ModelError():
            return Problem("model_mismatch", str(error))
        case OverloadedError():
            return Problem("overloaded", "Too many photos wait: try again.")
        case DeadlineError():
            return Problem("timeout", "The photo waited too long for its turn: try again.")
        case CatalogError():
            # Its message names places on this machine.
            _log.error("the catalogue cannot be used", exc_info=error)
            return Problem("catalog_unavailable", "The catalogue cannot be used; see the log.")
        case ShoplensError():
            return Problem("bad_request", str(error))
    _log.error("unexpected", exc_info=error)
    return Problem("internal", "The log of the server says more, under this request id.")


def answer(request: Request, error: Exception) -> Response:
    """Answer an error with its problem document, and count it."""
    problem = problem_of(error)
    request.scope.setdefault("state", {})["problem"] = problem.code
    return problem.response(request.scope["state"].get("request_id"))


def install_handlers(app: FastAPI) -> None:
    """Let an application answer all errors with problem documents."""

    async def answered(request: Request, error: Exception) -> Response:
        return answer(request, error)

    async def invalid(request: Request, error: Exception) -> Response:
        assert isinstance(error, RequestValidationError)
        return answer(request, invalid_request(error.errors()))

    async def http_error(request: Request, error: Exception) -> Response:
        assert isinstance(error, HTTPException)
        problem = _problem_of_status(error)
        if problem.status == HTTPStatus.METHOD_NOT_ALLOWED:
            problem.headers["Allow"] = ", ".join(_methods(request))
        return answer(request, problem)

    handlers: dict[type[Exception], Callable[[Request, Exception], Awaitable[Response]]] = {
        Problem: answered,
        ShoplensError: answered,
        RequestValidationError: invalid,
        HTTPException: http_error,
    }
    for kind, handler in handlers.items():
        app.add_exception_handler(kind, handler)


def invalid_request(errors: Any) -> Problem:
    """Return the problem of values that pydantic refuses; it names each."""
    told = []
    for error in errors:
        name = ".".join(str(part) for part in error["loc"] if part not in ("body", "query", "path"))
        message = error["msg"].removeprefix("Value error, ")
        told.append(f"{name}: {message}" if name else message)
    return Problem("bad_request", "; ".join(told))


def _methods(request: Request) -> list[str]:
    """Return the methods that a path has. (Starlette's Allow has those of one route only.)"""
    scopes = {method: {**request.scope, "method": method} for method in _METHODS}
    routes = request.app.router.routes
    return [
        method
        for method, scope in scopes.items()
        if any(route.matches(scope)[0] is Match.FULL for route in routes)
    ]


def _problem_of_status(error: HTTPException) -> Problem:
    codes = {404: "not_found", 405: "method_not_allowed", 413: "body_too_large"}
    code = codes.get(error.status_code, "bad_request")
    detail = error.detail
    if error.status_code in (404, 405):
        detail = f"{HTTPStatus(error.status_code).phrase}: see /openapi.json for what there is."
    return Problem(code, detail, headers=error.headers)


def problem_answers(*codes: str) -> dict[int | str, dict[str, Any]]:
    """Return what OpenAPI says of an operation's problems, by status."""
    by_status: dict[int | str, list[str]] = {}
    for code in (*codes, "internal"):
        by_status.setdefault(KINDS[code].status, []).append(code)
    answers: dict[int | str, dict[str, Any]] = {
        status: {
            "description": "; ".join(f"`{code}`: {KINDS[code].title}" for code in found),
            "content": {
                MEDIA_TYPE: {
                    "schema": {"$ref": "#/components/schemas/ProblemDocument"},
                    "examples": {code: {"value": _example(code)} for code in found},
                }
            },
        }
        for status, found in by_status.items()
    }
    schema = {"schema": {"$ref": "#/components/schemas/ProblemDocument"}}
    return {**answers, "default": {"description": "Any problem", "content": {MEDIA_TYPE: schema}}}


def _example(code: str) -> dict[str, Any]:
    members: dict[str, dict[str, Any]] = {
        "bad_filter": {"detail": "expected a value", "position": 8},
        "bad_rerank": {"detail": "k must be between 1 and 1000", "position": 11},
        "bad_box": {"detail": "box 0,0,0,4 is empty: width and height must be > 0"},
        "unsupported_photo": {"detail": "not an image in a known format"},
    }
    document = Problem(code, f"{KINDS[code].title}.").to_json("0f8c2b6e9d3a4c51")
    return {**document, **members.get(code, {})}
