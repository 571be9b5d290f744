"""Options and arguments that the organiser's commands share."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path

import click
from rich.box import SIMPLE_HEAD
from rich.table import Table

from shoplens.challenge.registry.instants import from_text
from shoplens.errors import DataError

LARGEST = 2**62
"""What the file of records can hold as a number, with room to count on."""
NUMBER = click.IntRange(1, LARGEST)
"""Of a submission."""

challenge_argument = click.argument(
    "challenge", metavar="CHALLENGE_DIR", type=click.Path(path_type=Path)
)

team_option = click.option("--team", required=True, metavar="NAME", help="The team.")

who_option = click.option(
    "--by",
    "who",
    metavar="NAME",
    help="Who does it, for the trail (`shoplens challenge events`); by default the user's name.",
)


class Moment(click.ParamType[datetime]):
    """A date or time on the command line."""

    name = "time"

    def convert(
        self,
        value: str | datetime,
        param: click.Parameter | None,
        ctx: click.Context | None,
    ) -> datetime:
        """Read it, or end the command with what was wrong."""
        if isinstance(value, datetime):
            return value
        try:
            return from_text(value)
        except DataError as error:
            self.fail(str(error), param, ctx)


def plain_table(
    *columns: str, right: tuple[str, ...] = (), shortened: tuple[str, ...] = ()
) -> Table:
    """Return an empty table of these columns; those in `right` hold numbers.

    Where the table is too wide, columns give way: those in `shortened` alone, where there are any,
    and these break no words but cut long ones.
    """
    table = Table(box=SIMPLE_HEAD, padding=(0, 1, 0, 0), pad_edge=False)
    for name in columns:
        table.add_column(
            name,
            justify="right" if name in right else "left",
            overflow="ellipsis" if name in shortened else "fold",
            no_wrap=bool(shortened) and name not in shortened,
        )
    return table
