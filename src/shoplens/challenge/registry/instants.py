"""Points in time, in UTC, written so that they sort as text."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone
from typing import NoReturn

from shoplens.errors import DataError

UTC = timezone.utc


def current() -> datetime:
    """Return the time now, in UTC."""
    return datetime.now(UTC)


def to_text(moment: datetime) -> str:
    """Write a time as `2026-03-01T09:00:00.000000Z`, which sorts as text.

    Raises `DataError` when the time has no zone.
    """
    if moment.tzinfo is None:
        raise DataError(f"the time {moment} has no time zone: give it in UTC")
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")


def from_text(text: str) -> datetime:
    """Read an ISO date or time; a date means its midnight, and a time without a zone is in UTC.

    Raises `DataError` when it is neither.
    """
    try:
        # Python 3.10 does not know the Z.
        moment = datetime.fromisoformat(text.strip().removesuffix("Z"))
    except ValueError:
        raise DataError(
            f"{text!r} is not a date or time: write 2026-03-01, 2026-03-01T18:00 (UTC) or "
            "2026-03-01T18:00+02:00"
        ) from None
    try:
        moment = moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)
        # Other times of a challenge are computed from these, days and weeks away.
        return moment if 1 < moment.year < 9999 else _refuse(text)
    except OverflowError:
        return _refuse(text)


def _refuse(text: str) -> NoReturn:
    raise DataError(f"{text!r} is outside the years 2 to 9998")


def for_people(moment: datetime) -> str:
    """Write a time as people read it: `2026-03-01 09:00 UTC`."""
    return moment.astimezone(UTC).strftime("%Y-%m-%d %H:%M UTC")


def day_of(moment: datetime) -> tuple[datetime, datetime]:
    """Return the start of a time's UTC day and the start of the next day."""
    begin = moment.astimezone(UTC).replace(hour=0, minute=0, second=0, microsecond=0)
    return begin, begin + timedelta(days=1)
