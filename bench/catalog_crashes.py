"""Catalogues whose process is killed, whose disk is full, whose files are damaged: what is lost.

The changes, the kills and the damages are those of tests/test_catalog_crashes.py, many more of
them, and `index` and `migrate` on photos and the building of an index besides. Those are killed
when they have told a part of their progress.
"""

from __future__ import annotations

import argparse
import random
import subprocess
import sys
import time
import warnings
from collections import Counter
from collections.abc import Callable
from pathlib import Path

from measuring import ROOT, finish, table

sys.path.insert(0, str(ROOT / "tests"))

import pytest
from catalog_engines import MODEL, assert_same_content, make_small, shop
from catalog_model import PlainCatalog
from catalog_operations import After, assert_same_answers, start_work
from catalogues import made_jpegs
from commands import fresh_folder
from made_challenges import kill, start_python
from stand_ins import write_toy_model
from test_catalog_crashes import FULL, answers, build_for_damage, damaged_copies, on_a_disk

from shoplens import ShoplensWarning, load_encoder
from shoplens.catalog import Catalog, Entry, open_catalog
from shoplens.catalog.embedded.graphs import graph_available
from shoplens.catalog.entry import PhotoId
from shoplens.catalog.indexing import index
from shoplens.catalog.migration import migrate
from shoplens.errors import ShoplensError
from shoplens.models import Encoder

N_PHOTOS = 300
N_INDEXED = 4000
LINKED_AT_ONCE = 100
DISKS_KIB = (1100, 1500, 2000, 3000)
TELLING = """
import sys, time
from shoplens.catalog import open_catalog

def tell(stage, done, total):
    print(stage, done, total, flush=True)
    time.sleep(0.001)  # So that whoever reads this is not far behind.
"""
INDEXING = f"""{TELLING}
import pytest
from catalog_engines import make_small
from shoplens import load_encoder
from shoplens.catalog import batch_writer, indexing
from shoplens.catalog.migration import migrate

what, photos, folder, model = sys.argv[1:]
batch_writer._WRITTEN_AT_ONCE = 8
encoder = load_encoder(model)
with pytest.MonkeyPatch.context() as monkeypatch, open_catalog(folder) as catalog:
    make_small(monkeypatch, graphs=False)
    print("begun", flush=True)
    if what == "index":
        indexing.index(photos, catalog, sync=True, encoder=encoder, progress=tell)
        catalog.compact()
    else:
        migrate(catalog, encoder, progress=tell)
    print("done", flush=True)
"""
BUILDING = f"""{TELLING}
from shoplens.catalog.embedded import compaction, graphs

compaction.INDEX_ROWS = {N_INDEXED // 2}
graphs._BATCH = {LINKED_AT_ONCE}
with open_catalog(sys.argv[1]) as catalog:
    print("begun", flush=True)
    catalog.compact(progress=tell)
    print("done", flush=True)
"""


def killed_after(process: subprocess.Popen[str], n_lines: int, seconds: float) -> list[str]:
    """Kill a process some time after it has printed some lines; return all that it printed."""
    assert process.stdout is not None
    lines = []
    while len(lines) < n_lines and (line := process.stdout.readline()):
        lines.append(line)
    time.sleep(seconds)
    process.kill()
    lines += process.stdout.readlines()
    kill(process)
    return lines


def killed_changes(n: int, folder: Path, seed: int) -> tuple[dict[str, int], list[str]]:
    """Kill n processes that upsert, delete, compact and replace all vectors.

    Returns counts, and what was wrong.
    """
    counts: Counter[str] = Counter()
    wrong: list[str] = []
    after = After()
    with open_catalog(folder, create=True) as catalog:
        catalog.set_model(MODEL)
    rng = random.Random(seed)
    for loop in range(n):
        process = start_work(folder, after.next)
        lines = killed_after(process, rng.randrange(1, 30), rng.random() * 0.05)
        begun = after.follow(lines)
        counts["kills"] += 1
        counts["in the middle of a change"] += begun
        counts["changes"] += sum(line.startswith("done") for line in lines)
        try:
            with open_catalog(folder, read_only=loop % 2 == 0) as catalog:
                after.check(catalog, maybe_one_more=begun)
            with open_catalog(folder) as catalog:
                verified = catalog.verify()
                assert verified.faults == (), verified.faults
                after.check(catalog, maybe_one_more=False)
        except (AssertionError, ShoplensError) as error:
            wrong.append(f"kill {loop}: {error}"[:500])
            break
    return dict(counts), wrong


def killed_indexing(n: int, scratch: Path, seed: int) -> tuple[dict[str, int], list[str]]:
    """Kill n processes that index a folder of photos, or migrate to another model."""
    rng = random.Random(seed)
    counts: Counter[str] = Counter()
    wrong: list[str] = []
    photos, folder = scratch / "photos", scratch / "catalogue"
    photos.mkdir()
    models = [scratch / "a", scratch / "b"]
    for cells, model in zip((4, 8), models, strict=True):
        write_toy_model(model, cells=cells)
    encoders = [load_encoder(model) for model in models]
    expected = PlainCatalog()
    open_catalog(folder, create=True).close()
    current = 0
    n_lines = {"index": N_PHOTOS // 4, "migrate": 2 * N_PHOTOS}
    for loop in range(n):
        what = "migrate" if loop % 2 else "index"
        if what == "migrate":
            current = 1 - current
        else:
            change_photos(photos, rng)
        before = {entry.photo_id: entry for entry in expected.entries()}
        done = finished(what, photos, encoders[current])
        done(expected)
        then = {entry.photo_id: entry for entry in expected.entries()}
        process = start_python(INDEXING, what, photos, folder, models[current])
        lines = killed_after(process, rng.randrange(1, n_lines[what]), rng.random() * 0.01)
        ended = lines[-1:] == ["done\n"]
        if ended:
            # So many lines it printed.
            n_lines[what] = len(lines)
        counts["kills"] += 1
        counts[f"in the middle of {what}"] += not ended
        try:
            assert_one_or_the_other(folder, what, before, then, ended)
            with open_catalog(folder) as catalog:
                done(catalog)
                now = {entry.photo_id: entry for entry in catalog.entries()}
                assert now == then
                assert catalog.model == expected.model
        except (AssertionError, ShoplensError) as error:
            wrong.append(f"{what} {loop}, after {lines[-1:]}: {error}"[:500])
            break
    return dict(counts), wrong


def killed_building(n: int, folder: Path, seed: int) -> tuple[dict[str, int], list[str]]:
    """Kill n processes that build an approximate index, beside rows that are in none yet."""
    rng = random.Random(seed)
    counts: Counter[str] = Counter()
    wrong: list[str] = []
    expected = PlainCatalog()
    expected.set_model(MODEL)
    with open_catalog(folder, create=True) as catalog:
        catalog.set_model(MODEL)
    for loop in range(n):
        # Enough of them are new for the index to be built anew.
        n_new = N_INDEXED if loop == 0 else N_INDEXED // 3
        entries = shop(n_new, seed=seed + loop, first_id=rng.randrange(N_INDEXED - n_new + 1))
        with open_catalog(folder) as catalog:
            catalog.upsert(entries)
        expected.upsert(entries)
        n_lines = rng.randrange(2, N_INDEXED // LINKED_AT_ONCE + 3)
        lines = killed_after(start_python(BUILDING, folder), n_lines, rng.random() * 0.02)
        counts["kills"] += 1
        if lines[-1:] != ["done\n"]:
            _, n_linked, n_all = lines[-1].split()
            linked = n_linked == n_all
            counts["while it was written and measured" if linked else "while it was built"] += 1
        try:
            with open_catalog(folder, read_only=loop % 2 == 0) as catalog:
                assert_same_content(catalog, expected)
                assert_same_answers(catalog, expected)
            with open_catalog(folder) as catalog:
                verified = catalog.verify()
                assert verified.faults == (), verified.faults
                assert_same_content(catalog, expected)
        except (AssertionError, ShoplensError) as error:
            wrong.append(f"kill {loop}, after {lines[-1:]}: {error}"[:500])
            break
    return dict(counts), wrong


def assert_one_or_the_other(
    folder: Path,
    what: str,
    before: dict[PhotoId, Entry],
    then: dict[PhotoId, Entry],
    ended: bool,
) -> None:
    """Each photo is as it was before or as it must be afterwards; a migration is made or is not."""
    with open_catalog(folder) as catalog:
        now = {entry.photo_id: entry for entry in catalog.entries()}
        verified = catalog.verify()
    assert verified.faults == (), verified.faults
    if what == "migrate":
        assert now in (before, then), "entries of two models"
    for photo_id in before.keys() | then.keys() | now.keys():
        assert now.get(photo_id) in (before.get(photo_id), then.get(photo_id)), photo_id
    assert ended <= (now == then), "what was done is not there"


def finished(what: str, photos: Path, encoder: Encoder) -> Callable[[Catalog], object]:
    """Return a function that does the work to its end."""
    if what == "index":
        return lambda catalog: index(photos, catalog, sync=True, encoder=encoder)

    def migrated(catalog: Catalog) -> None:
        if catalog.model is None or catalog.model.fingerprint != encoder.fingerprint:
            migrate(catalog, encoder)

    return migrated


def change_photos(photos: Path, rng: random.Random) -> None:
    """Add, replace and remove photos in a folder."""
    jpegs = made_jpegs(N_PHOTOS // 3, (24, 24), seed=rng.randrange(10**6))
    for jpeg in jpegs if any(photos.iterdir()) else jpegs * 3:
        (photos / f"{rng.randrange(N_PHOTOS)}.jpg").write_bytes(jpeg)
    there = sorted(photos.iterdir())
    for file in rng.sample(there, len(there) // 10):
        file.unlink()


def full_disks(scratch: Path) -> tuple[dict[str, int], list[str]]:
    """Fill small disks; return counts and what was wrong."""
    wrong = []
    for size in DISKS_KIB:
        done = on_a_disk(scratch / str(size), size, FULL)
        if not done.stdout.endswith("survived\n"):
            wrong.append(f"{size} KiB: {done.stdout[-200:]}{done.stderr[-600:]}")
    return {"disks": len(DISKS_KIB)}, wrong


def damaged(n: int, scratch: Path) -> tuple[dict[str, int], list[str]]:
    """Flip a bit of a file or cut it, n times; return counts and what was wrong."""
    counts: Counter[str] = Counter()
    wrong: list[str] = []
    sound, backup = scratch / "sound", scratch / "backup"
    truth = PlainCatalog()
    build_for_damage(truth)
    with open_catalog(sound, create=True) as catalog:
        build_for_damage(catalog)
        catalog.backup(backup)
    (scratch / "copies").mkdir()
    for done, folder in damaged_copies(sound, scratch / "copies", n):
        counts["damages"] += 1
        try:
            counts[outcome(folder, backup, truth)] += 1
        except (AssertionError, ShoplensError) as error:
            wrong.append(f"{done}: {type(error).__name__}: {error}"[:500])
    return dict(counts), wrong


def outcome(folder: Path, backup: Path, truth: Catalog) -> str:
    """Search, verify and repair a damaged catalogue; say in words what became of it.

    Raises `AssertionError` for a wrong answer, and where what was damaged stays so.
    """
    told: list[str] = []
    with warnings.catch_warnings(record=True) as warned:
        warnings.simplefilter("always", ShoplensWarning)
        try:
            with open_catalog(folder, read_only=True) as catalog:
                answers(catalog, truth)
        except ShoplensError as error:
            told.append(str(error))
        told += [str(one.message) for one in warned]
        try:
            with open_catalog(folder) as catalog:
                faults = [str(fault) for fault in catalog.verify().faults]
        except ShoplensError as error:
            faults = [str(error)]
    if not faults:
        assert not told, f"verify finds nothing, but: {told}"
        return "without effect: verify finds nothing, and all answers are right"
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ShoplensWarning)
        with open_catalog(folder) as catalog:
            repaired = catalog.verify(repair=True, backup=backup)
            assert repaired.ok, repaired.faults
    with open_catalog(folder) as catalog:
        assert catalog.verify().faults == ()
        answers(catalog, truth)
    return "found by verify, and repaired"


def main() -> None:
    """Measure, print, write."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--kills", type=int, default=200)
    parser.add_argument("--damages", type=int, default=100)
    parser.add_argument("--seed", type=int, default=int(time.time()))
    arguments = parser.parse_args()
    n, seed = arguments.kills, arguments.seed
    graphs = graph_available()
    with fresh_folder() as scratch, pytest.MonkeyPatch.context() as monkeypatch:
        make_small(monkeypatch, graphs=graphs)
        monkeypatch.setenv("SHOPLENS_CACHE", str(scratch / "cache"))
        results = {}
        for name, work in {
            "killed while it upserts, deletes, compacts and replaces vectors": lambda folder: (
                killed_changes(n - n // 4 - n // 8, folder / "catalogue", seed)
            ),
            "killed while it indexes photos and migrates": lambda folder: killed_indexing(
                n // 4, folder, seed
            ),
            "killed while it builds an approximate index": lambda folder: killed_building(
                n // 8 if graphs else 0, folder / "catalogue", seed
            ),
            "full disks": full_disks,
            "damaged bytes": lambda folder: damaged(arguments.damages, folder),
        }.items():
            folder = scratch / str(len(results))
            folder.mkdir()
            results[name] = work(folder)
            print(name, results[name], file=sys.stderr, flush=True)
    rows = [
        [
            name,
            ", ".join(f"{count:,} {what}" for what, count in counts.items()),
            len(wrong) or "none",
        ]
        for name, (counts, wrong) in results.items()
    ]
    text = table(["", "", "wrong"], rows)
    text += "".join(f"\n\n{line}" for _, wrong in results.values() for line in wrong)
    values = {
        "seed": seed,
        "graphs": graphs,
        "results": {
            name: {"counts": counts, "wrong": wrong} for name, (counts, wrong) in results.items()
        },
    }
    finish("catalog_crashes", "python3 make.py bench catalog_crashes", values, text)


if __name__ == "__main__":
    main()
