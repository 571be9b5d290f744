"""How a submission's run ended: the verdict, the reason, and what its team may read of it."""

from __future__ import annotations

import builtins
from collections.abc import Mapping
from typing import Any, Literal

from shoplens.challenge.sandbox.supervision import Outcome

Verdict = Literal[
    "ok", "time_limit", "memory_limit", "output_limit", "process_limit",
    "invalid_answer", "crashed", "no_answer", "cannot_start",
]  # fmt: skip

PHASES = ("import", "construct", "predict", "answer")
"""The phases of a submission's own time, as its program reports them."""

_SHOWN = 500
"""Characters of a text of the submission's that are shown outside its log."""
_BUILT_IN = frozenset(
    name
    for name, value in vars(builtins).items()
    if isinstance(value, type) and issubclass(value, BaseException)
)
_OWN_EXCEPTION = "an exception that is not built into Python"


def verdict_of(outcome: Outcome, private: bool) -> tuple[Verdict, str]:
    """Return the verdict and the reason, before the answer is checked.

    Args:
        outcome: what came of the program.
        private: whether the reason must not carry anything of the data.
    """
    if outcome.failure is not None:
        return "cannot_start", outcome.failure
    if outcome.exceeded is not None:
        return outcome.exceeded, outcome.detail
    told = {key: value for _, message in outcome.messages for key, value in message.items()}
    where = told.get("phase") if told.get("phase") in PHASES else "start"
    if outcome.code:
        kinds: dict[str, tuple[Verdict, str]] = {
            "memory": ("memory_limit", "it asked for more memory than there is"),
            "disk": ("output_limit", "it wrote more files than its scratch folder holds"),
            "processes": ("process_limit", "it could start no more processes or threads"),
        }
        kind = told.get("kind")
        if isinstance(kind, str) and kind in kinds:
            return kinds[kind]
        if outcome.scratch_full:
            return kinds["disk"]
        return "crashed", f"{where}: {_ending(outcome.code, told, private)}"
    if "refused" in told:
        return "invalid_answer", "not an array of numbers" if private else _text(told["refused"])
    if "no_answer" in told:
        return "no_answer", "predict_product_ranks returned None"
    if not outcome.answer_bytes:
        return "no_answer", f"it ended in {where}"
    return "ok", ""


def phases_of(outcome: Outcome) -> dict[str, float]:
    """Return the seconds of each phase, from when the submission's program reported it."""
    marks = [("start", 0.0)]
    for seconds, message in outcome.messages:
        name = message.get("phase")
        if name in (*PHASES, "end") and name not in dict(marks):
            marks.append((name, seconds))
    ends = [seconds for _, seconds in marks[1:]] + [outcome.wall_seconds]
    return {
        name: end - begin
        for (name, begin), end in zip(marks, ends, strict=True)
        if name != "end" and end >= begin
    }


def _ending(code: int, told: Mapping[str, Any], private: bool) -> str:
    if code < 0:
        return f"killed by signal {-code}"
    name = told.get("error")
    if not isinstance(name, str):
        return f"it ended with exit code {code}"
    if private:
        # A class may be made on the spot, with a name that carries the data.
        return name if name in _BUILT_IN else _OWN_EXCEPTION
    text = _text(told.get("text"))
    return f"{_text(name)}: {text}" if text else _text(name)


def _text(value: object) -> str:
    """Return one printable line."""
    line = " ".join(str(value or "").split())[:_SHOWN]
    return "".join(c if c.isprintable() else "?" for c in line)


def safe_log(outcome: Outcome) -> str:
    """Return what a team may read of a run on private data: its own message, cut to a length."""
    told = [_text(message["message"]) for _, message in outcome.messages if "message" in message]
    lines = ["What was printed is withheld, because the data are private."]
    return "\n".join(lines + [f"raise_aicrowd_error: {text}" for text in told[:1]]) + "\n"
