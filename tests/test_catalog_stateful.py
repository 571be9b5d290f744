"""Any sequence of changes, searches, restarts and kills, compared with a plain catalogue."""

from __future__ import annotations

import os
import shutil
import sys
import tempfile
from pathlib import Path

import numpy as np
import pytest
from catalog_engines import (
    MODEL,
    SERVER,
    Embedded,
    Engine,
    Milvus,
    assert_same_content,
    assert_same_results,
    axis,
    leaning,
    make_small,
    units,
    with_regions,
)
from catalog_model import PlainCatalog
from catalog_operations import change
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)
from made_challenges import start_python

from shoplens.catalog import Catalog, Entry, FailedPhoto
from shoplens.errors import MissingError

EXAMPLES = int(os.environ.get("SHOPLENS_EXAMPLES", "15"))

VECTORS = np.concatenate([units(20), [axis(0), -axis(0), axis(1), leaning(0.9), leaning(0.9)]])
ids = st.one_of(st.integers(0, 30), st.sampled_from(["3", "a", "b", "a/b", "03"]))
products = st.sampled_from([None, "p", "q", "r", "7"])
attributes = st.dictionaries(
    st.sampled_from(["colour", "price"]),
    st.sampled_from(["red", "blue", 1, 2.5, 30, True, None]),
)
entries = st.builds(
    lambda photo_id, vector, product_id, values: Entry(
        photo_id, VECTORS[vector], product_id, path=f"{photo_id}.jpg", attributes=values
    ),
    ids,
    st.integers(0, len(VECTORS) - 1),
    products,
    attributes,
)
filters = st.sampled_from(
    [
        None,
        "colour = 'red'",
        "price > 2",
        "not colour = 'red' and price is not null",
        "product_id in ('p', 'q')",
        "colour is null or price < 30",
        "nothing = 1",
    ]
)

KILLED = """
import os, signal, sys, threading
from catalog_engines import make_small
from catalog_operations import change
from shoplens.catalog import open_catalog
import pytest
folder, number, milliseconds = sys.argv[1:]
with pytest.MonkeyPatch.context() as monkeypatch:
    make_small(monkeypatch, graphs=False)
    catalog = open_catalog(folder)
    catalog.count()
    end = lambda: os.kill(os.getpid(), signal.SIGKILL)
    if float(milliseconds):
        threading.Timer(float(milliseconds) / 1000, end).start()
    change(catalog, int(number))
    print("done", flush=True)
    end()
"""


class Machine(RuleBasedStateMachine):
    """The catalogue of an engine, and a plain one that gets the same changes."""

    keeps_regions = True

    def __init__(self) -> None:
        super().__init__()
        self.plain = PlainCatalog()
        self.engine = self.make()
        self.catalog = self.engine.make()
        self.plain.set_model(MODEL)

    def make(self) -> Engine:
        raise NotImplementedError

    @rule(some=st.lists(entries, max_size=20), seed=st.integers(0, 50))
    def upsert(self, some: list[Entry], seed: int) -> None:
        if self.keeps_regions and seed % 2:
            some = with_regions(some, seed)
        assert self.catalog.upsert(some) == self.plain.upsert(some)

    @rule(seed=st.integers(0, 50), first=st.integers(0, 60), n=st.integers(20, 60))
    def upsert_many(self, seed: int, first: int, n: int) -> None:
        some = [
            Entry(first + i, vector, f"p{i % 7}", attributes={"price": i})
            for i, vector in enumerate(units(n, seed=seed))
        ]
        assert self.catalog.upsert(some) == self.plain.upsert(some)

    @rule()
    def upsert_the_same_again(self) -> None:
        some = list(self.plain.entries())[::2]
        assert self.catalog.upsert(some).n_unchanged == len(some)

    @rule(some=st.lists(ids, max_size=10))
    def delete(self, some: list[int | str]) -> None:
        assert self.catalog.delete(some) == self.plain.delete(some)

    @rule(some=st.lists(products.filter(bool), max_size=2))
    def delete_products(self, some: list[str]) -> None:
        assert self.catalog.delete(product_ids=some) == self.plain.delete(product_ids=some)

    @rule(where=filters.filter(bool))
    def delete_where(self, where: str) -> None:
        assert self.catalog.delete(where=where) == self.plain.delete(where=where)

    @rule(some=st.lists(ids, max_size=4), detail=st.sampled_from(["x", "y"]))
    def fail(self, some: list[int | str], detail: str) -> None:
        failed = [FailedPhoto(one, f"{one}", "s", "corrupt", detail, "p") for one in some]
        self.catalog.record_failures(failed)
        self.plain.record_failures(failed)

    @rule(
        query=st.integers(0, len(VECTORS) - 1),
        where=filters,
        k=st.sampled_from([1, 2, 5, 30, 1000]),
        group_by=st.sampled_from([None, "product"]),
        exact=st.booleans(),
    )
    def search(self, **arguments: object) -> None:
        vector = VECTORS[arguments.pop("query")]  # type: ignore[call-overload]
        asked = {"vector": vector, "facets": ["colour", "price"], **arguments}
        assert_same_results(self.catalog.search(**asked), self.plain.search(**asked))  # type: ignore[arg-type]

    @rule(one=ids, where=filters)
    def search_more_like_it(self, one: int | str, where: str | None) -> None:
        try:
            expected = self.plain.search(photo_id=one, k=5, where=where)
        except MissingError:
            with pytest.raises(MissingError):
                self.catalog.search(photo_id=one)
        else:
            assert_same_results(self.catalog.search(photo_id=one, k=5, where=where), expected)

    @rule(where=filters)
    def list_them(self, where: str | None) -> None:
        assert self.catalog.ids(where) == self.plain.ids(where)
        assert self.catalog.count(where) == self.plain.count(where)

    @rule()
    def compact(self) -> None:
        self.catalog.compact()

    @rule()
    def verify(self) -> None:
        verified = self.catalog.verify()
        assert verified.faults == ()
        assert verified.n_photos == self.plain.count()

    @rule(read_only=st.booleans())
    def reopen(self, read_only: bool) -> None:
        self.catalog.close()
        if read_only:
            with self.engine.open(read_only=True) as reader:
                assert_same_content(reader, self.plain)
        self.catalog = self.engine.open()

    @invariant()
    def it_holds_the_same(self) -> None:
        assert_same_content(self.catalog, self.plain)
        stats, expected = self.catalog.stats(), self.plain.stats()
        assert stats.n_photos == expected.n_photos
        assert stats.n_products == expected.n_products
        assert stats.n_failed == expected.n_failed

    def teardown(self) -> None:
        self.catalog.close()
        self.engine.remove()


class EmbeddedMachine(Machine):
    def make(self) -> Engine:
        self._folder = Path(tempfile.mkdtemp(dir=SCRATCH[-1]))
        self._reader: Catalog | None = None
        return Embedded(self._folder / "catalogue")

    @rule()
    def another_reads(self) -> None:
        if self._reader is None:
            self._reader = self.engine.open(read_only=True)
        assert_same_content(self._reader, self.plain)

    @rule(query=st.integers(0, len(VECTORS) - 1), where=filters)
    def another_searches(self, query: int, where: str | None) -> None:
        if self._reader is None:
            self._reader = self.engine.open(read_only=True)
        for group_by in (None, "product"):
            asked = {"vector": VECTORS[query], "where": where, "k": 7, "group_by": group_by}
            assert_same_results(self._reader.search(**asked), self.plain.search(**asked))  # type: ignore[arg-type]

    @precondition(lambda self: self._reader is not None)
    @rule()
    def another_ends(self) -> None:
        assert self._reader is not None
        self._reader.close()
        self._reader = None

    @precondition(lambda self: self.n_kills < 3)
    @rule(number=st.integers(0, 10**6), milliseconds=st.sampled_from([0, 0, 1, 2, 4, 8]))
    def another_writes_and_is_killed(self, number: int, milliseconds: int) -> None:
        self.n_kills += 1
        self.catalog.close()
        process = start_python(KILLED, self.engine.folder, number, milliseconds)  # type: ignore[attr-defined]
        with process:
            assert process.stdout is not None
            done = process.stdout.read() == "done\n"
        assert process.returncode < 0
        self.catalog = self.engine.open()
        if not done:
            try:
                assert_same_content(self.catalog, self.plain)
            except AssertionError:
                done = True
            else:
                return
        change(self.plain, number)

    n_kills = 0

    def teardown(self) -> None:
        if self._reader is not None:
            self._reader.close()
        super().teardown()
        shutil.rmtree(self._folder, ignore_errors=True)


class MilvusMachine(Machine):
    keeps_regions = False

    def make(self) -> Engine:
        assert SERVER is not None
        return Milvus(SERVER)


SCRATCH: list[Path] = []


def run(machine: type[Machine], folder: Path, n_examples: int, n_steps: int) -> None:
    SCRATCH.append(folder)
    run_state_machine_as_test(
        machine,
        settings=settings(
            max_examples=n_examples,
            stateful_step_count=n_steps,
            deadline=None,
            derandomize="SHOPLENS_EXAMPLES" not in os.environ,
            suppress_health_check=list(HealthCheck),
        ),
    )


@pytest.mark.skipif(sys.platform == "win32", reason="SIGKILL")
@pytest.mark.parametrize("size", ["usual", "small"])
def test_the_embedded_engine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, size: str) -> None:
    """With segments of the usual size, and with small ones. Examples: SHOPLENS_EXAMPLES."""
    if size == "small":
        make_small(monkeypatch, graphs=False)
    run(EmbeddedMachine, tmp_path, EXAMPLES, 40)


@pytest.mark.skipif(SERVER is None, reason="SHOPLENS_MILVUS names no server")
def test_milvus(tmp_path: Path) -> None:
    run(MilvusMachine, tmp_path, max(1, EXAMPLES // 5), 20)
