"""Removing a folder that a stranger may have filled."""

from __future__ import annotations

import os
import secrets
from contextlib import suppress
from pathlib import Path


def remove_folder(folder: Path) -> None:
    """Remove a folder, however deep it is and whatever permissions are set in it.

    `shutil.rmtree` recurses, so a folder a thousand levels deep ends it with an error. Here inner
    folders are moved to the top before they are emptied: neither recursion nor the longest path
    that the system takes sets a limit. What cannot be removed stays, without an error.
    """
    if folder.is_symlink() or not folder.is_dir():
        return
    waiting = [folder]
    emptied = []
    while waiting:
        inner = waiting.pop()
        emptied.append(inner)
        with suppress(OSError):
            inner.chmod(0o700)
            for entry in list(os.scandir(inner)):
                with suppress(OSError):
                    waiting += _remove_file_or_move(entry, folder)
    for inner in reversed(emptied):  # The top last.
        with suppress(OSError):
            inner.rmdir()


def _remove_file_or_move(entry: os.DirEntry[str], top: Path) -> list[Path]:
    """Remove a file or a link; return a folder that is still to be emptied, where it is now."""
    path = Path(entry.path)
    if not entry.is_dir(follow_symlinks=False):
        path.unlink()
        return []
    if path.parent == top:
        return [path]
    path.chmod(0o700)  # Who moves a folder must be allowed to write into it.
    return [path.rename(top / secrets.token_hex(8))]
