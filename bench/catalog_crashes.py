"""Catalogues whose process is killed, whose disk is full, whose files are damaged: what is lost.

The changes, the kills and the damages are those of tests/test_catalog_crashes.py, many more of
them, and `index` and `migrate` on photos besides.
"""

from __future__ import annotations

import argparse
import random
import sys
import time
import warnings
from collections import Counter
from collections.abc import Callable
from pathlib import Path

from measuring import ROOT, finish, table

sys.path.insert(0, str(ROOT / "tests"))

import pytest
from catalog_engines import MODEL, make_small
from catalog_model import PlainCatalog
from catalog_operations import After, start_work
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

N_PHOTOS = 60
DISKS_KIB = (1100, 1500, 2000, 3000)
INDEXING = """
import sys
import pytest
from catalog_engines import make_small
from shoplens import load_encoder
from shoplens.catalog import indexing, open_catalog
from shoplens.catalog.migration import migrate

what, photos, folder, model = sys.argv[1:]
indexing._WRITTEN_AT_ONCE = 8
encoder = load_encoder(model)
with pytest.MonkeyPatch.context() as monkeypatch, open_catalog(folder) as catalog:
    make_small(monkeypatch, graphs=False)
    print("begun", flush=True)
    if what == "index":
        indexing.index(photos, catalog, sync=True, encoder=encoder)
        catalog.compact()
    else:
        migrate(catalog, encoder)
    print("done", flush=True)
"""


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
        assert process.stdout is not None
        lines = [process.stdout.readline() for _ in range(rng.randrange(1, 30))]
        time.sleep(rng.random() * 0.05)
        process.kill()
        lines += process.stdout.readlines()
        kill(process)
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
    seconds = {"index": 0.5, "migrate": 0.5}
    for loop in range(n):
        what = "migrate" if loop % 3 == 2 else "index"
        if what == "migrate":
            current = 1 - current
        else:
            change_photos(photos, rng)
        before = {entry.photo_id: entry for entry in expected.entries()}
        done = finished(what, photos, encoders[current])
        done(expected)
        then = {entry.photo_id: entry for entry in expected.entries()}
        process = start_python(INDEXING, what, photos, folder, models[current])
        assert process.stdout is not None
        process.stdout.readline()
        started = time.perf_counter()
        time.sleep(rng.random() * seconds[what])
        process.kill()
        ended = "done" in process.stdout.read()
        # So that about half of them are killed in the middle.
        seconds[what] *= 0.8 if ended else 1.25
        kill(process)
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
            wrong.append(
                f"{what} {loop}, after {time.perf_counter() - started:.2f} s: {error}"[:500]
            )
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
                killed_changes(n - n // 4, folder / "catalogue", seed)
            ),
            "killed while it indexes photos and migrates": lambda folder: killed_indexing(
                n // 4, folder, seed
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
