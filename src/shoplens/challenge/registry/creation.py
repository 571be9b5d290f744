"""Creating a challenge from a labelled set."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict
from datetime import datetime, timedelta
from pathlib import Path

from shoplens.challenge.registry.ground_truth import read_ground_truth
from shoplens.challenge.registry.instants import day_of, to_text
from shoplens.challenge.registry.names import clean_name, fold
from shoplens.challenge.registry.organiser_pages import check_pages, write_pages
from shoplens.challenge.registry.registry import Registry
from shoplens.challenge.registry.split import split_products
from shoplens.challenge.registry.terms import Policy, Round, check_dates, read_terms
from shoplens.challenge.sandbox.limits import Limits
from shoplens.errors import DataError, ShoplensError

DURATION = timedelta(days=60)
"""The length of a challenge whose end is not given."""


def create_challenge(
    folder: Path,
    data: Path,
    *,
    now: datetime,
    title: str | None = None,
    pages: Path | None = None,
    seed: int = 0,
    public_share: float = 0.3,
    starts: datetime | None = None,
    ends: datetime | None = None,
    data_deadline: datetime | None = None,
    rounds: Sequence[Round] = (),
    per_day: int = 5,
    attempts_per_day: int | None = None,
    limits: Limits | None = None,
    selections: int = 2,
    places: int = 3,
    policy: Policy = "strict",
    accepts_answers: bool = False,
    who: str | None = None,
) -> Registry:
    """Create a challenge: its folder, its file of records and its pages.

    The labelled set is not copied. The hashes of its tables are stored, so that a later change is
    detected.

    Args:
        folder: of the challenge; made where it is not there. Pages in it stay as they are.
        data: the labelled set, a folder.
        now: the time.
        title: None takes the folder's name.
        pages: a folder with pages of the organiser's own (see `organiser_pages.PAGES`).
        seed: of the split into a public and a private side.
        public_share: of the queries, between 0 and 1.
        starts: None takes the first round's start, or else now.
        ends: None takes the last round's end, or else 60 days from the start.
        data_deadline: of declaring external data; None puts it on the day on which
            three quarters of the time are over.
        rounds: none makes one round of the whole time, with `per_day`, `attempts_per_day` and
            `limits`.
        per_day: submissions of a team on one UTC day.
        attempts_per_day: the same with those that could not be started; None allows four times
            `per_day`.
        limits: of a run; None takes the challenge's budget, 10 minutes on 4 cores.
        selections: how many submissions a team may select for the final ranking.
        places: how many places win a prize.
        policy: how answers are checked.
        accepts_answers: let teams hand in answer arrays too, which they made on their own machines.
        who: makes it, for the trail; None takes the user's name.

    Raises:
        MissingError: the labelled set, or a folder to put the challenge in, is not there.
        DataError: the labelled set, the dates or a name is faulty, or the folder holds a challenge
            already.
        ShoplensError: the folder cannot be made or written to.
    """
    title = clean_name(folder.absolute().name if title is None else title, "title")
    if pages is not None:
        check_pages(pages)
    if starts is None:
        starts = min((one.starts for one in rounds), default=now)
    if ends is None:
        ends = max((one.ends for one in rounds), default=starts + DURATION)
    if data_deadline is None:
        begin_of_day = day_of(starts + (ends - starts) * 0.75)[0]
        data_deadline = max(starts, begin_of_day)
    if not rounds:
        rounds = (Round("main", starts, ends, per_day, limits or Limits(), attempts_per_day),)
    check_dates(starts, ends, data_deadline, rounds)
    for least, number, what in (
        (1, selections, "number of final selections"),
        (0, places, "number of prize places"),
        *((1, one.per_day, f"number of submissions a day in round {one.name!r}") for one in rounds),
        *(
            (one.per_day, one.max_attempts, f"number of attempts a day in round {one.name!r}")
            for one in rounds
        ),
    ):
        if number < least:
            raise DataError(f"the {what} must be at least {least}, got {number}")
    truth = read_ground_truth(data)
    public = split_products(truth.products, public_share, seed)

    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ShoplensError(f"cannot make {folder}: {error.strerror or error}") from error
    registry = Registry(folder)
    with registry.database.create(now, who) as change:
        change.execute(
            "INSERT INTO challenge VALUES (1, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
            (
                title,
                change.at,
                str(truth.folder),
                truth.table_hashes["gallery.csv"],
                truth.table_hashes["queries.csv"],
                truth.n_queries,
                truth.n_gallery,
                seed,
                public_share,
                to_text(starts),
                to_text(ends),
                to_text(data_deadline),
                selections,
                places,
                policy,
                accepts_answers,
            ),
        )
        for one in rounds:
            name = clean_name(one.name, "round")
            change.execute(
                "INSERT INTO rounds (name, folded, starts, ends, per_day, limits, "
                "attempts_per_day) VALUES (?, ?, ?, ?, ?, ?, ?)",
                (
                    name,
                    fold(name),
                    to_text(one.starts),
                    to_text(one.ends),
                    one.per_day,
                    json.dumps(asdict(one.limits)),
                    one.attempts_per_day,
                ),
            )
        change.connection.executemany(
            "INSERT INTO queries VALUES (?, ?, ?)",
            [
                (int(position), int(product), "public" if is_public else "private")
                for position, product, is_public in zip(
                    truth.positions, truth.products, public, strict=True
                )
            ],
        )
        change.record("challenge created", title=title, data=str(truth.folder), seed=seed)
        # Before the file is complete: a challenge that can be opened has its pages.
        terms = read_terms(change.connection)
        write_pages(registry.pages, terms, pages)
        # What other users of the machine, and submissions that run as one, need not read.
        registry.submissions.mkdir(exist_ok=True, mode=0o700)
        registry.runs.mkdir(exist_ok=True, mode=0o700)
    return registry
