"""Reading JSON from files and metadata that anybody may have written."""

from __future__ import annotations

from typing import Any, TypeVar

import msgspec

from shoplens.errors import DataError, ShoplensError

_T = TypeVar("_T")


def parse_object(
    data: str | bytes, where: str, error: type[ShoplensError] = DataError
) -> dict[str, Any]:
    """Return a JSON object.

    Args:
        data: the text.
        where: what holds it, for messages.
        error: the exception to raise.

    Raises `error` when it is not JSON, is nested too deeply to read, or is no object.
    """
    return parse_json(data, dict[str, Any], where, error)


def parse_json(
    data: str | bytes, kind: type[_T], where: str, error: type[ShoplensError] = DataError
) -> _T:
    """Return JSON as a value of a given type, checked.

    Args:
        data: the text.
        kind: a `msgspec.Struct`, a dataclass or any type that msgspec can check.
        where: what holds it, for messages.
        error: the exception to raise.

    Raises `error` when it is not JSON, is nested too deeply to read, or does not fit `kind`.
    """
    try:
        return msgspec.json.decode(data, type=kind)
    except msgspec.ValidationError as problem:
        raise error(f"{where}: {problem}") from problem
    except (msgspec.DecodeError, UnicodeError) as problem:
        raise error(f"{where} is not JSON: {problem}") from problem
    except RecursionError:
        raise error(f"{where} is not read: it is nested too deeply") from None
