"""Several processes with one catalogue: one writes, any number read."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from catalog_engines import MODEL, assert_same_content, axis, make_small, shop, units
from catalog_model import PlainCatalog
from catalog_operations import After, change, start_work
from made_challenges import kill, start_python

from shoplens.catalog import Catalog, Entry, open_catalog
from shoplens.catalog.embedded import restore_backup
from shoplens.errors import CatalogBusyError, CatalogError

N_VIEWS = 12
VECTORS = units(N_VIEWS)


def version(number: int) -> list[Entry]:
    """Return all photos of a product; those of one version belong together."""
    return [
        Entry(i, vector, "p", attributes={"version": number, "even": number % 2 == 0})
        for i, vector in enumerate(VECTORS)
    ]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    folder = tmp_path / "catalogue"
    with open_catalog(folder, create=True) as catalog:
        catalog.set_model(MODEL)
        catalog.upsert(version(0))
    return folder


def faults_in(catalog: Catalog) -> list[str]:
    """Read in several ways, and return what is not of one moment."""
    faults = []
    found = catalog.search(vector=axis(0), k=100, facets=["version"])
    versions = {hit.attributes["version"] for hit in found}
    if len(found) != N_VIEWS or len(versions) != 1 or found.n_gallery != N_VIEWS:
        faults.append(f"{len(found)} of {found.n_gallery} photos of versions {versions}")
    if found.facets != {"version": dict.fromkeys(versions, N_VIEWS)}:
        faults.append(f"facets {found.facets} for hits of {versions}")
    grouped = catalog.search(vector=axis(0), group_by="product")
    n_views = [len(hit.photos or ()) for hit in grouped]
    if n_views != [N_VIEWS]:
        faults.append(f"products of {n_views} photos")
    elif (grouped[0].photos or ())[0].score != grouped[0].score:
        faults.append("the best photo is not among the views")
    versions = {entry.attributes["version"] for entry in catalog.entries()}
    if len(versions) != 1:
        faults.append(f"entries of {versions}")
    if catalog.count() != N_VIEWS or len(catalog.ids()) != N_VIEWS:
        faults.append("photos are missing")
    if catalog.count("even = true") not in (0, N_VIEWS):
        faults.append("a filter passes some photos of a version")
    return faults


READER = """
import sys, time
from catalog_engines import axis
from test_catalog_processes import read
read(sys.argv[1], sys.argv[2])
"""


def read(folder: str, kept_open: str) -> None:
    """Read until told to stop; print what was wrong."""
    print("ready", flush=True)
    latest = -1
    while True:
        with open_catalog(folder, read_only=True) as catalog:
            for _ in range(1000 if kept_open == "yes" else 1):
                faults = faults_in(catalog)
                seen = int(catalog.get_many([0])[0].attributes["version"])  # type: ignore
                if seen < latest:
                    faults.append(f"version {seen} after {latest}")
                latest = seen
                for fault in faults:
                    print(fault, flush=True)
                if latest >= LAST:
                    print(f"seen {latest}", flush=True)
                    return


LAST = 60


def test_readers_see_whole_changes_while_one_writes_and_compacts(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    make_small(monkeypatch, graphs=False)
    readers = [start_python(READER, folder, kept_open) for kept_open in ("yes", "no")]
    try:
        for reader in readers:
            assert reader.stdout is not None
            assert reader.stdout.readline() == "ready\n"
        with open_catalog(folder) as catalog:
            for number in range(1, LAST + 1):
                catalog.upsert(version(number))
                if number % 7 == 0:
                    catalog.compact()
                if number % 5 == 0:
                    time.sleep(0.05)  # So that readers get as far as the next moment.
            for reader in readers:
                assert reader.stdout is not None
                assert reader.stdout.read() == f"seen {LAST}\n"
    finally:
        for reader in readers:
            kill(reader)


COMMANDS = """
import sys
from test_catalog_processes import obey
obey(sys.argv[1], sys.argv[2])
"""


def obey(folder: str, access: str) -> None:
    """Do what each line asks for, and print how it went."""
    with open_catalog(folder, read_only=access == "reader") as catalog:
        print(json.dumps("ready"), flush=True)
        for line in sys.stdin:
            order, value = json.loads(line)
            try:
                answer: Any = None
                if order == "upsert":
                    catalog.upsert(shop(value, first_id=1000))
                elif order == "delete":
                    answer = catalog.delete([value])
                elif order == "count":
                    answer = catalog.count()
                elif order == "nearest":
                    answer = [hit.photo_id for hit in catalog.search(vector=value, k=1)]
                elif order == "faults":
                    answer = faults_in(catalog)
            except CatalogError as error:
                answer = [type(error).__name__, str(error)]
            print(json.dumps(answer), flush=True)


class Other:
    """Another process with the catalogue open."""

    def __init__(self, folder: Path, access: str) -> None:
        root = Path(__file__).parents[1]
        self.process = subprocess.Popen(
            [sys.executable, "-c", COMMANDS, folder, access],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env={**os.environ, "PYTHONPATH": os.pathsep.join([f"{root}/src", f"{root}/tests"])},
        )
        assert self._answer() == "ready"

    def do(self, order: str, value: object = None) -> Any:
        assert self.process.stdin is not None
        self.process.stdin.write(json.dumps([order, value]) + "\n")
        self.process.stdin.flush()
        return self._answer()

    def _answer(self) -> Any:
        assert self.process.stdout is not None
        return json.loads(self.process.stdout.readline())

    def end(self) -> None:
        assert self.process.stdin is not None
        self.process.stdin.close()
        kill(self.process)


@pytest.fixture
def others() -> Iterator[list[Other]]:
    started: list[Other] = []
    yield started
    for other in started:
        other.end()


def test_the_next_search_of_a_reader_finds_what_was_put_in(
    folder: Path, others: list[Other]
) -> None:
    others += [Other(folder, "reader"), Other(folder, "reader")]
    with open_catalog(folder) as catalog:
        for number, vector in enumerate(units(10, seed=3)):
            catalog.upsert([Entry("new", vector, attributes={"version": 0, "even": True})])
            for reader in others:
                assert reader.do("nearest", vector.tolist()) == ["new"]
                assert reader.do("count") == N_VIEWS + 1
            if number == 5:
                catalog.compact()
            catalog.delete(["new"])
            for reader in others:
                assert reader.do("nearest", vector.tolist()) != ["new"]
                assert reader.do("count") == N_VIEWS


def test_a_second_writer_is_refused_and_told_who_writes(folder: Path, others: list[Other]) -> None:
    others.append(Other(folder, "writer"))
    [other] = others
    with open_catalog(folder) as catalog:
        assert catalog.count() == N_VIEWS  # To open it and to read is allowed.
        catalog.upsert(shop(3, first_id=100))
        name, message = other.do("upsert", 2)
        assert name == "CatalogBusyError"
        assert str(os.getpid()) in message
        assert str(folder) in message
        assert other.do("count") == N_VIEWS + 3
        assert other.do("delete", 100)[0] == "CatalogBusyError"
    assert other.do("upsert", 2) is None
    with open_catalog(folder) as catalog:
        with pytest.raises(CatalogBusyError, match=f"process {other.process.pid} "):
            catalog.upsert(shop(1))
        with pytest.raises(CatalogBusyError):
            catalog.compact()
        assert catalog.count() == N_VIEWS + 5
        # The system takes the right to write back from who is killed.
        kill(other.process)
        assert catalog.upsert(shop(1, first_id=500)).n_added == 1


def test_two_writers_in_one_process(folder: Path) -> None:
    with open_catalog(folder) as one, open_catalog(folder) as two:
        one.upsert(shop(1, first_id=100))
        with pytest.raises(CatalogBusyError, match=f"process {os.getpid()} "):
            two.upsert(shop(1, first_id=101))
        one.close()
        two.upsert(shop(1, first_id=101))
        assert two.count() == N_VIEWS + 2


def test_a_writer_that_fails_to_write_can_go_on(folder: Path, others: list[Other]) -> None:
    with open_catalog(folder) as catalog:
        with pytest.raises(CatalogError):
            catalog.upsert([replace(shop(1)[0], vector=2 * axis(0))])
        assert catalog.upsert(shop(1, first_id=100)).n_added == 1


@pytest.mark.skipif(sys.platform == "win32", reason="SIGSTOP")
def test_a_writer_that_stands_still_locks_no_reader_out(folder: Path, others: list[Other]) -> None:
    """Wherever it was stopped."""
    with open_catalog(folder) as catalog:
        catalog.delete(where="version = 0")
    others.append(Other(folder, "reader"))
    after = After()
    process = start_work(folder, 0)
    assert process.stdout is not None
    output = process.stdout.fileno()
    printed = b""
    try:
        while b"done" not in printed:
            printed += os.read(output, 1000)
        os.set_blocking(output, False)
        for pause in (3, 1, 7, 13, 2, 19, 5, 11):
            time.sleep(pause / 1000)
            process.send_signal(signal.SIGSTOP)
            time.sleep(0.01)
            with suppress(BlockingIOError):
                printed += os.read(output, 10**6)
            lines = printed.decode().splitlines()
            done = [line for line in lines if line.startswith("done")]
            after.follow(done[after.next :])
            with open_catalog(folder, read_only=True) as reader:
                after.check(reader, maybe_one_more=True)
                assert others[0].do("count") == reader.count()
            with open_catalog(folder) as second, pytest.raises(CatalogBusyError):
                second.upsert(shop(1))
            process.send_signal(signal.SIGCONT)
    finally:
        kill(process)


def test_a_long_reader_keeps_its_moment_and_holds_nobody_up(folder: Path) -> None:
    expected = PlainCatalog()
    expected.set_model(MODEL)
    expected.upsert(version(0))
    with open_catalog(folder, read_only=True) as reader, open_catalog(folder) as writer:
        slow = reader.entries()
        seen = [next(slow)]
        for number in range(1, 4):
            writer.upsert(version(number))
            writer.compact()
        assert [*seen, *slow] == list(expected.entries())
        expected.upsert(version(3))
        assert_same_content(reader, expected)


def test_a_reader_of_an_empty_catalogue_follows(tmp_path: Path) -> None:
    folder = tmp_path / "catalogue"
    with (
        open_catalog(folder, create=True) as writer,
        open_catalog(folder, read_only=True) as reader,
    ):
        assert reader.model is None
        assert len(reader.search(vector=axis(0))) == 0
        writer.set_model(MODEL)
        assert reader.model == MODEL
        writer.upsert(version(0))
        assert faults_in(reader) == []


def test_a_backup_while_one_writes(folder: Path, tmp_path: Path) -> None:
    with open_catalog(folder) as catalog:
        catalog.delete(where="version = 0")
    process = start_work(folder, 0)
    try:
        assert process.stdout is not None
        for number in range(3):
            for _ in range(6):
                process.stdout.readline()
            with open_catalog(folder, read_only=True) as catalog:
                catalog.backup(tmp_path / f"backup{number}")
    finally:
        kill(process)
    for number in range(3):
        restore_backup(tmp_path / f"backup{number}", tmp_path / f"restored{number}")
        with open_catalog(tmp_path / f"restored{number}") as catalog:
            assert catalog.verify().faults == ()
            # It is the state after some number of changes.
            after = After()
            while list(after.expected.entries()) != list(catalog.entries()):
                assert after.next < 60
                change(after.expected, after.next)
                after.next += 1
