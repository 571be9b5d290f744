"""The leaderboard as JSON and CSV."""

from __future__ import annotations

import csv
import io
import math
import unicodedata
from collections.abc import Sequence
from typing import Any

from shoplens.challenge.leaderboard import Board, Entry, Standing, score
from shoplens.challenge.registry.instants import to_text

METRIC = "map@1000"

COLUMNS = (
    "rank",
    "tied",
    "rank_low",
    "rank_high",
    "place",
    "team",
    "submission_id",
    "label",
    "submitted",
    METRIC,
    "low",
    "high",
    "seconds",
    "peak_memory_mb",
    "tags",
    "n_submissions",
    "public_rank",
    "public_place",
    "shift",
)


def board_json(board: Board, ranking: Sequence[Standing]) -> dict[str, Any]:
    """Return a board and its standings as `shoplens challenge leaderboard --json` writes them."""
    return {
        "title": board.title,
        "side": board.side,
        "sealed": board.sealed,
        "updated": None if board.as_of is None else to_text(board.as_of),
        "n_queries": board.n_queries,
        "n_gallery": board.n_gallery,
        "places": board.places,
        "standings": [_standing(standing) for standing in ranking],
        "submissions": [_submission(entry, board.sealed) for entry in board.entries],
    }


_BEGINS_A_FORMULA = frozenset("=+-@\t\r")


def standings_csv(ranking: Sequence[Standing]) -> str:
    """Return the standings as CSV, a row a team, with the columns `COLUMNS`.

    Texts that a spreadsheet would take for a formula start with an apostrophe.
    """
    stream = io.StringIO()
    writer = csv.writer(stream, lineterminator="\n")
    writer.writerow(COLUMNS)
    for standing in ranking:
        values = _standing(standing)
        metric = values.pop("metrics")[METRIC]
        values |= {
            METRIC: metric["value"],
            "low": metric["low"],
            "high": metric["high"],
            "tags": "; ".join(values["tags"]),
            "tied": str(values["tied"]).lower(),
        }
        writer.writerow([_cell(values[column]) for column in COLUMNS])
    return stream.getvalue()


def _standing(standing: Standing) -> dict[str, Any]:
    e = standing.estimate
    public = standing.public
    return {
        "rank": standing.rank,
        "tied": standing.tied,
        "rank_low": standing.span[0],
        "rank_high": standing.span[1],
        "place": standing.place,
        "team": standing.entry.team,
        "submission_id": standing.entry.submission_id,
        "label": standing.entry.label,
        "submitted": to_text(standing.entry.submitted),
        "metrics": {METRIC: {"value": e.value, "low": e.low, "high": e.high}},
        "seconds": _number(standing.entry.seconds),
        "peak_memory_mb": _number(standing.entry.peak_memory_mb),
        "tags": list(standing.entry.tags),
        "n_submissions": standing.n_submissions,
        "public_rank": public and public.rank,
        "public_place": public and public.place,
        "shift": standing.shift,
        "history": [
            {"since": to_text(best.since), METRIC: best.score, "submission_id": best.submission_id}
            for best in standing.history
        ],
    }


def _submission(entry: Entry, sealed: bool) -> dict[str, Any]:
    return {
        "submission_id": entry.submission_id,
        "team": entry.team,
        "label": entry.label,
        "submitted": to_text(entry.submitted),
        "verdict": entry.verdict,
        METRIC: score(entry),
        "seconds": _number(entry.seconds),
        "peak_memory_mb": _number(entry.peak_memory_mb),
        "tags": list(entry.tags),
        # Until the end it is the team's own business which of its submissions count.
        "selected": None if sealed else entry.selected,
    }


def _number(value: float) -> float | None:
    return float(value) if math.isfinite(value) else None


def _cell(value: Any) -> Any:
    # Full-width signs are read as plain ones by some.
    if isinstance(value, str) and unicodedata.normalize("NFKC", value[:1]) in _BEGINS_A_FORMULA:
        return "'" + value
    return value
