"""Processes killed in the middle, full disks and damaged files: nothing is lost, nothing is wrong
without a word."""

from __future__ import annotations

import os
import random
import shutil
import subprocess
import sys
import time
import warnings
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import pytest
from catalog_engines import MODEL, assert_same_content, make_small, shop, units
from catalog_operations import After, assert_same_answers, change, start_work
from made_challenges import kill, start_python

from shoplens import ShoplensWarning
from shoplens.catalog import Catalog, Entry, open_catalog
from shoplens.catalog.embedded import restore_backup
from shoplens.errors import CatalogError, ShoplensError

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="SIGKILL")

KILLS = int(os.environ.get("SHOPLENS_KILLS", "6"))
DAMAGES = int(os.environ.get("SHOPLENS_DAMAGES", "60"))
SEED = int(os.environ.get("SHOPLENS_SEED", "0"))


# Kills.


def test_a_killed_process_loses_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The number of kills is SHOPLENS_KILLS."""
    make_small(monkeypatch, graphs=False)
    folder = tmp_path / "catalogue"
    with open_catalog(folder, create=True) as catalog:
        catalog.set_model(MODEL)
    after = After()
    rng = random.Random(SEED)
    for loop in range(KILLS):
        process = start_work(folder, after.next)
        assert process.stdout is not None
        lines = [process.stdout.readline() for _ in range(rng.randrange(1, 30))]
        time.sleep(rng.random() * 0.02)
        process.kill()
        lines += process.stdout.readlines()
        kill(process)
        begun = after.follow(lines)
        with open_catalog(folder, read_only=loop % 2 == 0) as catalog:
            after.check(catalog, maybe_one_more=begun)
        with open_catalog(folder) as catalog:
            verified = catalog.verify()
            assert verified.faults == ()
            assert verified.n_photos == after.expected.count()
            if loop % 5 == 4:
                change(catalog, after.next)
                change(after.expected, after.next)
                after.next += 1
            after.check(catalog, maybe_one_more=False)
    # What killed processes left behind goes with the next change, once it is a few seconds old.
    for path in folder.rglob("*.part"):
        os.utime(path, (0, 0))
    with open_catalog(folder) as catalog:
        catalog.compact()
        after.check(catalog, maybe_one_more=False)
    assert not list(folder.rglob("*.part"))


def test_a_process_killed_while_it_makes_a_catalogue(tmp_path: Path) -> None:
    """Whatever is there then can be opened with `create` again."""
    code = (
        "import sys; from shoplens import open_catalog; print('go', flush=True);"
        "from pathlib import Path; "
        "[open_catalog(Path(sys.argv[1]) / str(i), create=True).close() for i in range(1000)]"
    )
    rng = random.Random(SEED)
    for loop in range(max(2, KILLS // 3)):
        folder = tmp_path / str(loop)
        folder.mkdir()
        process = start_python(code, folder)
        assert process.stdout is not None
        process.stdout.readline()
        time.sleep(0.05 + rng.random() * 0.2)
        kill(process)
        for made in sorted(folder.iterdir()):
            with open_catalog(made, create=True) as catalog:
                catalog.set_model(MODEL)
                catalog.upsert(shop(2))
                assert catalog.count() == 2


# Full disks.


FULL = """
import json, sys, warnings
from pathlib import Path
from catalog_engines import shop
from catalog_operations import After
from shoplens.catalog import open_catalog
from shoplens.errors import CatalogError, ShoplensError
import pytest
from catalog_engines import MODEL, assert_same_content, make_small, units
from catalog_model import PlainCatalog
from catalog_operations import assert_same_answers
from shoplens.catalog import Entry

warnings.simplefilter("ignore")
disk = Path(sys.argv[1])
with pytest.MonkeyPatch.context() as monkeypatch:
    make_small(monkeypatch, graphs=False)
    (disk / "filler").write_bytes(bytes(500_000))
    expected = PlainCatalog()
    expected.set_model(MODEL)
    catalog = open_catalog(disk / "catalogue", create=True)
    catalog.set_model(MODEL)
    error = None
    number = 0
    while error is None and number < 1000:
        entries = [
            Entry(f"{i}", v, f"p{i % 9}", path="x" * 500, attributes={"colour": "red"})
            for i, v in enumerate(units(50, seed=number), start=40 * number)
        ]
        try:
            catalog.upsert(entries)
        except CatalogError as raised:
            error = raised
        else:
            expected.upsert(entries)
            number += 1
    print(f"after {number} upserts: {error}")
    assert number > 0
    assert error is not None and "full" in str(error), error
    # Nothing is lost, and it can be read, by others too.
    assert_same_content(catalog, expected)
    assert_same_answers(catalog, expected)
    with open_catalog(disk / "catalogue", read_only=True) as reader:
        assert_same_content(reader, expected)
        assert_same_answers(reader, expected)
    try:
        catalog.compact()
    except ShoplensError as raised:
        assert "full" in str(raised) or "No space" in str(raised), raised
    assert_same_content(catalog, expected)
    assert_same_answers(catalog, expected)
    try:
        catalog.delete(["0", "1"])
    except CatalogError:
        pass
    else:
        expected.delete(["0", "1"])
    assert_same_content(catalog, expected)
    catalog.close()
    with open_catalog(disk / "catalogue") as catalog:
        assert_same_content(catalog, expected)
    # There is room again.
    (disk / "filler").unlink()
    catalog = open_catalog(disk / "catalogue")
    catalog.upsert(entries)
    expected.upsert(entries)
    assert_same_content(catalog, expected)
    assert catalog.verify().faults == ()
    catalog.close()
    with open_catalog(disk / "catalogue") as catalog:
        assert_same_content(catalog, expected)
        assert_same_answers(catalog, expected)
    print("survived")
"""


def on_a_disk(disk: Path, kibibytes: int, code: str) -> subprocess.CompletedProcess[str]:
    """Run Python with a small disk of its own at `disk`, which is its argument."""
    if shutil.which("unshare") is None:
        pytest.skip("no unshare here")
    disk.mkdir()
    mounted = subprocess.run(
        ["unshare", "-rm", "mount", "-t", "tmpfs", "tmpfs", disk], capture_output=True, check=False
    )
    if mounted.returncode:
        pytest.skip(f"cannot mount: {mounted.stderr.decode()}")
    shell = 'mount -t tmpfs -o size="$1"k tmpfs "$2" && exec "$3" -c "$4" "$2"'
    root = Path(__file__).parents[1]
    return subprocess.run(
        ["unshare", "-rm", "sh", "-c", shell, "sh", str(kibibytes), disk, sys.executable, code],
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "PYTHONPATH": os.pathsep.join([f"{root}/src", f"{root}/tests"])},
    )


@pytest.mark.parametrize("kibibytes", [1300, 1500, 2000, 3000])
def test_a_full_disk_is_an_error_and_loses_nothing(tmp_path: Path, kibibytes: int) -> None:
    done = on_a_disk(tmp_path / "disk", kibibytes, FULL)
    assert done.stdout.endswith("survived\n"), done.stdout + done.stderr


def test_a_limit_on_files_is_an_error_and_loses_nothing(tmp_path: Path) -> None:
    """Where nothing can be mounted: a file may not grow beyond a size."""
    resource = pytest.importorskip("resource")
    code = FULL.replace("disk = Path(sys.argv[1])", "disk = Path(sys.argv[1])\n" + LIMIT)
    code = code.replace('"full" in str(error)', "error")
    code = code.replace('"full" in str(raised) or "No space" in str(raised)', "True")
    code = code.replace('(disk / "filler").unlink()', UNLIMIT)
    del resource
    root = Path(__file__).parents[1]
    done = subprocess.run(
        [sys.executable, "-c", code, tmp_path],
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "PYTHONPATH": os.pathsep.join([f"{root}/src", f"{root}/tests"])},
    )
    assert done.stdout.endswith("survived\n"), done.stdout + done.stderr


LIMIT = """
import resource, signal
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (1_000_000, resource.RLIM_INFINITY))
"""
UNLIMIT = "resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY,) * 2)"


READ_ONLY = """
import sys
from pathlib import Path
from catalog_engines import MODEL, assert_same_content, shop
from catalog_model import PlainCatalog
from catalog_operations import assert_same_answers
from shoplens.catalog import open_catalog
from shoplens.errors import CatalogError
import pytest, subprocess

disk = Path(sys.argv[1])
expected = PlainCatalog()
expected.set_model(MODEL)
expected.upsert(shop(30))
with open_catalog(disk / "catalogue", create=True) as catalog:
    catalog.set_model(MODEL)
    catalog.upsert(shop(30))
    catalog.compact()
subprocess.run(["mount", "-o", "bind,remount,ro", disk], check=True)
with open_catalog(disk / "catalogue", read_only=True) as catalog:
    assert_same_content(catalog, expected)
    assert_same_answers(catalog, expected)
    assert catalog.verify().ok
try:
    with open_catalog(disk / "catalogue") as catalog:
        assert_same_content(catalog, expected)
        catalog.upsert(shop(31))
except CatalogError as error:
    print(error)
    assert "cannot be written" in str(error) and "read_only=True" in str(error), error
else:
    raise AssertionError("no error")
print("survived")
"""


def test_a_disk_that_can_only_be_read(tmp_path: Path) -> None:
    done = on_a_disk(tmp_path / "disk", 4000, READ_ONLY)
    assert done.stdout.endswith("survived\n"), done.stdout + done.stderr


# Damage.


def entries_for_damage() -> list[Entry]:
    return shop(150)


@pytest.fixture(scope="module")
def sound(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A catalogue with an index, a segment without, rows in no segment, and removed rows."""
    folder = tmp_path_factory.mktemp("sound") / "catalogue"
    with pytest.MonkeyPatch.context() as monkeypatch:
        make_small(monkeypatch, graphs=True)
        with open_catalog(folder, create=True) as catalog:
            build_for_damage(catalog)
    return folder


def build_for_damage(catalog: Catalog) -> None:
    entries = shop(150)
    catalog.set_model(MODEL)
    catalog.upsert(entries[:100])
    catalog.compact()
    catalog.upsert(entries[100:130])
    catalog.upsert(entries[130:])
    catalog.delete([3, 50, 105, 140])
    catalog.upsert(shop(12, seed=8, first_id=20))
    catalog.upsert(shop(3, seed=9, first_id=200))


@pytest.fixture(scope="module")
def truth() -> Catalog:
    from catalog_model import PlainCatalog

    catalog = PlainCatalog()
    build_for_damage(catalog)
    return catalog


def damaged_copies(sound: Path, target: Path, n: int) -> Iterator[tuple[str, Path]]:
    """Yield what was done to copies of a catalogue."""
    rng = random.Random(SEED)
    files = [file for file in sorted(sound.rglob("*")) if file.is_file() and file.stat().st_size]
    assert len(files) > 5
    assert not [file for file in files if "-wal" in file.name or "-shm" in file.name]
    for number in range(n):
        file = files[number % len(files)]
        name = file.relative_to(sound)
        copy = target / str(number)
        shutil.copytree(sound, copy)
        data = bytearray(file.read_bytes())
        way = (number // len(files)) % 4
        if way == 3:
            length = rng.randrange(len(data))
            del data[length:]
            done = f"{name} cut to {length} bytes"
        else:
            # Most of the bytes of a small SQLite file are zero, and mean nothing.
            used = [i for i, byte in enumerate(data) if byte] if way else range(len(data))
            place = rng.choice(used)
            flipped = 1 << rng.randrange(8)
            data[place] ^= flipped
            done = f"{name}, byte {place} ^ {flipped}"
        (copy / name).write_bytes(data)
        yield done, copy
        shutil.rmtree(copy)


def answers(catalog: Catalog, truth: Catalog) -> None:
    assert_same_content(catalog, truth)
    assert_same_answers(catalog, truth)
    ids = truth.ids()
    assert catalog.get_many(ids) == truth.get_many(ids)
    for product in ("p1", "p2"):
        where = f"product_id = '{product}'"
        assert catalog.ids(where) == truth.ids(where)
    assert catalog.facets("colour", "size") == truth.facets("colour", "size")


def test_damage_is_found_or_changes_nothing(sound: Path, truth: Catalog, tmp_path: Path) -> None:
    """The number of damages is SHOPLENS_DAMAGES."""
    wrong = []
    n_found = 0
    for done, folder in damaged_copies(sound, tmp_path, DAMAGES):
        told = ""
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ShoplensWarning)
            try:
                with open_catalog(folder, read_only=True) as catalog:
                    answers(catalog, truth)
            except ShoplensError as error:
                told = str(error)
            except AssertionError as error:
                wrong.append(f"{done}: a wrong answer: {str(error)[:200]}")
            except Exception as error:
                wrong.append(f"{done}: {error!r}")
            try:
                with open_catalog(folder) as catalog:
                    verified = catalog.verify()
                    faults = [str(fault) for fault in verified.faults]
                    assert verified.ok == (not faults)
            except CatalogError as error:
                faults = [str(error)]
            except Exception as error:
                faults = [repr(error)]
                wrong.append(f"{done}: verify: {error!r}")
        n_found += bool(faults)
        if told and not faults:
            wrong.append(f"{done}: verify finds nothing, but {told}")
    assert not wrong, "\n".join(wrong)
    assert n_found > DAMAGES / 3


def test_damage_of_what_is_derived_is_repaired(
    sound: Path, truth: Catalog, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    make_small(monkeypatch, graphs=True)
    n_repaired = 0
    for done, folder in damaged_copies(sound, tmp_path, DAMAGES // 2):
        if done.startswith("catalog.sqlite"):
            continue
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ShoplensWarning)
            with open_catalog(folder) as catalog:
                answers(catalog, truth)
                verified = catalog.verify(repair=True)
                assert verified.ok, (done, verified)
                n_repaired += len(verified.faults) > 0
        with open_catalog(folder) as catalog:  # Without a warning.
            assert catalog.verify().faults == (), done
            answers(catalog, truth)
    assert n_repaired > DAMAGES / 6


def test_derived_files_can_be_thrown_away(sound: Path, truth: Catalog, tmp_path: Path) -> None:
    folder = tmp_path / "catalogue"
    shutil.copytree(sound, folder)
    for path in folder.iterdir():
        if path.is_dir():
            shutil.rmtree(path)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ShoplensWarning)
        with open_catalog(folder) as catalog:
            answers(catalog, truth)
            assert catalog.verify(repair=True).ok
    with open_catalog(folder) as catalog:
        assert catalog.verify().faults == ()
        answers(catalog, truth)


def test_a_damaged_vector_is_never_an_answer(tmp_path: Path) -> None:
    """A photo whose vector is damaged in the store: searches that need it say so."""
    folder = tmp_path / "catalogue"
    entries = shop(40)
    with open_catalog(folder, create=True) as catalog:
        catalog.set_model(MODEL)
        catalog.upsert(entries)
        catalog.compact()
        catalog.backup(tmp_path / "backup")
    file = folder / "catalog.sqlite"
    data = bytearray(file.read_bytes())
    place = data.index(entries[7].vector.tobytes())
    data[place + 5] ^= 1
    file.write_bytes(data)
    with open_catalog(folder) as catalog:
        with pytest.raises(CatalogError, match=r"photo 7 .*damaged.*verify"):
            catalog.get(7)
        with pytest.raises(CatalogError, match="photo 7 "):
            catalog.search(vector=entries[7].vector)
        with pytest.raises(CatalogError, match="photo 7 "):
            list(catalog.entries())
        verified = catalog.verify()
        assert not verified.ok
        assert any("7" in str(fault) for fault in verified.faults)
        assert catalog.get(8) == entries[8]
        # It can be put in again.
        catalog.upsert([entries[7]])
        assert catalog.verify().ok
        assert catalog.get(7) == entries[7]
        [hit] = catalog.search(vector=entries[7].vector, k=1)
        assert hit.photo_id == 7


def test_a_backup_is_a_catalogue_again(tmp_path: Path, sound: Path, truth: Catalog) -> None:
    with open_catalog(sound, read_only=True) as catalog:
        catalog.backup(tmp_path / "backup")
        with pytest.raises(ShoplensError, match="is there already"):
            catalog.backup(tmp_path / "backup")
    restore_backup(tmp_path / "backup", tmp_path / "restored")
    with open_catalog(tmp_path / "restored") as catalog:
        answers(catalog, truth)
        assert catalog.verify().faults == ()
        catalog.upsert(shop(3, first_id=900))
        catalog.compact()
        assert catalog.count() == truth.count() + 3
    with pytest.raises(ShoplensError, match="is there already"):
        restore_backup(tmp_path / "backup", tmp_path / "restored")
    with pytest.raises(ShoplensError):
        restore_backup(tmp_path / "no backup", tmp_path / "other")
    (tmp_path / "text").write_text("no backup")
    with pytest.raises(CatalogError):
        restore_backup(tmp_path / "text", tmp_path / "other")
    assert not (tmp_path / "other").exists()


def test_a_damaged_backup_is_not_restored(tmp_path: Path, sound: Path, truth: Catalog) -> None:
    with open_catalog(sound, read_only=True) as catalog:
        catalog.backup(tmp_path / "backup")
    whole = (tmp_path / "backup").read_bytes()
    rng = random.Random(SEED)
    used = [i for i, byte in enumerate(whole) if byte]
    wrong = []
    for number in range(DAMAGES // 3):
        data = bytearray(whole)
        place = rng.choice(used)
        if number % 4 == 3:
            del data[place:]
        else:
            data[place] ^= 1 << rng.randrange(8)
        damaged = tmp_path / f"damaged {number}"
        damaged.write_bytes(data)
        restored = tmp_path / f"restored {number}"
        try:
            restore_backup(damaged, restored)
        except ShoplensError:
            assert not restored.exists()
            continue
        try:
            with open_catalog(restored) as catalog:
                answers(catalog, truth)
        except Exception as error:
            wrong.append(f"byte {place}: {error!r}"[:300])
    assert not wrong, "\n".join(wrong)


def test_damage_of_the_store_is_repaired_from_a_backup(
    sound: Path, truth: Catalog, tmp_path: Path
) -> None:
    with open_catalog(sound, read_only=True) as catalog:
        catalog.backup(tmp_path / "backup")
    whole = (sound / "catalog.sqlite").read_bytes()
    used = [place for place, byte in enumerate(whole) if byte]
    rng = random.Random(SEED)
    wrong = []
    n_repaired = 0
    for number in range(DAMAGES // 3):
        folder = tmp_path / str(number)
        shutil.copytree(sound, folder)
        data = bytearray(whole)
        place = rng.choice(used)
        if number % 4 == 3:
            del data[place:]
        else:
            data[place] ^= 1 << rng.randrange(8)
        (folder / "catalog.sqlite").write_bytes(data)
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", ShoplensWarning)
                with open_catalog(folder) as catalog:
                    verified = catalog.verify(repair=True, backup=tmp_path / "backup")
                    n_repaired += len(verified.faults) > 0
                    assert verified.ok, verified
            with open_catalog(folder) as catalog:
                assert catalog.verify().faults == ()
                answers(catalog, truth)
        except Exception as error:
            wrong.append(f"{number}: byte {place} of {len(whole)}: {error!r}"[:400])
        shutil.rmtree(folder)
    assert not wrong, "\n".join(wrong)
    assert n_repaired > DAMAGES / 6


def test_a_damaged_index_of_the_store_gives_no_wrong_answer(tmp_path: Path) -> None:
    """A byte of a key in it: the photo would not be found by its id."""
    import sqlite3

    folder = tmp_path / "catalogue"
    entries = [
        Entry(f"photo {i}", vector, f"product {i // 4}") for i, vector in enumerate(units(40))
    ]
    with open_catalog(folder, create=True) as catalog:
        catalog.set_model(MODEL)
        catalog.upsert(entries)
    file = folder / "catalog.sqlite"
    with closing(sqlite3.connect(file)) as connection:
        [page] = connection.execute(
            "SELECT rootpage FROM sqlite_master WHERE name = 'sqlite_autoindex_photos_1'"
        ).fetchone()
        [size] = connection.execute("PRAGMA page_size").fetchone()
    data = bytearray(file.read_bytes())
    data[data.index(b"photo 17", (page - 1) * size, page * size)] ^= 1
    file.write_bytes(data)
    with open_catalog(folder) as catalog:
        attempts: list[Callable[[], object]] = [
            lambda: catalog.get("photo 17"),
            lambda: catalog.upsert([entries[17]]),
            lambda: catalog.delete(["photo 17"]),
            lambda: catalog.search(photo_id="photo 17"),
        ]
        for attempt in attempts:
            with pytest.raises(CatalogError, match="index of photo ids is damaged"):
                attempt()
        assert not catalog.verify().ok
        assert catalog.verify(repair=True).ok
        assert catalog.get("photo 17") == entries[17]
        assert catalog.count() == 40


KILLED = """
import os, signal, sys
from catalog_engines import MODEL, shop
from shoplens.catalog import open_catalog

catalog = open_catalog(sys.argv[1], create=True)
catalog.set_model(MODEL)
for number in range(10):
    catalog.upsert(shop(20, seed=number, first_id=20 * number))
os.kill(os.getpid(), signal.SIGKILL)
"""


@pytest.mark.parametrize("damage", ["none", "flip", "cut", "remove"])
def test_a_damaged_log_of_a_killed_writer_is_told(tmp_path: Path, damage: str) -> None:
    folder = tmp_path / "catalogue"
    process = start_python(KILLED, folder)
    process.communicate()
    log = folder / "catalog.sqlite-wal"
    data = bytearray(log.read_bytes())
    if damage == "flip":
        data[len(data) // 2] ^= 1
    elif damage == "cut":
        del data[len(data) // 2 :]
    if damage == "remove":
        log.unlink()
    else:
        log.write_bytes(data)
    with open_catalog(folder) as catalog:
        if damage == "none":
            assert catalog.count() == 200
            assert catalog.verify().faults == ()
            return
        for attempt in (catalog.count, lambda: catalog.delete([0])):
            with pytest.raises(CatalogError, match="last changes are missing"):
                attempt()
        [fault] = catalog.verify().faults
        assert fault.where == "catalog.sqlite-wal"
        assert not catalog.verify(repair=True).ok
        assert catalog.verify().faults == ()
        kept = catalog.count()
        assert kept < 200
    with open_catalog(folder) as catalog:
        assert catalog.count() == kept


# What is no catalogue.


def test_what_is_no_catalogue_is_refused(tmp_path: Path) -> None:
    import sqlite3

    file = tmp_path / "file"
    file.write_text("a text")
    other = tmp_path / "other"
    other.mkdir()
    (other / "letter.txt").write_text("dear")
    for path in (file, other):
        for create in (True, False):
            with pytest.raises(ShoplensError, match=str(path)):
                open_catalog(path, create=create)
    assert file.read_text() == "a text"
    assert [p.name for p in other.iterdir()] == ["letter.txt"]
    with pytest.raises(ShoplensError, match="missing"):
        open_catalog(tmp_path / "missing" / "catalogue", create=True)
    songs = tmp_path / "songs"
    songs.mkdir()
    connection = sqlite3.connect(songs / "catalog.sqlite")
    connection.execute("CREATE TABLE songs (name TEXT)")
    connection.close()
    for create in (True, False):
        with pytest.raises(CatalogError, match="not that of a catalogue"):
            open_catalog(songs, create=create)
    text = tmp_path / "text"
    text.mkdir()
    (text / "catalog.sqlite").write_text("no database at all, but long enough" * 100)
    with pytest.raises(CatalogError, match=r"catalog\.sqlite"):
        open_catalog(text)


def test_a_catalogue_of_a_newer_version_is_refused(tmp_path: Path) -> None:
    import sqlite3

    folder = tmp_path / "catalogue"
    with open_catalog(folder, create=True) as catalog:
        catalog.set_model(MODEL)
    connection = sqlite3.connect(folder / "catalog.sqlite")
    connection.execute("PRAGMA user_version = 1000")
    connection.close()
    for arguments in ({}, {"create": True}, {"read_only": True}):
        with pytest.raises(CatalogError, match="newer version"):
            open_catalog(folder, **arguments)


def test_missing_catalogues(tmp_path: Path) -> None:
    from shoplens.errors import MissingError

    for read_only in (True, False):
        with pytest.raises(MissingError, match="no catalogue"):
            open_catalog(tmp_path / "catalogue", read_only=read_only)
    assert not (tmp_path / "catalogue").exists()
    with pytest.raises(CatalogError, match="folder or milvus"):
        open_catalog("http://localhost/catalogue")
