"""A folder: files by their names below one root."""

from __future__ import annotations

import os
import posixpath
from collections import deque
from collections.abc import Iterator
from pathlib import Path, PureWindowsPath
from typing import Protocol

from shoplens.records import Fault
from shoplens.sources.file import DiskFile, File

_SYSTEM_FOLDERS = frozenset({"__MACOSX", "lost+found", "System Volume Information", "$RECYCLE.BIN"})
"""What systems put into folders: never a user's photos."""


class Folder(Protocol):
    """Files by their names: a folder on disk, an archive, a folder behind a URL.

    A name is a path relative to the folder, with `/`. `str` of it names the folder in messages.
    """

    @property
    def path(self) -> Path:
        """A path that names the folder."""

    @property
    def is_near(self) -> bool:
        """Whether its files are on this machine, so that looking into each costs little."""

    def listing(self) -> tuple[list[str], list[Fault]]:
        """Return the names of all files but hidden ones, in order, and what cannot be used.

        Raises `DataError` or `MissingError` when the folder cannot be listed.
        """

    def file(self, name: str) -> File:
        """Return the file of a name that `listing` returned."""

    def get(self, name: str) -> File | None:
        """Return the file of that very name, None when there is none."""

    def locate(self, name: str) -> tuple[File, bool]:
        """Return the file that a table means by `name`, and whether it is there, as far as known.

        What is not there is tried below `data/`. Raises ValueError when the name is empty or leads
        outside.
        """

    def __str__(self) -> str: ...


class DiskFolder:
    """A folder on disk.

    Args:
        path: the folder.
        follow_links: whether symbolic links may lead out of the folder. Whoever names a folder of
            their own trusts it; a folder from a stranger must not show files beside it.
    """

    is_near = True

    def __init__(self, path: Path, *, follow_links: bool = True) -> None:
        self.path = path
        self._follows = follow_links
        self._real = os.path.realpath(path)
        self._inside: dict[str, bool] = {}

    def __str__(self) -> str:
        return str(self.path)

    def listing(self) -> tuple[list[str], list[Fault]]:
        """Return the names of all files but hidden ones, in order, and folders without access."""
        faults: list[Fault] = []
        return sorted(self._walk(faults)), faults

    def file(self, name: str) -> File:
        """Return the file of a name that `listing` returned."""
        return DiskFile(self.path / name)

    def get(self, name: str) -> File | None:
        """Return the file of that very name, None when there is none."""
        path = self.path / name
        return DiskFile(path) if path.is_file() else None

    def locate(self, name: str) -> tuple[File, bool]:
        """Return the file that a table means by `name`, and whether it is there."""
        relative = os.path.normpath(inside(name.replace(os.sep, "/")))
        path = self.path / relative
        is_there = path.is_file()
        if not is_there and not os.path.lexists(path):
            below_data = self.path / "data" / relative
            if os.path.lexists(below_data):
                path, is_there = below_data, below_data.is_file()
        if not (self._follows or self._is_inside(path)):
            raise ValueError("leaves the folder through a symbolic link")
        return DiskFile(path), is_there

    def _walk(self, faults: list[Fault]) -> Iterator[str]:
        # A link may lead back, or to where another leads: each folder is entered once, by its own
        # name where it has one here.
        entered: set[tuple[int, int]] = set()
        waiting, linked = [""], deque[str]()
        while waiting or linked:
            name = waiting.pop() if waiting else linked.popleft()
            folder = self.path / name
            try:
                status = folder.stat()
                if (status.st_dev, status.st_ino) in entered:
                    continue
                entered.add((status.st_dev, status.st_ino))
                entries = sorted(os.scandir(folder), key=lambda entry: entry.name)
            except OSError as error:
                problem = f"cannot be listed ({error.strerror or error})"
                faults.append(Fault(self.path.name, 0, "", name or str(self), problem))
                continue
            for entry in entries:
                full = f"{name}/{entry.name}" if name else entry.name
                if entry.name.startswith("."):
                    continue
                if not _is_folder(entry, self._follows):
                    yield full
                elif entry.name not in _SYSTEM_FOLDERS:
                    (linked if entry.is_symlink() else waiting).append(full)

    def _is_inside(self, path: Path) -> bool:
        if path.is_symlink():
            return self._contains(os.path.realpath(path))
        # Thousands of photos share a few folders: the costly part is done once for each.
        parent = str(path.parent)
        if parent not in self._inside:
            self._inside[parent] = self._contains(os.path.realpath(parent))
        return self._inside[parent]

    def _contains(self, real: str) -> bool:
        return os.path.commonpath([self._real, real]) == self._real


def inside(name: str) -> str:
    """Return a relative path in its shortest form; raises ValueError when it leads outside."""
    if not name:
        raise ValueError("is empty")
    if "\0" in name:
        raise ValueError("holds a NUL character")
    if name.startswith(("/", "\\")) or PureWindowsPath(name).drive:
        raise ValueError("is absolute; write it relative to the table's folder")
    relative = posixpath.normpath(name)
    if relative.startswith("../") or relative == "..":
        raise ValueError("leaves the folder through '..'")
    if relative == ".":
        raise ValueError("is the folder itself")
    return relative


def is_hidden(name: str) -> bool:
    """Whether a file or a folder on its way is hidden, or a system's own."""
    *folders, file = name.split("/")
    return any(part.startswith(".") for part in (*folders, file)) or any(
        part in _SYSTEM_FOLDERS for part in folders
    )


def _is_folder(entry: os.DirEntry[str], follow_links: bool) -> bool:
    try:
        return entry.is_dir(follow_symlinks=follow_links)
    except OSError:
        return False  # A link in a circle: reading it says what is wrong.
