"""Folders that strain whoever copies or removes them."""

from __future__ import annotations

import os
from pathlib import Path


def make_deep(folder: Path, depth: int) -> None:
    """Put folders inside folders, deeper than a path can name, with a file in the last."""
    descriptor = os.open(folder, os.O_RDONLY)
    for _ in range(depth):
        os.mkdir("inner", dir_fd=descriptor)
        below = os.open("inner", os.O_RDONLY, dir_fd=descriptor)
        os.close(descriptor)
        descriptor = below
    os.close(os.open("last", os.O_WRONLY | os.O_CREAT, dir_fd=descriptor))
    os.close(descriptor)
