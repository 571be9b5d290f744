"""Chains of re-rankers, and their text: `dba:k=5 + alpha-qe:k=4,alpha=3`.

    chain     = "none" | step { "+" step }
    step      = name [ ":" parameter { "," parameter } ]
    parameter = name "=" number

Spaces are allowed between the parts. Parameters that are not given have their defaults.
"""

from __future__ import annotations

import difflib
import math
import re
import time
from dataclasses import Field, dataclass, replace
from typing import Any

from shoplens.errors import ChainError, RankingError
from shoplens.progress import Progress, silent
from shoplens.reranking.methods import METHODS
from shoplens.reranking.reranker import Cost, Ranked, Reranker

NONE = "none"
"""The chain without a step."""
AUTO = "auto"
"""What some commands take for a chain that they choose."""

_SPACE = re.compile(r"\s*")
_NAME = re.compile(r"[A-Za-z0-9_-]+")
_NUMBER = re.compile(r"[+-]?(?:[0-9]+(?:\.[0-9]*)?|\.[0-9]+)")


@dataclass(frozen=True, slots=True)
class Chain:
    """Re-rankers that are applied one after the other."""

    steps: tuple[Reranker, ...] = ()

    def __str__(self) -> str:
        """Return the text that `parse_chain` reads."""
        return "+".join(map(str, self.steps)) or NONE

    @property
    def names(self) -> tuple[str, ...]:
        """The steps with their parameters, as results name them."""
        return tuple(map(str, self.steps))

    @property
    def batch_side(self) -> bool:
        """Whether a step uses the other queries of the run."""
        return any(step.batch_side for step in self.steps)

    @property
    def reads_photos(self) -> bool:
        """Whether a step needs the photos themselves."""
        return any(step.reads_photos for step in self.steps)

    @property
    def needs_products(self) -> bool:
        """Whether a step needs the products of gallery photos."""
        return any(step.needs_products for step in self.steps)

    def without_products(self) -> Chain:
        """Return the steps that need no products."""
        return Chain(tuple(step for step in self.steps if not step.needs_products))

    def costs(self, ranked: Ranked) -> tuple[Cost, ...]:
        """Estimate what each step takes."""
        return tuple(step.cost(ranked) for step in self.steps)

    def rerank(self, ranked: Ranked, *, progress: Progress = silent) -> Ranked:
        """Apply the steps.

        Returns:
            The result with its vectors; the ranking's `chain`, `batch_side` and `seconds` tell of
            the steps.

        Raises `RankingError` if a step cannot be taken.
        """
        for step in self.steps:
            before, started = ranked.ranking, time.perf_counter()

            def told(stage: str, done: int, total: int, name: str = step.name) -> None:
                progress(f"{name}: {stage}", done, total)

            ranked = step.rerank(ranked, progress=told)
            spent = before.seconds.get("rerank", 0.0) + time.perf_counter() - started
            ranking = replace(
                ranked.ranking,
                chain=(*before.chain, str(step)),
                batch_side=before.batch_side or step.batch_side,
                seconds={**before.seconds, "rerank": spent},
            )
            ranked = replace(ranked, ranking=ranking)
        return ranked


NO_STEPS = Chain()
"""The chain that changes nothing."""


def parse_chain(text: str) -> Chain:
    """Read a chain.

    Raises `ChainError` at the first character that is not as expected.
    """
    return _Parser(text).chain()


def online_chain(rerank: str | Chain) -> Chain:
    """Return the chain that a search re-ranks by.

    Raises `ChainError` if the text is none, and `RankingError` if a step needs other queries.
    """
    chain = parse_chain(rerank) if isinstance(rerank, str) else rerank
    if wrong := [step.name for step in chain.steps if step.batch_side]:
        raise RankingError(
            f"{wrong[0]} is batch-side: it uses the other queries of a run, and a search has none. "
            "Use it with `shoplens rank`, or search with gallery-side methods"
        )
    return chain


class _Parser:
    """Reads a chain from left to right."""

    def __init__(self, text: str) -> None:
        self._text = text
        self._position = 0

    def chain(self) -> Chain:
        start = self._skip()
        if self._word(start) == AUTO:
            raise ChainError(
                self._text,
                start,
                "auto is for commands that choose a chain and print it: run `shoplens search "
                "PHOTO --catalog URI --rerank auto` or `shoplens evaluate DATASET --rerank auto` "
                "once, and name the chain here",
            )
        if self._word(start) == NONE:
            self._position = start + len(NONE)
            self._end("a chain of steps stands alone, without none")
            return NO_STEPS
        steps = [self._step()]
        while self._take("+"):
            steps.append(self._step())
        self._end("a step is followed by + and the next step")
        return Chain(tuple(steps))

    def _step(self) -> Reranker:
        start = self._skip()
        name = self._word(start)
        methods = {method.name: method for method in METHODS}
        if name not in methods:
            raise ChainError(self._text, start, _unknown("method", name, list(methods)))
        self._position = start + len(name)
        method = methods[name]
        values: dict[str, float] = {}
        if self._take(":"):
            self._parameter(method, values)
            while self._take(","):
                self._parameter(method, values)
        return method(**values)

    def _parameter(self, method: type[Reranker], values: dict[str, float]) -> None:
        start = self._skip()
        name = self._word(start)
        known = {one.name: one for one in method.parameters()}
        if name not in known:
            problem = _unknown(f"parameter of {method.name}", name, list(known))
            raise ChainError(self._text, start, problem)
        if name in values:
            raise ChainError(self._text, start, f"{name} is given twice")
        self._position = start + len(name)
        if not self._take("="):
            raise ChainError(self._text, self._position, f"{name} needs a value: {name}=2")
        values[name] = self._number(known[name])

    def _number(self, declared: Field[Any]) -> float:
        start = self._skip()
        found = _NUMBER.match(self._text, start)
        if found is None:
            raise ChainError(self._text, start, f"{declared.name} must be a number")
        whole = isinstance(declared.default, int) and declared.type in ("int", int)
        value = float(found[0])
        if whole and not value.is_integer():
            raise ChainError(self._text, start, f"{declared.name} must be a whole number")
        least, most = declared.metadata["least"], declared.metadata["most"]
        if not (least <= value <= most and math.isfinite(value)):
            problem = f"{declared.name} must be between {least:g} and {most:g}"
            raise ChainError(self._text, start, problem)
        self._position = found.end()
        return int(value) if whole else value

    def _skip(self) -> int:
        """Go to the next character that is not a space."""
        self._position = _SPACE.match(self._text, self._position).end()  # type: ignore[union-attr]
        return self._position

    def _word(self, start: int) -> str:
        found = _NAME.match(self._text, start)
        return found[0] if found else ""

    def _take(self, sign: str) -> bool:
        """Go past a sign, if it comes next."""
        start = self._skip()
        if not self._text.startswith(sign, start):
            return False
        self._position = start + 1
        return True

    def _end(self, problem: str) -> None:
        if self._skip() < len(self._text):
            raise ChainError(self._text, self._position, problem)


def _unknown(kind: str, name: str, known: list[str]) -> str:
    listed = ", ".join(known)
    if not name:
        return f"a {kind} is expected here: {listed}"
    close = difflib.get_close_matches(name, known, n=1)
    return f"{name!r} is no {kind}; " + (f"did you mean {close[0]}?" if close else f"use {listed}")
