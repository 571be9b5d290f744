"""`shoplens challenge end`."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path

import click

from shoplens.challenge.registry.instants import current, for_people
from shoplens.challenge.registry.registry import Registry
from shoplens.challenge.registry.terms import move_end
from shoplens.cli.challenge.options import Moment, challenge_argument, who_option
from shoplens.cli.challenge.status import terms_json
from shoplens.cli.console import message, write_json
from shoplens.cli.options import json_option


@click.command()
@challenge_argument
@click.option(
    "--at", type=Moment(), metavar="ISO", help="The new end, earlier or later than it was."
)
@click.option("--now", "at_once", is_flag=True, help="End it now: private scores are shown.")
@who_option
@json_option
def end(
    challenge: Path, at: datetime | None, at_once: bool, who: str | None, json_file: str | None
) -> None:
    """Move the end of a challenge. It ends by itself; once over it stays over.

    \b
    Example:
      shoplens challenge end autumn --at 2026-12-08
      shoplens challenge end autumn --now
    """
    if at is not None and at_once:
        raise click.UsageError("--at and --now contradict each other")
    if at is None and not at_once:
        raise click.UsageError("give --at or --now")
    now = current()
    registry = Registry(challenge)
    terms = move_end(registry.database, now if at is None else at, now=now, who=who)
    over = (
        "private scores are open" if terms.is_over(now) else "private scores are sealed till then"
    )
    message(f"{terms.title} ends {for_people(terms.ends)}: {over}")
    message(f"tell the teams: {registry.pages / 'dates.md'} says what it said before")
    write_json(json_file, {**terms_json(terms), "sealed": not terms.is_over(now)})
