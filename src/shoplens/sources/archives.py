"""Zip and tar archives: their photos are read where they lie, without unpacking.

An archive is listed once. What is kept of a member is its offset, so that reading it is one read
of a range, from any thread and in any process, whether the archive is a file or behind a URL.
"""

from __future__ import annotations

import stat
import struct
import tarfile
import zipfile
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

from shoplens.errors import DataError, PhotoError
from shoplens.records import Fault, Origin
from shoplens.sources.members import Members, inside
from shoplens.sources.places import MAX_BYTES, Place, too_large
from shoplens.sources.remote import as_whole

_ZIP_STARTS = (b"PK\x03\x04", b"PK\x05\x06")
_COMPRESSED = {b"\x1f\x8b": "gzip", b"BZh": "bzip2", b"\xfd7zXZ": "xz", b"\x28\xb5\x2f\xfd": "zstd"}
_TAR_MAGIC = slice(257, 262)
HEAD_BYTES = 262
"""How much of a file's beginning `kind_of_archive` looks at."""

_BLOCK = 512
_LOCAL_HEADER = 30
_ROOM = 512
"""Read beyond a zip member's own bytes, for the name and the fields in front of them."""

_ZIP_ERRORS = (
    zipfile.BadZipFile,
    struct.error,
    ValueError,
    LookupError,
    NotImplementedError,
    OverflowError,
    OSError,
    EOFError,
)
"""What zipfile raises on damaged directories."""


def kind_of_archive(head: bytes, name: str) -> Literal["zip", "tar"] | None:
    """Return `zip` or `tar` by a file's first `HEAD_BYTES` bytes, None when it is neither.

    Raises `DataError` for a compressed tar: its members could only be read in order.
    """
    if head.startswith(_ZIP_STARTS):
        return "zip"
    if head[_TAR_MAGIC] == b"ustar" or name.lower().endswith(".tar"):
        return "tar"
    for start, method in _COMPRESSED.items():
        if head.startswith(start):
            raise DataError(
                f"{name} is compressed as a whole ({method}), so that no photo in it can be read "
                "by itself, and photos hardly shrink: unpack it, or pack it as .tar or .zip"
            )
    return None


def read_archive(place: Place, kind: Literal["zip", "tar"]) -> Members:
    """List an archive.

    Args:
        place: the archive.
        kind: `zip` or `tar`.

    Returns:
        Its regular files by their path; names that lead outside, links that leave it and names
        that stand twice are in the `faults`.

    Raises:
        DataError: it is damaged.
        MissingError: it is not there.
    """
    found = _zip_members(place) if kind == "zip" else _tar_members(place)
    origins: dict[str, Origin] = {}
    faults = []
    try:
        for name, member in found:
            try:
                relative = inside(name)
            except ValueError as error:
                faults.append(Fault(place.path.name, 0, "", name, str(error)))
                continue
            if isinstance(member, str):
                faults.append(Fault(place.path.name, 0, "", name, member))
            elif relative in origins:
                faults.append(Fault(place.path.name, 0, "", name, "stands twice in the archive"))
            else:
                origins[relative] = member
    except PhotoError as error:
        raise as_whole(place, error) from error
    return Members(place.path, origins, tuple(faults))


@dataclass(frozen=True, slots=True)
class ZipMember:
    """A file in a zip archive."""

    archive: Place
    name: str
    offset: int
    """Where its header starts."""
    stored: int
    """Its length in the archive, in bytes."""
    size: int
    """Its length unpacked, in bytes."""
    method: int
    crc: int

    def __str__(self) -> str:
        return f"{self.archive}, member {self.name}"

    def read(self) -> bytes:
        """Return the unpacked bytes."""
        if max(self.stored, self.size) > MAX_BYTES:
            raise too_large(str(self), max(self.stored, self.size))
        if self.method not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
            raise PhotoError(
                "unreadable", f"{self} is packed by method {self.method}; pack by deflate or store"
            )
        data = self._unpack(self._stored_bytes())
        if zlib.crc32(data) != self.crc:
            raise PhotoError("corrupt", f"{self} does not fit its checksum")
        return data

    def _stored_bytes(self) -> bytes:
        wanted = _LOCAL_HEADER + _ROOM + self.stored
        data = self.archive.read_range(self.offset, wanted)
        if len(data) < _LOCAL_HEADER or not data.startswith(_ZIP_STARTS[0]):
            raise PhotoError("corrupt", f"{self} has no header where the archive says")
        if struct.unpack_from("<H", data, 6)[0] & 1:
            raise PhotoError("unreadable", f"{self} is encrypted")
        start = _LOCAL_HEADER + sum(struct.unpack_from("<HH", data, 26))
        if (lack := start + self.stored - wanted) > 0:
            data += self.archive.read_range(self.offset + wanted, lack)
        data = data[start : start + self.stored]
        if len(data) < self.stored:
            raise PhotoError("truncated", f"{self} lies past the archive's end")
        return data

    def _unpack(self, data: bytes) -> bytes:
        if self.method == zipfile.ZIP_STORED:
            return data
        unpacker = zlib.decompressobj(-zlib.MAX_WBITS)
        try:
            # A bomb says in its directory that it is small.
            data = unpacker.decompress(data, self.size + 1)
        except zlib.error as error:
            raise PhotoError("corrupt", f"{self}: {error}") from error
        if len(data) != self.size:
            raise PhotoError("corrupt", f"{self} is not as long as the archive says")
        return data


@dataclass(frozen=True, slots=True)
class TarMember:
    """A file in an uncompressed tar archive."""

    archive: Place
    name: str
    start: int
    size: int

    def __str__(self) -> str:
        return f"{self.archive}, member {self.name}"

    def read(self) -> bytes:
        """Return the bytes."""
        if self.size > MAX_BYTES:
            raise too_large(str(self), self.size)
        data = self.archive.read_range(self.start, self.size)
        if len(data) < self.size:
            raise PhotoError("truncated", f"{self} lies past the archive's end")
        return data


def _zip_members(place: Place) -> Iterator[tuple[str, ZipMember | str]]:
    try:
        with place.open() as stream, zipfile.ZipFile(stream) as archive:
            infos = archive.infolist()
    except _ZIP_ERRORS as error:
        raise _damaged(place, error) from error
    for info in infos:
        if info.is_dir():
            continue
        if stat.S_ISLNK(info.external_attr >> 16):
            yield info.filename, "is a symbolic link; pack the file itself"
            continue
        yield (
            info.filename,
            ZipMember(
                place,
                info.filename,
                info.header_offset,
                info.compress_size,
                info.file_size,
                info.compress_type,
                info.CRC,
            ),
        )


def _tar_members(place: Place) -> Iterator[tuple[str, TarMember | str]]:
    packed: dict[str, TarMember] = {}
    end = 0
    try:
        with place.open() as stream, tarfile.open(fileobj=stream, mode="r:") as archive:
            for info in archive:
                # The list of members would grow beside ours.
                archive.members = []  # type: ignore[attr-defined]
                end = info.offset_data
                if info.issparse():
                    yield info.name, "is stored with holes; pack it without --sparse"
                elif info.isreg():
                    end += -(-info.size // _BLOCK) * _BLOCK
                    packed[info.name] = TarMember(place, info.name, info.offset_data, info.size)
                    yield info.name, packed[info.name]
                elif info.islnk() and info.linkname in packed:
                    yield info.name, packed[info.linkname]
                elif info.islnk() or info.issym():
                    yield info.name, f"is a link to {info.linkname}; pack with --dereference"
            # tarfile takes damage between two members for the archive's end.
            stream.seek(end)
            if stream.read(_BLOCK) != bytes(_BLOCK):
                raise tarfile.ReadError("it has no end mark where its last file ends")
    except (tarfile.TarError, ValueError, OSError, EOFError) as error:
        raise _damaged(place, error) from error


def _damaged(place: Place, error: Exception) -> DataError:
    return DataError(f"{place} is damaged, or was not copied to its end: {error}")
