"""The `shoplens` command: one module for each subcommand, imported when it is used."""

from __future__ import annotations

import os
import sys

from shoplens.cli.interrupts import (
    INTERRUPTED,
    exit_on_interrupt,
    interrupts_exit,
    raise_on_interrupt,
    was_interrupted,
)

TYPE_CHECKING = False  # Every import here is time in which Ctrl-C shows a traceback.
if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["main"]

USAGE = 2


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line and return its exit code.

    Args:
        arguments: what follows `shoplens`; None for the words that this process was started with.
            Then the process is expected to end when this returns.
    """
    if arguments is None:
        raise_on_interrupt()
    try:
        return _run(arguments)
    except KeyboardInterrupt:
        sys.stderr.write("interrupted\n")
        return INTERRUPTED
    finally:
        if arguments is None:
            exit_on_interrupt()


def _run(arguments: Sequence[str] | None) -> int:
    with interrupts_exit():
        import io  # noqa: PLC0415

        from shoplens.cli.commands import shoplens  # noqa: PLC0415
        from shoplens.cli.library_warnings import warnings_told  # noqa: PLC0415
    if isinstance(sys.stdout, io.TextIOWrapper):
        # A name that the terminal's encoding cannot show must not end the run.
        sys.stdout.reconfigure(errors="backslashreplace")
    try:
        with warnings_told():
            code = shoplens.main(
                None if arguments is None else list(arguments),
                prog_name="shoplens",
                standalone_mode=False,
            )
        sys.stdout.flush()
    except Exception as error:
        if was_interrupted():
            raise KeyboardInterrupt from None
        return _code_of(error)
    return code if isinstance(code, int) else 0


def _code_of(error: Exception) -> int:
    """Tell what went wrong and return the exit code for it; raise what is a fault of ours."""
    import click  # noqa: PLC0415

    from shoplens.cli.console import message  # noqa: PLC0415
    from shoplens.errors import ShoplensError  # noqa: PLC0415

    if isinstance(error, click.Abort):  # What click makes of `KeyboardInterrupt`.
        raise KeyboardInterrupt from None
    if isinstance(error, click.UsageError):
        error.show()
        return USAGE
    if isinstance(error, OSError) and _reader_is_gone():
        return ShoplensError.exit_code
    if isinstance(error, ShoplensError | OSError):
        message(f"error: {error}")
        return error.exit_code if isinstance(error, ShoplensError) else ShoplensError.exit_code
    raise error


def _reader_is_gone() -> bool:
    """Say whether nobody reads our output any more, as after `| head`; then drop the rest of it."""
    try:
        sys.stdout.flush()
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return True
    return False
