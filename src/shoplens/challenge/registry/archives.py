"""Submissions that come as a zip archive: unpacked, with nothing in them trusted."""

from __future__ import annotations

import errno
import stat
import struct
import zipfile
import zlib
from pathlib import Path
from typing import BinaryIO

from shoplens.challenge.contents import MAX_FILES
from shoplens.challenge.submission import CONFIG
from shoplens.errors import DataError
from shoplens.sources.folder import inside

_PIECE = 1 << 20
_DAMAGE = (
    zipfile.BadZipFile,
    zlib.error,
    EOFError,
    OSError,
    ValueError,
    RuntimeError,
    struct.error,
)
"""What reading a damaged archive raises, or writing files with names that cannot be."""
_OF_THE_DISK = {errno.EACCES, errno.EDQUOT, errno.EIO, errno.EMFILE, errno.ENOSPC, errno.EROFS}


def unpack_archive(archive: BinaryIO, folder: Path, *, max_bytes: int) -> Path:
    """Unpack a zip archive into a folder that is empty.

    Links and whatever else is no plain file are refused, and so are names that lead out of the
    folder.

    Args:
        archive: a stream that can be read anywhere.
        folder: where to put its files.
        max_bytes: what they may take together, unpacked.

    Returns:
        The submission's folder: the one that the archive was packed with, if all is in it.

    Raises:
        DataError: it is no zip archive, is damaged, holds too much, or what is not allowed.
        OSError: the files cannot be written.
    """
    try:
        with zipfile.ZipFile(archive) as packed:
            members = packed.infolist()
            if len(members) > MAX_FILES:
                raise DataError(f"the archive holds more than {MAX_FILES:,} files and folders")
            if sum(member.file_size for member in members) > max_bytes:
                raise _too_large()
            left = max_bytes
            for member in members:
                target = folder / _name(member)
                if member.is_dir():
                    target.mkdir(parents=True, exist_ok=True)
                    continue
                target.parent.mkdir(parents=True, exist_ok=True)
                left -= _unpack(packed, member, target, left)
    except FileExistsError:
        raise DataError("the archive has two files of one name") from None
    except _DAMAGE as error:
        if isinstance(error, OSError) and error.errno in _OF_THE_DISK:
            raise
        problem = getattr(error, "strerror", None) or error
        raise DataError(f"the archive cannot be unpacked: {problem}") from error
    found = list(folder.iterdir())
    packed_with_folder = len(found) == 1 and found[0].is_dir() and not (folder / CONFIG).exists()
    return found[0] if packed_with_folder else folder


def _name(member: zipfile.ZipInfo) -> str:
    kind = stat.S_IFMT(member.external_attr >> 16)
    if kind not in (0, stat.S_IFREG, stat.S_IFDIR):
        raise DataError(f"{member.filename!r} in the archive is no plain file: put a copy there")
    if member.flag_bits & 1:
        raise DataError(f"{member.filename!r} in the archive is encrypted")
    if member.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
        raise DataError(f"{member.filename!r} in the archive is not packed as in usual zip files")
    try:
        return inside(member.filename.replace("\\", "/"))
    except ValueError as error:
        raise DataError(f"{member.filename!r} in the archive {error}") from None


def _unpack(packed: zipfile.ZipFile, member: zipfile.ZipInfo, target: Path, left: int) -> int:
    """Write a file; return its size. What the archive says of the size is not relied on."""
    n_bytes = 0
    with packed.open(member) as source, target.open("xb") as stream:
        while piece := source.read(_PIECE):
            n_bytes += len(piece)
            if n_bytes > left:
                raise _too_large()
            stream.write(piece)
    if member.external_attr >> 16 & stat.S_IXUSR:
        target.chmod(0o755)
    return n_bytes


def _too_large() -> DataError:
    return DataError("the files in the archive are larger together than is allowed")
