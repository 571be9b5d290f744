"""The part of a run's record that is published, picked field by field.

A record holds scores over all queries, also those of the private side, and later versions may add
more. Only the fields below are shown.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec

from shoplens.answers.answer import CODES
from shoplens.challenge.site.wording import reason_words
from shoplens.errors import DataError


class PublishedFinding(msgspec.Struct, frozen=True):
    """Something that the check of the answer found."""

    level: str
    """`error` or `warning`."""
    code: str = ""
    """A key of `shoplens.answers.answer.CODES`."""
    text: str = ""
    """What was found; empty where the data are private."""
    count: int = 1
    """In how many places."""

    @property
    def words(self) -> str:
        """What was found and how often; on private data only what kind of thing it is."""
        text = self.text or CODES.get(self.code, "")
        return f"{text} ({self.count:,} places)" if self.count > 1 else text


class PublishedRun(msgspec.Struct, frozen=True):
    """The part of a run's record that anyone may see."""

    reason: str = ""
    """Why it ended as it did."""
    phases: dict[str, float] = {}
    """Seconds by phase, in their order."""
    cpu_seconds: float | None = None
    enforced: tuple[str, ...] = ()
    """Limits that were enforced, a sentence each."""
    not_enforced: tuple[str, ...] = ()
    """Limits that could not be."""
    notes: tuple[str, ...] = ()
    """What else its author should know."""
    findings: tuple[PublishedFinding, ...] = ()

    @property
    def reason_words(self) -> str:
        """The reason; on private data, where a run gives only codes, what those mean."""
        return reason_words(self.reason)


def published(record: Mapping[str, Any]) -> PublishedRun:
    """Pick what may be shown of a record as `shoplens challenge run --json` writes it.

    Raises `DataError` when a field that is shown has another type.
    """
    try:
        return msgspec.convert(record, PublishedRun)
    except msgspec.ValidationError as error:
        raise DataError(f"a run's record cannot be shown: {error}") from error
