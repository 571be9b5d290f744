"""How fast a stage of long work is, as it is shown."""

from __future__ import annotations

CLOCKS = frozenset({"run"})
"""Stages that count seconds up to a limit: they have no rate, and need not last that long."""


def shown_rate(speed: float) -> str:
    """Return a rate as it is shown: steps of a training take seconds each."""
    return f"{speed:,.0f}/s" if speed >= 10 else f"{speed:.2g}/s"
