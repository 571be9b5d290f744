"""What a long adaptation has come to so far, in a folder beside its output."""

from __future__ import annotations

import shutil
from pathlib import Path

from shoplens.errors import ShoplensError
from shoplens.files import read_text, write_text

_KEY = "key.txt"


class Unfinished:
    """A folder of files that a stopped run goes on from; begun anew when it is of another run.

    Args:
        output: where the result will be; the folder is its name with `.unfinished`.
        key: says what the files are computed from.

    Raises `ShoplensError` when the folder cannot be written, or is there and of something else.
    """

    def __init__(self, output: Path, key: str) -> None:
        output = output.resolve()
        self.folder = output.with_name(f"{output.name}.unfinished")
        note = self.folder / _KEY
        if note.is_file() and read_text(note) == key:
            return
        if self.folder.exists():
            if not note.is_file():
                raise ShoplensError(
                    f"{self.folder} is no unfinished run of this command, so it is left alone: "
                    "move it away, or name another output"
                )
            shutil.rmtree(self.folder)
        try:
            self.folder.mkdir(parents=True)
        except OSError as error:
            raise ShoplensError(f"{self.folder} cannot be made: {error.strerror}") from error
        write_text(note, key)

    def remove(self) -> None:
        """Remove the folder."""
        shutil.rmtree(self.folder)
