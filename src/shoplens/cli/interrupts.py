"""Ctrl-C: what it does before, during and after a command's work.

This is imported first, and imports next to nothing: until it is there Python shows a traceback.
"""

from __future__ import annotations

import os
import signal

TYPE_CHECKING = False  # That of `typing` takes as long to import as all of this.
if TYPE_CHECKING:
    from collections.abc import Callable
    from types import FrameType
    from typing import Any, NoReturn

    Handler = Callable[[int, FrameType | None], Any]

INTERRUPTED = 130
"""The exit code after an interrupt."""
_came = False


def was_interrupted() -> bool:
    """Say whether an interrupt came, whatever became of the exception that was raised for it.

    Modules written in C can turn it into an error of their own while they are imported.
    """
    return _came


def raise_on_interrupt() -> None:
    """From now on, raise `KeyboardInterrupt` when an interrupt comes, and remember that it came."""
    _handle(_raise)


def exit_on_interrupt() -> None:
    """From now on, end the process when an interrupt comes, with a message and no traceback."""
    _handle(_exit)


class interrupts_exit:  # noqa: N801  (it reads as a context manager does)
    """Within the block, end the process when an interrupt comes.

    For imports: an exception raised in the middle of one comes out as whatever the modules on the
    way make of it, and there is nothing to tidy up yet.
    """

    def __enter__(self) -> None:
        self._before = signal.getsignal(signal.SIGINT)
        exit_on_interrupt()

    def __exit__(self, *_error: object) -> None:
        if signal.getsignal(signal.SIGINT) is _exit:
            signal.signal(signal.SIGINT, self._before)


def _handle(handler: Handler) -> None:
    """Set what handles interrupts, unless they are ignored or somebody else handles them."""
    if signal.getsignal(signal.SIGINT) in (signal.default_int_handler, _raise, _exit):
        try:
            signal.signal(signal.SIGINT, handler)
        except ValueError:
            return  # Not the main thread: interrupts are none of its business.


def _raise(_signal: int, _frame: FrameType | None) -> NoReturn:
    global _came  # noqa: PLW0603
    _came = True
    raise KeyboardInterrupt


def _exit(_signal: int, _frame: FrameType | None) -> NoReturn:
    os.write(2, b"\ninterrupted\n")
    os._exit(INTERRUPTED)
