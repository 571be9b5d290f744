"""API keys: who may do what over HTTP, in a file that holds no secrets.

A key reads `sl_<id>_<secret>`. The file holds the SHA-256 of the secret. The secret is 32 random
bytes, so nobody can guess it however fast they hash, and a slow hash, which passwords need, would
only slow down each request.
"""

from __future__ import annotations

import hashlib
import hmac
import os
import secrets
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime, timezone
from pathlib import Path
from typing import Annotated, Any, Literal, get_args

import msgspec

from shoplens.errors import DataError, MissingError
from shoplens.files import read_text, require_folder, write_text
from shoplens.json_text import parse_json

KeyScope = Literal["search", "write", "admin"]
"""What a key allows. Each scope has all that the ones before it allow."""
SCOPES: tuple[KeyScope, ...] = get_args(KeyScope)

VERSION = 1
"""Of the file's form."""
PREFIX = "sl"
LONGEST_NAME = 100
_ID_BYTES = 6
_SECRET_BYTES = 32
_NO_SHA256 = "0" * 64
"""What the secret of an unknown id is compared with. Nobody knows what hashes to it."""


class Key(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A key as the file holds it."""

    id: Annotated[str, msgspec.Meta(pattern=r"\A[0-9a-f]+\Z")]
    scope: KeyScope
    sha256: Annotated[str, msgspec.Meta(pattern=r"\A[0-9a-f]{64}\Z")]
    """Of the secret, in hex."""
    created: str
    """The time, in UTC."""
    name: str = ""
    """Who uses it, for people."""
    rate: Annotated[int, msgspec.Meta(gt=0)] | None = None
    """Requests a minute; None for the server's setting."""

    def allows(self, scope: KeyScope) -> bool:
        """Whether the key has a scope."""
        return SCOPES.index(self.scope) >= SCOPES.index(scope)

    def to_json(self) -> dict[str, Any]:
        """Return what `shoplens keys list --json` shows of the key."""
        return {
            "id": self.id,
            "name": self.name,
            "scope": self.scope,
            "rate": self.rate,
            "created": self.created,
        }


class _KeysFile(msgspec.Struct, forbid_unknown_fields=True):
    version: int
    keys: list[Key]


@dataclass(frozen=True, slots=True)
class NewKey:
    """A key that was just made."""

    key: Key
    text: str
    """The whole key, with the secret, which is kept nowhere."""

    def __repr__(self) -> str:
        return f"NewKey({self.key.id})"


class Keys:
    """The keys of a file, read again whenever the file changes.

    So a key that is revoked is refused from the next request on. May be used from several threads.
    """

    def __init__(self, file: Path) -> None:
        """Read the file.

        Raises:
            MissingError: there is no such file.
            DataError: it is no file of keys.
        """
        self.file = file
        self._guard = threading.Lock()
        self._stamp: tuple[int, ...] | None = None
        self._by_id: Mapping[str, Key] = {}
        self._refresh()

    def __len__(self) -> int:
        return len(self._by_id)

    def find(self, text: str) -> Key | None:
        """Return the key that a text is, or None if it is none of the file's.

        The time that this takes tells nothing of the ids and secrets in the file.

        Raises:
            MissingError: the file is gone, so no key is valid.
            DataError: the file was changed, and is no file of keys any more.
        """
        self._refresh()
        prefix, _, rest = text.partition("_")
        key_id, _, secret = rest.partition("_")
        key = self._by_id.get(key_id)
        stored = _NO_SHA256 if key is None else key.sha256
        same = hmac.compare_digest(stored, _sha256(secret))
        return key if same and prefix == PREFIX else None

    def _refresh(self) -> None:
        stamp = _stamp(self.file)
        if stamp is not None and stamp == self._stamp:
            return
        with self._guard:
            self._by_id = {key.id: key for key in read_keys(self.file)}
            # Taken before the file was read: if it was replaced meanwhile, it is read again.
            self._stamp = stamp


def load_keys(file: str | Path) -> Keys:
    """Open a file of keys.

    Raises:
        MissingError: there is no such file.
        DataError: it is no file of keys.
    """
    return Keys(Path(file))


def read_keys(file: Path) -> list[Key]:
    """Return the keys of a file, in the order in which they were made.

    Raises:
        MissingError: there is no such file.
        DataError: it is no file of keys.
    """
    try:
        found = parse_json(read_text(file), _KeysFile, str(file))
    except MissingError:
        raise MissingError(
            f"there is no file of keys {file}: make a key with `shoplens keys create`"
        ) from None
    if found.version != VERSION:
        raise DataError(
            f"{file} has version {found.version}, and this shoplens reads version {VERSION}: use "
            "the shoplens that wrote it"
        )
    if len({key.id for key in found.keys}) < len(found.keys):
        raise DataError(f"{file} has two keys with one id: remove one of them")
    return found.keys


def create_key(file: Path, scope: KeyScope, *, name: str = "", rate: int | None = None) -> NewKey:
    """Make a key and add it to a file, which is made where it is not there.

    Args:
        file: the file of keys.
        scope: what the key allows.
        name: who uses it.
        rate: requests a minute that it may make; None for the server's setting.

    Raises:
        DataError: the file is no file of keys, or the name cannot be shown.
        ShoplensError: the file cannot be written.
    """
    if len(name) > LONGEST_NAME or not name.isprintable():
        raise DataError(
            f"the name {name[:20]!r} of a key must be at most {LONGEST_NAME} characters that can "
            "be seen"
        )
    if rate is not None and rate < 1:
        raise DataError(f"a rate is at least 1 request a minute, not {rate}")
    secret = secrets.token_hex(_SECRET_BYTES)
    with _changing(file) as keys:
        taken = {key.id for key in keys}
        while (key_id := secrets.token_hex(_ID_BYTES)) in taken:
            pass
        created = datetime.now(timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ")
        key = Key(key_id, scope, _sha256(secret), created, name, rate)
        keys.append(key)
    return NewKey(key, f"{PREFIX}_{key.id}_{secret}")


def revoke_key(file: Path, key_id: str) -> Key:
    """Remove a key from a file. Servers refuse it from the next request on.

    Raises:
        MissingError: there is no such file.
        DataError: it has no such key.
        ShoplensError: it cannot be written.
    """
    if not file.exists():
        read_keys(file)
    with _changing(file) as keys:
        found = next((key for key in keys if key.id == key_id), None)
        if found is None:
            known = ", ".join(key.id for key in keys) or "none"
            raise DataError(f"{file} has no key {key_id!r}; its keys are: {known}")
        keys.remove(found)
    return found


@contextmanager
def _changing(file: Path) -> Iterator[list[Key]]:
    """Yield the keys of a file, and write them back; meanwhile no other process changes it."""
    import filelock  # noqa: PLC0415  Whoever only reads keys needs none.

    require_folder(file)
    # Without it, a key that is revoked could come back with one that is made at the same time.
    with filelock.FileLock(f"{os.path.realpath(file)}.lock"):
        keys = read_keys(file) if file.exists() else []
        yield keys
        text = msgspec.json.format(msgspec.json.encode(_KeysFile(VERSION, keys)), indent=2)
        write_text(file, text.decode() + "\n", mode=0o600)


def _sha256(secret: str) -> str:
    return hashlib.sha256(secret.encode(errors="surrogatepass")).hexdigest()


def _stamp(file: Path) -> tuple[int, ...] | None:
    """Return what changes when a file is replaced; None where there is none."""
    try:
        status = file.stat()
    except OSError:
        return None
    return status.st_ino, status.st_size, status.st_mtime_ns
