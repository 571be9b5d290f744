"""What a stopped run goes on from."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

from accelerate import Accelerator

from shoplens.files import write_text


class Checkpoint:
    """The state of a run in a folder that is replaced as a whole, so that a kill spoils none."""

    def __init__(self, folder: Path, accelerator: Accelerator) -> None:
        self._folder = folder
        self._new = folder.with_suffix(".new")
        self._old = folder.with_suffix(".old")
        self._accelerator = accelerator

    def save(self, done: int) -> None:
        """Keep the state after `done` steps."""
        shutil.rmtree(self._new, ignore_errors=True)
        # Not as safetensors, which refuses tensors that share their memory.
        self._accelerator.save_state(str(self._new), safe_serialization=False)
        write_text(self._new / "done.json", json.dumps({"steps": done}))
        shutil.rmtree(self._old, ignore_errors=True)
        if self._folder.exists():
            self._folder.rename(self._old)
        self._new.rename(self._folder)
        shutil.rmtree(self._old, ignore_errors=True)

    def load(self) -> int:
        """Restore the latest complete state; return the steps it had done, 0 without one."""
        for folder in (self._folder, self._old):
            note = folder / "done.json"
            if note.is_file():
                self._accelerator.load_state(str(folder))
                return int(json.loads(note.read_text(encoding="utf-8"))["steps"])
        return 0
