"""`shoplens challenge events`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from shoplens.challenge.registry.instants import to_text
from shoplens.challenge.registry.registry import Registry
from shoplens.challenge.registry.trail import Event, list_events
from shoplens.cli.challenge.options import challenge_argument
from shoplens.cli.console import Results, write_json
from shoplens.cli.options import json_option


@click.command()
@challenge_argument
@click.option("--latest", type=click.IntRange(min=1), metavar="N", help="Only so many.")
@json_option
def events(challenge: Path, latest: int | None, json_file: str | None) -> None:
    """Show the trail: every change to a challenge, when, by whom and what."""
    trail = list_events(Registry(challenge).database, latest)
    results = Results(json_file)
    for one in trail:
        text = f"{one.at:%Y-%m-%d %H:%M:%S} {one.who}: {one.what}: {_detail(one)}"
        results.line(text)
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


def _detail(event: Event) -> str:
    """Say what was changed, as in `submission 3, added external data`."""
    detail = event.detail
    if event.what == "tags changed":
        detail = {name: value for name, value in detail.items() if value != []}
    return ", ".join(f"{name} {_words(value)}" for name, value in detail.items())


def _words(value: Any) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, list):
        return " and ".join(map(str, value)) or "none"
    return str(value)
