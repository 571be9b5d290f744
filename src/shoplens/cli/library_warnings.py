"""Warnings of the library, told by the command line as messages."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TextIO

from shoplens.errors import ShoplensWarning


@contextmanager
def warnings_told() -> Iterator[None]:
    """Tell the library's warnings as messages, within the block."""

    def tell(
        message: Warning | str,
        category: type[Warning],
        filename: str,
        lineno: int,
        file: TextIO | None = None,
        line: str | None = None,
    ) -> None:
        if issubclass(category, ShoplensWarning):
            from shoplens.cli import console  # noqa: PLC0415  (most runs warn of nothing)

            console.message(f"warning: {message}")
        else:
            shown(message, category, filename, lineno, file, line)

    with warnings.catch_warnings():
        shown = warnings.showwarning
        warnings.simplefilter("always", ShoplensWarning)
        # Pillow warns of damaged metadata and of large photos; what matters becomes a failure.
        warnings.filterwarnings("ignore", module="PIL")
        warnings.showwarning = tell
        yield
