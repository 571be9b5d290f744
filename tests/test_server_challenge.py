"""A challenge over HTTP: its site, and submissions by the tokens of teams."""

from __future__ import annotations

import io
import os
import stat
import threading
import zipfile
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import nullcontext
from datetime import timedelta
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from conftest import Run
from made_challenges import SAMPLE, make_challenge, make_submission
from made_shops import make_shop, serving
from starlette.testclient import TestClient

from shoplens.challenge.registry.archives import unpack_archive
from shoplens.challenge.registry.instants import current
from shoplens.challenge.registry.registry import Registry
from shoplens.challenge.registry.submissions import list_submissions
from shoplens.challenge.registry.terms import move_end
from shoplens.challenge.registry.tokens import make_token, revoke_token
from shoplens.challenge.registry.trail import list_events
from shoplens.challenge.registry.work import work
from shoplens.challenge.running import ChallengeRun
from shoplens.datasets.dataset import read_dataset
from shoplens.errors import DataError, MissingError
from shoplens.server import challenge_site
from shoplens.server.challenge import ServedChallenge
from shoplens.server.keys import create_key

DAY = timedelta(days=1)
PATH = "/v1/challenge/submissions"


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_shop(tmp_path_factory.mktemp("shop"), 2)


@pytest.fixture
def registry(tmp_path: Path) -> Registry:
    now = current()
    return make_challenge(
        tmp_path, "Owls", "Red Pandas", now=now - DAY, ends=now + DAY, accepts_answers=True
    )


@pytest.fixture
def client(shop: Path, registry: Registry) -> Iterator[TestClient]:
    with serving(shop, challenge=registry.folder) as client:
        yield client


def token(registry: Registry, team: str = "Owls") -> dict[str, str]:
    """Return the header with a new token of a team."""
    return {"Authorization": f"Bearer {make_token(registry.database, team, now=current())}"}


def answer(change: Callable[[Any], Any] = lambda array: array) -> bytes:
    """Return the answer that ranks the gallery as it stands, changed, as a .npy file."""
    dataset = read_dataset(SAMPLE)
    array: npt.NDArray[np.int32] = np.tile(dataset.gallery.ids, (len(dataset.queries), 1))
    stream = io.BytesIO()
    np.save(stream, change(array))
    return stream.getvalue()


def hand_in(client: TestClient, headers: dict[str, str], data: bytes, **fields: str) -> Any:
    return client.post(PATH, files={"answer": ("mine.npy", data)}, data=fields, headers=headers)


def end(registry: Registry) -> None:
    now = current()
    move_end(registry.database, now, now=now)


def zipped(folder: Path, prefix: str = "") -> bytes:
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w") as archive:
        for path in sorted(folder.rglob("*")):
            archive.write(path, prefix + path.relative_to(folder).as_posix())
    return stream.getvalue()


def test_an_answer_from_its_token_to_its_place_on_the_site(
    client: TestClient, registry: Registry, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(challenge_site, "_LOOK_SECONDS", 0.0)
    assert "no submission" in client.get("/challenge/").text.lower()
    mine = token(registry)
    told = client.get("/v1/challenge").json()
    assert (told["accepts_answers"], told["sealed"], told["n_queries"]) == (True, True, 40)
    assert told["round"]["per_day"] == 5
    assert not {"data", "seed", "public_share"} & told.keys()
    taken = hand_in(client, mine, answer(), tags="external data, quick")
    assert taken.status_code == 201
    assert {**taken.json(), "content": ""} == {
        "submission": 1, "round": "main", "content": "", "left_today": 4, "same_as": [],
    }  # fmt: skip
    assert taken.headers["location"] == f"{PATH}/1"
    assert client.get(f"{PATH}/1", headers=mine).json()["state"] == "queued"
    [finished] = work(registry)
    shown = client.get(taken.headers["location"], headers=mine).json()
    assert (shown["state"], shown["verdict"], shown["kind"]) == ("done", "ok", "answer")
    assert (shown["public"], shown["private"]) == (finished.public, None)
    assert (shown["label"], shown["tags"]) == ("mine", ["answer array", "external data", "quick"])
    assert not {"run", "worker", "record"} & shown.keys()
    assert str(registry.folder) not in str(shown)
    assert "Owls" in client.get("/challenge/").text
    board = client.get("/challenge/leaderboard.json").json()
    assert board["standings"][0]["team"] == "Owls"
    assert list_events(registry.database)[-3].who == "team Owls, over HTTP"
    end(registry)
    assert client.get(f"{PATH}/1", headers=mine).json()["private"] is not None
    assert client.get("/challenge/public.html").status_code == 200


def test_a_folder_is_taken_as_an_archive_and_run(
    client: TestClient, registry: Registry, tmp_path: Path
) -> None:
    folder = make_submission(tmp_path / "mine")
    (folder / "tool.sh").write_text("#!/bin/sh\n")
    (folder / "tool.sh").chmod(0o755)
    mine = token(registry)
    for prefix in ("", "packed/"):
        files = {"archive": ("first.zip", zipped(folder, prefix))}
        taken = client.post(PATH, files=files, headers=mine)
        assert taken.status_code == 201, taken.text
    assert taken.json()["same_as"] == [1]
    [first, _] = list_submissions(registry, current())
    assert (first.kind, first.label) == ("folder", "first")
    copy = registry.submissions / first.content
    assert (copy / "my_submission" / "user_config.py").is_file()
    assert stat.S_IMODE((copy / "tool.sh").stat().st_mode) == 0o555

    def run(submission: Path, _data: object, **_: object) -> ChallengeRun:
        assert submission == copy.resolve()
        return ChallengeRun("crashed", "predict: ValueError", {}, 1.0, 1.0, 1.0, (), (), (), None,
                            "", b"", 40, 40, True)  # fmt: skip

    assert [one.outcome.verdict for one in work(registry, runner=run)] == ["crashed"] * 2
    shown = client.get(f"{PATH}/1", headers=mine).json()
    assert (shown["verdict"], shown["reason"]) == ("crashed", "predict: ValueError")


def test_a_team_sees_its_own_submissions_only(client: TestClient, registry: Registry) -> None:
    owls, pandas = token(registry), token(registry, "Red Pandas")
    hand_in(client, owls, answer())
    hand_in(client, pandas, answer())
    assert client.get(f"{PATH}/1", headers=owls).status_code == 200
    for number in ("2", "3", "9223372036854775807"):
        refused = client.get(f"{PATH}/{number}", headers=owls)
        assert (refused.status_code, refused.json()["code"]) == (404, "not_found")
    for number in ("0", "-1", "x", "9223372036854775808", "1.5"):
        assert client.get(f"{PATH}/{number}", headers=owls).status_code in (400, 404)
    listed = client.get(PATH, headers=pandas).json()["submissions"]
    assert [one["submission"] for one in listed] == [2]


def test_a_token_is_needed(client: TestClient, registry: Registry, tmp_path: Path) -> None:
    mine = token(registry)
    key = create_key(tmp_path / "keys.json", "admin").text
    secret = mine["Authorization"].rpartition("_")[2]
    for headers in (
        {}, {"Authorization": ""}, {"Authorization": "Bearer x"},
        {"Authorization": f"Bearer {key}"}, {"X-API-Key": mine["Authorization"][7:]},
        {"Authorization": mine["Authorization"] + "0"},
        {"Authorization": f"Bearer slt_2_{secret}"},
    ):  # fmt: skip
        for refused in (
            client.get(PATH, headers=headers),
            client.get(f"{PATH}/1", headers=headers),
            client.post(PATH, content=b"anything", headers=headers),
        ):
            assert (refused.status_code, refused.json()["code"]) == (401, "no_token")
    revoke_token(registry.database, "Owls", now=current())
    assert hand_in(client, mine, answer()).status_code == 401


def test_tokens_work_where_keys_are_needed_and_the_site_is_open(
    shop: Path, registry: Registry, tmp_path: Path
) -> None:
    create_key(tmp_path / "keys.json", "search")
    with serving(shop, challenge=registry.folder, keys=tmp_path / "keys.json") as client:
        assert client.get("/v1/catalog").status_code == 401
        assert client.get("/challenge/").status_code == 200
        assert hand_in(client, token(registry), answer()).status_code == 201


@pytest.mark.parametrize(
    ("data", "code"),
    [
        (answer(lambda a: a[1:]), "bad_answer"),
        (answer(lambda a: a + 10**6), "bad_answer"),
        (answer(lambda a: a.astype(np.float64) + 0.5), "bad_answer"),
        (answer(lambda a: a.astype("U2")), "bad_answer"),
        (answer()[:-100], "bad_answer"),
        (answer()[:60], "bad_answer"),
        (b"\x93NUMPY\x01\x00\x76\x00{'descr': '<i4', 'fortran_order': False, 'shape': "
         b"(1000000, 1000000), }" + b" " * 40 + b"\n", "bad_answer"),
        (b"PK\x03\x04", "bad_answer"),
        (b"1,2,3\n", "bad_answer"),
        (b"", "bad_answer"),
        (bytes(100_000), "body_too_large"),
    ],
)  # fmt: skip
def test_faulty_answers_are_refused_and_do_not_count(
    client: TestClient, registry: Registry, data: bytes, code: str
) -> None:
    mine = token(registry)
    refused = hand_in(client, mine, data)
    assert refused.json()["code"] == code, refused.text
    assert "/tmp" not in refused.text
    assert client.get(PATH, headers=mine).json() == {"submissions": []}


def test_nothing_is_unpickled(client: TestClient, registry: Registry, tmp_path: Path) -> None:
    class Trap:
        def __reduce__(self) -> Any:
            return (Path.touch, (tmp_path / "sprung",))

    stream = io.BytesIO()
    np.save(stream, np.array([[Trap()]], dtype=object))
    assert hand_in(client, token(registry), stream.getvalue()).json()["code"] == "bad_answer"
    assert not (tmp_path / "sprung").exists()


def test_the_rules_of_the_challenge_hold(shop: Path, tmp_path: Path) -> None:
    now = current()
    registry = make_challenge(
        tmp_path, "Owls", now=now - DAY, ends=now + DAY, accepts_answers=True, per_day=2
    )
    with serving(shop, challenge=registry.folder) as client:
        mine = token(registry)
        assert [hand_in(client, mine, answer()).status_code for _ in range(3)] == [201, 201, 403]
        refused = hand_in(client, mine, answer())
        assert refused.json()["code"] == "challenge_rule"
        assert "2 a day are allowed" in refused.json()["detail"]
        end(registry)
        refused = hand_in(client, mine, answer())
        assert "the challenge ended" in refused.json()["detail"]
        # Before the body is read.
        early = client.post(PATH, content=b"no form", headers=mine)
        assert early.json()["code"] == "challenge_rule"


def test_answers_are_taken_only_where_the_organiser_wants_them(shop: Path, tmp_path: Path) -> None:
    now = current()
    registry = make_challenge(tmp_path, "Owls", now=now - DAY, ends=now + DAY)
    with serving(shop, challenge=registry.folder) as client:
        assert client.get("/v1/challenge").json()["accepts_answers"] is False
        refused = hand_in(client, token(registry), answer())
        assert refused.json()["code"] == "challenge_rule"
        assert "takes no answer arrays" in refused.json()["detail"]


def test_a_days_limit_holds_for_requests_at_once(
    client: TestClient, registry: Registry, monkeypatch: pytest.MonkeyPatch
) -> None:
    # One at a time is taken of a team over HTTP; what is behind must hold without that.
    monkeypatch.setattr(ServedChallenge, "handing_in", lambda *_: nullcontext())
    mine = token(registry)
    data = answer()
    with ThreadPoolExecutor(8) as threads:
        codes = list(threads.map(lambda _: hand_in(client, mine, data).status_code, range(12)))
    assert sorted(codes) == [201] * 5 + [403] * 7


def test_a_team_hands_in_one_submission_at_a_time(
    client: TestClient, registry: Registry, monkeypatch: pytest.MonkeyPatch
) -> None:
    begun, may_end = threading.Event(), threading.Event()
    take = ServedChallenge.take_answer

    def held(self: ServedChallenge, stream: Any, n_bytes: int, team: str, *rest: Any) -> Any:
        if team == "Owls":
            begun.set()
            assert may_end.wait(60)
        return take(self, stream, n_bytes, team, *rest)

    monkeypatch.setattr(ServedChallenge, "take_answer", held)
    mine = token(registry)
    with ThreadPoolExecutor(1) as thread:
        first = thread.submit(hand_in, client, mine, answer())
        assert begun.wait(60)
        refused = hand_in(client, mine, answer())
        assert (refused.status_code, refused.json()["code"]) == (429, "too_many_requests")
        assert refused.headers["retry-after"] == "1"
        assert hand_in(client, token(registry, "Red Pandas"), answer()).status_code == 201
        may_end.set()
        assert first.result().status_code == 201
    assert hand_in(client, mine, answer()).status_code == 201


def test_a_team_may_not_ask_without_end(client: TestClient, registry: Registry) -> None:
    mine = token(registry)
    # On a slow machine some are allowed again meanwhile.
    codes = (client.get(PATH, headers=mine).status_code for _ in range(1000))
    assert next(code for code in codes if code != 200) == 429
    assert client.get(PATH, headers=token(registry, "Red Pandas")).status_code == 200


def test_forms_that_cannot_be_used(client: TestClient, registry: Registry) -> None:
    mine = token(registry)
    data = answer()
    assert client.post(PATH, json={"answer": "x"}, headers=mine).status_code == 415
    for files, fields in (
        ([("other", ("a.npy", data))], {}),
        ([("answer", ("a.npy", data)), ("archive", ("a.zip", data))], {}),
        ([("answer", ("a.npy", data))], {"team": "Red Pandas"}),
        ([("answer", ("a.npy", data))], {"label": "x" * 201}),
    ):
        refused = client.post(PATH, files=files, data=fields, headers=mine)
        assert (refused.status_code, refused.json()["code"]) == (400, "bad_request")
    assert client.post(PATH, data={"label": "x"}, headers=mine).status_code in (400, 415)
    for fields in ({"label": "\u202e"}, {"label": "x" * 61}, {"tags": "<b>"}):
        refused = hand_in(client, mine, data, **fields)
        assert (refused.status_code, refused.json()["code"]) == (422, "bad_submission")
    assert hand_in(client, mine, data, label="../../x").status_code == 201


def test_a_body_may_be_larger_there_and_nowhere_else(shop: Path, registry: Registry) -> None:
    limits = {"max_upload_bytes": 1000, "max_submission_bytes": 100_000}
    with serving(shop, challenge=registry.folder, **limits) as client:
        mine = token(registry)
        assert hand_in(client, mine, answer()).status_code == 201
        assert client.post(PATH, content=bytes(100_001), headers=mine).status_code == 413
        assert client.post("/v1/search", content=bytes(1001)).status_code == 413


# Archives from strangers.


def packed(*members: tuple[str | zipfile.ZipInfo, bytes]) -> bytes:
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in members:
            archive.writestr(name, data)
    return stream.getvalue()


def damaged(data: bytes) -> bytes:
    return data[:1000] + bytes([data[1000] ^ 255]) + data[1001:]


def link(name: str) -> zipfile.ZipInfo:
    member = zipfile.ZipInfo(name)
    member.external_attr = (stat.S_IFLNK | 0o777) << 16
    return member


def pipe(name: str) -> zipfile.ZipInfo:
    member = zipfile.ZipInfo(name)
    member.external_attr = (stat.S_IFIFO | 0o777) << 16
    return member


@pytest.mark.parametrize(
    ("data", "told"),
    [
        (b"", "cannot be unpacked"),
        (b"PK\x03\x04", "cannot be unpacked"),
        (packed(("a", b"x"))[:-10], "cannot be unpacked"),
        (damaged(packed(("a", np.random.default_rng(0).bytes(5000)))), "cannot be unpacked"),
        (packed(("../a", b"x")), "leaves the folder"),
        (packed(("a/../../b", b"x")), "leaves the folder"),
        (packed(("..\\a", b"x")), "leaves the folder"),
        (packed(("/etc/passwd", b"x")), "absolute"),
        (packed(("C:\\a", b"x")), "absolute"),
        (packed((link("a"), b"/etc/passwd")), "no plain file"),
        (packed((pipe("a"), b"")), "no plain file"),
        (packed(("a", b"x"), ("a/b", b"y")), "two files of one name"),
        (packed(("a" * 300, b"x")), "cannot be unpacked"),
        (packed(("a", bytes(10**6))), "larger together"),
        (packed(*((f"{n}", bytes(10_000)) for n in range(60))), "larger together"),
    ],
)
def test_archives_that_are_not_unpacked(tmp_path: Path, data: bytes, told: str) -> None:
    folder = tmp_path / "in" / "here"
    folder.mkdir(parents=True)
    with pytest.raises((DataError, OSError), match=told):
        unpack_archive(io.BytesIO(data), folder, max_bytes=500_000)
    assert [path.name for path in tmp_path.iterdir()] == ["in"]
    assert [path.name for path in (tmp_path / "in").iterdir()] == ["here"]
    assert sum(path.stat().st_size for path in folder.rglob("*")) < 10**6


def test_an_archive_with_names_twice(tmp_path: Path) -> None:
    with pytest.warns(UserWarning, match="Duplicate"):
        data = packed(("a", b"x"), ("a", b"y"))
    with pytest.raises(DataError, match="two files of one name"):
        unpack_archive(io.BytesIO(data), tmp_path, max_bytes=1000)


def test_archives_that_are_no_submissions(
    client: TestClient, registry: Registry, tmp_path: Path
) -> None:
    mine = token(registry)
    bad = make_submission(tmp_path / "bad")
    (bad / "requirements.txt").write_text("-e git+https://example.org/x\n")
    for data in (
        packed(("readme.txt", b"x")),
        packed(("../a", b"x")),
        packed(("a" * 300, b"x")),
        packed(("/".join("a" * 40) + "/b", b"x"), ("aicrowd.json", b"{}")),
        packed((link("my_submission"), b"/")),
        zipped(bad),
        b"no zip",
    ):
        refused = client.post(PATH, files={"archive": ("x.zip", data)}, headers=mine)
        assert (refused.status_code, refused.json()["code"]) == (422, "bad_submission")
        assert "/tmp" not in refused.text
        assert "shoplens-submission" not in refused.text
    assert client.get(PATH, headers=mine).json() == {"submissions": []}


# The site.


def test_the_site_is_served_and_nothing_else_of_the_folder(
    client: TestClient, registry: Registry
) -> None:
    (registry.folder / "secret.html").write_text("secret")
    front = client.get("/challenge", follow_redirects=True)
    assert front.status_code == 200
    assert front.headers["content-type"].startswith("text/html")
    assert "style-src 'unsafe-inline'" in front.headers["content-security-policy"]
    assert "script" not in front.headers["content-security-policy"]
    assert client.get("/challenge/rules.html").status_code == 200
    assert client.get("/challenge/leaderboard.csv").headers["content-type"].startswith("text/csv")
    tag = front.headers["etag"]
    again = client.get("/challenge/", headers={"If-None-Match": tag})
    assert (again.status_code, again.content) == (304, b"")
    for name in (
        "challenge.db", "../challenge.db", "..%2Fchallenge.db", "%2e%2e/challenge.db",
        "secret.html", "pages/rules.md", ".shoplens-site.json", "submissions/", "none.html",
        "%2Fetc%2Fpasswd", "index.html/", "index.html%00",
    ):  # fmt: skip
        refused = client.get(f"/challenge/{name}")
        assert refused.status_code == 404, name
        assert "secret" not in refused.text
    assert client.post("/challenge/").status_code == 405


def test_pages_that_were_edited_are_shown(
    client: TestClient, registry: Registry, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(challenge_site, "_LOOK_SECONDS", 0.0)
    assert "only in autumn" not in client.get("/challenge/rules.html").text
    page = registry.pages / "rules.md"
    page.write_text("# Rules\n\nonly in autumn <script>alert(1)</script>\n")
    os.utime(page, ns=(1, 1))
    shown = client.get("/challenge/rules.html").text
    assert "only in autumn" in shown
    assert "<script>" not in shown


def test_the_site_stays_when_it_cannot_be_built(
    client: TestClient, registry: Registry, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(challenge_site, "_LOOK_SECONDS", 0.0)
    first = client.get("/challenge/").text
    registry.database.file.rename(registry.folder / "away.db")
    assert client.get("/challenge/").text == first


def test_a_server_needs_the_challenge_it_was_given(shop: Path, tmp_path: Path) -> None:
    with pytest.raises(MissingError, match="not a challenge"), serving(shop, challenge=tmp_path):
        pass


def test_without_a_challenge_there_are_no_such_paths(shop: Path) -> None:
    with serving(shop) as client:
        for path in ("/challenge/", "/v1/challenge", PATH):
            assert client.get(path).status_code == 404


def test_openapi_describes_it(client: TestClient) -> None:
    document = client.get("/openapi.json").json()
    handing_in = document["paths"][PATH]["post"]
    assert handing_in["security"] == [{"team token": []}]
    assert document["components"]["securitySchemes"]["team token"]["scheme"] == "bearer"
    names = [
        operation["operationId"]
        for path in document["paths"].values()
        for operation in path.values()
    ]
    assert len(set(names)) == len(names)


def test_the_command_takes_a_challenge(run: Run, shop: Path, registry: Registry) -> None:
    checked = run("serve", "--catalog", shop, "--challenge", registry.folder, "--check")
    assert checked.code == 0
    assert "challenge: challenge" in checked.out
    assert run("serve", "--catalog", shop, "--challenge", shop, "--check").code == 3
