"""What a wheel in a submission's folder would make pip fetch."""

from __future__ import annotations

import zipfile
import zlib
from email import message_from_string
from pathlib import Path

from packaging.requirements import InvalidRequirement, Requirement

_LARGEST = 2**20
"""Bytes that a wheel's metadata may have."""


def wheel_problem(wheel: Path) -> str:
    """Return why a wheel is not installed; nothing where it is sound.

    Unlike a package from an index, a wheel that is installed from a file may depend on an address
    or on a file of the machine, and pip would fetch it.
    """
    try:
        with zipfile.ZipFile(wheel) as archive:
            folders = {name.partition("/")[0] for name in archive.namelist()}
            about = [folder for folder in folders if folder.lower().endswith(".dist-info")]
            if len(about) != 1:
                return "must hold one folder NAME-VERSION.dist-info"
            if archive.getinfo(f"{about[0]}/METADATA").file_size > _LARGEST:
                return f"its METADATA must be at most {_LARGEST:,} bytes"
            text = archive.read(f"{about[0]}/METADATA").decode()
    except KeyError:
        return "must hold a file METADATA"
    except (OSError, ValueError, zipfile.BadZipFile, zlib.error, NotImplementedError, RuntimeError):
        return "is not a wheel that can be read"
    metadata = message_from_string(text)
    if not metadata.get("Name"):
        return "its METADATA must have a Name"
    for line in metadata.get_all("Requires-Dist", []):
        try:
            fetched = Requirement(line).url is not None
        except InvalidRequirement:
            return "its METADATA has a Requires-Dist that cannot be read"
        if fetched:
            return "depends on an address: packages come from the organiser's index"
    return ""
