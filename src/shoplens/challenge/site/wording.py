"""Numbers, times and verdicts as the pages and the terminal show them."""

from __future__ import annotations

import math

from shoplens.answers.answer import CODES
from shoplens.challenge.leaderboard import Standing

UNKNOWN = "\N{EN DASH}"

_VERDICTS = {
    "ok": "completed",
    "time_limit": "took longer than allowed",
    "memory_limit": "took more memory than allowed",
    "output_limit": "wrote more than allowed",
    "process_limit": "started more processes than allowed",
    "invalid_answer": "gave an invalid answer",
    "no_answer": "gave no answer",
    "crashed": "stopped with an error",
    "cannot_start": "could not be started",
    "harness_failed": "could not be run, through no fault of the team",
}


def verdict_words(verdict: str) -> str:
    """Say what a verdict means."""
    return _VERDICTS.get(verdict, verdict.replace("_", " "))


def reason_words(reason: str) -> str:
    """Say why a run ended; on private data the reason is a list of codes, which are explained."""
    codes = reason.split(", ")
    return "; ".join(CODES[code] for code in codes) if CODES.keys() >= {*codes} else reason


def duration(seconds: float) -> str:
    """Write seconds as `342 s`, `4.2 s`, `0.42 s` or `0.004 s`."""
    if not math.isfinite(seconds):
        return UNKNOWN
    digits = sum(seconds < limit for limit in (9.95, 0.95, 0.095))
    return f"{seconds:,.{digits}f} s"


def memory(megabytes: float) -> str:
    """Write 10^6 bytes as `830 MB` or `12.4 GB`."""
    if not math.isfinite(megabytes):
        return UNKNOWN
    return f"{megabytes:,.0f} MB" if megabytes < 999.5 else f"{megabytes / 1000:,.1f} GB"


def rank_mark(standing: Standing) -> str:
    """Write a rank, with `=` where it is shared."""
    return f"{standing.rank}=" if standing.tied else str(standing.rank)


def span_words(standing: Standing) -> str:
    """Write the ranks a team could really have, as `1` or as a range."""
    first, last = standing.span
    return str(first) if first == last else f"{first}\N{EN DASH}{last}"


def shift_words(standing: Standing) -> str:
    """Write the places won or lost since the public side, as `+2`."""
    shift = standing.shift
    if shift is None:
        return UNKNOWN
    return f"{shift:+d}".replace("-", "\N{MINUS SIGN}") if shift else "0"
