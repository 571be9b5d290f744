"""`shoplens challenge select`."""

from __future__ import annotations

from pathlib import Path

import click

from shoplens.challenge.registry.annotations import select as name_final
from shoplens.challenge.registry.instants import current
from shoplens.challenge.registry.registry import Registry
from shoplens.cli.challenge.options import NUMBER, challenge_argument, team_option, who_option
from shoplens.cli.console import message, write_json
from shoplens.cli.options import json_option


@click.command()
@challenge_argument
@click.argument("numbers", metavar="[NUMBER]...", type=NUMBER, nargs=-1)
@team_option
@who_option
@json_option
def select(
    challenge: Path, numbers: tuple[int, ...], team: str, who: str | None, json_file: str | None
) -> None:
    """Name the submissions of a team that count in the end, in place of those named before.

    A team that names none counts with the best on the public side; without a NUMBER the choice is
    taken back.

    \b
    Example:
      shoplens challenge select autumn 3 7 --team "Red Pandas"
    """
    name_final(Registry(challenge).database, team, numbers, now=current(), who=who)
    chosen = sorted(set(numbers))
    named = ", ".join(map(str, chosen)) or "the best on the public side"
    message(f"final submissions of {team}: {named}")
    write_json(json_file, {"team": team, "submissions": chosen})
