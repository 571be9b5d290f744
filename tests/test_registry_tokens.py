"""Tokens by which teams submit over a network."""

from __future__ import annotations

from pathlib import Path

import pytest
from conftest import Run
from made_challenges import NOW, make_challenge

from shoplens.challenge.registry.tokens import make_token, revoke_token, team_of_token
from shoplens.challenge.registry.trail import list_events
from shoplens.errors import DataError


def test_a_token_tells_its_team_and_nothing_else_does(tmp_path: Path) -> None:
    database = make_challenge(tmp_path, "Owls", "Red Pandas").database
    token = make_token(database, "owls", now=NOW)
    other = make_token(database, "Red Pandas", now=NOW)
    assert team_of_token(database, token) == "Owls"
    assert team_of_token(database, other) == "Red Pandas"
    prefix, number, secret = token.split("_")
    for wrong in (
        "", "_", "slt", f"slt_{number}", f"slt_{number}_", f"{number}_{secret}", f"slt__{secret}",
        f"sl_{number}_{secret}", f"slt_2_{secret}", f"slt_3_{secret}", f"slt_{number}_{secret}0",
        f"slt_{'9' * 5000}_{secret}", f"slt_{'9' * 19}_{secret}", f"slt_-1_{secret}",
        f"slt_\u0661_{secret}", f"{prefix}_{number}_{secret.upper()}x", f"slt_{number}_\udcff",
    ):  # fmt: skip
        assert team_of_token(database, wrong) is None, wrong


def test_the_file_holds_no_token(tmp_path: Path) -> None:
    registry = make_challenge(tmp_path, "Owls")
    secret = make_token(registry.database, "Owls", now=NOW).rpartition("_")[2]
    for file in registry.folder.glob("challenge.db*"):
        assert secret.encode() not in file.read_bytes()
    assert secret not in str(list_events(registry.database))


def test_a_new_token_replaces_the_old_one_and_it_can_be_revoked(tmp_path: Path) -> None:
    database = make_challenge(tmp_path, "Owls").database
    with pytest.raises(DataError, match="has no token"):
        revoke_token(database, "Owls", now=NOW)
    first = make_token(database, "Owls", now=NOW)
    second = make_token(database, "Owls", now=NOW, who="boss")
    assert team_of_token(database, first) is None
    assert team_of_token(database, second) == "Owls"
    revoke_token(database, "Owls", now=NOW)
    assert team_of_token(database, second) is None
    with pytest.raises(DataError, match="no team 'Herons'"):
        make_token(database, "Herons", now=NOW)
    events = [(one.what, one.who) for one in list_events(database)[-2:]]
    assert events[0] == ("token made", "boss")
    assert events[1][0] == "token revoked"


def test_the_command(run: Run, tmp_path: Path) -> None:
    registry = make_challenge(tmp_path, "Owls")
    made = run("challenge", "team", "token", registry.folder, "Owls")
    assert team_of_token(registry.database, made.out.strip()) == "Owls"
    again = run("challenge", "team", "token", registry.folder, "Owls", "--json", "-").json
    assert team_of_token(registry.database, again["token"]) == "Owls"
    assert "revoked" in run("challenge", "team", "token", registry.folder, "Owls", "--revoke").err
    assert team_of_token(registry.database, again["token"]) is None
    assert run("challenge", "team", "token", registry.folder, "Herons").code == 1
