"""Where pyarrow is imported (extra `shoplens[parquet]`)."""

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
