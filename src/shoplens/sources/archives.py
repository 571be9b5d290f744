"""Zip and tar archives: their photos are read where they lie, without unpacking.

An archive is listed once. What is kept of a member is its offset, so that reading it is one read
of a range, from any thread and in any process, whether the archive is a file or behind a URL.
"""

from __future__ import annotations

import posixpath
import stat
import struct
import tarfile
import zipfile
import zlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

from shoplens.errors import DataError, PhotoError
from shoplens.records import Fault
from shoplens.sources.file import MAX_BYTES, File, WholeFile, as_whole, too_large
from shoplens.sources.folder import inside, is_hidden

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
"""What zipfile raises on a damaged directory."""


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
                f"{name} is compressed as a whole ({method}), so a single photo in it cannot "
                "be read, and photos hardly shrink: unpack it, or pack it as .tar or .zip"
            )
    return None


class Archive:
    """The files of a zip or tar archive: a `Folder`.

    Args:
        path: what paths that name its files start with.
        files: by name.
        faults: names that lead outside, links that leave it, names that stand twice.
        is_near: whether the archive is on this machine.
    """

    def __init__(
        self, path: Path, files: Mapping[str, File], faults: tuple[Fault, ...], is_near: bool
    ) -> None:
        self.path = path
        self.is_near = is_near
        self._files = files
        self._faults = faults

    def __str__(self) -> str:
        return str(self.path)

    def listing(self) -> tuple[list[str], list[Fault]]:
        """Return the names of all files but hidden ones, in order, and what cannot be used."""
        return sorted(name for name in self._files if not is_hidden(name)), list(self._faults)

    def file(self, name: str) -> File:
        """Return the file of a name that `listing` returned."""
        return self._files[name]

    def get(self, name: str) -> File | None:
        """Return the file of that very name, None when there is none."""
        return self._files.get(name)

    def locate(self, name: str) -> tuple[File, bool]:
        """Return the file that a table means by `name`, and whether it is there."""
        relative = inside(name)
        if relative not in self._files and posixpath.join("data", relative) in self._files:
            relative = posixpath.join("data", relative)
        file = self._files.get(relative)
        return file or NoFile(self.path / relative), file is not None

    def below(self, folder: str) -> Archive:
        """Return the files below a folder of the archive."""
        start = f"{folder}/"
        files = {n[len(start) :]: f for n, f in self._files.items() if n.startswith(start)}
        return Archive(self.path / folder, files, self._faults, self.is_near)


def read_archive(archive: File, kind: Literal["zip", "tar"]) -> Archive:
    """List an archive.

    Args:
        archive: the file.
        kind: `zip` or `tar`.

    Raises:
        DataError: it is damaged.
        MissingError: it is not there.
    """
    found = _zip_members(archive) if kind == "zip" else _tar_members(archive)
    files: dict[str, File] = {}
    faults = []
    try:
        for name, member in found:
            try:
                relative = inside(name)
            except ValueError as error:
                faults.append(Fault(archive.path.name, 0, "", name, str(error)))
                continue
            if isinstance(member, str):
                faults.append(Fault(archive.path.name, 0, "", name, member))
            elif relative in files:
                faults.append(Fault(archive.path.name, 0, "", name, "appears twice in the archive"))
            else:
                files[relative] = member
    except PhotoError as error:
        raise as_whole(archive, error) from error
    return Archive(archive.path, files, tuple(faults), archive.on_disk)


@dataclass(frozen=True, slots=True)
class NoFile(WholeFile):
    """A file that a table names and the archive does not contain."""

    path: Path

    def __str__(self) -> str:
        return str(self.path)

    def read(self) -> bytes:
        """Raise `PhotoError` with reason `missing`."""
        raise PhotoError("missing", f"no file {self.path}")


@dataclass(frozen=True, slots=True)
class ZipMember(WholeFile):
    """A file in a zip archive."""

    archive: File
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

    @property
    def path(self) -> Path:
        """The archive's path and the member's in it."""
        return self.archive.path / self.name

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
            raise PhotoError("corrupt", f"{self} does not match its checksum")
        return data

    def _stored_bytes(self) -> bytes:
        wanted = _LOCAL_HEADER + _ROOM + self.stored
        data = self.archive.read_range(self.offset, wanted)
        if len(data) < _LOCAL_HEADER or not data.startswith(_ZIP_STARTS[0]):
            raise PhotoError("corrupt", f"{self} has no header where the archive states one")
        if struct.unpack_from("<H", data, 6)[0] & 1:
            raise PhotoError("unreadable", f"{self} is encrypted")
        start = _LOCAL_HEADER + sum(struct.unpack_from("<HH", data, 26))
        if (lack := start + self.stored - wanted) > 0:
            data += self.archive.read_range(self.offset + wanted, lack)
        data = data[start : start + self.stored]
        if len(data) < self.stored:
            raise PhotoError("truncated", f"{self} lies beyond the end of the archive")
        return data

    def _unpack(self, data: bytes) -> bytes:
        if self.method == zipfile.ZIP_STORED:
            return data
        unpacker = zlib.decompressobj(-zlib.MAX_WBITS)
        try:
            # A decompression bomb states a small size in its directory.
            data = unpacker.decompress(data, self.size + 1)
        except zlib.error as error:
            raise PhotoError("corrupt", f"{self}: {error}") from error
        if len(data) != self.size:
            raise PhotoError("corrupt", f"{self} is not as long as the archive states")
        return data


@dataclass(frozen=True, slots=True)
class TarMember(WholeFile):
    """A file in an uncompressed tar archive."""

    archive: File
    name: str
    start: int
    size: int

    def __str__(self) -> str:
        return f"{self.archive}, member {self.name}"

    @property
    def path(self) -> Path:
        """The archive's path and the member's in it."""
        return self.archive.path / self.name

    def read(self) -> bytes:
        """Return the bytes."""
        if self.size > MAX_BYTES:
            raise too_large(str(self), self.size)
        data = self.archive.read_range(self.start, self.size)
        if len(data) < self.size:
            raise PhotoError("truncated", f"{self} lies beyond the end of the archive")
        return data

    def read_range(self, start: int, length: int) -> bytes:
        """Return `length` bytes from offset `start`; fewer where the file ends before."""
        return self.archive.read_range(self.start + start, min(length, self.size - start))


def _zip_members(archive: File) -> Iterator[tuple[str, ZipMember | str]]:
    try:
        with archive.open() as stream, zipfile.ZipFile(stream) as opened:
            infos = opened.infolist()
    except _ZIP_ERRORS as error:
        raise _damaged(archive, error) from error
    for info in infos:
        if info.is_dir():
            continue
        if stat.S_ISLNK(info.external_attr >> 16):
            yield info.filename, "is a symbolic link; pack the file itself"
            continue
        yield (
            info.filename,
            ZipMember(
                archive,
                info.filename,
                info.header_offset,
                info.compress_size,
                info.file_size,
                info.compress_type,
                info.CRC,
            ),
        )


def _tar_members(archive: File) -> Iterator[tuple[str, TarMember | str]]:
    packed: dict[str, TarMember] = {}
    end = 0
    try:
        with archive.open() as stream, tarfile.open(fileobj=stream, mode="r:") as opened:
            for info in opened:
                # The list of members would grow beside ours.
                opened.members = []  # type: ignore[attr-defined]
                end = info.offset_data
                if info.issparse():
                    yield info.name, "is stored as a sparse file; pack it without --sparse"
                elif info.isreg():
                    end += -(-info.size // _BLOCK) * _BLOCK
                    packed[info.name] = TarMember(archive, info.name, info.offset_data, info.size)
                    yield info.name, packed[info.name]
                elif info.islnk() and info.linkname in packed:
                    yield info.name, replace(packed[info.linkname], name=info.name)
                elif info.islnk() or info.issym():
                    yield info.name, f"is a link to {info.linkname}; pack with --dereference"
            # tarfile takes damage between two members for the end of the archive.
            stream.seek(end)
            if stream.read(_BLOCK) != bytes(_BLOCK):
                raise tarfile.ReadError("it has no end mark after its last file")
    except (tarfile.TarError, ValueError, OSError, EOFError) as error:
        raise _damaged(archive, error) from error


def _damaged(archive: File, error: Exception) -> DataError:
    return DataError(f"{archive} is damaged or incomplete: {error}")
