"""Copies of submitted folders, each named by what is in it."""

from __future__ import annotations

import hashlib
import os
import shutil
import stat
from pathlib import Path

from shoplens.challenge.contents import contents
from shoplens.challenge.removal import remove_folder
from shoplens.errors import DataError, ShoplensError
from shoplens.parts import held, part_beside

_PIECE = 1 << 20


def store_copy(folder: Path, store: Path) -> str:
    """Copy a submitted folder to `store`, under the hash of its contents.

    The copy is made beside its place and moved there when it is complete; one that is there already
    is never written to. Files are made read-only. Version control, byte code and virtual
    environments are left out.

    Args:
        folder: what is submitted.
        store: the folder of copies.

    Returns:
        The hash, the name of the copy in `store`.

    Raises:
        DataError: the folder is too deep or holds too much (see `shoplens.challenge.contents`), a
            link in it leads out of it, it holds something that is not a file, or the store.
        ShoplensError: it cannot be read or copied (permissions, a full disk).
    """
    if store.resolve().is_relative_to(folder.resolve()):
        raise DataError(f"{folder} holds the challenge itself: give the submission's own folder")
    part: Path | None = None
    try:
        store.mkdir(exist_ok=True)
        part = part_beside(store / "copy")
        part.mkdir()
        with held(part):
            for path in contents(folder):
                _copy(path, folder, part / path.relative_to(folder))
            content = hash_folder(part)
        try:
            part.rename(store / content)
        except OSError:
            if not (store / content).is_dir():
                raise
    except OSError as error:
        raise ShoplensError(f"{folder} cannot be copied to {store}: {error}") from error
    finally:
        if part is not None:
            remove_folder(part)
    return content


def require_copy(store: Path, content: str) -> Path:
    """Return the folder of a copy.

    Raises `ShoplensError` when it is gone, or is not what was submitted any more.
    """
    folder = store / content
    if not folder.is_dir():
        raise ShoplensError(f"the copy of the submission is gone from {folder}")
    if hash_folder(folder) != content:
        raise ShoplensError(f"the copy of the submission in {folder} was changed")
    return folder


def hash_folder(folder: Path) -> str:
    """Return the sha256 of a folder's contents: names, bytes, links and who may run a file.

    Empty folders are part of it, times and owners are not.
    """
    whole = hashlib.sha256()
    for path in contents(folder):
        name = os.fsencode(path.relative_to(folder))
        if path.is_symlink():
            kind, content = b"link", os.fsencode(path.readlink())
        elif path.is_dir():
            kind, content = b"folder", b""
        else:
            may_run = path.stat().st_mode & stat.S_IXUSR
            kind, content = b"program" if may_run else b"file", _hash_file(path)
        # Lengths first, so that no two folders read the same.
        for field in (kind, name, content):
            whole.update(len(field).to_bytes(8, "little") + field)
    return whole.hexdigest()


def _copy(path: Path, root: Path, target: Path) -> None:
    if path.is_symlink():
        # It must lead to the same within the copy: an absolute one would lead back to where it was.
        leads_to = Path(os.path.normpath(path.parent.relative_to(root) / path.readlink()))
        try:
            inside = path.resolve().is_relative_to(root.resolve())
        except (OSError, RuntimeError):
            raise DataError(f"{path} is a link that leads in a circle: remove it") from None
        if leads_to.is_absolute() or ".." in leads_to.parts or not inside:
            raise DataError(
                f"{path} is a link that leaves the folder: put a copy of the file in its place"
            )
        target.symlink_to(path.readlink())
    elif path.is_dir():
        target.mkdir()
    elif path.is_file():
        shutil.copyfile(path, target)
        target.chmod(0o555 if path.stat().st_mode & stat.S_IXUSR else 0o444)
    else:
        raise DataError(f"{path} is not a file, folder or link (a pipe, a device?): remove it")


def _hash_file(path: Path) -> bytes:
    digest = hashlib.sha256()
    with path.open("rb") as stream:
        while piece := stream.read(_PIECE):
            digest.update(piece)
    return digest.digest()
