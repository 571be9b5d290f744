"""Options and arguments that the organiser's commands share."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path

import click

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
