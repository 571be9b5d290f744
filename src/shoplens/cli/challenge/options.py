"""Arguments, options and JSON that the organiser's commands share."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path
from typing import Any

import click

from shoplens.challenge.registry.instants import from_text, to_text
from shoplens.challenge.registry.registry import Registry
from shoplens.errors import DataError


class WholeNumber(click.ParamType[int]):
    """A whole number that the challenge's file can hold."""

    name = "integer"
    _largest = 2**62
    """With room to count on."""

    def __init__(self, least: int = 1) -> None:
        self._least = least

    def convert(
        self, value: str | int, param: click.Parameter | None, ctx: click.Context | None
    ) -> int:
        """Read it, or end the command with what was wrong."""
        try:
            number = int(value)
        except ValueError:
            self.fail(f"{value!r} is not a whole number", param, ctx)
        if number < self._least:
            self.fail(f"{number} is less than {self._least}", param, ctx)
        if number > self._largest:
            self.fail(f"{number} is too large", param, ctx)
        return number


NUMBER = WholeNumber()
"""The number of a submission."""

registry_argument = click.argument(
    "registry",
    metavar="CHALLENGE_DIR",
    type=click.Path(path_type=Path),
    callback=lambda _context, _parameter, folder: Registry(folder),
)

number_argument = click.argument("number", metavar="NUMBER", type=NUMBER)

team_option = click.option("--team", required=True, metavar="NAME", help="The team.")

who_option = click.option(
    "--by",
    "who",
    metavar="NAME",
    help="The author to record (see `shoplens challenge events`); by default your user name.",
)

round_option = click.option(
    "--round",
    "round_name",
    metavar="NAME",
    help="Which round; by default the current or the latest one.",
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


def json_values(one: object, *names: str) -> dict[str, Any]:
    """Return attributes of a value for JSON, by name: times as text, tuples as lists."""
    return {name: _json_value(getattr(one, name)) for name in names}


def _json_value(value: Any) -> Any:
    if isinstance(value, datetime):
        return to_text(value)
    if isinstance(value, Path):
        return str(value.absolute())
    return list(value) if isinstance(value, tuple) else value
