"""A connection to a Milvus server: time-outs, retries, errors in plain words.

The one place where pymilvus is imported.
"""

from __future__ import annotations

import logging
import os
import re
import time
from collections.abc import Callable
from typing import TypeVar

from shoplens.catalog.milvus.address import Address
from shoplens.errors import CatalogError, MissingError, reason_of

try:
    import grpc
    from pymilvus import DataType, MilvusClient, MilvusException
    from pymilvus.client.types import LoadState
except ImportError:
    raise MissingError(
        "a catalogue on a Milvus server needs pymilvus: pip install 'shoplens[milvus]'"
    ) from None

__all__ = ["Connection", "DataType", "LoadState", "MilvusClient"]

# It prints what it raises, with the whole stack.
logging.getLogger("pymilvus").setLevel(logging.CRITICAL)

TOKEN = "SHOPLENS_MILVUS_TOKEN"
"""Environment variable with `user:password` or a token."""
CONNECT_SECONDS = 10.0
REQUEST_SECONDS = 120.0
"""How long a request is tried. A server that was killed needs half a minute or more to be back."""
_FIRST_PAUSE = 0.1
_LONGEST_PAUSE = 3.0

# Codes of errors that pass: the server starts, recovers or is short of something. See
# pkg/util/merr/errors.go of Milvus.
_PASSING = {1, 2, 5, 8, 101, 103, 106, 201, 202, 400, 401, 500, 501, 502, 503, 600, 602, 901, 902}
_UNEXPECTED = 65535
_NODE_LOST = ("failed to search/query delegator", "nodes not enough")
"""What the error without a code of its own says while a lost query node is replaced."""
_NO_COLLECTION = 100

_T = TypeVar("_T")


class Connection:
    """A connection to a server, for one catalogue. May be used from several threads."""

    def __init__(self, uri: str, address: Address) -> None:
        """Connect to the server.

        Raises:
            CatalogError: the server is away, or refuses us.
            MissingError: there is no such database.
        """
        self.uri = uri
        self._address = address
        try:
            self._client: MilvusClient | None = MilvusClient(
                address.endpoint,
                token=os.environ.get(TOKEN, ""),
                db_name=address.database,
                timeout=CONNECT_SECONDS,
            )
        except (MilvusException, grpc.RpcError) as error:
            raise CatalogError(
                f"{uri}: there is no Milvus server at {address.host}:{address.port}, or it refuses "
                f"us ({_said(error)}). A password or token is read from the variable {TOKEN}"
            ) from error
        if address.database and address.database not in self.call(
            lambda client, s: client.list_databases(timeout=s)
        ):
            self.close()
            raise MissingError(
                f"{uri}: the server has no database {address.database}; its administrator can "
                "create it"
            )

    def close(self) -> None:
        """Give the connection back."""
        if self._client is not None:
            self._client.close()
        self._client = None

    def version_text(self) -> str:
        """Return the server's version as it states it."""
        return str(self.call(lambda client, s: client.get_server_version(timeout=s)))

    def version(self) -> tuple[int, int]:
        """Return the first two numbers of the server's version; very high ones if it has none."""
        numbers = re.match(r"v?(\d+)\.(\d+)", self.version_text())
        return (int(numbers[1]), int(numbers[2])) if numbers else (99, 0)

    def call(self, request: Callable[[MilvusClient, float], _T]) -> _T:
        """Send a request, again after failures that pass, each time after a longer pause.

        All that is sent can be repeated. After failures of the network, pymilvus itself tries
        again.

        Args:
            request: is given the client and the seconds that are left.

        Raises:
            CatalogError: the server did not answer in time, or refuses the request.
            MissingError: there is no such collection.
        """
        limit = time.monotonic() + REQUEST_SECONDS
        pause = _FIRST_PAUSE
        while True:
            client = self._client
            if client is None:
                raise CatalogError(f"{self.uri} is closed")
            try:
                return request(client, max(1.0, limit - time.monotonic()))
            except (MilvusException, grpc.RpcError) as error:
                if not _is_passing(error) or time.monotonic() + pause > limit:
                    raise self._explained(error) from error
            time.sleep(pause)
            pause = min(2 * pause, _LONGEST_PAUSE)

    def _explained(self, error: Exception) -> CatalogError | MissingError:
        address = self._address
        code = error.code if isinstance(error, MilvusException) else None
        if code == _NO_COLLECTION:
            return MissingError(f"{self.uri}: the server has no collection {address.name}")
        if _is_passing(error) or not isinstance(code, int):
            return CatalogError(
                f"{self.uri}: the Milvus server at {address.host}:{address.port} did not answer "
                f"within {REQUEST_SECONDS:g} s. Try again when it is back ({_said(error)})"
            )
        return CatalogError(f"{self.uri}: the Milvus server refuses this: {_said(error)}")


def _is_passing(error: Exception) -> bool:
    """Whether an error may be gone when the request is tried again."""
    # Those of a derived type are of the client, and do not pass.
    if not isinstance(error, MilvusException) or type(error) is not MilvusException:
        return False
    if error.code == _UNEXPECTED:
        return any(text in str(error.message) for text in _NODE_LOST)
    return error.code in _PASSING


def _said(error: Exception) -> str:
    return str(error.message) if isinstance(error, MilvusException) else reason_of(error)
