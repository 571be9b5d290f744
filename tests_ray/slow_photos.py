"""Photos that take their time, and tell which machine reads them."""

from __future__ import annotations

import time
import uuid
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

from shoplens import PhotoSet
from shoplens.pixels.decoding import read_bytes


@dataclass(frozen=True)
class SlowFile:
    """A file that is read after a while."""

    file: Path
    seconds: float
    log: Path

    def read(self) -> bytes:
        import ray

        node = ray.get_runtime_context().get_node_id() if ray.is_initialized() else "here"
        (self.log / f"{node}.{self.file.name}.{uuid.uuid4().hex}").touch()
        time.sleep(self.seconds)
        return read_bytes(self.file)

    def __str__(self) -> str:
        return str(self.file)


def slow(photos: PhotoSet, seconds: float, log: Path) -> PhotoSet:
    """Return the photos with slow origins that leave a file in `log` for each time one is read."""
    log.mkdir()
    return PhotoSet([replace(photo, file=SlowFile(photo.path, seconds, log)) for photo in photos])


def reads(log: Path, node: str = "") -> int:
    """Return how many reads there were, by all machines or by one."""
    return sum(file.name.startswith(node) for file in log.iterdir())


def wait_until(true: Callable[[], bool], seconds: float = 600) -> None:
    deadline = time.monotonic() + seconds
    while not true():
        if time.monotonic() > deadline:
            raise TimeoutError("it did not come to pass")
        time.sleep(0.01)
