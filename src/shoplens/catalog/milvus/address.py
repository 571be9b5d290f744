"""Where a catalogue on a Milvus server is."""

from __future__ import annotations

import re
from dataclasses import dataclass
from urllib.parse import parse_qsl, urlsplit

from shoplens.errors import CatalogError

DEFAULT_PORT = 19530
_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,254}")


@dataclass(frozen=True, slots=True)
class Address:
    """A collection on a server."""

    host: str
    port: int
    database: str
    """Empty for the server's default."""
    name: str
    """Of the collection."""
    index: str | None
    """The index that a new collection gets (see `schema.INDEXES`); None for the usual one."""

    @classmethod
    def parse(cls, uri: str) -> Address:
        """Read `milvus://host[:port]/[database/]name[?index=...]`.

        Raises `CatalogError` if `uri` has another form.
        """
        try:
            parts = urlsplit(uri)
            host, port = parts.hostname, parts.port
        except ValueError as error:
            raise CatalogError(f"{uri}: {error}; write milvus://host:port/name") from None
        if parts.username is not None or parts.password is not None:
            # Not repeating the address: it holds a password.
            raise CatalogError(
                "the URI of a catalogue must not hold a password, because it is shown in messages: "
                "put user:password or a token in the variable SHOPLENS_MILVUS_TOKEN"
            )
        if not host:
            raise CatalogError(f"{uri}: names no host; write milvus://host:port/name")
        names = parts.path.strip("/").split("/")
        if len(names) > 2 or not all(_NAME.fullmatch(name) for name in names):
            raise CatalogError(
                f"{uri}: write milvus://host:port/name or milvus://host:port/database/name; names "
                "hold letters, digits and _ and do not begin with a digit"
            )
        options = dict(parse_qsl(parts.query, keep_blank_values=True))
        index = options.pop("index", None)
        if options or parts.fragment:
            raise CatalogError(
                f"{uri}: the only option is index, as in milvus://host:port/name?index=hnsw"
            )
        database = names[0] if len(names) == 2 else ""
        return cls(host, port or DEFAULT_PORT, database, names[-1], index)

    @property
    def endpoint(self) -> str:
        """The server as its client names it."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"http://{host}:{self.port}"
