"""`shoplens challenge declare` and `declarations`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from shoplens.challenge.registry import declarations as registry_of_data
from shoplens.challenge.registry.instants import current, for_people, to_text
from shoplens.challenge.registry.registry import Registry
from shoplens.cli.challenge.options import (
    challenge_argument,
    team_option,
    who_option,
)
from shoplens.cli.console import Results, message, write_json
from shoplens.cli.options import json_option


@click.command()
@challenge_argument
@team_option
@click.option("--link", required=True, metavar="URL", help="Where everybody finds the data.")
@click.option("--about", required=True, metavar="TEXT", help="What they are, and their licence.")
@who_option
@json_option
def declare(
    challenge: Path, team: str, link: str, about: str, who: str | None, json_file: str | None
) -> None:
    """Put down external data that a team uses, for all to see.

    After the deadline it is marked as late.

    \b
    Example:
      shoplens challenge declare autumn --team "Red Pandas" \\
        --link https://example.org/shoes --about "4,000 shoes, CC0"
    """
    registry = Registry(challenge)
    one = registry_of_data.declare(registry.database, team, link, about, now=current(), who=who)
    message(f"declared for team {one.team}: {one.link}")
    if one.late:
        deadline = for_people(registry.terms().data_deadline)
        message(f"warning: the deadline was {deadline}; it is marked as late")
    write_json(json_file, _json(one))


@click.command()
@challenge_argument
@json_option
def declarations(challenge: Path, json_file: str | None) -> None:
    """List the external data that teams declared."""
    declared = registry_of_data.list_declarations(Registry(challenge).database)
    Results(json_file).table(
        ("team", "link", "about", "declared"),
        (
            (one.team, one.link, one.about, f"{one.declared:%Y-%m-%d}" + " late" * one.late)
            for one in declared
        ),
        empty="no external data was declared",
    )
    write_json(
        json_file,
        {"declarations": [_json(one) for one in declared]},
    )


def _json(one: registry_of_data.Declaration) -> dict[str, Any]:
    return {
        "team": one.team,
        "link": one.link,
        "about": one.about,
        "declared": to_text(one.declared),
        "late": one.late,
    }
