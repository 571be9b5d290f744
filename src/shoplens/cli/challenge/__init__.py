"""The `shoplens challenge` commands."""

from __future__ import annotations

import click

from shoplens.cli.lazy import LazyGroup

_HERE = "shoplens.cli.challenge"
_COMMANDS = {
    # Taking part.
    "new": (f"{_HERE}.new", "Create a working submission to start from."),
    "run": (f"{_HERE}.run", "Run a submission within the challenge's limits."),
    # Running one, in the order of its life.
    "create": (f"{_HERE}.organise", "Create a challenge from a labelled test set."),
    "status": (f"{_HERE}.organise", "Show where a challenge stands."),
    "team": (f"{_HERE}.teams", "Add teams and their members, or list them."),
    "seeking": (f"{_HERE}.teams", "Show who looks for team mates, or add somebody."),
    "declare": (f"{_HERE}.teams", "Declare external data that a team uses."),
    "declarations": (f"{_HERE}.teams", "List the external data that teams declared."),
    "submit": (f"{_HERE}.submissions", "Hand in a submission."),
    "work": (f"{_HERE}.work", "Run the submissions that wait, and score them."),
    "retry": (f"{_HERE}.submissions", "Put a submission back into the queue."),
    "submissions": (f"{_HERE}.submissions", "List the submissions, or show one of them."),
    "select": (f"{_HERE}.submissions", "Choose the submissions that count in the end for a team."),
    "note": (f"{_HERE}.submissions", "Write a note to a submission."),
    "tag": (f"{_HERE}.submissions", "Say what a submission uses."),
    "end": (f"{_HERE}.organise", "Move the end of a challenge."),
    "upgrade": (f"{_HERE}.organise", "Upgrade a challenge that an older shoplens made."),
    "events": (f"{_HERE}.leaderboard", "List every change made to a challenge."),
    "leaderboard": (f"{_HERE}.leaderboard", "Show the leaderboard."),
    "site": (f"{_HERE}.leaderboard", "Write the challenge's website."),
}


@click.group(cls=LazyGroup, subcommands=_COMMANDS)
def challenge() -> None:
    """Take part in a challenge, or run one.

    \b
    Example:
      shoplens challenge new submission
      shoplens challenge run submission --data examples/furniture
    """
