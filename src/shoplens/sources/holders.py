"""How the paths that a table names are found: in its folder, or as URLs of their own."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Protocol

from shoplens.records import Origin
from shoplens.sources.members import inside
from shoplens.sources.remote import RemoteFile, check_url


class Holder(Protocol):
    """What holds the files that a table names."""

    def locate(self, name: str) -> tuple[Path, Origin | None, bool]:
        """Return a photo's path, where its bytes are, and whether it is there, as far as known.

        Raises ValueError when the name is empty or leads outside.
        """

    def __str__(self) -> str: ...


class Folder:
    """Turns `img_path`s into files and refuses those that leave the folder."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self._real_root = os.path.realpath(root)
        self._inside: dict[str, bool] = {}

    def __str__(self) -> str:
        return str(self.root)

    def locate(self, name: str) -> tuple[Path, Origin | None, bool]:
        """Return the file `name` means, that it is read as a file, and whether it is there."""
        path = self.find(name)
        return path, None, path.is_file()

    def find(self, name: str) -> Path:
        """Return the file `name` means; raises ValueError when it is unsafe or empty."""
        relative = os.path.normpath(inside(name.replace(os.sep, "/")))
        path = self.root / relative
        if not os.path.lexists(path) and os.path.lexists(self.root / "data" / relative):
            path = self.root / "data" / relative
        if not self._is_inside(path):
            raise ValueError("leaves the folder through a symbolic link")
        return path

    def _is_inside(self, path: Path) -> bool:
        if path.is_symlink():
            return self._contains(os.path.realpath(path))
        # Thousands of photos share a few folders: the costly part is done once for each.
        parent = str(path.parent)
        if parent not in self._inside:
            self._inside[parent] = self._contains(os.path.realpath(parent))
        return self._inside[parent]

    def _contains(self, real: str) -> bool:
        return os.path.commonpath([self._real_root, real]) == self._real_root


class Web:
    """Turns URLs in a table into origins, where the caller lets tables name any."""

    def __init__(self, allowed: bool) -> None:
        self._allowed = allowed

    def locate(self, name: str) -> tuple[Path, Origin | None, bool]:
        """Return a path to name the photo by and its origin; nothing is asked yet."""
        check_url(name)
        if not self._allowed:
            raise ValueError("is a URL, and a table may name URLs only where that is allowed")
        file = RemoteFile(name)
        return file.path, file, True
