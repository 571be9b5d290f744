"""The two clients: one that waits for answers, and one to await."""

from __future__ import annotations

import asyncio
import functools
import inspect
import os
import time
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator
from types import TracebackType
from typing import TYPE_CHECKING, Any, Concatenate, ParamSpec, TypeVar
from urllib.parse import urlsplit

from shoplens._version import __version__
from shoplens.client import requests
from shoplens.client.requests import Request
from shoplens.client.responses import StoredPhoto
from shoplens.client.sending import Retries, arguments, failed, http_library, read_response
from shoplens.errors import ServiceError

if TYPE_CHECKING:
    import httpx2

_P = ParamSpec("_P")
_T = TypeVar("_T")
_M = TypeVar("_M", bound=Callable[..., object])


def _waits(describe: Callable[_P, Request[_T]]) -> Callable[Concatenate[Client, _P], _T]:
    """Return the method of `Client` that sends a request."""

    def method(self: Client, /, *args: _P.args, **kwargs: _P.kwargs) -> _T:
        return self._send(describe(*args, **kwargs))

    return _named(method, describe)


def _awaits(
    describe: Callable[_P, Request[_T]],
) -> Callable[Concatenate[AsyncClient, _P], Coroutine[Any, Any, _T]]:
    """Return the method of `AsyncClient` that sends a request."""

    async def method(self: AsyncClient, /, *args: _P.args, **kwargs: _P.kwargs) -> _T:
        return await self._send(describe(*args, **kwargs))

    return _named(method, describe)


def _named(method: _M, describe: Callable[..., object]) -> _M:
    """Give a method the name, the arguments and the explanation of its request."""
    functools.update_wrapper(method, describe)
    signature = inspect.signature(describe)
    own = inspect.Parameter("self", inspect.Parameter.POSITIONAL_ONLY)
    method.__signature__ = signature.replace(  # type: ignore[attr-defined]
        parameters=[own, *signature.parameters.values()],
        return_annotation=signature.return_annotation.removeprefix("Request[").removesuffix("]"),
    )
    return method


class _Service:
    """The address and the key of a service, and how patiently it is asked."""

    def __init__(
        self,
        url: str = "http://127.0.0.1:8000",
        *,
        key: str | None = None,
        timeout: float = 30.0,
        retries: int = 3,
        longest_wait: float = 30.0,
    ) -> None:
        """Make a client. Nothing is sent yet.

        Args:
            url: the address of the service.
            key: an API key. None takes it from the environment variable `SHOPLENS_API_KEY`; without
                that, requests carry no key.
            timeout: seconds without progress after which a request is given up.
            retries: how often a request is sent again. This is done if the service answers 429 or
                503 and says when to try again, or if the connection fails. A request that changes
                the catalogue is sent again only after 429, which means that nothing was done.
            longest_wait: seconds to wait between two attempts. If the service asks for more, the
                error is raised at once.

        Raises:
            ServiceError: `url` is not an address, or the key has characters that no key has.
            MissingError: httpx2 is not installed.
        """
        address = urlsplit(url)
        if address.scheme not in ("http", "https") or not address.hostname:
            raise ServiceError(None, "bad_address", f"{url!r} is not an address (http://host:port)")
        if address.username is not None:
            raise ServiceError(
                None, "bad_address", "the address must not contain a user or a password: use `key`"
            )
        key = (key or os.environ.get("SHOPLENS_API_KEY", "")).strip()
        if not (key.isascii() and key.isprintable()):
            raise ServiceError(None, "bad_key", "the API key has characters that no key has")
        headers = {"user-agent": f"shoplens/{__version__}"}
        if key:
            headers["authorization"] = f"Bearer {key}"
        self.url = url
        """The address of the service."""
        self._retries = Retries(retries, longest_wait)
        self._connect({"base_url": url, "headers": headers, "timeout": timeout})

    def _connect(self, options: dict[str, Any]) -> None:
        raise NotImplementedError

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.url!r})"


class Client(_Service):
    """Searches a service (`shoplens serve`), and changes its catalogue.

    Use it as a context manager, or `close` it. One client may be used from several threads.

    >>> with Client("http://127.0.0.1:8000") as client:
    ...     hits = client.search("snapshot.jpg", box="120,40,300,200", k=5)
    """

    _http: httpx2.Client

    search = _waits(requests.search)
    search_batch = _waits(requests.search_batch)
    explain = _waits(requests.explain)
    propose_boxes = _waits(requests.propose_boxes)
    put_photo = _waits(requests.put_photo)
    get_photo = _waits(requests.get_photo)
    delete_photos = _waits(requests.delete_photos)
    download_photo = _waits(requests.download_photo)
    download_thumbnail = _waits(requests.download_thumbnail)
    stats = _waits(requests.stats)
    facets = _waits(requests.facets)
    failures = _waits(requests.failures)
    health = _waits(requests.health)

    def photos(self, where: str | None = None, *, page_size: int = 50) -> Iterator[StoredPhoto]:
        """Yield the photos of the catalogue, or those that pass a filter (see `search`).

        Args:
            where: a filter.
            page_size: how many photos to ask for at once.
        """
        after: str | None = None
        while True:
            page = self._send(requests.photo_page(where, limit=page_size, after=after))
            yield from page.photos
            if (after := page.next) is None:
                return

    def close(self) -> None:
        """Close the connections."""
        self._http.close()

    def __enter__(self) -> Client:
        return self

    def __exit__(
        self,
        _kind: type[BaseException] | None,
        _error: BaseException | None,
        _traceback: TracebackType | None,
    ) -> None:
        self.close()

    def _connect(self, options: dict[str, Any]) -> None:
        self._http = http_library().Client(**options)

    def _send(self, request: Request[_T]) -> _T:
        attempt = 0
        while True:
            try:
                response = self._http.request(**arguments(request))
                return read_response(request, response)
            except ServiceError as error:
                refusal = error
            except http_library().RequestError as error:
                refusal = failed(error, self.url)
            time.sleep(self._retries.pause(request, refusal, attempt))
            attempt += 1


class AsyncClient(_Service):
    """The same as `Client` for asyncio: every method is awaited.

    >>> async with AsyncClient("http://127.0.0.1:8000") as client:
    ...     hits = await client.search("snapshot.jpg", box="120,40,300,200", k=5)
    """

    _http: httpx2.AsyncClient

    search = _awaits(requests.search)
    search_batch = _awaits(requests.search_batch)
    explain = _awaits(requests.explain)
    propose_boxes = _awaits(requests.propose_boxes)
    put_photo = _awaits(requests.put_photo)
    get_photo = _awaits(requests.get_photo)
    delete_photos = _awaits(requests.delete_photos)
    download_photo = _awaits(requests.download_photo)
    download_thumbnail = _awaits(requests.download_thumbnail)
    stats = _awaits(requests.stats)
    facets = _awaits(requests.facets)
    failures = _awaits(requests.failures)
    health = _awaits(requests.health)

    async def photos(
        self, where: str | None = None, *, page_size: int = 50
    ) -> AsyncIterator[StoredPhoto]:
        """Yield the photos of the catalogue, or those that pass a filter (see `search`).

        Args:
            where: a filter.
            page_size: how many photos to ask for at once.
        """
        after: str | None = None
        while True:
            page = await self._send(requests.photo_page(where, limit=page_size, after=after))
            for photo in page.photos:
                yield photo
            if (after := page.next) is None:
                return

    async def close(self) -> None:
        """Close the connections."""
        await self._http.aclose()

    async def __aenter__(self) -> AsyncClient:
        return self

    async def __aexit__(
        self,
        _kind: type[BaseException] | None,
        _error: BaseException | None,
        _traceback: TracebackType | None,
    ) -> None:
        await self.close()

    def _connect(self, options: dict[str, Any]) -> None:
        self._http = http_library().AsyncClient(**options)

    async def _send(self, request: Request[_T]) -> _T:
        attempt = 0
        while True:
            try:
                response = await self._http.request(**arguments(request))
                return read_response(request, response)
            except ServiceError as error:
                refusal = error
            except http_library().RequestError as error:
                refusal = failed(error, self.url)
            await asyncio.sleep(self._retries.pause(request, refusal, attempt))
            attempt += 1
