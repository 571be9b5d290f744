"""What people type: names, texts, tags and links, checked before they are stored and shown."""

from __future__ import annotations

import difflib
import re
import unicodedata
from collections.abc import Iterable
from urllib.parse import urlsplit

from shoplens.errors import DataError

LONGEST_NAME = 60
LONGEST_TEXT = 2000

_TAG = re.compile(r"[a-z0-9][a-z0-9 .+-]{0,39}")


def clean_name(text: str, what: str) -> str:
    """Return a name of a team, a person or a round in one spelling: NFC, single spaces.

    Args:
        text: as it was typed.
        what: the kind of name, for the message.

    Raises:
        DataError: it is empty, too long, has no letter or digit, or holds invisible characters
            (controls, zero widths, changes of direction).
    """
    _refuse_unseen(text, what, allowed="")
    name = " ".join(unicodedata.normalize("NFC", text).split())
    if not any(c.isalnum() for c in name):
        raise DataError(f"{what} {text!r} needs a letter or a digit")
    if len(name) > LONGEST_NAME:
        raise DataError(
            f"{what} {name[:20]!r}... has {len(name)} characters, {LONGEST_NAME} are allowed"
        )
    return name


def fold(name: str) -> str:
    """Return one form for all spellings of a name in upper, lower, wide and narrow letters."""
    folded = unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", name).casefold())
    return " ".join(folded.split())


def clean_text(text: str, what: str) -> str:
    """Return a text of one or more lines without blanks around it.

    Raises `DataError` when it is empty, too long or holds invisible characters.
    """
    text = unicodedata.normalize("NFC", text.replace("\r\n", "\n")).strip()
    _refuse_unseen(text, what, allowed="\n\t")
    if not text:
        raise DataError(f"{what} is empty")
    if len(text) > LONGEST_TEXT:
        raise DataError(f"{what} has {len(text):,} characters, {LONGEST_TEXT:,} are allowed")
    return text


def clean_tag(text: str) -> str:
    """Return a tag in lower case.

    Raises `DataError` when it is not made of Latin letters, digits, blanks, `.`, `+` and `-`.
    """
    tag = " ".join(text.lower().split())
    if not _TAG.fullmatch(tag):
        raise DataError(
            f"tag {text!r}: a tag is up to 40 letters a to z, digits, blanks, '.', '+' and '-', "
            "as in 'external data'"
        )
    return tag


def clean_link(text: str) -> str:
    """Return a link.

    Raises `DataError` when it is not a web address: people will follow it.
    """
    link = text.strip()
    try:
        parts = urlsplit(link)
        sound = parts.scheme in ("http", "https") and bool(parts.hostname)
    except ValueError:
        sound = False
    if any(c.isspace() or not c.isprintable() for c in link) or len(link) > LONGEST_TEXT:
        sound = False
    if not sound:
        raise DataError(f"{text!r} is not a link: write the whole address, https://...")
    return link


def meant(name: str, known: Iterable[str]) -> str:
    """Return `; did you mean ...?` for the closest known name, or nothing."""
    by_fold = {fold(one): one for one in known}
    close = difflib.get_close_matches(fold(name), by_fold, n=1)
    return f"; did you mean {by_fold[close[0]]!r}?" if close else ""


def _refuse_unseen(text: str, what: str, allowed: str) -> None:
    for c in text:
        category = unicodedata.category(c)
        if c not in allowed and (category.startswith("C") or category in ("Zl", "Zp")):
            raise DataError(f"{what} {text!r} holds {c!r}, an invisible character")
