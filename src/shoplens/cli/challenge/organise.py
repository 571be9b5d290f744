"""`shoplens challenge create`, `status`, `end` and `upgrade`."""

from __future__ import annotations

from collections import Counter
from dataclasses import asdict, replace
from datetime import datetime
from pathlib import Path
from typing import Any

import click

from shoplens.challenge.leaderboard import FEWEST_PRODUCTS
from shoplens.challenge.registry.creation import create_challenge
from shoplens.challenge.registry.ground_truth import require_unchanged
from shoplens.challenge.registry.instants import current, for_people, from_text
from shoplens.challenge.registry.migrations import VERSION
from shoplens.challenge.registry.registry import Registry
from shoplens.challenge.registry.split import read_split
from shoplens.challenge.registry.submissions import list_submissions
from shoplens.challenge.registry.teams import list_teams
from shoplens.challenge.registry.terms import Policy, Round, Terms, move_end
from shoplens.challenge.sandbox.limits import Limits
from shoplens.cli.challenge.options import (
    Moment,
    WholeNumber,
    json_values,
    registry_argument,
    who_option,
)
from shoplens.cli.console import Results, message, write_json
from shoplens.cli.options import json_option
from shoplens.errors import DataError, ShoplensError

_ROUND_KEYS = {
    "limit": ("seconds", float),
    "cpus": ("cpus", int),
    "memory": ("memory_mb", int),
    "per-day": ("per_day", int),
    "attempts": ("attempts_per_day", int),
}
"""What a round may say for itself, the field it goes to, and its type."""


@click.command()
@click.argument("challenge", metavar="CHALLENGE_DIR", type=click.Path(path_type=Path))
@click.option(
    "--data",
    required=True,
    type=click.Path(path_type=Path),
    metavar="LABELLED_SET",
    help="A folder with gallery.csv and queries.csv, both with product_id. It stays where it is.",
)
@click.option(
    "--title", metavar="TEXT", help="The name that everyone sees; by default the folder's name."
)
@click.option(
    "--pages",
    type=click.Path(path_type=Path),
    metavar="FOLDER",
    help="Your own rules.md, dates.md, prizes.md, faq.md, contact.md; drafts are written for the "
    "missing ones.",
)
@click.option(
    "--seed",
    type=WholeNumber(0),
    default=0,
    show_default=True,
    metavar="N",
    help="The seed of the split of queries.",
)
@click.option(
    "--public-share",
    type=click.FloatRange(0, 1, min_open=True, max_open=True),
    default=0.3,
    show_default=True,
    metavar="SHARE",
    help="The share of the queries whose score is shown at once.",
)
@click.option("--start", type=Moment(), metavar="ISO", help="When it begins; by default now.")
@click.option(
    "--end",
    type=Moment(),
    metavar="ISO",
    help="When it ends and private scores are shown; by default 60 days after the start.",
)
@click.option(
    "--data-deadline",
    type=Moment(),
    metavar="ISO",
    help="The deadline for declaring external data; by default after three quarters of the time.",
)
@click.option(
    "--round",
    "round_texts",
    multiple=True,
    metavar="NAME,START,END[,KEY=VALUE...]",
    help="A round, with limits of its own: limit=, cpus=, memory=, per-day=, attempts=; "
    "repeatable. By default one round, from start to end.",
)
@click.option(
    "--per-day",
    type=WholeNumber(),
    default=5,
    show_default=True,
    metavar="N",
    help="Submissions of a team on one UTC day.",
)
@click.option(
    "--attempts-per-day",
    type=WholeNumber(),
    metavar="N",
    help="The same limit, also counting submissions that could not be started; by default four "
    "times --per-day.",
)
@click.option(
    "--selections",
    type=WholeNumber(),
    default=2,
    show_default=True,
    metavar="N",
    help="Submissions that a team may select for the final ranking.",
)
@click.option(
    "--places",
    type=WholeNumber(0),
    default=3,
    show_default=True,
    metavar="N",
    help="Places that win a prize.",
)
@click.option(
    "--limit",
    "seconds",
    type=click.FloatRange(0, min_open=True),
    default=Limits().seconds,
    show_default=True,
    metavar="S",
    help="Seconds that a run may take.",
)
@click.option(
    "--cpus",
    type=WholeNumber(),
    default=Limits().cpus,
    show_default=True,
    metavar="N",
    help="Processor cores of a run.",
)
@click.option(
    "--memory",
    "memory_mb",
    type=WholeNumber(),
    default=Limits().memory_mb,
    show_default=True,
    metavar="MB",
    help="Memory of a run.",
)
@click.option(
    "--policy",
    type=click.Choice(["strict", "lenient"]),
    default="strict",
    show_default=True,
    help="Refuse faulty answers, as the original scoring does, or repair what can be repaired.",
)
@click.option(
    "--accept-answers",
    is_flag=True,
    help="Let teams hand in answer arrays too, which they made on their own machines. Limits of "
    "time and memory do not apply to these.",
)
@who_option
@json_option
def create(
    challenge: Path,
    data: Path,
    title: str | None,
    pages: Path | None,
    seed: int,
    public_share: float,
    start: datetime | None,
    end: datetime | None,
    data_deadline: datetime | None,
    round_texts: tuple[str, ...],
    per_day: int,
    attempts_per_day: int | None,
    selections: int,
    places: int,
    seconds: float,
    cpus: int,
    memory_mb: int,
    policy: Policy,
    accept_answers: bool,
    who: str | None,
    json_file: str | None,
) -> None:
    """Create a challenge from a labelled set, in a new folder CHALLENGE_DIR.

    Times are in UTC unless they have a zone. The labelled set is not copied.

    \b
    Example:
      shoplens challenge create autumn --data examples/furniture --end 2026-12-01
      shoplens challenge create autumn --data examples/furniture \\
        --round "warm-up,2026-10-01,2026-11-01,limit=1800" \\
        --round "final,2026-11-01,2026-12-01,per-day=2"
    """
    limits = Limits(seconds, cpus, memory_mb)
    common = Round("", current(), current(), per_day, limits, attempts_per_day)
    registry = create_challenge(
        challenge,
        data,
        now=current(),
        title=title,
        pages=pages,
        seed=seed,
        public_share=public_share,
        starts=start,
        ends=end,
        data_deadline=data_deadline,
        rounds=[_round(text, common) for text in round_texts],
        per_day=per_day,
        attempts_per_day=attempts_per_day,
        limits=limits,
        selections=selections,
        places=places,
        policy=policy,
        accepts_answers=accept_answers,
        who=who,
    )
    terms = registry.terms()
    with registry.database.reading() as connection:
        split = read_split(connection)
    n_public = int(split.is_public.sum())
    n_private = len(split.is_public) - n_public
    Results(json_file).line(
        f"{terms.title}: {for_people(terms.starts)} to {for_people(terms.ends)}\n"
        f"{n_public:,} public and {n_private:,} private queries of "
        f"{len(set(split.products.tolist())):,} products, {terms.n_gallery:,} gallery photos"
    )
    for side, on_side in (("public", split.is_public), ("private", ~split.is_public)):
        n_products = len(set(split.products[on_side].tolist()))
        if n_products < FEWEST_PRODUCTS:
            message(
                f"warning: the {side} side has {n_products} "
                f"{'product' if n_products == 1 else 'products'}; with fewer than "
                f"{FEWEST_PRODUCTS}, no two teams can be told apart (see --public-share)"
            )
    message(f"edit the pages in {registry.pages}, then let teams in: shoplens challenge team add")
    write_json(
        json_file,
        {
            "challenge": str(challenge.absolute()),
            **_terms_json(terms),
            "n_public": n_public,
            "n_private": n_private,
        },
    )


@click.command()
@registry_argument
@json_option
def status(registry: Registry, json_file: str | None) -> int:
    """Show the state of a challenge, and whether its ground truth is unchanged.

    The exit code is 1 if the labelled set is gone or has changed.

    \b
    Example:
      shoplens challenge status autumn
    """
    now = current()
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
            **_terms_json(terms),
            "round": None if on is None else on.name,
            "sealed": not over,
            "n_teams": n_teams,
            "submissions": dict(states),
            "ground_truth": trouble or "unchanged",
        },
    )
    return ShoplensError.exit_code if trouble else 0


@click.command()
@registry_argument
@click.option("--at", type=Moment(), metavar="ISO", help="The new end; it may be earlier or later.")
@click.option("--now", "at_once", is_flag=True, help="End it now; private scores are then shown.")
@who_option
@json_option
def end(
    registry: Registry, at: datetime | None, at_once: bool, who: str | None, json_file: str | None
) -> None:
    """Change when a challenge ends. It ends automatically, and cannot be reopened.

    \b
    Example:
      shoplens challenge end autumn --at 2026-12-08
      shoplens challenge end autumn --now
    """
    if at is not None and at_once:
        raise click.UsageError("--at and --now contradict each other")
    if at is None and not at_once:
        raise click.UsageError("give --at or --now")
    now = current()
    terms = move_end(registry.database, now if at is None else at, now=now, who=who)
    over = (
        "private scores are now shown"
        if terms.is_over(now)
        else "private scores are sealed until then"
    )
    message(f"{terms.title} ends {for_people(terms.ends)}: {over}")
    message(f"tell the teams the new end, and write it into {registry.pages / 'dates.md'}")
    write_json(json_file, {**_terms_json(terms), "sealed": not terms.is_over(now)})


@click.command()
@registry_argument
@who_option
@json_option
def upgrade(registry: Registry, who: str | None, json_file: str | None) -> None:
    """Upgrade a challenge that an older shoplens made.

    The earlier file is kept beside the new one. Commands that change a challenge upgrade it by
    themselves.

    \b
    Example:
      shoplens challenge upgrade autumn
    """
    backup = registry.database.upgrade(current(), who)
    if backup is None:
        message(f"{registry.folder} is up to date: schema version {VERSION}")
    else:
        message(f"{registry.folder} now has schema version {VERSION}; the earlier file is {backup}")
    write_json(
        json_file,
        {"version": VERSION, "backup": None if backup is None else str(backup.absolute())},
    )


def _terms_json(terms: Terms) -> dict[str, Any]:
    return {
        **json_values(terms, "title", "data", "n_queries", "n_gallery", "seed", "public_share"),
        **json_values(terms, "starts", "ends", "data_deadline", "selections", "places", "policy"),
        "accepts_answers": terms.accepts_answers,
        "rounds": [
            {
                **json_values(one, "name", "starts", "ends", "per_day"),
                "attempts_per_day": one.max_attempts,
                "limits": asdict(one.limits),
            }
            for one in terms.rounds
        ],
    }


def _round(text: str, common: Round) -> Round:
    """Read a --round; what it leaves out is as in `common`."""
    parts = [part.strip() for part in text.split(",")]
    if len(parts) < 3:
        raise click.BadParameter(
            f"{text!r} is not NAME,START,END, as in 'final,2026-11-01,2026-12-01,limit=600'",
            param_hint="--round",
        )
    name, start, end, *settings = parts
    try:
        one = replace(common, name=name, starts=from_text(start), ends=from_text(end))
        for setting in settings:
            key, _, value = setting.partition("=")
            if key not in _ROUND_KEYS:
                raise DataError(f"a round has no {key!r}: the keys are {', '.join(_ROUND_KEYS)}")
            field, kind = _ROUND_KEYS[key]
            number = _number(value, kind)
            if not number > 0:
                raise DataError(f"{setting!r} must be positive")
            if hasattr(one, field):
                one = replace(one, **{field: number})
            else:
                one = replace(one, limits=replace(one.limits, **{field: number}))
    except DataError as error:
        raise click.BadParameter(f"{text!r}: {error}", param_hint="--round") from None
    return one


def _number(text: str, kind: type) -> Any:
    try:
        return kind(text)
    except ValueError:
        what = "whole number" if kind is int else "number"
        raise DataError(f"{text!r} is not a {what}") from None
