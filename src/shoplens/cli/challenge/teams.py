"""`shoplens challenge team`, `seeking`, `declare` and `declarations`."""

from __future__ import annotations

import click

from shoplens.challenge.registry import declarations as declared_data
from shoplens.challenge.registry import teams as registered
from shoplens.challenge.registry import tokens
from shoplens.challenge.registry.instants import current, for_people
from shoplens.challenge.registry.registry import Registry
from shoplens.cli.challenge.options import (
    json_values,
    registry_argument,
    team_option,
    who_option,
)
from shoplens.cli.console import Results, message, write_json
from shoplens.cli.options import json_option

_name_argument = click.argument("name", metavar="NAME")
_member_argument = click.argument("member", metavar="MEMBER")
_DECLARATION = ("team", "link", "about", "declared", "late")


@click.group()
def team() -> None:
    """Add teams, and put people into them. A person can be in one team only."""


@team.command()
@registry_argument
@_name_argument
@click.option("--member", "members", multiple=True, metavar="NAME", help="Repeatable.")
@who_option
@json_option
def add(
    registry: Registry, name: str, members: tuple[str, ...], who: str | None, json_file: str | None
) -> None:
    """Add the team NAME.

    \b
    Example:
      shoplens challenge team add autumn "Red Pandas" --member Ada --member Linus
    """
    registered.add_team(registry.database, name, members, now=current(), who=who)
    message(f"added team {name}" + (f" with {', '.join(members)}" if members else ""))
    write_json(json_file, {"team": name, "members": list(members)})


@team.command()
@registry_argument
@_name_argument
@_member_argument
@who_option
@json_option
def join(
    registry: Registry, name: str, member: str, who: str | None, json_file: str | None
) -> None:
    """Put MEMBER into the team NAME."""
    registered.join_team(registry.database, name, member, now=current(), who=who)
    message(f"{member} is in team {name}")
    write_json(json_file, {"team": name, "member": member})


@team.command()
@registry_argument
@_name_argument
@_member_argument
@who_option
@json_option
def leave(
    registry: Registry, name: str, member: str, who: str | None, json_file: str | None
) -> None:
    """Take MEMBER out of the team NAME."""
    registered.leave_team(registry.database, name, member, now=current(), who=who)
    message(f"{member} is no longer in team {name}")
    write_json(json_file, {"team": name, "member": member})


@team.command()
@registry_argument
@_name_argument
@click.option("--revoke", is_flag=True, help="Revoke the team's token, and make no new one.")
@who_option
@json_option
def token(
    registry: Registry, name: str, revoke: bool, who: str | None, json_file: str | None
) -> None:
    """Make a token for the team NAME, or revoke it.

    With its token, a team submits over HTTP. It is shown only once. An earlier token of the
    team becomes invalid.

    \b
    Example:
      shoplens challenge team token autumn "Red Pandas"
    """
    made = None
    if revoke:
        tokens.revoke_token(registry.database, name, now=current(), who=who)
        message(f"the token of team {name} is revoked")
    else:
        made = tokens.make_token(registry.database, name, now=current(), who=who)
        message(f"a token for team {name}. Hand it to the team: it is not shown again")
        if json_file is None:
            Results(None).line(made)
    write_json(json_file, {"team": name, "token": made}, mode=0o600)


@team.command(name="list")
@registry_argument
@json_option
def list_command(registry: Registry, json_file: str | None) -> None:
    """List the teams and their members."""
    teams = registered.list_teams(registry.database)
    Results(json_file).table(
        ("team", "members"),
        ((one.name, ", ".join(one.members)) for one in teams),
        empty="no team yet",
    )
    write_json(
        json_file, {"teams": [json_values(one, "name", "founded", "members") for one in teams]}
    )


@click.command()
@registry_argument
@click.option("--add", metavar="NAME", help="Put a person, or a team, on the list.")
@click.option("--contact", metavar="TEXT", help="How to reach them; everybody can read it.")
@click.option(
    "--about", metavar="TEXT", help="What they offer and look for; everybody can read it."
)
@click.option("--remove", metavar="NAME", help="Take somebody off the list.")
@who_option
@json_option
def seeking(
    registry: Registry,
    add: str | None,
    contact: str | None,
    about: str | None,
    remove: str | None,
    who: str | None,
    json_file: str | None,
) -> None:
    """Show the list of people who look for team mates, or change it.

    A person who joins a team is removed from the list.

    \b
    Example:
      shoplens challenge seeking autumn --add Grace --contact grace@example.org \\
        --about "has a GPU, looks for somebody who knows losses"
    """
    if add is not None and remove is not None:
        raise click.UsageError("--add and --remove cannot be used together")
    if add is not None and (contact is None or about is None):
        raise click.UsageError("--add needs --contact and --about")
    if add is None and (contact is not None or about is not None):
        raise click.UsageError("--contact and --about go with --add")
    if add is not None and contact is not None and about is not None:
        registered.seek(registry.database, add, contact, about, now=current(), who=who)
        message(f"{add} is on the list")
    if remove is not None:
        registered.stop_seeking(registry.database, remove, now=current(), who=who)
        message(f"{remove} is off the list")
    seekers = registered.list_seekers(registry.database)
    Results(json_file).table(
        ("name", "contact", "about", "since"),
        ((one.name, one.contact, one.about, f"{one.posted:%Y-%m-%d}") for one in seekers),
        empty="nobody is looking for team mates",
    )
    write_json(
        json_file,
        {"seekers": [json_values(one, "name", "contact", "about", "posted") for one in seekers]},
    )


@click.command()
@registry_argument
@team_option
@click.option("--link", required=True, metavar="URL", help="Where everybody can find the data.")
@click.option("--about", required=True, metavar="TEXT", help="What they are, and their licence.")
@who_option
@json_option
def declare(
    registry: Registry, team: str, link: str, about: str, who: str | None, json_file: str | None
) -> None:
    """Declare external data that a team uses; everybody can see it.

    After the deadline it is marked as late.

    \b
    Example:
      shoplens challenge declare autumn --team "Red Pandas" \\
        --link https://example.org/shoes --about "4,000 shoes, CC0"
    """
    one = declared_data.declare(registry.database, team, link, about, now=current(), who=who)
    message(f"declared for team {one.team}: {one.link}")
    if one.late:
        deadline = for_people(registry.terms().data_deadline)
        message(f"warning: the deadline was {deadline}; it is marked as late")
    write_json(json_file, json_values(one, *_DECLARATION))


@click.command()
@registry_argument
@json_option
def declarations(registry: Registry, json_file: str | None) -> None:
    """List the external data that teams declared."""
    declared = declared_data.list_declarations(registry.database)
    Results(json_file).table(
        ("team", "link", "about", "declared"),
        (
            (one.team, one.link, one.about, f"{one.declared:%Y-%m-%d}" + " late" * one.late)
            for one in declared
        ),
        empty="no external data was declared",
    )
    write_json(json_file, {"declarations": [json_values(one, *_DECLARATION) for one in declared]})
