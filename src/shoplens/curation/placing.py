"""Copying and linking photos into a dataset."""

from __future__ import annotations

import errno
import os
import shutil
from pathlib import Path
from typing import Literal

from shoplens.errors import ShoplensError

Placing = Literal["copy", "link"]
"""How a photo gets into a folder; see `shoplens.curation.making.How`."""


def put(source: Path, target: Path, how: Placing) -> None:
    """Copy a photo, or make a hard link to it.

    Raises `ShoplensError` when the disks allow no link; errors of copying are `OSError`.
    """
    if how == "copy":
        shutil.copyfile(source, target)
        return
    try:
        # Of a symbolic link the file behind it: a link to a link breaks when the link goes.
        os.link(os.path.realpath(source), target)
    except OSError as error:
        if error.errno not in (errno.EXDEV, errno.EPERM, errno.ENOTSUP, errno.EMLINK):
            raise
        raise ShoplensError(
            f"cannot link {source}: {error.strerror}. Hard links need both folders on one "
            "disk that supports them; copy the photos instead"
        ) from error
