"""What of a submission's run is published: picked field by field, so that nothing slips through.

A run record holds scores over all queries, those of the private side included, and whatever later
versions add to it. Nothing of it is shown but what is named here.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from shoplens.answers.answer import CODES
from shoplens.challenge.site.wording import reason_words


@dataclass(frozen=True, slots=True)
class Finding:
    """Something that the check of the answer found."""

    level: str
    text: str
    """What was found; where the data are private, only what kind of thing it is."""
    count: int
    """In how many places."""

    @property
    def words(self) -> str:
        """What was found and how often."""
        return f"{self.text} ({self.count:,} places)" if self.count > 1 else self.text


@dataclass(frozen=True, slots=True)
class RunRecord:
    """The part of a run's record that anyone may see."""

    reason: str = ""
    """Why it ended as it did."""
    phases: tuple[tuple[str, float], ...] = ()
    """Seconds by phase, in their order."""
    cpu_seconds: float | None = None
    enforced: tuple[str, ...] = ()
    """Limits that were enforced, a sentence each."""
    not_enforced: tuple[str, ...] = ()
    """Limits that could not be."""
    notes: tuple[str, ...] = ()
    """What else its author should know."""
    findings: tuple[Finding, ...] = ()


def published(record: Mapping[str, Any]) -> RunRecord:
    """Pick what may be shown of a record as `shoplens challenge run --json` writes it.

    On private data a run says no more of its answer than the codes of what was found: they are
    put into words.
    """
    cpu_seconds = record.get("cpu_seconds")
    return RunRecord(
        reason=reason_words(str(record.get("reason") or "")),
        phases=tuple((str(k), float(v)) for k, v in (record.get("phases") or {}).items()),
        cpu_seconds=None if cpu_seconds is None else float(cpu_seconds),
        enforced=tuple(map(str, record.get("enforced") or ())),
        not_enforced=tuple(map(str, record.get("not_enforced") or ())),
        notes=tuple(map(str, record.get("notes") or ())),
        findings=tuple(
            Finding(
                str(f.get("level", "")),
                str(f.get("text") or CODES.get(f.get("code"), "")),
                int(f.get("count", 1)),
            )
            for f in record.get("findings") or ()
        ),
    )
