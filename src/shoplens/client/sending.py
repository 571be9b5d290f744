"""What both clients do about answers and failures: read them, refuse them, or try again."""

from __future__ import annotations

import json
import random
from dataclasses import dataclass
from datetime import datetime, timezone
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING, Any

import msgspec

from shoplens.client.parsing import problem
from shoplens.client.requests import Request, T
from shoplens.errors import MissingError, ServiceError

if TYPE_CHECKING:
    import httpx2

_FIRST_PAUSE = 0.2
"""Seconds before the second attempt where the service names none; doubled with each more."""
_CUT_OFF = ("unreachable", "interrupted")
"""Codes of failures after which there is hope."""
_PROBLEM = "application/problem+json"
_SHOWN = 200
"""Characters of an answer that is shown in an error."""


def http_library() -> Any:
    """Return httpx2 (extra `shoplens[client]`).

    Raises `MissingError` when it is not installed.
    """
    try:
        import httpx2  # noqa: PLC0415
    except ImportError:
        raise MissingError("the client needs httpx2: pip install 'shoplens[client]'") from None
    return httpx2


@dataclass(frozen=True, slots=True)
class Retries:
    """Whether a request is sent again, and when."""

    most: int
    """Attempts after the first."""
    longest: float
    """Seconds: a longer pause is not waited for."""

    def pause(self, request: Request[Any], error: ServiceError, attempt: int) -> float:
        """Return how many seconds to wait before the next attempt; the first attempt is 0.

        Raises `error` when there is no use in another.
        """
        # 429 means that nothing was done. After any other failure, a change may have been made.
        again = error.retry_after is not None and (
            error.status == 429 or (error.status == 503 and not request.changes)
        )
        cut_off = error.code in _CUT_OFF and not request.changes
        wanted = max(error.retry_after or 0.0, _FIRST_PAUSE * 2.0**attempt)
        if attempt >= self.most or not (again or cut_off) or wanted > self.longest:
            raise error
        # So that clients that were refused together do not come back together.
        return min(wanted * random.uniform(1, 1.25), self.longest)


def arguments(request: Request[Any]) -> dict[str, Any]:
    """Return the arguments with which httpx2 builds a request."""
    given: dict[str, Any] = {
        "method": request.method,
        # Relative to the address of the service, which may have a path.
        "url": request.path.lstrip("/"),
        "params": dict(request.params) or None,
    }
    if request.photo is not None:
        # The name of the user's file is not sent.
        given["files"] = {"photo": ("photo", request.photo, "application/octet-stream")}
        given["data"] = dict(request.fields)
    elif request.json is not None:
        given["json"] = request.json
    return given


def read_response(request: Request[T], response: httpx2.Response) -> T:
    """Return the result of a request.

    Raises `ServiceError` when the answer is an error, or cannot be understood.
    """
    if not response.is_success:
        error = _refusal(response)
        if response.status_code == 503 and request.unavailable is not None:
            return request.unavailable(error)
        raise error
    try:
        return request.read(response.content)
    except (msgspec.MsgspecError, KeyError, TypeError, ValueError) as error:
        raise ServiceError(
            response.status_code,
            "not_a_service",
            f"{response.url.host} answers {request.path} with something else than the service "
            f"does ({error}); is the address right, and the client as new as the service?",
            response.headers.get("x-request-id"),
        ) from error


def failed(error: httpx2.RequestError, address: str) -> ServiceError:
    """Return the error for a request that got no answer."""
    httpx2 = http_library()
    reason = str(error) or type(error).__name__
    if isinstance(error, httpx2.ConnectError | httpx2.ConnectTimeout):
        return ServiceError(None, "unreachable", f"{address} cannot be reached: {reason}")
    if isinstance(error, httpx2.TimeoutException):
        return ServiceError(None, "no_answer_in_time", f"{address} did not answer in time")
    return ServiceError(None, "interrupted", f"{address} broke off the connection: {reason}")


def _refusal(response: httpx2.Response) -> ServiceError:
    retry_after = _seconds(response.headers.get("retry-after"))
    if response.headers.get("content-type", "").partition(";")[0].strip() == _PROBLEM:
        try:
            return problem(json.loads(response.content), response.status_code, retry_after)
        except (ValueError, KeyError, AttributeError, TypeError):
            pass  # Then it is told as it is.
    shown = " ".join(response.text[:_SHOWN].split())
    return ServiceError(
        response.status_code,
        "not_a_service",
        f"{response.url.host} answers with status {response.status_code}, and it is not the "
        f"service that says so: {shown!r}",
        response.headers.get("x-request-id"),
        retry_after,
    )


def _seconds(retry_after: str | None) -> float | None:
    """Read a header `Retry-After`: seconds, or a date."""
    if retry_after is None:
        return None
    try:
        return max(0.0, float(retry_after))
    except ValueError:
        pass
    try:
        until = parsedate_to_datetime(retry_after)
    except ValueError:
        return None
    return max(0.0, (until - datetime.now(timezone.utc)).total_seconds())
