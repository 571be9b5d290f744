"""Photos behind URLs: from a real server, and never from inside our own network."""

from __future__ import annotations

import asyncio
import ipaddress
import ssl
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path
from typing import Any

import pytest

from shoplens.server.fetching import FetchError, PhotoFetcher, UrlRefusedError
from shoplens.server.public_addresses import Address

PHOTO = b"\xff\xd8 the bytes of a photo"
LOOPBACK = ipaddress.ip_network("127.0.0.0/8")

# Of a name that no one has (RFC 2606), for 100 years.
CERTIFICATE = """\
-----BEGIN CERTIFICATE-----
MIIBpDCCAUqgAwIBAgIULdR3Fc5ZoVfMloY7gYpxJDplKpMwCgYIKoZIzj0EAwIw
GTEXMBUGA1UEAwwOcGhvdG9zLmV4YW1wbGUwIBcNMjYxMTI5MjI0MDI5WhgPMjEy
NjExMDUyMjQwMjlaMBkxFzAVBgNVBAMMDnBob3Rvcy5leGFtcGxlMFkwEwYHKoZI
zj0CAQYIKoZIzj0DAQcDQgAEJrOzQ78ObBn19rDiJofLpFrYzjnHkovqnX4U1FAM
yYjNJQREKB7eDnyklFPos8mVBl2YjXIeywCW8T800aTo8aNuMGwwHQYDVR0OBBYE
FGimtFiEuGAFcL3mxsp07JmZ4qrzMB8GA1UdIwQYMBaAFGimtFiEuGAFcL3mxsp0
7JmZ4qrzMA8GA1UdEwEB/wQFMAMBAf8wGQYDVR0RBBIwEIIOcGhvdG9zLmV4YW1w
bGUwCgYIKoZIzj0EAwIDSAAwRQIhALNvrNJNu+uPLTqCFwdYgpaFKBrr/LboXrur
cvVw+/2jAiBku/xalMyfZAKwszfmue2B2ZzPI88JnGfjdc6WPAelbg==
-----END CERTIFICATE-----
"""
KEY = """\
-----BEGIN PRIVATE KEY-----
MIGHAgEAMBMGByqGSM49AgEGCCqGSM49AwEHBG0wawIBAQQgrdQi50lziO13y0EF
rZqV6zOwIDFTXHoAGMdBVcPFtCWhRANCAAQms7NDvw5sGfX2sOImh8ukWtjOOceS
i+qdfhTUUAzJiM0lBEQoHt4OfKSUU+izyZUGXZiNch7LAJbxPzTRpOjx
-----END PRIVATE KEY-----
"""

Handler = Callable[[bytes, asyncio.StreamWriter], Awaitable[None]]


def addresses(*texts: str) -> list[Address]:
    return [ipaddress.ip_address(text) for text in texts]


def answering(head: str, body: bytes = b"") -> Handler:
    async def answer(request: bytes, writer: asyncio.StreamWriter) -> None:
        writer.write(head.replace("\n", "\r\n").encode() + b"\r\n\r\n" + body)

    return answer


ok = answering(f"HTTP/1.1 200 OK\nContent-Length: {len(PHOTO)}", PHOTO)


class Names:
    """Looks names up: the first answer once, the next after it, and the last for ever."""

    def __init__(self, *answers: Sequence[Address]) -> None:
        self._answers = list(answers)
        self.asked: list[str] = []

    async def __call__(self, host: str, port: int) -> Sequence[Address]:
        self.asked.append(host)
        return self._answers.pop(0) if len(self._answers) > 1 else self._answers[0]


def fetched(
    url: str,
    *handlers: Handler,
    names: Names | None = None,
    tls: tuple[ssl.SSLContext, ssl.SSLContext] | tuple[None, None] = (None, None),
    **limits: Any,
) -> tuple[bytes, list[bytes]]:
    """Fetch a URL whose `PORT` is that of a server on loopback, which handles requests in turn.

    Returns the body and the requests that arrived.
    """
    left, requests = list(handlers), []

    async def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            requests.append(await reader.readuntil(b"\r\n\r\n"))
            await left.pop(0)(requests[-1], writer)
            await writer.drain()
        except (ConnectionError, asyncio.IncompleteReadError):
            pass
        finally:
            writer.close()

    async def run() -> bytes:
        server = await asyncio.start_server(connected, "127.0.0.1", ssl=tls[0])
        port = server.sockets[0].getsockname()[1]
        fetcher = PhotoFetcher(
            **{
                "max_bytes": 1000,
                "seconds": 10,
                "ports": (80, 443, port),
                "networks": [LOOPBACK],
                "resolve": names or Names(addresses("127.0.0.1")),
                "tls": tls[1],
                **limits,
            }
        )
        try:
            return await fetcher.fetch(url.replace("PORT", str(port)))
        finally:
            await fetcher.close()
            server.close()

    return asyncio.run(run()), requests


def test_a_photo() -> None:
    body, (request,) = fetched("http://photos.example:PORT/a%20b.jpg?size=1#top", ok)
    assert body == PHOTO
    lines = request.decode().split("\r\n")
    assert lines[0] == "GET /a%20b.jpg?size=1 HTTP/1.1"
    assert any(line.lower().startswith("host: photos.example:") for line in lines)
    assert "accept-encoding: identity" in request.decode().lower()
    assert "cookie" not in request.decode().lower()


def test_a_body_whose_length_is_not_told() -> None:
    chunked = answering(
        "HTTP/1.1 200 OK\nTransfer-Encoding: chunked", b"3\r\nabc\r\n2\r\nde\r\n0\r\n\r\n"
    )
    assert fetched("http://photos.example:PORT/", chunked)[0] == b"abcde"


def test_the_proxies_of_the_environment_are_not_used(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("http_proxy", "HTTP_PROXY", "ALL_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:1")
    assert fetched("http://photos.example:PORT/", ok)[0] == PHOTO


def test_the_next_address_is_tried_where_one_does_not_answer() -> None:
    names = Names(addresses("127.9.9.9", "127.0.0.1"))
    assert fetched("http://photos.example:PORT/", ok, names=names)[0] == PHOTO


# What is refused before anything is connected to.


@pytest.mark.parametrize(
    ("url", "message"),
    [
        ("file:///etc/passwd", "begins with http"),
        ("ftp://photos.example/a.jpg", "begins with http"),
        ("gopher://photos.example/", "begins with http"),
        ("photos.example/a.jpg", "begins with http"),
        ("//photos.example/a.jpg", "begins with http"),
        ("", "begins with http"),
        ("http://", "no host"),
        ("http:///a.jpg", "no host"),
        ("http://shop@photos.example/", "user name"),
        ("http://shop:secret@photos.example/", "user name"),
        ("http://photos.example@127.0.0.1/", "user name"),
        ("http://photos.example:22/", "port 22"),
        ("http://photos.example:0/", "port 0"),
        ("http://photos.example:99999/", "port 99999"),
        ("http://[::1/", "not a URL"),
        ("http://photos.example/\r\nX: y", "not a URL"),
        ("http://photos.example/" + 3000 * "a", "too long"),
    ],
)
def test_urls_that_are_not_fetched(url: str, message: str) -> None:
    names = Names(addresses("127.0.0.1"))
    with pytest.raises(UrlRefusedError, match=message):
        fetched(url, names=names)
    assert names.asked == []


@pytest.mark.parametrize(
    "host",
    [
        "127.0.0.1",
        "localhost",
        "0x7f.1",
        "2130706433",
        "017700000001",
        "[::1]",
        "[::ffff:127.0.0.1]",
        "[64:ff9b::7f00:1]",
        "[fd00:ec2::254]",
        "[fe80::1%25eth0]",
        "169.254.169.254",
        "10.0.0.1",
        "0.0.0.0",
    ],
)
def test_hosts_inside_are_refused_by_whatever_name(host: str) -> None:
    """Looked up by the system itself; none of them needs a network for that."""
    with pytest.raises((UrlRefusedError, FetchError)) as caught:
        fetched(f"http://{host}:PORT/", resolve=None, networks=())
    if isinstance(caught.value, FetchError):  # What this system does not take for an address.
        assert "there is no host" in str(caught.value)
    else:
        assert "not a host of the public internet" in str(caught.value)


def test_one_address_inside_is_enough_to_refuse() -> None:
    names = Names(addresses("8.8.8.8", "10.0.0.1"))
    with pytest.raises(UrlRefusedError, match="not a host of the public internet") as caught:
        fetched("http://photos.example/", names=names)
    assert "10.0.0.1" not in str(caught.value)


def test_a_name_without_addresses() -> None:
    with pytest.raises(FetchError, match="no address"):
        fetched("http://photos.example/", names=Names([]))

    async def unknown(host: str, port: int) -> Sequence[Address]:
        raise OSError("unknown")

    with pytest.raises(FetchError, match=r"no host .*: unknown"):
        fetched("http://photos.example/", resolve=unknown)


# Names that change, and redirects.


def test_a_name_is_looked_up_once() -> None:
    """A second look-up would lead inside."""
    names = Names(addresses("127.0.0.1"), addresses("169.254.169.254"))
    assert fetched("http://photos.example:PORT/", ok, names=names)[0] == PHOTO
    assert names.asked == ["photos.example"]


def moved(to: str) -> Handler:
    async def answer(request: bytes, writer: asyncio.StreamWriter) -> None:
        place = to.replace("PORT", str(writer.get_extra_info("sockname")[1]))
        await answering(f"HTTP/1.1 302 Found\nLocation: {place}")(request, writer)

    return answer


@pytest.mark.parametrize("to", ["/b.jpg", "http://other.example:PORT/b.jpg", "b.jpg"])
def test_redirects_are_followed(to: str) -> None:
    body, requests = fetched("http://photos.example:PORT/a.jpg", moved(to), ok)
    assert body == PHOTO
    assert requests[1].startswith(b"GET /b.jpg ")


def test_not_for_ever() -> None:
    with pytest.raises(FetchError, match="more than 3 times"):
        fetched("http://photos.example:PORT/", *(moved("/") for _ in range(9)))


@pytest.mark.parametrize(
    ("to", "message"),
    [
        ("http://127.1.1.1:PORT/", "public internet"),
        ("http://inside.example:PORT/", "public internet"),
        ("//169.254.169.254/latest/meta-data/", "public internet"),
        ("file:///etc/passwd", "begins with http"),
        ("http://a:b@photos.example/", "user name"),
        ("http://photos.example:22/", "port 22"),
        ("http://[::1", "not a URL"),
    ],
)
def test_a_redirect_is_checked_as_a_url(to: str, message: str) -> None:
    async def resolve(host: str, port: int) -> Sequence[Address]:
        return addresses(
            {"photos.example": "127.0.0.1", "inside.example": "10.0.0.1"}.get(host, host)
        )

    with pytest.raises(UrlRefusedError, match=message):
        fetched(
            "http://photos.example:PORT/",
            moved(to),
            ok,
            resolve=resolve,
            networks=[ipaddress.ip_network("127.0.0.1/32")],
        )


def test_a_name_that_changes_between_redirects_is_checked_again() -> None:
    names = Names(addresses("127.0.0.1"), addresses("10.0.0.1"))
    with pytest.raises(UrlRefusedError, match="public internet"):
        fetched("http://photos.example:PORT/", moved("/b.jpg"), ok, names=names)


# Servers that mean no good.


@pytest.mark.parametrize("told", [True, False])
def test_a_file_that_is_too_large(told: bool) -> None:
    head = "HTTP/1.1 200 OK\n" + ("Content-Length: 5000" if told else "Connection: close")
    with pytest.raises(FetchError, match="limit of 1,000 bytes"):
        fetched("http://photos.example:PORT/", answering(head, 5000 * b"x"))


def test_a_body_without_end() -> None:
    async def endless(request: bytes, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\n\r\n")
        while True:
            writer.write(bytes(10_000))
            await writer.drain()

    with pytest.raises(FetchError, match="limit of 1,000 bytes"):
        fetched("http://photos.example:PORT/", endless)


async def dripping(request: bytes, writer: asyncio.StreamWriter) -> None:
    writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 900\r\n\r\n")
    while True:
        writer.write(b"x")
        await writer.drain()
        await asyncio.sleep(0.05)


async def dripping_headers(request: bytes, writer: asyncio.StreamWriter) -> None:
    writer.write(b"HTTP/1.1 200 OK\r\n")
    while True:
        writer.write(b"X: y\r\n")
        await writer.drain()
        await asyncio.sleep(0.05)


async def silent(request: bytes, writer: asyncio.StreamWriter) -> None:
    await asyncio.sleep(60)


@pytest.mark.parametrize("handler", [dripping, dripping_headers, silent])
def test_a_server_that_takes_its_time(handler: Handler) -> None:
    with pytest.raises(FetchError, match=r"within 0\.3 s|could not be fetched"):
        fetched("http://photos.example:PORT/", handler, seconds=0.3)


def test_a_name_server_that_takes_its_time() -> None:
    async def resolve(host: str, port: int) -> Sequence[Address]:
        await asyncio.sleep(60)
        return addresses("127.0.0.1")

    with pytest.raises(FetchError, match=r"within 0\.2 s"):
        fetched("http://photos.example:PORT/", resolve=resolve, seconds=0.2)


@pytest.mark.parametrize(
    ("head", "message"),
    [
        ("HTTP/1.1 404 Not Found", "status 404"),
        ("HTTP/1.1 206 Partial Content", "status 206"),
        ("HTTP/1.1 304 Not Modified", "status 304"),
        ("HTTP/1.1 200 OK\nContent-Encoding: gzip", "compressed"),
        ("SSH-2.0-OpenSSH_9.2", "could not be fetched"),
        ("HTTP/1.1 200 OK\nContent-Length: 50", "could not be fetched"),
    ],
)
def test_other_answers(head: str, message: str) -> None:
    with pytest.raises(FetchError, match=message):
        fetched("http://photos.example:PORT/", answering(head))


def test_a_host_that_refuses_connections() -> None:
    with pytest.raises(FetchError, match="could not be fetched"):
        fetched("http://photos.example/", ports=[80], names=Names(addresses("127.9.9.9")))


# TLS: the certificate must be that of the name, though the connection goes to an address.


@pytest.fixture
def tls(tmp_path: Path) -> tuple[ssl.SSLContext, ssl.SSLContext]:
    file = tmp_path / "both.pem"
    file.write_text(CERTIFICATE + KEY)
    server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    server.load_cert_chain(file)
    return server, ssl.create_default_context(cadata=CERTIFICATE)


def test_tls_to_a_checked_address(tls: tuple[ssl.SSLContext, ssl.SSLContext]) -> None:
    assert fetched("https://photos.example:PORT/", ok, tls=tls)[0] == PHOTO


def test_a_certificate_of_another_name(tls: tuple[ssl.SSLContext, ssl.SSLContext]) -> None:
    for host in ("other.example", "127.0.0.1"):
        with pytest.raises(FetchError, match="could not be fetched"):
            fetched(f"https://{host}:PORT/", ok, tls=tls)


def test_a_certificate_that_nobody_trusts(tls: tuple[ssl.SSLContext, ssl.SSLContext]) -> None:
    with pytest.raises(FetchError, match="could not be fetched"):
        fetched("https://photos.example:PORT/", ok, tls=(tls[0], ssl.create_default_context()))
