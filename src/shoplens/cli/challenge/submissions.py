"""`shoplens challenge submissions`."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import click

from shoplens.challenge.registry.instants import current, for_people, to_text
from shoplens.challenge.registry.registry import Registry
from shoplens.challenge.registry.submissions import SubmissionRecord, list_submissions
from shoplens.challenge.site.published_run import published
from shoplens.challenge.site.wording import reason_words
from shoplens.cli.challenge.options import NUMBER, challenge_argument
from shoplens.cli.console import Results, write_json
from shoplens.cli.options import json_option


@click.command()
@challenge_argument
@click.argument("number", metavar="[NUMBER]", type=NUMBER, required=False)
@click.option("--team", metavar="NAME", help="Only those of this team.")
@json_option
def submissions(
    challenge: Path, number: int | None, team: str | None, json_file: str | None
) -> None:
    """List the submissions, or show all that is known of one.

    Private scores are shown when the challenge is over, not before.

    \b
    Example:
      shoplens challenge submissions autumn
      shoplens challenge submissions autumn 3
    """
    registry, now = Registry(challenge), current()
    records = list_submissions(registry, now, team=team, number=number)
    results = Results(json_file)
    over = registry.terms().is_over(now)
    if number is not None:
        for one in records:
            _show(results, one)
    else:
        _print_table(results, records, over)
    write_json(json_file, {"sealed": not over, "submissions": [_json(one) for one in records]})


def _print_table(results: Results, records: tuple[SubmissionRecord, ...], over: bool) -> None:
    columns = ["no", "team", "label", "submitted", "state", "public", "private", "s"]
    if results.on_terminal:
        # At 80 columns private scores and seconds do not both fit.
        columns.remove("s" if over else "private")
    results.table(
        columns,
        ([_shown(one, over)[name] for name in columns] for one in records),
        numbers=("no", "public", "private", "s"),
        shortened=("team", "label"),
        empty="no submission yet",
    )
    if any(one.selected for one in records):
        results.note("* chosen by its team to count in the end")


def _shown(one: SubmissionRecord, over: bool) -> dict[str, str]:
    return {
        "no": f"{one.id}{'*' if one.selected else ''}",
        "team": one.team,
        "label": one.label,
        "submitted": f"{one.submitted:%m-%d %H:%M}",
        "state": one.verdict or one.state,
        "public": _score(one.public),
        "private": _score(one.private) if over else "",
        "s": "" if one.seconds is None else f"{one.seconds:.1f}",
    }


def _show(results: Results, one: SubmissionRecord) -> None:
    lines = [
        (f"submission {one.id}", f"{one.team}: {one.label}"),
        ("submitted", f"{for_people(one.submitted)}, round {one.round}"),
        ("state", one.state + ("" if one.counted else ", does not count towards the day's number")),
    ]
    if one.verdict is not None:
        reason = reason_words(one.reason or "")
        lines.append(("verdict", one.verdict + (f": {reason}" if reason else "")))
    lines += _told(one.record)
    lines += [(finding.level, finding.words) for finding in published(one.record).findings]
    lines += [
        (what, text)
        for what, text in (
            ("public", _score(one.public)),
            ("private", _score(one.private)),
            ("time", "" if one.seconds is None else f"{one.seconds:.1f} s"),
            ("memory", "" if one.peak_memory_mb is None else f"{one.peak_memory_mb:,.0f} MB"),
            ("final", "named by the team" if one.selected else ""),
            ("tags", ", ".join(one.tags)),
            ("worker", f"{one.worker}, attempt {one.attempt}" if one.worker else ""),
            ("copy", one.content),
            ("run", "" if one.run is None else str(one.run)),
        )
        if text
    ]
    lines += [(f"note, {note.author}", note.text) for note in one.notes]
    for what, text in lines:
        results.line(f"{what}: {text}")


def _told(record: Mapping[str, Any]) -> list[tuple[str, str]]:
    """Return what the submission said to be passed on to its team, on private data too."""
    if not record.get("private"):
        return []
    lines = [line.partition(": ") for line in str(record.get("log", "")).splitlines()]
    return [(what, text) for what, _, text in lines if what == "raise_aicrowd_error"]


def _score(value: float | None) -> str:
    return "" if value is None else f"{value:.4f}"


def _json(one: SubmissionRecord) -> dict[str, Any]:
    return {
        "submission": one.id,
        "team": one.team,
        "round": one.round,
        "label": one.label,
        "content": one.content,
        "submitted": to_text(one.submitted),
        "state": one.state,
        "attempt": one.attempt,
        "worker": one.worker,
        "finished": None if one.finished is None else to_text(one.finished),
        "counted": one.counted,
        "verdict": one.verdict,
        "reason": one.reason,
        "wall_seconds": one.seconds,
        "peak_memory_mb": one.peak_memory_mb,
        "run": None if one.run is None else str(one.run.absolute()),
        "selected": one.selected,
        "tags": list(one.tags),
        "notes": [
            {"written": to_text(note.written), "author": note.author, "text": note.text}
            for note in one.notes
        ],
        "public": one.public,
        "private": one.private,
        "record": dict(one.record),
    }
