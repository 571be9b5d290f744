"""What the leaderboard shows: submissions as one side of the split scored them."""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path

import numpy as np
import numpy.typing as npt

from shoplens.challenge.leaderboard import Board, Entry, ExternalData, Side, TeamCard
from shoplens.challenge.registry.database import Database
from shoplens.challenge.registry.declarations import read_declarations
from shoplens.challenge.registry.instants import from_text
from shoplens.challenge.registry.names import fold, meant
from shoplens.challenge.registry.organiser_pages import read_pages
from shoplens.challenge.registry.split import read_split
from shoplens.challenge.registry.submission_rows import read_notes, read_record, read_tags, unpack
from shoplens.challenge.registry.teams import read_seekers, read_teams
from shoplens.challenge.registry.terms import Round, Terms, read_terms
from shoplens.errors import DataError


def build_board(
    database: Database,
    pages: Path,
    runs: Path,
    side: Side,
    now: datetime,
    round_name: str | None,
) -> Board:
    """See `shoplens.challenge.registry.registry.Registry.board`."""
    with database.reading() as connection:
        terms = read_terms(connection)
        split = read_split(connection)
        sealed = not terms.is_over(now)
        round = _round(terms, round_name, now)
        on_side = split.is_public if side == "public" else ~split.is_public
        updated = connection.execute("SELECT max(at) FROM events").fetchone()[0]
        several = len(terms.rounds) > 1
        return Board(
            title=f"{terms.title}, {round.name}" if several else terms.title,
            side=side,
            groups=np.unique(split.products[on_side], return_inverse=True)[1].astype(np.int64),
            entries=(
                ()
                if sealed and side == "private"
                else _entries(connection, runs, round, on_side, split.is_public, terms, sealed)
            ),
            pages=read_pages(pages),
            sealed=sealed,
            places=terms.places,
            n_queries=int(on_side.sum()),
            n_gallery=terms.n_gallery,
            teams=_cards(connection),
            seekers=read_seekers(connection),
            updated=from_text(updated),
            ends=terms.ends,
            round=round.name if several else "",
            deciding_round=terms.rounds[-1].name if several else "",
        )


def _round(terms: Terms, name: str | None, now: datetime) -> Round:
    if name is None:
        return terms.latest_round(now)
    by_fold = {fold(one.name): one for one in terms.rounds}
    if fold(name) not in by_fold:
        names = [one.name for one in terms.rounds]
        raise DataError(f"there is no round {name!r}{meant(name, names)}: {', '.join(names)}")
    return by_fold[fold(name)]


def _entries(
    connection: sqlite3.Connection,
    runs: Path,
    round: Round,
    on_side: npt.NDArray[np.bool_],
    is_public: npt.NDArray[np.bool_],
    terms: Terms,
    sealed: bool,
) -> tuple[Entry, ...]:
    rows = connection.execute(
        "SELECT submissions.*, teams.name AS team FROM submissions "
        "JOIN teams ON teams.id = team_id JOIN rounds ON rounds.id = round_id "
        "WHERE rounds.folded = ? AND verdict IS NOT NULL ORDER BY submissions.id",
        (fold(round.name),),
    ).fetchall()
    final = _final(connection, rows, is_public, terms.selections)
    entries = []
    for row in rows:
        ap = unpack(row["ap"])
        entries.append(
            Entry(
                submission_id=row["id"],
                team=row["team"],
                label=row["label"],
                submitted=from_text(row["submitted"]),
                precision=None if ap is None else ap[on_side],
                seconds=float("nan") if row["seconds"] is None else row["seconds"],
                peak_memory_mb=(
                    float("nan") if row["peak_memory_mb"] is None else row["peak_memory_mb"]
                ),
                tags=read_tags(connection, row["id"]),
                verdict=row["verdict"],
                # A run's folder holds the results of all queries.
                run=None if sealed or row["run"] is None else runs / row["run"],
                selected=row["id"] in final,
                notes=read_notes(connection, row["id"]),
                record=read_record(row, not sealed),
            )
        )
    return tuple(entries)


def _final(
    connection: sqlite3.Connection,
    rows: Sequence[sqlite3.Row],
    is_public: npt.NDArray[np.bool_],
    selections: int,
) -> set[int]:
    """Return the submissions that count: those named, or of a team that named none its best."""
    named = {row[0] for row in connection.execute("SELECT submission_id FROM selections")}
    final = {row["id"] for row in rows} & named
    by_team: dict[int, list[tuple[float, int]]] = {}
    for row in rows:
        if (ap := unpack(row["ap"])) is not None:
            # Of equal ones the earlier.
            by_team.setdefault(row["team_id"], []).append((-float(ap[is_public].mean()), row["id"]))
    for scored in by_team.values():
        if final.isdisjoint(number for _, number in scored):
            final.update(number for _, number in sorted(scored)[:selections])
    return final


def _cards(connection: sqlite3.Connection) -> tuple[TeamCard, ...]:
    declared: dict[str, list[ExternalData]] = {}
    for one in read_declarations(connection):
        declared.setdefault(one.team, []).append(
            ExternalData(one.about, one.link, one.declared, one.late)
        )
    return tuple(
        TeamCard(team.name, team.members, tuple(declared.get(team.name, ())))
        for team in read_teams(connection)
    )
