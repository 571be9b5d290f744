"""`shoplens challenge team`."""

from __future__ import annotations

from pathlib import Path

import click

from shoplens.challenge.registry.instants import current, to_text
from shoplens.challenge.registry.registry import Registry
from shoplens.challenge.registry.teams import add_team, join_team, leave_team, list_teams
from shoplens.cli.challenge.options import challenge_argument, who_option
from shoplens.cli.console import Results, message, write_json
from shoplens.cli.options import json_option


@click.group()
def team() -> None:
    """Found teams, and put people into them. A person is in one team."""


@team.command()
@challenge_argument
@click.argument("name", metavar="NAME")
@click.option("--member", "members", multiple=True, metavar="NAME", help="Repeatable.")
@who_option
@json_option
def add(
    challenge: Path, name: str, members: tuple[str, ...], who: str | None, json_file: str | None
) -> None:
    """Found the team NAME.

    \b
    Example:
      shoplens challenge team add autumn "Red Pandas" --member Ada --member Linus
    """
    add_team(Registry(challenge).database, name, members, now=current(), who=who)
    message(f"added team {name}" + (f" with {', '.join(members)}" if members else ""))
    write_json(json_file, {"team": name, "members": list(members)})


@team.command()
@challenge_argument
@click.argument("name", metavar="NAME")
@click.argument("member", metavar="MEMBER")
@who_option
@json_option
def join(challenge: Path, name: str, member: str, who: str | None, json_file: str | None) -> None:
    """Put MEMBER into the team NAME."""
    join_team(Registry(challenge).database, name, member, now=current(), who=who)
    message(f"{member} is in team {name}")
    write_json(json_file, {"team": name, "member": member})


@team.command()
@challenge_argument
@click.argument("name", metavar="NAME")
@click.argument("member", metavar="MEMBER")
@who_option
@json_option
def leave(challenge: Path, name: str, member: str, who: str | None, json_file: str | None) -> None:
    """Take MEMBER out of the team NAME."""
    leave_team(Registry(challenge).database, name, member, now=current(), who=who)
    message(f"{member} is no longer in team {name}")
    write_json(json_file, {"team": name, "member": member})


@team.command(name="list")
@challenge_argument
@json_option
def list_command(challenge: Path, json_file: str | None) -> None:
    """List the teams and their members."""
    teams = list_teams(Registry(challenge).database)
    Results(json_file).table(
        ("team", "members"),
        ((one.name, ", ".join(one.members)) for one in teams),
        empty="no team yet",
    )
    write_json(
        json_file,
        {
            "teams": [
                {
                    "name": one.name,
                    "founded": to_text(one.founded),
                    "members": list(one.members),
                }
                for one in teams
            ]
        },
    )
