"""Proposed boxes, best first."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, overload

from shoplens.records import Box


@dataclass(frozen=True, slots=True)
class BoxProposal:
    """A box that may hold the product."""

    box: Box
    """In whole pixels of the upright photo, all of it inside."""
    score: float
    """0..1, higher is better: how well the box holds what stands out, and nothing else. It
    compares boxes of one photo; it is no probability."""

    def to_json(self) -> dict[str, Any]:
        """Return the proposal as the service writes it."""
        return {"box": str(self.box), "score": self.score}


@dataclass(frozen=True, slots=True)
class BoxProposals(Sequence[BoxProposal]):
    """The boxes proposed for a photo, best first: a sequence of `BoxProposal`, never empty."""

    width: int
    """Of the upright photo, in pixels."""
    height: int
    proposals: tuple[BoxProposal, ...]

    @overload
    def __getitem__(self, index: int) -> BoxProposal: ...
    @overload
    def __getitem__(self, index: slice) -> tuple[BoxProposal, ...]: ...
    def __getitem__(self, index: int | slice) -> BoxProposal | tuple[BoxProposal, ...]:
        return self.proposals[index]

    def __iter__(self) -> Iterator[BoxProposal]:
        return iter(self.proposals)

    def __len__(self) -> int:
        return len(self.proposals)

    def to_json(self) -> dict[str, Any]:
        """Return the proposals as the service writes them."""
        return {
            "width": self.width,
            "height": self.height,
            "boxes": [proposal.to_json() for proposal in self],
        }
