"""`shoplens challenge submit`, `submissions`, `select`, `retry`, `note` and `tag`."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import click

from shoplens.challenge.registry import intake, queue
from shoplens.challenge.registry.annotations import add_note, change_tags
from shoplens.challenge.registry.annotations import select as select_final
from shoplens.challenge.registry.instants import current, for_people
from shoplens.challenge.registry.registry import Registry
from shoplens.challenge.registry.submissions import SubmissionRecord, list_submissions
from shoplens.challenge.site.published_run import published
from shoplens.challenge.site.wording import reason_words
from shoplens.cli.challenge.options import (
    NUMBER,
    json_values,
    number_argument,
    registry_argument,
    team_option,
    who_option,
)
from shoplens.cli.console import Results, message, write_json
from shoplens.cli.options import json_option


@click.command()
@registry_argument
@click.argument("submission", metavar="SUBMISSION", type=click.Path(path_type=Path))
@team_option
@click.option("--label", metavar="TEXT", help="What to call it; by default SUBMISSION's name.")
@click.option(
    "--tag",
    "tags",
    multiple=True,
    metavar="TEXT",
    help="What it uses, such as 'external data' or 'batch-side re-ranking'; repeatable.",
)
@who_option
@json_option
def submit(
    registry: Registry,
    submission: Path,
    team: str,
    label: str | None,
    tags: tuple[str, ...],
    who: str | None,
    json_file: str | None,
) -> None:
    """Hand in a submission: keep a copy of it, and put it into the queue.

    SUBMISSION is a folder, which `shoplens challenge work` runs. If the challenge accepts answers,
    it can also be an answer array (.npy, .npz or .csv), which is only scored. An answer with faults
    is refused and does not count.

    \b
    Example:
      shoplens challenge submit autumn my-first --team "Red Pandas"
      shoplens challenge submit autumn answer.npy --team "Red Pandas"
    """
    submit_it = intake.submit_answer if submission.is_file() else intake.submit
    receipt = submit_it(registry, submission, team, now=current(), label=label, tags=tags, who=who)
    Results(json_file).line(
        f"submission {receipt.id} is in the queue (round {receipt.round}); "
        f"{receipt.left_today} more today"
    )
    if receipt.same_as:
        numbers = ", ".join(str(number) for number in receipt.same_as)
        message(f"warning: the team submitted the same files before, as submission {numbers}")
    write_json(
        json_file,
        {
            "submission": receipt.id,
            **json_values(receipt, "round", "content", "left_today", "same_as"),
        },
    )


@click.command()
@registry_argument
@click.argument("numbers", metavar="[NUMBER]...", type=NUMBER, nargs=-1)
@team_option
@who_option
@json_option
def select(
    registry: Registry, numbers: tuple[int, ...], team: str, who: str | None, json_file: str | None
) -> None:
    """Select the submissions of a team that count in the end. This replaces an earlier selection.

    If a team selects none, its submissions with the best public scores count. Without a NUMBER,
    the earlier selection is removed.

    \b
    Example:
      shoplens challenge select autumn 3 7 --team "Red Pandas"
    """
    select_final(registry.database, team, numbers, now=current(), who=who)
    chosen = sorted(set(numbers))
    named = ", ".join(map(str, chosen)) or "the best on the public side"
    message(f"final submissions of {team}: {named}")
    write_json(json_file, {"team": team, "submissions": chosen})


@click.command()
@registry_argument
@number_argument
@who_option
@json_option
def retry(registry: Registry, number: int, who: str | None, json_file: str | None) -> None:
    """Put the submission NUMBER back into the queue if it failed because of the harness.

    A submission that ended by itself, well or badly, keeps its result.

    \b
    Example:
      shoplens challenge retry autumn 3
    """
    queue.retry(registry.database, number, now=current(), who=who)
    message(f"submission {number} is in the queue again")
    write_json(json_file, {"submission": number})


@click.command()
@registry_argument
@number_argument
@click.argument("text", metavar="TEXT")
@who_option
@json_option
def note(
    registry: Registry, number: int, text: str, who: str | None, json_file: str | None
) -> None:
    """Write a note to the submission NUMBER. The site shows it too.

    \b
    Example:
      shoplens challenge note autumn 3 "two crops, averaged"
    """
    add_note(registry.database, number, text, now=current(), who=who)
    message(f"added a note to submission {number}")
    write_json(json_file, {"submission": number, "text": text})


@click.command()
@registry_argument
@number_argument
@click.option("--add", multiple=True, metavar="TAG", help="Add this tag; repeatable.")
@click.option("--remove", multiple=True, metavar="TAG", help="Remove this tag; repeatable.")
@who_option
@json_option
def tag(
    registry: Registry,
    number: int,
    add: tuple[str, ...],
    remove: tuple[str, ...],
    who: str | None,
    json_file: str | None,
) -> None:
    """Say what the submission NUMBER uses, such as 'external data' or 'batch-side re-ranking'.

    \b
    Example:
      shoplens challenge tag autumn 3 --add "external data"
    """
    if not add and not remove:
        raise click.UsageError("give --add or --remove")
    tags = change_tags(registry.database, number, add, remove, now=current(), who=who)
    Results(json_file).line(f"submission {number}: {', '.join(tags) or 'no tags'}")
    write_json(json_file, {"submission": number, "tags": list(tags)})


@click.command()
@registry_argument
@click.argument("number", metavar="[NUMBER]", type=NUMBER, required=False)
@click.option("--team", metavar="NAME", help="Only those of this team.")
@json_option
def submissions(
    registry: Registry, number: int | None, team: str | None, json_file: str | None
) -> None:
    """List the submissions, or show everything about one of them.

    Private scores are shown after the challenge is over, not before.

    \b
    Example:
      shoplens challenge submissions autumn
      shoplens challenge submissions autumn 3
    """
    now = current()
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
        results.note("* selected by its team for the final ranking")


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
        ("state", one.state + ("" if one.counted else ", does not count towards the daily limit")),
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
        **json_values(one, "team", "round", "label", "content", "kind", "submitted", "state"),
        "attempt": one.attempt,
        **json_values(one, "worker", "finished", "counted", "verdict", "reason"),
        "wall_seconds": one.seconds,
        **json_values(one, "peak_memory_mb", "run", "selected", "tags"),
        "notes": [json_values(note, "written", "author", "text") for note in one.notes],
        **json_values(one, "public", "private"),
        "record": dict(one.record),
    }
