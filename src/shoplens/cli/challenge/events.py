"""`shoplens challenge events`."""

from __future__ import annotations

from pathlib import Path

import click

from shoplens.challenge.registry.instants import to_text
from shoplens.challenge.registry.registry import Registry
from shoplens.challenge.registry.trail import list_events
from shoplens.cli.challenge.options import challenge_argument
from shoplens.cli.console import results_console, write_json
from shoplens.cli.options import json_option


@click.command()
@challenge_argument
@click.option("--latest", type=click.IntRange(min=1), metavar="N", help="Only so many.")
@json_option
def events(challenge: Path, latest: int | None, json_file: str | None) -> None:
    """Show the trail: every change to a challenge, when, by whom and what."""
    trail = list_events(Registry(challenge).database, latest)
    console = results_console(json_file)
    for one in trail:
        detail = ", ".join(f"{name} {value}" for name, value in one.detail.items())
        console.print(f"{one.at:%Y-%m-%d %H:%M:%S} {one.who}: {one.what}: {detail}", soft_wrap=True)
    write_json(
        json_file,
        {
            "events": [
                {
                    "number": one.number,
                    "at": to_text(one.at),
                    "who": one.who,
                    "what": one.what,
                    "detail": dict(one.detail),
                }
                for one in trail
            ]
        },
    )
