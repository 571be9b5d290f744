"""Photos behind URLs that strangers name, fetched without reaching into our own network.

A name is looked up once. All of its addresses are checked, and the connection goes to one that was
checked, so a name that changes its address in between gains nothing. Each redirect is a new URL,
which is checked the same way. This is where httpx2 is imported in the service.
"""

from __future__ import annotations

import asyncio
import ipaddress
import socket
import ssl
from collections.abc import Awaitable, Callable, Collection, Sequence
from concurrent.futures import ThreadPoolExecutor

import httpx2

from shoplens.errors import ShoplensError, reason_of
from shoplens.server.public_addresses import Address, is_public

Resolve = Callable[[str, int], Awaitable[Sequence[Address]]]
"""From a host and a port to its addresses; raises `OSError` where there are none."""
Network = ipaddress.IPv4Network | ipaddress.IPv6Network

_PORTS = {"http": 80, "https": 443}
_MOST_REDIRECTS = 3
_LONGEST_URL = 2048
_LOOK_UPS = 4
"""Names that are looked up at once: each takes a thread, for as long as its server likes."""
_HEADERS = {
    "Accept": "image/*",
    # What is compressed could be small on its way and large here.
    "Accept-Encoding": "identity",
    "User-Agent": "shoplens",
}


class UrlRefusedError(ShoplensError):
    """A URL may not be fetched. Catch it to tell who named it; nothing was connected to."""


class FetchError(ShoplensError):
    """A photo could not be fetched from where it should be."""


class PhotoFetcher:
    """Fetches photos over HTTP from public addresses, each within a size and a time."""

    def __init__(
        self,
        *,
        max_bytes: int,
        seconds: float,
        ports: Collection[int] = (80, 443),
        networks: Collection[Network] = (),
        resolve: Resolve | None = None,
        tls: ssl.SSLContext | None = None,
    ) -> None:
        """Make a fetcher.

        Args:
            max_bytes: larger files are refused.
            seconds: time for all of it: look-up, connection, redirects and the file.
            ports: ports that may be connected to.
            networks: addresses that may be fetched from although they are not public, such as an
                image server of your own.
            resolve: looks names up; None asks the system.
            tls: what certificates are trusted; None takes the system's.
        """
        self._max_bytes = max_bytes
        self._seconds = seconds
        self._ports = frozenset(ports)
        self._networks = tuple(networks)
        self._resolve = resolve or self._looked_up
        self._look_ups = ThreadPoolExecutor(_LOOK_UPS, thread_name_prefix="shoplens-names")
        self._transport = httpx2.AsyncHTTPTransport(
            verify=tls or True,
            trust_env=False,
            # Two names at one address must not share a connection that was made for one of them.
            limits=httpx2.Limits(max_keepalive_connections=0),
        )

    async def fetch(self, url: str) -> bytes:
        """Return the bytes of a file; nothing that its server says of them is believed.

        Raises:
            UrlRefusedError: the URL, or one that it redirects to, may not be fetched.
            FetchError: there is no such file, it is too large, or it did not come in time.
        """
        try:
            return await asyncio.wait_for(self._fetched(url), self._seconds)
        except asyncio.TimeoutError:
            raise FetchError(f"the photo did not arrive within {self._seconds:g} s") from None
        except httpx2.InvalidURL as error:
            raise UrlRefusedError(f"not a URL: {error}") from None
        except httpx2.HTTPError as error:
            raise FetchError(f"the photo could not be fetched: {reason_of(error)}") from error

    async def close(self) -> None:
        """Close the connections."""
        await self._transport.aclose()
        self._look_ups.shutdown(wait=False, cancel_futures=True)

    async def _fetched(self, text: str) -> bytes:
        if len(text) > _LONGEST_URL:
            raise UrlRefusedError(f"a URL of {len(text):,} characters is too long")
        url = httpx2.URL(text)
        for _ in range(_MOST_REDIRECTS + 1):
            response = await self._response(url)
            try:
                if not response.has_redirect_location:
                    return await self._body(response)
                url = url.join(response.headers["Location"])
            finally:
                await response.aclose()
        raise FetchError(f"the URL redirects more than {_MOST_REDIRECTS} times")

    async def _response(self, url: httpx2.URL) -> httpx2.Response:
        """Ask for a URL at an address that was checked; its body is not read yet."""
        addresses = await self._checked(url)
        # Host and the name that the certificate must have stay those of the URL.
        headers = httpx2.Request("GET", url, headers=_HEADERS).headers
        timeout = httpx2.Timeout(self._seconds, connect=self._seconds / len(addresses)).as_dict()
        extensions = {"sni_hostname": url.raw_host.decode("ascii"), "timeout": timeout}
        failed: httpx2.HTTPError | None = None
        for address in addresses:
            pinned = httpx2.Request(
                "GET", url.copy_with(host=str(address)), headers=headers, extensions=extensions
            )
            try:
                return await self._transport.handle_async_request(pinned)
            except (httpx2.ConnectError, httpx2.ConnectTimeout) as error:
                failed = error  # This machine may have no IPv6, or the host be half down.
        assert failed is not None
        raise failed

    async def _checked(self, url: httpx2.URL) -> Sequence[Address]:
        """Return the addresses of a URL's host, if all may be connected to."""
        if url.scheme not in _PORTS:
            raise UrlRefusedError(
                f"a photo's URL begins with http:// or https://, not {url.scheme}:"
            )
        if url.userinfo:
            raise UrlRefusedError("a URL with a user name or a password is not fetched")
        host = url.raw_host.decode("ascii")
        if not host:
            raise UrlRefusedError("the URL names no host")
        port = _PORTS[url.scheme] if url.port is None else url.port
        if port not in self._ports:
            raise UrlRefusedError(f"port {port} is not one that photos are fetched from")
        try:
            addresses = await self._resolve(host, port)
        except (OSError, UnicodeError) as error:
            raise FetchError(f"there is no host {host}: {reason_of(error)}") from None
        if not addresses:
            raise FetchError(f"the host {host} has no address")
        if not all(self._is_allowed(address) for address in addresses):
            # The message must not tell strangers what a name means inside our network.
            raise UrlRefusedError(f"{host} is not a host of the public internet")
        return addresses

    def _is_allowed(self, address: Address) -> bool:
        return is_public(address) or any(address in network for network in self._networks)

    async def _looked_up(self, host: str, port: int) -> Sequence[Address]:
        loop = asyncio.get_running_loop()
        found = await loop.run_in_executor(
            self._look_ups, lambda: socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
        )
        # An address of a link has its interface after a per cent sign.
        names = [str(address[4][0]).partition("%")[0] for address in found]
        return [ipaddress.ip_address(name) for name in dict.fromkeys(names)]

    async def _body(self, response: httpx2.Response) -> bytes:
        if response.status_code != httpx2.codes.OK:
            raise FetchError(f"the photo's server answered with status {response.status_code}")
        if response.headers.get("Content-Encoding", "identity").strip().lower() != "identity":
            raise FetchError("the photo's server sent it compressed, which it was asked not to do")
        body = bytearray()
        async for part in response.aiter_raw():
            body += part
            if len(body) > self._max_bytes:
                raise FetchError(f"the photo has more than the limit of {self._max_bytes:,} bytes")
        return bytes(body)
