"""`shoplens challenge leaderboard`."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path

import click
from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table

from shoplens.challenge.leaderboard import Board, Standing, standings
from shoplens.challenge.registry.instants import current
from shoplens.challenge.registry.registry import Registry
from shoplens.challenge.site.exports import board_json, standings_csv
from shoplens.challenge.site.wording import (
    duration,
    memory,
    rank_mark,
    shift_words,
    span_words,
)
from shoplens.cli.challenge.options import challenge_argument
from shoplens.cli.console import printable, results_console, write_json
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
    print_standings(results_console("-" if csv_file == "-" else json_file), board, ranking)
    if csv_file == "-":
        sys.stdout.write(standings_csv(ranking))
    elif csv_file is not None:
        write_text(csv_file, standings_csv(ranking))
    write_json(json_file, board_json(board, ranking))


def print_standings(console: Console, board: Board, ranking: Sequence[Standing]) -> None:
    """Print a ranking, legible at 80 columns: the final one leaves out time and memory there."""
    if not ranking:
        console.print(printable(f"{board.title}: no submission has a score yet"))
        return
    title = f"{board.title}, {board.side} side: {board.n_queries:,} queries"
    shaken = board.side == "private"
    table = Table(
        title=printable(title),
        title_justify="left",
        box=SIMPLE_HEAD,
        pad_edge=False,
        padding=(0, 1, 0, 0),
    )
    table.add_column("rank", justify="right", no_wrap=True)
    table.add_column("team", overflow="fold", min_width=12)
    table.add_column("mAP@1000", justify="right", no_wrap=True)
    table.add_column("95 % interval", justify="right", no_wrap=True)
    table.add_column("could be", justify="right", no_wrap=True)
    if shaken:
        table.add_column("public", justify="right", no_wrap=True)
        table.add_column("moved", justify="right", no_wrap=True)
    has_costs = not shaken or console.width >= _WIDE
    if has_costs:
        table.add_column("time", justify="right", no_wrap=True)
        table.add_column("memory", justify="right", no_wrap=True)
    for standing in ranking:
        e = standing.estimate
        more = []
        if shaken:
            more += [rank_mark(standing.public) if standing.public else "", shift_words(standing)]
        if has_costs:
            more += [duration(standing.entry.seconds), memory(standing.entry.peak_memory_mb)]
        table.add_row(
            rank_mark(standing),
            _shortened(printable(standing.entry.team)),
            f"{e.value:.4f}",
            f"{e.low:.3f} .. {e.high:.3f}",
            span_words(standing),
            *more,
        )
    console.print(table)
    if any(standing.tied for standing in ranking):
        console.print("= shares its rank: a paired test cannot tell it from the first of that rank")


def _shortened(name: str) -> str:
    return name if len(name) <= _LONGEST_NAME else name[: _LONGEST_NAME - 1] + "…"
