"""What a long adaptation has come to so far, in a folder beside its output."""

from __future__ import annotations

import shutil
from pathlib import Path

from shoplens.files import read_text, write_text

_KEY = "key.txt"


class Unfinished:
    """A folder of files that a stopped run goes on from; begun anew when it is of another run.

    Args:
        output: where the result will be; the folder is its name with `.unfinished`.
        key: says what the files are computed from.

    Raises `ShoplensError` when the folder cannot be written.
    """

    def __init__(self, output: Path, key: str) -> None:
        output = output.resolve()
        self.folder = output.with_name(f"{output.name}.unfinished")
        note = self.folder / _KEY
        if note.is_file() and read_text(note) == key:
            return
        if self.folder.exists():
            shutil.rmtree(self.folder)
        self.folder.mkdir(parents=True)
        write_text(note, key)

    def remove(self) -> None:
        """Remove the folder."""
        shutil.rmtree(self.folder)
