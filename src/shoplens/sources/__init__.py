"""Where photos' bytes come from: disk, archives, columns of tables, memory, URLs.

There are two nouns. A `File` is bytes at a place, a `Folder` is files by their names::

    file             File; a file on disk
    memory           a file in memory
    folder           Folder; a folder on disk, and the names that are allowed in it
    images           which files of a folder are photos
    archives         zip and tar: a folder of files at known offsets
    columns          Parquet, Arrow and Lance: a file in each cell of a column of image bytes
    formats          these formats behind one interface
    remote           files and folders behind URLs (extra [remote])
    requests         the requests these make
    kinds            what a path or URL means: a folder, or a table in one

A photo carries a `File` where it is none on disk: a small value that holds no open file, so that it
can be read from any thread and sent to another process.
"""

from __future__ import annotations

from shoplens.errors import PhotoError
from shoplens.records import Photo
from shoplens.sources.file import DiskFile, File

__all__ = ["file_of", "read_photo"]


def file_of(photo: Photo) -> File:
    """Return the file that holds a photo's bytes. Photos of the same bytes have equal files."""
    return photo.file or DiskFile(photo.path)


def read_photo(photo: Photo) -> bytes:
    """Read a photo's bytes, whatever its `problem`.

    Safe to call from several threads at once.

    Raises:
        PhotoError: reason `missing`, `unreadable`, `unreachable`, `too_large`, `truncated`,
            `corrupt` or `empty`.
    """
    file = file_of(photo)
    data = file.read()
    if not data:
        raise PhotoError("empty", f"{file} has no bytes")
    return data
