"""`shoplens challenge retry`."""

from __future__ import annotations

from pathlib import Path

import click

from shoplens.challenge.registry.instants import current
from shoplens.challenge.registry.queue import retry as queue_again
from shoplens.challenge.registry.registry import Registry
from shoplens.cli.challenge.options import NUMBER, challenge_argument, who_option
from shoplens.cli.console import message, write_json
from shoplens.cli.options import json_option


@click.command()
@challenge_argument
@click.argument("number", metavar="NUMBER", type=NUMBER)
@who_option
@json_option
def retry(challenge: Path, number: int, who: str | None, json_file: str | None) -> None:
    """Put the submission NUMBER back into the queue, where running it failed by our fault.

    A submission that ended by itself, well or badly, keeps its result.

    \b
    Example:
      shoplens challenge retry autumn 3
    """
    queue_again(Registry(challenge).database, number, now=current(), who=who)
    message(f"submission {number} is in the queue again")
    write_json(json_file, {"submission": number})
