"""Protobuf's wire format, as far as ONNX files need it: fields of messages, read and written."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from shoplens.errors import ModelError

_VARINT, _EIGHT_BYTES, _BYTES, _FOUR_BYTES = 0, 1, 2, 5
"""Wire types."""


class Field(NamedTuple):
    """A field of a message."""

    number: int
    content: bytes
    """Of a text, bytes or a message; empty for a number."""
    raw: bytes
    """All of it, with its number and length."""


def fields(message: bytes) -> Iterator[Field]:
    """Yield the fields of a message, in the order in which they stand.

    Raises `ModelError` when the message ends within a field or holds what is none.
    """
    at = 0
    while at < len(message):
        start = at
        key, at = _read_varint(message, at)
        number, kind = key >> 3, key & 7
        first = at
        if kind == _VARINT:
            _, at = _read_varint(message, at)
        elif kind == _BYTES:
            length, first = _read_varint(message, at)
            at = first + length
        elif kind in (_EIGHT_BYTES, _FOUR_BYTES):
            at += 8 if kind == _EIGHT_BYTES else 4
        else:
            raise ModelError(f"no ONNX file: it has a field of the unknown kind {kind}")
        if at > len(message):
            raise ModelError("no ONNX file: it ends too early")
        yield Field(number, message[first:at] if kind == _BYTES else b"", message[start:at])


def in_field(number: int, content: bytes) -> bytes:
    """Return a field that holds a text, bytes or a message."""
    return _varint(number << 3 | _BYTES) + _varint(len(content)) + content


def number_field(number: int, value: int) -> bytes:
    """Return a field that holds a whole number, not negative."""
    return _varint(number << 3 | _VARINT) + _varint(value)


def _varint(number: int) -> bytes:
    digits = []
    while number > 127:
        digits.append(number & 127 | 128)
        number >>= 7
    return bytes([*digits, number])


def _read_varint(message: bytes, at: int) -> tuple[int, int]:
    """Return a number, and where it ends."""
    value = 0
    for place, byte in enumerate(message[at : at + 10]):
        value |= (byte & 127) << 7 * place
        if byte < 128:
            return value, at + place + 1
    raise ModelError("no ONNX file: it ends too early")
