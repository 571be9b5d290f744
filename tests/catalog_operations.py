"""Changes of a catalogue, made from a number: the same in this process and in another.

Loaded by processes that are killed. `work` makes changes one after the other and says which are
acknowledged; `assert_is_after` finds out whether a catalogue is as it must be then.
"""

from __future__ import annotations

import subprocess
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from catalog_engines import (
    COLOURS,
    MODEL,
    assert_same_content,
    assert_same_results,
    make_small,
    units,
)
from catalog_model import PlainCatalog
from made_challenges import start_python

from shoplens.catalog import Catalog, Entry, FailedPhoto, open_catalog

N_IDS = 150
WORKER = "import sys; from catalog_operations import work; work(*sys.argv[1:])"


def change(catalog: Catalog, number: int) -> None:
    """Make one change."""
    rng = np.random.default_rng(number)
    ids = rng.integers(N_IDS, size=rng.integers(1, 40)).tolist()
    kind = rng.choice(["upsert", "ids", "product", "filter", "failures", "compact", "migrate"], p=[
        0.48, 0.14, 0.1, 0.05, 0.05, 0.14, 0.04,
    ])  # fmt: skip
    if kind == "upsert":
        vectors = units(len(ids), seed=number)
        catalog.upsert(
            Entry(
                photo_id if photo_id % 3 else f"photo {photo_id}",
                vector,
                f"p{photo_id % 20}" if photo_id % 5 else None,
                path=f"{number}/{photo_id}.jpg",
                attributes={"number": number, "colour": COLOURS[photo_id % 4]},
            )
            for photo_id, vector in zip(ids, vectors, strict=True)
        )
    elif kind == "ids":
        catalog.delete([photo_id if photo_id % 3 else f"photo {photo_id}" for photo_id in ids])
    elif kind == "product":
        catalog.delete(product_ids=[f"p{ids[0] % 20}"])
    elif kind == "filter":
        catalog.delete(where=f"number < {number - 30} and colour = 'red'")
    elif kind == "failures":
        catalog.record_failures(
            FailedPhoto(photo_id, f"{photo_id}.jpg", str(number), "corrupt", "cut off")
            for photo_id in dict.fromkeys(ids[:5])
        )
    elif kind == "migrate":
        entries = list(catalog.entries())
        vectors = units(len(entries), seed=number)
        catalog.replace_vectors(
            replace(MODEL, fingerprint=f"sha256:{number}"),
            [replace(entry, vector=row) for entry, row in zip(entries, vectors, strict=True)],
        )
    else:
        catalog.compact()


def work(folder: str, first: str, last: str) -> None:
    """Make the changes from `first` up to `last`."""
    with pytest.MonkeyPatch.context() as monkeypatch:
        make_small(monkeypatch, graphs=False)
        with open_catalog(folder) as catalog:
            for number in range(int(first), int(last)):
                print(f"begin {number}", flush=True)
                change(catalog, number)
                print(f"done {number}", flush=True)


def start_work(folder: Path, first: int, last: int = 10**6) -> subprocess.Popen[str]:
    """Start a process that makes changes."""
    return start_python(WORKER, folder, first, last)


class After:
    """What a catalogue must hold after so many changes."""

    def __init__(self) -> None:
        self.expected = PlainCatalog()
        self.expected.set_model(MODEL)
        self.next = 0
        """The first change that is not in it."""

    def follow(self, lines: list[str]) -> bool:
        """Make the changes that a process acknowledged; say whether it had begun another."""
        begun = [int(line.split()[1]) for line in lines if line.startswith("begin")]
        done = [int(line.split()[1]) for line in lines if line.startswith("done")]
        assert done == list(range(self.next, self.next + len(done)))
        for number in done:
            change(self.expected, number)
            self.next = number + 1
        return len(begun) > len(done)

    def check(self, catalog: Catalog, *, maybe_one_more: bool) -> None:
        """Compare everything. The change that was begun was made, or it was not."""
        try:
            assert_same_content(catalog, self.expected)
        except AssertionError:
            if not maybe_one_more:
                raise
            change(self.expected, self.next)
            self.next += 1
            assert_same_content(catalog, self.expected)
        assert_same_answers(catalog, self.expected)


def assert_same_answers(catalog: Catalog, expected: Catalog) -> None:
    """Compare some exact searches."""
    for query in units(2, seed=expected.count()):
        for arguments in (
            {"k": 2 * N_IDS},
            {"k": 5},
            {"k": 10, "where": "colour = 'red'", "facets": ["colour"]},
            {"k": 5, "group_by": "product"},
        ):
            assert_same_results(
                catalog.search(vector=query, exact=True, **arguments),  # type: ignore[arg-type]
                expected.search(vector=query, **arguments),  # type: ignore[arg-type]
            )
    some = catalog.ids()[::7]
    assert catalog.get_many(some) == expected.get_many(some)
