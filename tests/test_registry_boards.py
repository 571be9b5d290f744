from __future__ import annotations

import json
from datetime import timedelta
from pathlib import Path

import numpy as np
import pytest
from made_challenges import END, NOW, make_challenge, make_submission, score, send, split_of

from shoplens.challenge.leaderboard import standings
from shoplens.challenge.registry.annotations import add_note, select
from shoplens.challenge.registry.declarations import declare
from shoplens.challenge.registry.queue import SubmissionOutcome, claim, finish
from shoplens.challenge.registry.registry import Registry
from shoplens.challenge.registry.submissions import list_submissions
from shoplens.challenge.registry.teams import seek
from shoplens.challenge.registry.terms import Round
from shoplens.errors import DataError

DAY = timedelta(days=1)
BEFORE_THE_END = END - timedelta(microseconds=1)


@pytest.fixture
def registry(tmp_path: Path) -> Registry:
    """Owls have 0.5/0.1, 0.9/0.2 and 0.7/0.9 on the public and private side, Pandas 0.8/0.7."""
    registry = make_challenge(tmp_path, "Owls", "Pandas", selections=2)
    submission = make_submission(tmp_path / "mine")
    for team, public, private in (
        ("Owls", 0.5, 0.1),
        ("Owls", 0.9, 0.2),
        ("Owls", 0.7, 0.9),
        ("Pandas", 0.8, 0.7),
    ):
        send(registry, submission, team)
        score(registry, public, private)
    return registry


def test_sides_are_scored_on_their_own_queries(registry: Registry) -> None:
    split = split_of(registry)
    public, private = registry.board("public", END), registry.board("private", END)
    assert (public.n_queries, private.n_queries) == (12, 28)
    assert len(public.groups) == 12
    assert len(set(public.groups)) + len(set(private.groups)) == len(set(split.products))
    assert sorted(set(public.groups)) == list(range(len(set(public.groups))))
    for board, value in ((public, 0.5), (private, 0.1)):
        precision = board.entries[0].precision
        assert precision is not None
        assert precision.tolist() == [value] * board.n_queries


def test_private_scores_are_sealed_until_the_end(registry: Registry) -> None:
    board = registry.board("private", BEFORE_THE_END)
    assert board.sealed
    assert board.entries == ()
    assert registry.board("public", BEFORE_THE_END).sealed
    open_board = registry.board("private", END)
    assert not open_board.sealed
    assert len(open_board.entries) == 4
    # By the clock, which is past the end or before it like any other moment.
    assert registry.board("private").sealed == registry.board("public").sealed


def test_nothing_that_is_private_leaves_the_registry_before_the_end(registry: Registry) -> None:
    for one in list_submissions(registry, BEFORE_THE_END):
        assert one.private is None
        assert one.public is not None
        assert dict(one.record) == {"verdict": "ok"}
    for entry in registry.board("public", BEFORE_THE_END).entries:
        assert entry.run is None
        assert entry.record == {"verdict": "ok"}
        assert entry.precision is not None
        assert len(entry.precision) == 12
    assert [one.private for one in list_submissions(registry, END)] == pytest.approx(
        [0.1, 0.2, 0.9, 0.7]
    )
    entry = registry.board("public", END).entries[0]
    assert entry.run == registry.runs / "000001-1"
    assert entry.record["metrics"]["map@1000"]["value"] == 0.987654


def test_a_team_that_names_none_counts_with_its_best_public_ones(registry: Registry) -> None:
    def final(now: object = END) -> list[int]:
        return [e.submission_id for e in registry.board("private", END).entries if e.selected]

    assert final() == [2, 3, 4]
    select(registry.database, "Owls", [1], now=NOW)
    assert final() == [1, 4]
    select(registry.database, "Owls", [], now=NOW)
    assert final() == [2, 3, 4]


def test_of_equal_scores_the_earlier_counts(tmp_path: Path) -> None:
    registry = make_challenge(tmp_path, "Owls", selections=1)
    submission = make_submission(tmp_path / "mine")
    for _ in range(3):
        send(registry, submission, "Owls")
        score(registry, 0.5, 0.5)
    selected = [e.submission_id for e in registry.board("private", END).entries if e.selected]
    assert selected == [1]


def test_the_shake_up_shows_in_the_standings(registry: Registry) -> None:
    public = standings(registry.board("public", END))
    assert [one.entry.team for one in public] == ["Owls", "Pandas"]
    select(registry.database, "Owls", [2], now=NOW)
    private = standings(registry.board("private", END), public)
    assert [(one.entry.team, one.estimate.value) for one in private] == [
        ("Pandas", pytest.approx(0.7)),
        ("Owls", pytest.approx(0.2)),
    ]


def test_submissions_without_a_score_are_listed_and_those_that_wait_are_not(
    tmp_path: Path,
) -> None:
    registry = make_challenge(tmp_path, "Owls")
    submission = make_submission(tmp_path / "mine")
    send(registry, submission, "Owls")
    send(registry, submission, "Owls")
    mine = claim(registry.database, "tests", now=NOW)
    assert mine is not None
    finish(registry.database, mine, SubmissionOutcome("crashed", "made", counted=True), now=NOW)
    (entry,) = registry.board("public", NOW).entries
    assert (entry.verdict, entry.precision, entry.selected) == ("crashed", None, False)
    assert np.isnan(entry.seconds)
    assert np.isnan(entry.peak_memory_mb)
    json.dumps(dict(entry.record), allow_nan=False)


def test_each_round_has_its_board(tmp_path: Path) -> None:
    rounds = (Round("Warm-up", NOW, NOW + DAY, 9), Round("final", NOW + 2 * DAY, END, 9))
    registry = make_challenge(tmp_path, "Owls", rounds=rounds, title="Autumn")
    submission = make_submission(tmp_path / "mine")
    for moment in (NOW, NOW + 2 * DAY):
        send(registry, submission, "Owls", moment)
        score(registry, 0.5, 0.5, moment)

    def shown(now: object, name: str | None = None) -> tuple[str, list[int]]:
        board = registry.board("public", now, round=name)  # type: ignore[arg-type]
        return board.title, [entry.submission_id for entry in board.entries]

    assert shown(NOW - DAY) == ("Autumn, Warm-up", [1])
    assert shown(NOW + DAY) == ("Autumn, Warm-up", [1])
    assert shown(NOW + 2 * DAY) == ("Autumn, final", [2])
    assert shown(END + DAY) == ("Autumn, final", [2])
    warm_up = registry.board("public", NOW)
    assert (warm_up.round, warm_up.deciding_round, warm_up.ends) == ("Warm-up", "final", END)
    assert shown(END, "warm-UP") == ("Autumn, Warm-up", [1])
    with pytest.raises(DataError, match="no round 'finale'; did you mean 'final'"):
        shown(END, "finale")


def test_what_all_may_see_is_on_the_board(tmp_path: Path) -> None:
    registry = make_challenge(tmp_path, "Owls", places=2)
    database = registry.database
    send(registry, make_submission(tmp_path / "mine"), "Owls", label="first")
    score(registry, 0.5, 0.5)
    add_note(database, 1, "two crops", now=NOW, who="Ada")
    add_note(database, 1, "averaged", now=NOW, who="Ada")
    declare(database, "Owls", "https://a.example", "shoes, CC0", now=NOW)
    seek(database, "Grace", "grace@example.org", "has a GPU", now=NOW + DAY)
    (registry.pages / "rules.md").write_text("# Be fair\n")
    (registry.pages / "prizes.md").unlink()
    board = registry.board("public", NOW)
    assert board.title == "challenge"
    assert (board.places, board.n_gallery) == (2, 40)
    assert board.pages["rules"] == "# Be fair\n"
    assert "prizes" not in board.pages
    assert [(card.name, card.members) for card in board.teams] == [("Owls", ())]
    assert [data.link for data in board.teams[0].external] == ["https://a.example"]
    assert [seeker.name for seeker in board.seekers] == ["Grace"]
    assert board.updated == NOW + DAY
    assert board.entries[0].label == "first"
    assert [note.text for note in board.entries[0].notes] == ["two crops", "averaged"]
    assert {(note.author, note.written) for note in board.entries[0].notes} == {("Ada", NOW)}
    assert (board.ends, board.round, board.deciding_round) == (END, "", "")
