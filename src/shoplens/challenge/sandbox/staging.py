"""Making ready what a submission sees: photos and tables without labels, and its own folder."""

from __future__ import annotations

import csv
import io
import os
import shutil
import stat
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from shoplens.challenge.contents import contents
from shoplens.challenge.removal import remove_folder
from shoplens.challenge.sandbox.groups import is_alive
from shoplens.datasets.dataset import Dataset
from shoplens.errors import PhotoError, ShoplensError
from shoplens.files import write_text
from shoplens.progress import Progress, silent
from shoplens.records import Photo
from shoplens.sources import read_photo
from shoplens.sources.images import IMAGE_SUFFIXES

_PREFIX = "shoplens-run-"
_FOR_ALL = stat.S_IRGRP | stat.S_IROTH
_WRITTEN = 10**9
"""When each photo was written, in seconds: real times would tell which came together."""


@contextmanager
def work_folder() -> Iterator[Path]:
    """Make a folder for one run, and remove it afterwards; what killed runs left is removed too."""
    place = _namespace()
    for folder in Path(tempfile.gettempdir()).glob(f"{_PREFIX}*-{place}-*"):
        process = folder.name.removeprefix(_PREFIX).partition("-")[0]
        if process.isdigit() and not is_alive(int(process)) and _is_own_folder(folder):
            remove_folder(folder)
    folder = Path(tempfile.mkdtemp(prefix=f"{_PREFIX}{os.getpid()}-{place}-"))
    try:
        folder.chmod(0o711)
        yield folder
    finally:
        remove_folder(folder)


def _namespace() -> int:
    """Return a number for where process numbers mean what they do here: others may share /tmp."""
    return Path("/proc/self/ns/pid").stat().st_ino if sys.platform == "linux" else 0


def _is_own_folder(path: Path) -> bool:
    """Whether a path is a folder that this user made; anyone may put links into /tmp."""
    found = path.lstat()
    return stat.S_ISDIR(found.st_mode) and found.st_uid == os.getuid()


def stage_data(dataset: Dataset, folder: Path, *, progress: Progress = silent) -> None:
    """Write a test set without its ground truth.

    The tables have the columns of the format and no `product_id`. Photos are copies: named by their
    ids, written in the order of the tables, with one time stamp. Paths, times and the numbers that
    a disk gives to files could all tell which photos came together. Photos that cannot be read are
    left out; their rows stay.

    Args:
        dataset: what to show.
        folder: made here.
        progress: told how many photos are there.

    Raises:
        ShoplensError: it cannot be written.
    """
    total = len(dataset.gallery) + len(dataset.queries)
    done = 0
    try:
        folder.mkdir()
        for side, photos in (("gallery", dataset.gallery), ("queries", dataset.queries)):
            (folder / side).mkdir()
            rows = []
            for photo in photos:
                name = f"{side}/{photo.id}{_suffix(photo)}"
                _place(photo, folder / name)
                rows.append([photo.id, name, *(_box(photo) if side == "queries" else ())])
                done += 1
                if done % 100 == 0 or done == total:
                    progress("stage", done, total)
            write_text(folder / f"{side}.csv", _table(side, rows))
    except OSError as error:
        raise ShoplensError(f"the data cannot be made ready in {folder}: {error}") from error


def stage_submission(submission: Path, folder: Path) -> Path:
    """Return a folder with the submission that anyone may read: its own, or else a copy."""
    if all(_is_open(path) for path in (submission, *contents(submission))):
        return submission
    copy_submission(submission, folder)
    return folder


def copy_submission(submission: Path, folder: Path, owner: int | None = None) -> None:
    """Copy a submission so that anyone may read it, and `owner` (a user) write.

    Links are kept as they are: inside, they lead nowhere else. What is neither file, folder nor
    link (a pipe, a device) is left out of a copy, and so is what is not part of a submission (see
    `shoplens.challenge.contents`).
    """
    try:
        folder.mkdir()
        copies = [folder]
        for path in contents(submission):
            copy = folder / path.relative_to(submission)
            if path.is_symlink():
                copy.symlink_to(path.readlink())
            elif path.is_dir():
                copy.mkdir()
                copies.append(copy)
            elif path.is_file():
                shutil.copy2(path, copy)
                copies.append(copy)
        for copy in copies:
            copy.chmod(0o755 if copy.is_dir() else copy.stat().st_mode | 0o444)
            if owner is not None:
                os.chown(copy, owner, owner)
    except OSError as error:
        raise ShoplensError(f"{submission} cannot be copied to {folder}: {error}") from error


def _is_open(path: Path) -> bool:
    mode = path.lstat().st_mode
    if stat.S_ISLNK(mode):
        return True
    if stat.S_ISDIR(mode):
        return mode & 0o055 == 0o055
    return stat.S_ISREG(mode) and mode & _FOR_ALL == _FOR_ALL


def _suffix(photo: Photo) -> str:
    suffix = Path(photo.name).suffix.lower()
    return suffix if suffix in IMAGE_SUFFIXES else ""


def _place(photo: Photo, target: Path) -> None:
    with suppress(PhotoError):
        target.write_bytes(read_photo(photo))
        target.chmod(0o644)
        os.utime(target, (_WRITTEN, _WRITTEN))


def _box(photo: Photo) -> tuple[str, ...]:
    """Return the box as the table writes it; zeros where it is faulty."""
    if photo.box is None:
        return ("0", "0", "0", "0")
    box = photo.box
    return tuple(f"{round(v, 6):.15g}" for v in (box.x0, box.y0, box.width, box.height))


def _table(side: str, rows: list[list[object]]) -> str:
    header = ["seller_img_id", "img_path"]
    if side == "queries":
        header = ["user_img_id", "img_path", "bbox_x", "bbox_y", "bbox_w", "bbox_h"]
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerows([header, *rows])
    return text.getvalue()
