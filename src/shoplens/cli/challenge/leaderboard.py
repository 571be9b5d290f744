"""`shoplens challenge leaderboard`."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from shutil import get_terminal_size

import click

from shoplens.challenge.leaderboard import Board, Standing, standings
from shoplens.challenge.registry.instants import current
from shoplens.challenge.registry.registry import Registry
from shoplens.challenge.site.board_files import board_json, standings_csv
from shoplens.challenge.site.wording import (
    duration,
    memory,
    rank_mark,
    shift_words,
    span_words,
)
from shoplens.cli.challenge.options import challenge_argument
from shoplens.cli.console import Results, write_json
from shoplens.cli.options import distinct, json_option, writable
from shoplens.errors import ShoplensError
from shoplens.files import write_text

_LONGEST_NAME = 60
_WIDE = 92
"""Columns in which the final ranking has room for time and memory too."""


@click.command()
@challenge_argument
@click.option(
    "--round",
    "round_name",
    metavar="NAME",
    help="Which round's; by default the one that is on or was last.",
)
@click.option("--private", is_flag=True, help="The final ranking, once the challenge is over.")
@click.option(
    "--csv",
    "csv_file",
    metavar="FILE",
    callback=writable,
    help="Write the ranking as CSV to FILE; - is standard output (then nothing else goes there).",
)
@json_option
def leaderboard(
    challenge: Path,
    round_name: str | None,
    private: bool,
    csv_file: str | None,
    json_file: str | None,
) -> None:
    """Show who stands where: scores with intervals, and ranks that are shared where a test says so.

    A rank with = is shared: a paired test over products cannot tell the team from the first of that
    rank. The rule, and what the columns mean, is in docs/leaderboard.md.

    \b
    Example:
      shoplens challenge leaderboard autumn --csv ranking.csv
    """
    distinct(csv_file, json_file)
    if csv_file == json_file == "-":
        raise click.UsageError("--csv and --json cannot both go to standard output")
    registry, now = Registry(challenge), current()
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
