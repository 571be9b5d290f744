"""API keys in their file, and how many requests a key may make."""

from __future__ import annotations

import json
import stat
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from conftest import Run
from hypothesis import given
from hypothesis import strategies as st

from shoplens.errors import DataError, MissingError
from shoplens.server.keys import (
    SCOPES,
    KeyScope,
    create_key,
    load_keys,
    read_keys,
    revoke_key,
)
from shoplens.server.rate_limit import RateLimiter, address_of


def test_a_key_is_found_by_its_text_and_by_nothing_else(tmp_path: Path) -> None:
    file = tmp_path / "keys.json"
    made = create_key(file, "write", name="stock", rate=60)
    other = create_key(file, "search")
    keys = load_keys(file)
    assert len(keys) == 2
    assert keys.find(made.text) == made.key
    prefix, key_id, secret = made.text.split("_")
    assert (prefix, key_id, len(secret)) == ("sl", made.key.id, 64)
    for wrong in (
        "", "_", "__", "sl", f"sl_{key_id}", f"sl_{key_id}_", f"{key_id}_{secret}",
        f"xx_{key_id}_{secret}", f"sl_{key_id}_{secret[:-1]}", f"sl_{key_id}_{secret}0",
        f"sl_{other.key.id}_{secret}", f"sl__{secret}", f"sl_{key_id}_{secret.upper()}_",
        f" {made.text}", f"{made.text} ", f"sl_{key_id}_{made.key.sha256}", "sl_é_\udcff",
    ):  # fmt: skip
        assert keys.find(wrong) is None, wrong


@given(text=st.text())
def test_no_other_text_is_a_key(tmp_path_factory: pytest.TempPathFactory, text: str) -> None:
    file = tmp_path_factory.getbasetemp() / "others.json"
    if not file.exists():
        create_key(file, "admin")
    assert load_keys(file).find(text) is None


def test_the_file_holds_no_secret_and_is_for_its_owner_alone(tmp_path: Path) -> None:
    file = tmp_path / "keys.json"
    made = create_key(file, "admin", name="boss")
    assert made.text.rpartition("_")[2] not in file.read_text()
    assert made.text not in repr(made)
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    file.chmod(0o644)
    create_key(file, "search")
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    [first, _] = json.loads(file.read_text())["keys"]
    assert first.keys() == {"id", "scope", "sha256", "created", "name", "rate"}


@pytest.mark.parametrize("scope", SCOPES)
def test_a_scope_has_those_before_it(tmp_path: Path, scope: KeyScope) -> None:
    key = create_key(tmp_path / "keys.json", scope).key
    assert [key.allows(one) for one in SCOPES] == [
        SCOPES.index(one) <= SCOPES.index(scope) for one in SCOPES
    ]


def test_open_keys_follow_the_file(tmp_path: Path) -> None:
    file = tmp_path / "keys.json"
    made, kept = create_key(file, "search"), create_key(file, "search")
    keys = load_keys(file)
    late = create_key(file, "admin")
    assert keys.find(late.text) == late.key
    assert revoke_key(file, made.key.id) == made.key
    assert keys.find(made.text) is None
    assert keys.find(kept.text) == kept.key


def test_without_a_sound_file_no_key_is_valid(tmp_path: Path) -> None:
    file = tmp_path / "keys.json"
    with pytest.raises(MissingError, match="shoplens keys create"):
        load_keys(file)
    made = create_key(file, "search")
    keys = load_keys(file)
    sound = file.read_text()
    file.write_text("{}")
    for _ in range(2):
        with pytest.raises(DataError, match=r"keys\.json"):
            keys.find(made.text)
    file.unlink()
    with pytest.raises(MissingError, match="shoplens keys create"):
        keys.find(made.text)
    file.write_text(sound)
    assert keys.find(made.text) == made.key


@pytest.mark.parametrize(
    "text",
    [
        "", "[]", "null", '{"version": 1}', '{"version": 2, "keys": []}', "[" * 100_000,
        '{"version": 1, "keys": [{"id": "a"}]}', '{"version": 1, "keys": [], "more": 1}',
    ],
)  # fmt: skip
def test_other_files_are_refused(tmp_path: Path, text: str) -> None:
    file = tmp_path / "keys.json"
    file.write_text(text)
    with pytest.raises(DataError, match=r"keys\.json"):
        load_keys(file)
    with pytest.raises(DataError, match=r"keys\.json"):
        create_key(file, "search")
    assert file.read_text() == text


@pytest.mark.parametrize(
    "change",
    [
        {"scope": "root"}, {"sha256": "00"}, {"sha256": "G" * 64}, {"id": "../a"}, {"id": ""},
        {"rate": 0}, {"rate": "many"}, {"sha256": None}, {"scop": "search"},
    ],
)  # fmt: skip
def test_a_key_that_was_edited_badly_is_refused(tmp_path: Path, change: dict[str, object]) -> None:
    file = tmp_path / "keys.json"
    create_key(file, "search")
    values = json.loads(file.read_text())
    values["keys"][0] |= change
    file.write_text(json.dumps(values))
    with pytest.raises(DataError, match=r"keys\.json"):
        load_keys(file)


def test_two_keys_with_one_id_are_refused(tmp_path: Path) -> None:
    file = tmp_path / "keys.json"
    create_key(file, "search")
    values = json.loads(file.read_text())
    values["keys"].append({**values["keys"][0], "scope": "admin"})
    file.write_text(json.dumps(values))
    with pytest.raises(DataError, match="two keys with one id"):
        load_keys(file)


def test_keys_that_are_made_and_revoked_at_once_are_all_accounted_for(tmp_path: Path) -> None:
    file = tmp_path / "keys.json"
    old = [create_key(file, "search").key.id for _ in range(10)]
    with ThreadPoolExecutor(8) as threads:
        made = [threads.submit(create_key, file, "search") for _ in range(20)]
        gone = [threads.submit(revoke_key, file, one) for one in old]
        for one in gone:
            one.result()
    assert {key.id for key in read_keys(file)} == {one.result().key.id for one in made}


def test_a_file_of_keys_that_is_a_link_stays_one(tmp_path: Path) -> None:
    file, link = tmp_path / "keys.json", tmp_path / "link.json"
    create_key(file, "search")
    link.symlink_to(file)
    keys = load_keys(link)
    made = create_key(link, "search")
    assert link.is_symlink()
    assert keys.find(made.text) == made.key
    assert len(load_keys(file)) == 2


@pytest.mark.parametrize("name", ["x" * 101, "a\nb", "a\x1b[0m", "\u202eabc"])
def test_names_that_cannot_be_shown_are_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(DataError, match="name"):
        create_key(tmp_path / "keys.json", "search", name=name)
    assert not list(tmp_path.iterdir())


# The command.


def test_the_command_makes_lists_and_revokes(run: Run, tmp_path: Path) -> None:
    file = tmp_path / "keys.json"
    made = run("keys", "create", "--scope", "write", "--name", "sync", "--rate", 9, "--file", file)
    assert made.code == 0
    text = made.out.strip()
    key = load_keys(file).find(text)
    assert key is not None
    assert text not in made.err
    assert "not shown again" in made.err
    assert (key.name, key.scope, key.rate) == ("sync", "write", 9)
    listed = run("keys", "list", "--file", file)
    assert text not in listed.out + listed.err
    assert listed.out.splitlines()[1].split("\t")[:4] == [key.id, "sync", "write", "9"]
    assert run("keys", "list", "--file", file, "--json", "-").json == {"keys": [key.to_json()]}
    assert run("keys", "revoke", key.id, "--file", file).code == 0
    assert "no key yet" in run("keys", "list", "--file", file).err
    refused = run("keys", "revoke", key.id, "--file", file)
    assert refused.code == 1
    assert "has no key" in refused.err


def test_the_json_of_a_new_key_is_for_its_owner_alone(run: Run, tmp_path: Path) -> None:
    file, told = tmp_path / "keys.json", tmp_path / "new.json"
    run("keys", "create", "--scope", "search", "--file", file, "--json", told)
    values = json.loads(told.read_text())
    assert load_keys(file).find(values["key"]) is not None
    assert stat.S_IMODE(told.stat().st_mode) == 0o600
    shown = run("keys", "create", "--scope", "search", "--file", file, "--json", "-")
    assert load_keys(file).find(shown.json["key"]) is not None


def test_wrong_use_of_the_command(run: Run, tmp_path: Path) -> None:
    file = tmp_path / "keys.json"
    assert run("keys", "create", "--file", file).code == 2
    assert run("keys", "create", "--scope", "root", "--file", file).code == 2
    assert run("keys", "create", "--scope", "search", "--rate", 0, "--file", file).code == 2
    missing = run("keys", "list", "--file", file)
    assert missing.code == 3
    assert "shoplens keys create" in missing.err
    assert run("keys", "revoke", "ab", "--file", file).code == 3
    assert run("keys", "create", "--scope", "search", "--file", tmp_path / "no" / "k").code == 3
    assert not list(tmp_path.iterdir())


# The rate limit.


class Clock:
    now = 100.0

    def __call__(self) -> float:
        return self.now


def test_a_minutes_requests_may_come_at_once_and_then_as_they_come_back() -> None:
    clock = Clock()
    limiter = RateLimiter(clock=clock)
    assert [limiter.take("a", 60) for _ in range(60)] == [0.0] * 60
    assert limiter.take("a", 60) == pytest.approx(1.0)
    assert limiter.take("b", 60) == 0.0
    clock.now += 0.5
    assert limiter.take("a", 60) == pytest.approx(0.5)
    clock.now += 0.5
    assert limiter.take("a", 60) == 0.0
    clock.now += 1000
    assert [limiter.take("a", 60) for _ in range(60)] == [0.0] * 60
    assert limiter.take("a", 60) > 0


@given(
    rate=st.integers(1, 500),
    steps=st.lists(st.floats(0, 30, allow_nan=False), min_size=1, max_size=80),
)
def test_no_caller_gets_more_than_its_rate(rate: int, steps: list[float]) -> None:
    clock = Clock()
    limiter = RateLimiter(clock=clock)
    allowed = 0
    for step in steps:
        clock.now += step
        wait = limiter.take("a", rate)
        allowed += wait == 0
        if wait:
            clock.now += wait + 1e-6
            assert limiter.take("a", rate) == 0
            allowed += 1
    assert allowed <= rate + (clock.now - 100) * rate / 60 + 1


def test_a_rate_that_changes_counts_at_once() -> None:
    clock = Clock()
    limiter = RateLimiter(clock=clock)
    assert limiter.take("a", 100) == 0
    assert limiter.take("a", 2) == 0
    assert limiter.take("a", 2) == 0
    assert limiter.take("a", 2) > 0


def test_the_memory_of_the_limiter_is_bounded() -> None:
    limiter = RateLimiter(most_buckets=50)
    for number in range(5000):
        limiter.take("regular", 10**6)
        limiter.take(f"10.0.{number // 256}.{number % 256}", 1)
    assert len(limiter) == 50
    assert limiter.take("regular", 10**6) == 0


@pytest.mark.parametrize(
    ("host", "known_as"),
    [
        ("192.0.2.7", "192.0.2.7"),
        ("::ffff:192.0.2.7", "192.0.2.7"),
        ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64"),
        ("2001:db8:1:2::", "2001:db8:1:2::/64"),
        ("fe80::1%eth0", "fe80::/64"),
        ("testclient", "testclient"),
        ("", ""),
    ],
)
def test_the_address_of_a_client(host: str, known_as: str) -> None:
    assert address_of(host) == known_as
