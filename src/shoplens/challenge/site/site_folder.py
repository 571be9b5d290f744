"""Writing the site into its folder so that it is whole at every moment.

Each file is replaced in one step. New files are written first, because nothing links to them yet.
Then come the changed files, each after those that it links to. Files that the site no longer has
are removed last. So every link works at every moment, even if the build is killed. A list of the
site's own files protects other files in the folder.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import msgspec

from shoplens.errors import DataError, MissingError, ShoplensError
from shoplens.files import read_text, replacing
from shoplens.json_text import parse_json

MANIFEST = ".shoplens-site.json"


def write_site(folder: Path, files: Mapping[str, bytes]) -> int:
    """Write a site's files, remove those of an earlier build that it no longer has.

    Files that are there already with the same content are left alone, so that a copy by date
    (rsync) takes only what is new.

    Args:
        folder: made where it is not there; its parent must be.
        files: contents by path relative to the folder, in the order in which to write them.

    Returns:
        How many files were written anew.

    Raises:
        MissingError: the folder's parent is not there.
        ShoplensError: a file would replace one that no earlier build wrote, or cannot be written.
    """
    if not folder.absolute().parent.is_dir():
        raise MissingError(f"cannot make {folder}: the folder {folder.parent} is not there")
    earlier = _read_manifest(folder)
    for name in files:
        if name not in earlier and (folder / name).exists():
            raise ShoplensError(
                f"{folder / name} was not written by shoplens: choose an empty folder, or remove "
                "this file"
            )
    try:
        folder.mkdir(exist_ok=True)
        for name in files:
            (folder / name).parent.mkdir(exist_ok=True)
    except OSError as error:
        raise ShoplensError(f"cannot make {folder}: {error.strerror or error}") from error
    # Before a file is there the list names it: the next build knows those of one that was killed.
    _write_changed(folder / MANIFEST, _manifest({*earlier, *files}))
    in_order = sorted(files, key=lambda name: (folder / name).is_file())
    written = sum(_write_changed(folder / name, files[name]) for name in in_order)
    for name in sorted(earlier - {*files}):
        (folder / name).unlink(missing_ok=True)
    _write_changed(folder / MANIFEST, _manifest({*files}))
    return written


def _write_changed(path: Path, content: bytes) -> bool:
    if path.is_file() and path.read_bytes() == content:
        return False
    with replacing(path) as stream:
        stream.write(content)
    return True


class _Manifest(msgspec.Struct):
    """The list of the site's own files."""

    files: list[str]


def _manifest(names: set[str]) -> bytes:
    text = msgspec.json.encode(_Manifest(sorted(names)))
    return msgspec.json.format(text, indent=1) + b"\n"


def _read_manifest(folder: Path) -> set[str]:
    path = folder / MANIFEST
    if not path.exists():
        return set()
    names = parse_json(read_text(path), _Manifest, str(path)).files
    for name in names:
        if Path(name).is_absolute() or ".." in Path(name).parts:
            raise DataError(f"{path} names a file outside of the folder: {name}")
    return set(names)
