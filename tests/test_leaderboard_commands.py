from __future__ import annotations

import csv
from datetime import timedelta
from pathlib import Path

import pytest
from conftest import Run
from made_challenges import make_challenge, make_submission, score, send

from shoplens.challenge.registry.instants import current
from shoplens.challenge.registry.registry import Registry

DAY = timedelta(days=1)


def challenge_of_two(tmp_path: Path, *, over: bool) -> Registry:
    """Pandas lead on the public side, Owls on the private one; a third submission fails."""
    begin = current() - 3 * DAY
    end = begin + 2 * DAY if over else begin + 9 * DAY
    registry = make_challenge(tmp_path, "Red Pandas", "Owls", now=begin, ends=end)
    submission = make_submission(tmp_path / "mine")
    for team, public, private in (("Red Pandas", 0.625, 0.21875), ("Owls", 0.5, 0.40625)):
        send(registry, submission, team, begin, label=f"of {team}")
        score(registry, public, private, begin)
    return registry


@pytest.fixture(autouse=True)
def _narrow(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "80")


def test_the_leaderboard_is_shown_and_written(run: Run, tmp_path: Path) -> None:
    registry = challenge_of_two(tmp_path, over=False)
    table = tmp_path / "board.csv"
    result = run("challenge", "leaderboard", registry.folder, "--csv", table)
    assert result.code == 0
    assert result.out.index("Red Pandas") < result.out.index("Owls")
    assert "0.6250" in result.out
    rows = list(csv.DictReader(table.read_text("utf-8").splitlines()))
    assert [row["team"] for row in rows] == ["Red Pandas", "Owls"]
    values = run("challenge", "leaderboard", registry.folder, "--json", "-").json
    assert [s["team"] for s in values["standings"]] == ["Red Pandas", "Owls"]
    assert values["side"] == "public"
    assert values["sealed"] is True


def test_the_csv_can_go_to_standard_output(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    registry = challenge_of_two(tmp_path, over=False)
    monkeypatch.chdir(tmp_path)
    result = run("challenge", "leaderboard", registry.folder, "--csv", "-")
    assert result.code == 0
    assert not (tmp_path / "-").exists()
    rows = list(csv.DictReader(result.out.splitlines()))
    assert [row["team"] for row in rows] == ["Red Pandas", "Owls"]
    assert "95 % interval" in result.err
    both = run("challenge", "leaderboard", registry.folder, "--csv", "-", "--json", "-")
    assert both.code == 2
    assert "--csv and --json" in both.err


def test_the_private_side_is_refused_before_the_end(run: Run, tmp_path: Path) -> None:
    registry = challenge_of_two(tmp_path, over=False)
    result = run("challenge", "leaderboard", registry.folder, "--private")
    assert result.code == 1
    assert "sealed until the challenge is over" in result.err
    assert "0.40" not in result.out + result.err


def test_after_the_end_the_shake_up_is_shown(run: Run, tmp_path: Path) -> None:
    registry = challenge_of_two(tmp_path, over=True)
    values = run("challenge", "leaderboard", registry.folder, "--private", "--json", "-").json
    assert [(s["team"], s["shift"]) for s in values["standings"]] == [
        ("Owls", 1),
        ("Red Pandas", -1),
    ]
    assert "moved" in run("challenge", "leaderboard", registry.folder, "--private").out


def test_the_site_holds_nothing_private_before_the_end(run: Run, tmp_path: Path) -> None:
    registry = challenge_of_two(tmp_path, over=False)
    site = tmp_path / "site"
    values = run("challenge", "site", registry.folder, site, "--json", "-").json
    assert values["sealed"] is True
    assert values["n_written"] == values["n_files"] > 10
    everything = b"".join(p.read_bytes() for p in site.rglob("*") if p.is_file())
    assert b"0.6250" in everything
    # The private scores, and the one over both sides in the run's record.
    for secret in (b"0.2187", b"0.2188", b"0.4062", b"0.4063", b"0.98765", b"0.9877"):
        assert secret not in everything
    assert run("challenge", "site", registry.folder, site, "--json", "-").json["n_written"] == 0


def test_the_site_of_this_folder_needs_only_where_to(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    registry = challenge_of_two(tmp_path, over=True)
    monkeypatch.chdir(registry.folder)
    assert run("challenge", "site", tmp_path / "site").code == 0
    page = (tmp_path / "site" / "index.html").read_text("utf-8")
    assert "Final ranking" in page
    assert "0.4062" in page
    assert run("challenge", "site", "a", "b", "c").code == 2


@pytest.mark.parametrize("inside", ["", "site", "pages", ".."])
def test_the_site_is_never_mixed_with_the_challenge(run: Run, tmp_path: Path, inside: str) -> None:
    registry = challenge_of_two(tmp_path, over=False)
    before = sorted(registry.folder.parent.rglob("*"))
    result = run("challenge", "site", registry.folder, registry.folder / inside)
    assert result.code == 1
    assert "choose a folder beside it" in result.err
    assert sorted(registry.folder.parent.rglob("*")) == before


def test_what_is_no_challenge_is_missing(run: Run, tmp_path: Path) -> None:
    assert run("challenge", "site", tmp_path, tmp_path / "site").code == 3
    assert run("challenge", "leaderboard", tmp_path).code == 3
    registry = challenge_of_two(tmp_path, over=False)
    assert run("challenge", "leaderboard", registry.folder, "--round", "mian").code == 1
