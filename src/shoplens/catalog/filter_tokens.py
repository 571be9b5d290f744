"""The words, values and signs that the text of a filter consists of."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

from shoplens.errors import FilterError

KEYWORDS = frozenset({"and", "or", "not", "in", "is", "null", "true", "false"})
"""Written in upper or lower case. An attribute of such a name is written in backticks."""
NAME = re.compile(r"[^\W\d]\w*")
"""A name without backticks."""

Kind = Literal["keyword", "name", "value", "sign", "end"]


@dataclass(frozen=True, slots=True)
class Token:
    """A part of a filter's text."""

    kind: Kind
    position: int
    source: str
    """As it is written; the end of the text is empty."""
    value: str | int | float = ""
    """A keyword in lower case, a name or a text without its quotes, a number, or the sign."""

    def __str__(self) -> str:
        shown = self.source if len(self.source) <= 40 else f"{self.source[:40]}..."
        return shown or "the end"


_SPACE = re.compile(r"\s*")
_NUMBER = re.compile(r"[+-]?(?:[0-9]+(?:\.[0-9]*)?|\.[0-9]+)(?:[eE][+-]?[0-9]+)?")
_WHOLE = re.compile(r"[+-]?[0-9]+")
_LEADING_ZERO = re.compile(r"[+-]?0[0-9]")
_GOES_ON = re.compile(r"[\w.]+")
"""What cannot stand directly behind a number."""
_QUOTED = {
    quote: re.compile(f"{quote}([^{quote}]*(?:{quote}{quote}[^{quote}]*)*){quote}(?!{quote})")
    for quote in "\"'`"
}
_SIGN = re.compile(r"!=|<=|>=|[=<>(),]")
_LONGEST_INT64 = 19

_INSTEAD = (
    ("==", "write a single ="),
    ("<>", "write !="),
    ("=>", "write >="),
    ("=<", "write <="),
    ("&", 'write the word "and"'),
    ("|", 'write the word "or"'),
    ("≤", "write <="),
    ("≥", "write >="),
    ("≠", "write !="),
    ("[", "write ( and ) around a list"),
    ("]", "write ( and ) around a list"),
    *((quote, "use straight quotes, \" or '") for quote in "“”„«»‘’‚´"),  # noqa: RUF001
)
"""What other languages write, and what to write here."""


def tokens(text: str) -> Iterator[Token]:
    """Yield the tokens of a filter, the end of the text as the last.

    Raises `FilterError` at the first character that belongs to none.
    """
    position = _SPACE.match(text).end()  # type: ignore[union-attr]
    before: Token | None = None
    while position < len(text):
        token = _token(text, position, before)
        yield token
        before = token
        position = _SPACE.match(text, position + len(token.source)).end()  # type: ignore[union-attr]
    yield Token("end", len(text), "")


def _token(text: str, position: int, before: Token | None) -> Token:
    for other, advice in _INSTEAD:
        if text.startswith(other, position):
            raise FilterError(text, position, advice)
    first = text[position]
    if first in _QUOTED:
        return _quoted(text, position)
    if number := _NUMBER.match(text, position):
        return _number(text, position, number[0])
    if name := NAME.match(text, position):
        word = name[0].lower()
        if word in KEYWORDS:
            return Token("keyword", position, name[0], word)
        return Token("name", position, name[0], name[0])
    if sign := _SIGN.match(text, position):
        return Token("sign", position, sign[0], sign[0])
    if first == "!":
        raise FilterError(text, position, 'write the word "not", or !=')
    shown = repr(first)
    if before is not None and before.kind == "name" and before.source[0] != "`":
        raise FilterError(
            text,
            position,
            f"{shown} cannot be in a name; put a name with other characters in backticks: `name`",
        )
    raise FilterError(text, position, f"{shown} is not expected here; put texts in quotes")


def _quoted(text: str, position: int) -> Token:
    quote = text[position]
    found = _QUOTED[quote].match(text, position)
    if found is None:
        raise FilterError(
            text,
            position,
            f"this {quote} is not closed; inside, write {quote}{quote} for the character itself",
        )
    value = found[1].replace(quote + quote, quote)
    if quote != "`":
        return Token("value", position, found[0], value)
    if not value:
        raise FilterError(text, position, "a name must not be empty")
    return Token("name", position, found[0], value)


def _number(text: str, position: int, source: str) -> Token:
    if more := _GOES_ON.match(text, position + len(source)):
        raise FilterError(
            text, position, f"{source}{more[0][:40]} is not a number; put texts in quotes"
        )
    if _LEADING_ZERO.match(source):
        raise FilterError(
            text,
            position,
            "a number does not begin with 0; codes such as 007 are texts: put them in quotes",
        )
    if not _WHOLE.fullmatch(source):
        number = float(source)
        if not math.isfinite(number):
            raise FilterError(text, position, "this number is too large")
        return Token("value", position, source, number)
    # Python refuses to read thousands of digits.
    whole = int(source) if len(source.lstrip("+-")) <= _LONGEST_INT64 else 2**63
    if not -(2**63) <= whole < 2**63:
        raise FilterError(
            text, position, "a whole number must fit 64 bits; write a larger one as 1e20"
        )
    return Token("value", position, source, whole)
