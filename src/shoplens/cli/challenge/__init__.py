"""The `shoplens challenge` commands: one module each."""

from __future__ import annotations

import click

from shoplens.cli.lazy import LazyGroup

_HERE = "shoplens.cli.challenge"
_COMMANDS = {
    # Taking part.
    "new": (f"{_HERE}.new", "Create a working submission to start from."),
    "run": (f"{_HERE}.run", "Run a submission within the challenge's limits."),
    # Running one, in the order of its life.
    "create": (f"{_HERE}.create", "Create a challenge from a labelled test set."),
    "status": (f"{_HERE}.status", "Show where a challenge stands."),
    "team": (f"{_HERE}.team", "Add teams and their members, or list them."),
    "seeking": (f"{_HERE}.seeking", "Show who looks for team mates, or add somebody."),
    "declare": (f"{_HERE}.declare", "Declare external data that a team uses."),
    "declarations": (f"{_HERE}.declare", "List the external data that teams declared."),
    "submit": (f"{_HERE}.submit", "Hand in a submission."),
    "work": (f"{_HERE}.work", "Run the submissions that wait, and score them."),
    "retry": (f"{_HERE}.retry", "Put a submission back into the queue."),
    "submissions": (f"{_HERE}.submissions", "List the submissions, or show one of them."),
    "select": (f"{_HERE}.select", "Choose the submissions that count in the end for a team."),
    "note": (f"{_HERE}.note", "Write a note to a submission."),
    "tag": (f"{_HERE}.tag", "Say what a submission uses."),
    "end": (f"{_HERE}.end", "Move the end of a challenge."),
    "upgrade": (f"{_HERE}.organise", "Upgrade a challenge that an older shoplens made."),
    "events": (f"{_HERE}.events", "List every change made to a challenge."),
    "leaderboard": (f"{_HERE}.leaderboard", "Show the leaderboard."),
    "site": (f"{_HERE}.site", "Write the challenge's website."),
}


@click.group(cls=LazyGroup, subcommands=_COMMANDS)
def challenge() -> None:
    """Take part in a challenge, or run one.

    \b
    Example:
      shoplens challenge new submission
      shoplens challenge run submission --data examples/furniture
    """
