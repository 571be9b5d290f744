"""Where pyarrow (extra `shoplens[parquet]`) and Lance (`shoplens[lance]`) are imported."""

from __future__ import annotations

import importlib
from typing import Any

from shoplens.errors import MissingError


def arrow(module: str = "pyarrow") -> Any:
    """Return pyarrow, or one of its modules such as `pyarrow.parquet`.

    Raises `MissingError` when it is not installed.
    """
    try:
        importlib.import_module("pyarrow")
        return importlib.import_module(module)
    except ImportError:
        raise MissingError(
            "Parquet and Arrow files need pyarrow: pip install 'shoplens[parquet]'"
        ) from None


def lance() -> Any:
    """Return Lance's module.

    Raises `MissingError` when it is not installed.
    """
    try:
        return importlib.import_module("lance")
    except ImportError as error:
        raise MissingError("Lance datasets need pylance: pip install 'shoplens[lance]'") from error
