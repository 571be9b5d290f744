"""Named files below one root: what an archive or a remote folder holds."""

from __future__ import annotations

import posixpath
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path, PureWindowsPath

from shoplens.records import Fault, Origin


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


@dataclass(frozen=True, slots=True)
class Members:
    """The files below a root, by their path in it."""

    root: Path
    """What the root is called in paths that name photos."""
    origins: Mapping[str, Origin]
    faults: tuple[Fault, ...] = field(default=())

    def __str__(self) -> str:
        return str(self.root)

    def below(self, folder: str) -> Members:
        """Return the files below a folder of these."""
        start = f"{folder}/"
        origins = {
            name[len(start) :]: origin
            for name, origin in self.origins.items()
            if name.startswith(start)
        }
        return Members(self.root / folder, origins, self.faults)

    def locate(self, name: str) -> tuple[Path, Origin | None, bool]:
        """Return a path to name the photo by, its origin, and whether it is there.

        What is not there is tried below `data/`. Raises ValueError when `name` leads outside.
        """
        relative = inside(name)
        if relative not in self.origins and posixpath.join("data", relative) in self.origins:
            relative = posixpath.join("data", relative)
        origin = self.origins.get(relative)
        return self.root / relative, origin, origin is not None
