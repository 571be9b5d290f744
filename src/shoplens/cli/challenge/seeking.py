"""`shoplens challenge seeking`."""

from __future__ import annotations

from pathlib import Path

import click

from shoplens.challenge.registry.instants import current, to_text
from shoplens.challenge.registry.registry import Registry
from shoplens.challenge.registry.teams import list_seekers, seek, stop_seeking
from shoplens.cli.challenge.options import challenge_argument, who_option
from shoplens.cli.console import Results, message, write_json
from shoplens.cli.options import json_option


@click.command()
@challenge_argument
@click.option("--add", metavar="NAME", help="Put a person, or a team, on the board.")
@click.option("--contact", metavar="TEXT", help="How they are reached; shown to all.")
@click.option("--about", metavar="TEXT", help="What they bring and look for; shown to all.")
@click.option("--remove", metavar="NAME", help="Take somebody off the board.")
@who_option
@json_option
def seeking(
    challenge: Path,
    add: str | None,
    contact: str | None,
    about: str | None,
    remove: str | None,
    who: str | None,
    json_file: str | None,
) -> None:
    """Show the board of those who look for team mates, or change it.

    Who joins a team is taken off by itself.

    \b
    Example:
      shoplens challenge seeking autumn --add Grace --contact grace@example.org \\
        --about "has a GPU, looks for somebody who knows losses"
    """
    database = Registry(challenge).database
    if add is not None and remove is not None:
        raise click.UsageError("--add and --remove are two steps")
    if add is not None and (contact is None or about is None):
        raise click.UsageError("--add needs --contact and --about")
    if add is None and (contact is not None or about is not None):
        raise click.UsageError("--contact and --about go with --add")
    if add is not None and contact is not None and about is not None:
        seek(database, add, contact, about, now=current(), who=who)
        message(f"{add} is on the board")
    if remove is not None:
        stop_seeking(database, remove, now=current(), who=who)
        message(f"{remove} is off the board")
    seekers = list_seekers(database)
    Results(json_file).table(
        ("name", "contact", "about", "since"),
        ((one.name, one.contact, one.about, f"{one.posted:%Y-%m-%d}") for one in seekers),
        empty="nobody is looking for team mates",
    )
    write_json(
        json_file,
        {
            "seekers": [
                {
                    "name": one.name,
                    "contact": one.contact,
                    "about": one.about,
                    "posted": to_text(one.posted),
                }
                for one in seekers
            ]
        },
    )
