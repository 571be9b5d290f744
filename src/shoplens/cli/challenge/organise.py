"""`shoplens challenge upgrade`."""

from __future__ import annotations

from pathlib import Path

import click

from shoplens.challenge.registry.instants import current
from shoplens.challenge.registry.migrations import VERSION
from shoplens.challenge.registry.registry import Registry
from shoplens.cli.challenge.options import challenge_argument, who_option
from shoplens.cli.console import message, write_json
from shoplens.cli.options import json_option


@click.command()
@challenge_argument
@who_option
@json_option
def upgrade(challenge: Path, who: str | None, json_file: str | None) -> None:
    """Upgrade a challenge that an older shoplens made.

    The earlier file is kept beside the new one. Commands that change a challenge upgrade it by
    themselves.

    \b
    Example:
      shoplens challenge upgrade autumn
    """
    backup = Registry(challenge).database.upgrade(current(), who)
    if backup is None:
        message(f"{challenge} is up to date: schema version {VERSION}")
    else:
        message(f"{challenge} now has schema version {VERSION}; the earlier file is {backup}")
    write_json(
        json_file,
        {"version": VERSION, "backup": None if backup is None else str(backup.absolute())},
    )
