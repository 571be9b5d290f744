"""How long work tells what it is doing: a callback, so that the library prints nothing."""

from __future__ import annotations

from typing import Protocol


class Progress(Protocol):
    """Called now and then with how far a stage has come; must be quick."""

    def __call__(self, stage: str, done: int, total: int, /) -> None:
        """Report `done` of `total` units of `stage`; the last call of a stage has done == total."""


def silent(stage: str, done: int, total: int) -> None:
    """Report nothing."""
