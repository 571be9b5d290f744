"""`shoplens challenge status`."""

from __future__ import annotations

from collections import Counter
from dataclasses import asdict
from pathlib import Path
from typing import Any

import click

from shoplens.challenge.registry.ground_truth import require_unchanged
from shoplens.challenge.registry.instants import current, for_people, to_text
from shoplens.challenge.registry.registry import Registry
from shoplens.challenge.registry.submissions import list_submissions
from shoplens.challenge.registry.teams import list_teams
from shoplens.challenge.registry.terms import Terms
from shoplens.cli.challenge.options import challenge_argument
from shoplens.cli.console import Results, write_json
from shoplens.cli.options import json_option
from shoplens.errors import ShoplensError


@click.command()
@challenge_argument
@json_option
def status(challenge: Path, json_file: str | None) -> int:
    """Show where a challenge stands, and whether its ground truth is still what it was.

    Exit code 1 when the labelled set is gone or has changed.

    \b
    Example:
      shoplens challenge status autumn
    """
    registry, now = Registry(challenge), current()
    terms = registry.terms()
    states = Counter(one.state for one in list_submissions(registry, now))
    n_teams = len(list_teams(registry.database))
    on = terms.round_at(now)
    trouble = ""
    try:
        require_unchanged(terms.data, terms.table_hashes)
    except ShoplensError as error:
        trouble = str(error)
    results = Results(json_file)
    over = terms.is_over(now)
    results.line(terms.title)
    results.line(f"  {for_people(terms.starts)} to {for_people(terms.ends)}")
    for one in terms.rounds:
        mark = " (on)" if one == on else ""
        results.line(
            f"  round {one.name}{mark}: {for_people(one.starts)} to {for_people(one.ends)}, "
            f"{one.per_day} a day, {one.limits.seconds:g} s"
        )
    results.line(f"  external data: to be declared before {for_people(terms.data_deadline)}")
    results.line(f"  private scores: {'open' if over else 'sealed'}")
    results.line(
        f"  {n_teams:,} teams; submissions: {states.total():,}"
        + "".join(f", {states[state]:,} {state}" for state in sorted(states))
    )
    results.line(f"  ground truth: {trouble or f'unchanged, {terms.data}'}")
    write_json(
        json_file,
        {
            **terms_json(terms),
            "round": None if on is None else on.name,
            "sealed": not over,
            "n_teams": n_teams,
            "submissions": dict(states),
            "ground_truth": trouble or "unchanged",
        },
    )
    return ShoplensError.exit_code if trouble else 0


def terms_json(terms: Terms) -> dict[str, Any]:
    """Return a challenge's terms for JSON."""
    return {
        "title": terms.title,
        "data": str(terms.data),
        "n_queries": terms.n_queries,
        "n_gallery": terms.n_gallery,
        "seed": terms.seed,
        "public_share": terms.public_share,
        "starts": to_text(terms.starts),
        "ends": to_text(terms.ends),
        "data_deadline": to_text(terms.data_deadline),
        "selections": terms.selections,
        "places": terms.places,
        "policy": terms.policy,
        "rounds": [
            {
                "name": one.name,
                "starts": to_text(one.starts),
                "ends": to_text(one.ends),
                "per_day": one.per_day,
                "attempts_per_day": one.max_attempts,
                "limits": asdict(one.limits),
            }
            for one in terms.rounds
        ],
    }
