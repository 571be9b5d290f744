"""`shoplens challenge note`."""

from __future__ import annotations

from pathlib import Path

import click

from shoplens.challenge.registry.annotations import add_note
from shoplens.challenge.registry.instants import current
from shoplens.challenge.registry.registry import Registry
from shoplens.cli.challenge.options import NUMBER, challenge_argument, who_option
from shoplens.cli.console import message, write_json
from shoplens.cli.options import json_option


@click.command()
@challenge_argument
@click.argument("number", metavar="NUMBER", type=NUMBER)
@click.argument("text", metavar="TEXT")
@who_option
@json_option
def note(challenge: Path, number: int, text: str, who: str | None, json_file: str | None) -> None:
    """Write a note to the submission NUMBER; it is shown with it, also on the site.

    \b
    Example:
      shoplens challenge note autumn 3 "two crops, averaged"
    """
    add_note(Registry(challenge).database, number, text, now=current(), who=who)
    message(f"noted with submission {number}")
    write_json(json_file, {"submission": number, "text": text})
