"""`shoplens challenge leaderboard`, `site` and `events`."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from shutil import get_terminal_size
from typing import Any

import click

from shoplens.challenge.leaderboard import Board, Standing, standings
from shoplens.challenge.registry.instants import current
from shoplens.challenge.registry.registry import Registry
from shoplens.challenge.registry.trail import Event, list_events
from shoplens.challenge.site.board_files import board_json, standings_csv
from shoplens.challenge.site.wording import (
    duration,
    memory,
    rank_mark,
    shift_words,
    span_words,
)
from shoplens.cli.challenge.options import json_values, registry_argument, round_option
from shoplens.cli.console import Results, message, progress_display, write_json
from shoplens.cli.options import distinct, json_option, writable
from shoplens.errors import ShoplensError
from shoplens.files import write_text

_LONGEST_NAME = 60
_WIDE = 92
"""Columns in which the final ranking has room for time and memory too."""


@click.command()
@registry_argument
@round_option
@click.option("--private", is_flag=True, help="Show the final ranking; refused until the end.")
@click.option(
    "--csv",
    "csv_file",
    metavar="FILE",
    callback=writable,
    help="Write the ranking as CSV to FILE; - is standard output (then nothing else goes there).",
)
@json_option
def leaderboard(
    registry: Registry,
    round_name: str | None,
    private: bool,
    csv_file: str | None,
    json_file: str | None,
) -> None:
    """Show the leaderboard: scores with intervals, and ranks, which teams may share.

    A rank with = is shared: a paired test over products cannot tell the team from the first one of
    that rank. docs/leaderboard.md explains the rule and the columns.

    \b
    Example:
      shoplens challenge leaderboard autumn --csv ranking.csv
    """
    distinct(csv_file, json_file)
    if csv_file == json_file == "-":
        raise click.UsageError("--csv and --json cannot both go to standard output")
    now = current()
    board = registry.board("public", now, round=round_name)
    ranking = standings(board)
    if private:
        board = registry.board("private", now, round=round_name)
        if board.sealed:
            raise ShoplensError("private scores are sealed until the challenge is over")
        ranking = standings(board, ranking)
    print_standings(Results("-" if csv_file == "-" else json_file), board, ranking)
    if csv_file == "-":
        sys.stdout.write(standings_csv(ranking))
    elif csv_file is not None:
        write_text(csv_file, standings_csv(ranking))
    write_json(json_file, board_json(board, ranking))


@click.command()
@click.argument("challenge", metavar="[CHALLENGE_DIR]", nargs=-1, type=click.Path(path_type=Path))
@click.argument("out_dir", metavar="OUT_DIR", type=click.Path(path_type=Path))
@round_option
@click.option(
    "--url",
    metavar="URL",
    help="The address of the site; links in the feed are then complete.",
)
@click.option(
    "--reports",
    is_flag=True,
    help="After the end: include the report.html of each run's folder, which shows the labels.",
)
@json_option
def site(
    challenge: tuple[Path, ...],
    out_dir: Path,
    round_name: str | None,
    url: str | None,
    reports: bool,
    json_file: str | None,
) -> None:
    """Write the challenge's website, or bring it up to date: plain files for any web server.

    No file has private scores in it before the challenge is over. Run it again whenever
    something has changed; only files that differ are written. CHALLENGE_DIR is the current folder
    by default. OUT_DIR must be outside it.

    \b
    Example:
      shoplens challenge site autumn public_html --url https://example.org/autumn/
    """
    # Templates and Markdown take time to load, which no other command should spend.
    from shoplens.challenge.site.build import build_site  # noqa: PLC0415

    if len(challenge) > 1:
        raise click.UsageError("give one challenge's folder and one of the site")
    registry, now = Registry(*challenge or (Path(),)), current()
    public = registry.board("public", now, round=round_name)
    private = registry.board("private", now, round=round_name)
    with progress_display() as progress:
        built = build_site(
            out_dir,
            public,
            private,
            challenge=registry.folder,
            url=url,
            reports=reports,
            progress=progress,
        )
    message(f"{built.folder}: {built.n_files:,} files, {built.n_written:,} of them new or changed")
    message(f"open {(built.folder / 'index.html').absolute()}")
    write_json(
        json_file,
        {
            **json_values(built, "folder", "n_files", "n_written", "n_reports"),
            "sealed": private.sealed,
        },
    )


@click.command()
@registry_argument
@click.option("--latest", type=click.IntRange(min=1), metavar="N", help="Only the latest N.")
@json_option
def events(registry: Registry, latest: int | None, json_file: str | None) -> None:
    """Show every change to a challenge, with its time and author."""
    trail = list_events(registry.database, latest)
    results = Results(json_file)
    for one in trail:
        results.line(f"{one.at:%Y-%m-%d %H:%M:%S} {one.who}: {one.what}: {_detail(one)}")
    write_json(
        json_file,
        {
            "events": [
                {**json_values(one, "number", "at", "who", "what"), "detail": dict(one.detail)}
                for one in trail
            ]
        },
    )


def _detail(event: Event) -> str:
    """Say what was changed, as in `submission 3, added external data`."""
    detail = event.detail
    if event.what == "tags changed":
        detail = {name: value for name, value in detail.items() if value != []}
    return ", ".join(f"{name} {_words(value)}" for name, value in detail.items())


def _words(value: Any) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, list):
        return " and ".join(map(str, value)) or "none"
    return str(value)


def print_standings(results: Results, board: Board, ranking: Sequence[Standing]) -> None:
    """Print a ranking, legible at 80 columns: the final one leaves out time and memory there."""
    columns = ["rank", "team", "mAP@1000", "95 % interval", "could be"]
    if board.side == "private":
        columns += ["public", "moved"]
    if not results.on_terminal or board.side == "public" or get_terminal_size().columns >= _WIDE:
        columns += ["time", "memory"]
    results.table(
        columns,
        ([_shown(standing, results.on_terminal)[name] for name in columns] for standing in ranking),
        numbers=set(columns) - {"team"},
        title=f"{board.title}, {board.side} side: {board.n_queries:,} queries",
        empty=f"{board.title}: no submission has a score yet",
    )
    if any(standing.tied for standing in ranking):
        results.note("= shares its rank: a paired test cannot tell it from the first of that rank")


def _shown(standing: Standing, short: bool) -> dict[str, str]:
    estimate, entry = standing.estimate, standing.entry
    return {
        "rank": rank_mark(standing),
        "team": _shortened(entry.team) if short else entry.team,
        "mAP@1000": f"{estimate.value:.4f}",
        "95 % interval": f"{estimate.low:.3f} .. {estimate.high:.3f}",
        "could be": span_words(standing),
        "public": rank_mark(standing.public) if standing.public else "",
        "moved": shift_words(standing),
        "time": duration(entry.seconds),
        "memory": memory(entry.peak_memory_mb),
    }


def _shortened(name: str) -> str:
    return name if len(name) <= _LONGEST_NAME else name[: _LONGEST_NAME - 1] + "…"
