"""What comes out of the routes of a challenge, described for OpenAPI."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel

from shoplens.server.schemas import example

SUBMISSIONS = "/v1/challenge/submissions"
"""Where teams hand in."""


class RoundAnswer(BaseModel):
    """A round of a challenge."""

    name: str
    ends: str
    per_day: int
    """Submissions of a team on one UTC day."""
    attempts_per_day: int
    """The same with those that could not be started."""


class ChallengeAnswer(BaseModel):
    """What a challenge asks for, and until when. Times are in UTC."""

    model_config = example(
        {
            "title": "Furniture in autumn",
            "starts": "2026-10-01T00:00:00.000000Z",
            "ends": "2026-12-01T00:00:00.000000Z",
            "n_queries": 14000,
            "n_gallery": 26000,
            "policy": "strict",
            "accepts_answers": True,
            "sealed": True,
            "round": {
                "name": "main",
                "ends": "2026-12-01T00:00:00.000000Z",
                "per_day": 5,
                "attempts_per_day": 20,
            },
        }
    )

    title: str
    starts: str
    ends: str
    n_queries: int
    n_gallery: int
    policy: Literal["strict", "lenient"]
    """How answers are checked."""
    accepts_answers: bool
    """Whether answer arrays are taken, besides folders that are run."""
    sealed: bool
    """Whether private scores are not shown yet."""
    round: RoundAnswer | None
    """The round that is on."""


class ReceiptAnswer(BaseModel):
    """What a team is told about its submission."""

    model_config = example(
        {"submission": 7, "round": "main", "content": "91043a10", "left_today": 4, "same_as": []}
    )

    submission: int
    """Its number."""
    round: str
    content: str
    """Hash of what was submitted."""
    left_today: int
    """How many more the team may hand in on this UTC day."""
    same_as: list[int]
    """Earlier submissions of the team with the same contents."""


class NoteAnswer(BaseModel):
    """A note to a submission."""

    written: str
    author: str
    text: str


class FindingAnswer(BaseModel):
    """Something that the check of an answer found."""

    level: str
    code: str
    text: str


_SUBMISSION = {
    "submission": 7,
    "team": "Owls",
    "round": "main",
    "label": "two crops",
    "kind": "answer",
    "content": "91043a10",
    "submitted": "2026-11-24T17:22:03.650570Z",
    "state": "done",
    "finished": "2026-11-24T17:22:09.102233Z",
    "counted": True,
    "verdict": "ok",
    "reason": "",
    "wall_seconds": None,
    "peak_memory_mb": None,
    "selected": False,
    "tags": ["answer array"],
    "notes": [],
    "findings": [],
    "public": 0.7952,
    "private": None,
}


class SubmissionAnswer(BaseModel):
    """A submission, as its team may see it."""

    model_config = example(_SUBMISSION)

    submission: int
    team: str
    round: str
    label: str
    kind: Literal["folder", "answer"]
    content: str
    submitted: str
    state: Literal["queued", "running", "done", "failed"]
    """`failed` through a fault of the organiser's machine, `done` otherwise."""
    finished: str | None
    counted: bool
    """Whether it counts towards the limit of the day."""
    verdict: str | None
    reason: str | None
    wall_seconds: float | None
    peak_memory_mb: float | None
    selected: bool
    """Whether the team named it as a final one."""
    tags: list[str]
    notes: list[NoteAnswer]
    findings: list[FindingAnswer]
    public: float | None
    """mAP@1000 on the public side."""
    private: float | None
    """The same on the private side; null until the challenge is over."""


class SubmissionsAnswer(BaseModel):
    """Submissions, the earliest first."""

    model_config = example({"submissions": [_SUBMISSION]})

    submissions: list[SubmissionAnswer]
