"""Every hostile submission ends with the right verdict, finds no way out, leaves nothing behind."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path

import pytest
from hostile.folders import Case
from hostile.stage import SECRET, leftovers, let_loose, stage
from hostile.submissions import CASES

from shoplens.challenge.running import ChallengeRun
from shoplens.errors import ShoplensError

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="there are namespaces on Linux")

Runs = dict[str, Future[ChallengeRun]]


@pytest.fixture(scope="module")
def places(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, str]]:
    with stage(tmp_path_factory.mktemp("hostile")) as places:
        yield places


@pytest.fixture(scope="module")
def runs(places: dict[str, str]) -> Iterator[Runs]:
    """Run a few at a time; most of them wait or sleep."""
    with ThreadPoolExecutor(4) as pool:
        try:
            let_loose(Case("first", "ok", "return self.good()"), places)
        except ShoplensError as error:
            pytest.skip(str(error))
        yield {case.name: pool.submit(let_loose, case, places) for case in CASES}


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_verdict(case: Case, runs: Runs, places: dict[str, str]) -> None:
    result = runs[case.name].result()
    log = result.full_log.decode(errors="replace")
    assert result.verdict == case.verdict, f"{result.reason}\n{log[-3000:]}"
    assert case.reason in result.reason
    assert "ESCAPED" not in log
    assert SECRET not in log
    assert (result.scores is not None) == (case.verdict == "ok")


def test_the_machine_is_clean_afterwards(runs: Runs, places: dict[str, str]) -> None:
    for future in runs.values():
        future.result()
    assert leftovers() == []


def test_nothing_outside_was_written(runs: Runs, places: dict[str, str]) -> None:
    for future in runs.values():
        future.result()
    assert sorted(path.name for path in Path(places["outside"]).iterdir()) == [
        "secret.txt",
        "socket",
    ]
    assert not list(Path(places["submissions"]).rglob("new.txt"))
    assert "changed" not in {p.read_text() for p in Path(places["submissions"]).rglob("*.py")}
    assert len(list(Path(places["dataset"], "gallery").iterdir())) == 4


def test_there_are_as_many_as_promised() -> None:
    assert len({case.name for case in CASES}) == len(CASES) >= 50
