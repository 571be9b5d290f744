"""`shoplens challenge tag`."""

from __future__ import annotations

from pathlib import Path

import click

from shoplens.challenge.registry.annotations import change_tags
from shoplens.challenge.registry.instants import current
from shoplens.challenge.registry.registry import Registry
from shoplens.cli.challenge.options import NUMBER, challenge_argument, who_option
from shoplens.cli.console import Results, write_json
from shoplens.cli.options import json_option


@click.command()
@challenge_argument
@click.argument("number", metavar="NUMBER", type=NUMBER)
@click.option("--add", multiple=True, metavar="TAG", help="Repeatable.")
@click.option("--remove", multiple=True, metavar="TAG", help="Repeatable.")
@who_option
@json_option
def tag(
    challenge: Path,
    number: int,
    add: tuple[str, ...],
    remove: tuple[str, ...],
    who: str | None,
    json_file: str | None,
) -> None:
    """Say what the submission NUMBER uses, as in 'external data' or 'batch-side re-ranking'.

    \b
    Example:
      shoplens challenge tag autumn 3 --add "external data"
    """
    if not add and not remove:
        raise click.UsageError("give --add or --remove")
    tags = change_tags(Registry(challenge).database, number, add, remove, now=current(), who=who)
    Results(json_file).line(f"submission {number}: {', '.join(tags) or 'no tags'}")
    write_json(json_file, {"submission": number, "tags": list(tags)})
