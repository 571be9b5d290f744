from __future__ import annotations

import json
import os
import signal
import sqlite3
import subprocess
import sys
import time
import zipfile
from collections.abc import Callable, Sequence
from contextlib import closing, suppress
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from conftest import TOY_RECIPE, picture, toy_graph
from hypothesis import given, settings
from hypothesis import strategies as st

import shoplens
from shoplens import Catalog, Encoder, Entry, embed, index, open_catalog, read_gallery
from shoplens.catalog import indexing
from shoplens.catalog.index_report import IndexReport
from shoplens.errors import (
    CatalogBusyError,
    CatalogError,
    DataError,
    FailureLimitError,
    MissingError,
    ModelError,
    ShoplensError,
)
from shoplens.models import DEFAULT_MODEL
from shoplens.records import Box, Domain, Photo, PhotoSet, Vectors


@pytest.fixture
def toy(make_model: Callable[..., Path]) -> Encoder:
    return shoplens.load_encoder(make_model())


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    """Return a folder of four photos, one of them in a folder of its own."""
    folder = tmp_path / "photos"
    (folder / "more").mkdir(parents=True)
    for number in range(3):
        picture(number).save(folder / f"{number}.png")
    picture(3).save(folder / "more" / "3.png")
    return folder


@pytest.fixture
def shop(tmp_path: Path) -> Path:
    return tmp_path / "shop"


def counts(report: IndexReport) -> tuple[int, int, int, int, int]:
    """Return how many were added, changed, unchanged, removed, failed."""
    return (
        report.n_added,
        report.n_changed,
        report.n_unchanged,
        report.n_removed,
        report.n_failed,
    )


def held(shop: Path) -> dict[int | str, Entry]:
    with open_catalog(shop, read_only=True) as catalog:
        return {entry.photo_id: entry for entry in catalog.entries()}


def write_table(folder: Path, rows: Sequence[str], header: str) -> Path:
    file = folder / "gallery.csv"
    file.write_text("\n".join([header, *rows]) + "\n", encoding="utf-8")
    return file


def overwrite(file: Path, data: bytes) -> None:
    """Give a file other bytes, but the size and time that it has."""
    status = file.stat()
    file.write_bytes(data.ljust(status.st_size, b"\0")[: status.st_size])
    os.utime(file, ns=(status.st_atime_ns, status.st_mtime_ns))


def touch(file: Path) -> None:
    """Give a file another time."""
    later = file.stat().st_mtime_ns + 10**9
    os.utime(file, ns=(later, later))


class Refusing:
    """An encoder that must not be asked for a vector."""

    batch_size = 1
    concurrency = 1

    def __init__(self, encoder: Encoder) -> None:
        self._encoder = encoder

    def __getattr__(self, name: str) -> object:
        return getattr(self._encoder, name)

    def embed(self, prepared: Sequence[object], domains: Sequence[Domain]) -> Vectors:
        raise AssertionError("a photo was embedded")


def test_the_photos_of_a_folder_are_known_by_their_paths(
    photos: Path, shop: Path, toy: Encoder
) -> None:
    report = index(photos, shop, encoder=toy)
    assert counts(report) == (4, 0, 0, 0, 0)
    assert (report.n_photos, report.n_embedded, report.n_clipped) == (4, 4, 0)
    entries = held(shop)
    expected = embed(read_gallery(photos), toy)
    assert list(entries) == ["0.png", "1.png", "2.png", "more/3.png"]
    for entry, vector, sha256 in zip(
        entries.values(), expected.vectors, expected.sha256, strict=True
    ):
        np.testing.assert_array_equal(entry.vector, vector)
        assert entry.sha256 == sha256
        assert (entry.path, entry.source) == (entry.photo_id, str(photos))
        assert (entry.product_id, entry.box, dict(entry.attributes)) == (None, None, {})


def test_a_table_gives_ids_products_and_attributes(photos: Path, shop: Path, toy: Encoder) -> None:
    write_table(photos, ["7,0.png,a,shoes,9.5", "-2,1.png,,,", "9,2.png,b,bags,"],
                "seller_img_id,img_path,product_id,category,price")  # fmt: skip
    assert counts(index(photos, shop, encoder=toy)) == (3, 0, 0, 0, 0)
    entries = held(shop)
    assert [(e.photo_id, e.product_id) for e in entries.values()] == [
        (7, "a"),
        (-2, None),
        (9, "b"),
    ]
    assert dict(entries[7].attributes) == {"category": "shoes", "price": 9.5}
    assert counts(index(photos, shop, encoder=toy)) == (0, 0, 3, 0, 0)


def test_unchanged_photos_are_neither_read_nor_embedded(
    photos: Path, shop: Path, toy: Encoder
) -> None:
    index(photos, shop, encoder=toy)
    before = held(shop)
    overwrite(photos / "0.png", b"no picture any more")
    report = index(photos, shop, encoder=Refusing(toy), cache=False)
    assert counts(report) == (0, 0, 4, 0, 0)
    assert report.n_embedded == 0
    assert held(shop) == before


def test_where_the_time_of_a_file_changed_its_bytes_decide(
    photos: Path, shop: Path, toy: Encoder
) -> None:
    index(photos, shop, encoder=toy)
    touch(photos / "0.png")
    assert counts(index(photos, shop, encoder=Refusing(toy), cache=False)) == (0, 0, 4, 0, 0)
    # Its new time is known now.
    overwrite(photos / "0.png", b"no picture any more")
    assert counts(index(photos, shop, encoder=Refusing(toy), cache=False)) == (0, 0, 4, 0, 0)


def test_other_pixels_are_embedded(photos: Path, shop: Path, toy: Encoder) -> None:
    index(photos, shop, encoder=toy)
    picture(9).save(photos / "1.png")
    report = index(photos, shop, encoder=toy, cache=False)
    assert counts(report) == (0, 1, 3, 0, 0)
    assert report.n_embedded == 1
    [expected] = embed(PhotoSet([Photo(0, "", photos / "1.png", "seller")]), toy).vectors
    np.testing.assert_array_equal(held(shop)["1.png"].vector, expected)


def test_other_attributes_and_products_cost_no_inference(
    photos: Path, shop: Path, toy: Encoder
) -> None:
    header = "seller_img_id,img_path,product_id,price"
    write_table(photos, ["0,0.png,a,5", "1,1.png,b,6", "2,2.png,c,7"], header)
    index(photos, shop, encoder=toy)
    before = held(shop)
    write_table(photos, ["0,0.png,a,4", "1,1.png,x,6", "2,2.png,c,7"], header)
    report = index(photos, shop, encoder=Refusing(toy), cache=False)
    assert counts(report) == (0, 2, 1, 0, 0)
    after = held(shop)
    assert (after[0].attributes["price"], after[1].product_id) == (4, "x")
    for photo_id, entry in after.items():
        np.testing.assert_array_equal(entry.vector, before[photo_id].vector)


def test_a_photo_at_another_path_is_not_embedded_again(
    photos: Path, shop: Path, toy: Encoder
) -> None:
    header = "seller_img_id,img_path"
    write_table(photos, ["5,0.png"], header)
    index(photos, shop, encoder=toy)
    (photos / "0.png").rename(photos / "new.png")
    write_table(photos, ["5,new.png"], header)
    assert counts(index(photos, shop, encoder=Refusing(toy), cache=False)) == (0, 1, 0, 0, 0)
    assert held(shop)[5].path == "new.png"


def test_vanished_photos_of_the_same_source_are_removed_on_request(
    photos: Path, shop: Path, toy: Encoder, tmp_path: Path
) -> None:
    other = tmp_path / "other"
    other.mkdir()
    picture(8).save(other / "8.png")
    (photos / "bad.png").write_bytes(b"no picture")
    index(other, shop, encoder=toy)
    index(photos, shop, encoder=toy)
    (photos / "0.png").unlink()
    (photos / "bad.png").unlink()
    assert counts(index(photos, shop, encoder=toy)) == (0, 0, 3, 0, 0)
    assert len(held(shop)) == 5
    assert counts(index(photos, shop, encoder=toy, sync=True, dry_run=True)) == (0, 0, 3, 2, 0)
    assert counts(index(photos, shop, encoder=toy, sync=True)) == (0, 0, 3, 2, 0)
    assert set(held(shop)) == {"8.png", "1.png", "2.png", "more/3.png"}
    with open_catalog(shop) as catalog:
        assert list(catalog.failures()) == []


def test_a_dry_run_writes_nothing(photos: Path, shop: Path, toy: Encoder) -> None:
    report = index(photos, shop, dry_run=True)
    assert counts(report) == (4, 0, 0, 0, 0)
    assert (report.dry_run, report.n_embedded, report.model) == (True, 4, None)
    assert not shop.exists()
    index(photos, shop, encoder=toy)
    before = held(shop)
    (photos / "0.png").unlink()
    picture(9).save(photos / "1.png")
    touch(photos / "2.png")
    picture(10).save(photos / "10.png")
    report = index(photos, shop, encoder=Refusing(toy), sync=True, dry_run=True)
    assert counts(report) == (1, 1, 2, 1, 0)
    assert held(shop) == before
    assert counts(index(photos, shop, encoder=toy, sync=True)) == (1, 1, 2, 1, 0)


def test_photos_that_fail_are_kept_on_record_and_tried_again(
    photos: Path, shop: Path, toy: Encoder
) -> None:
    write_table(photos, ["0,0.png,a,5", "1,none.png,b,6", "2,2.png,c,7"],
                "seller_img_id,img_path,product_id,price")  # fmt: skip
    (photos / "2.png").write_bytes(b"no picture")
    report = index(photos, shop, encoder=toy)
    assert counts(report) == (1, 0, 0, 0, 2)
    assert report.n_kept == 0
    with open_catalog(shop) as catalog:
        failed = list(catalog.failures())
        assert failed == sorted(report.failures, key=lambda f: f.photo_id)
        assert [(f.photo_id, f.reason, f.product_id) for f in failed] == [
            (1, "missing", "b"),
            (2, "not_an_image", "c"),
        ]
        assert failed[0].attributes["price"] == 6
    assert counts(index(photos, shop, encoder=toy, dry_run=True)) == (0, 0, 1, 0, 2)
    assert counts(index(photos, shop, encoder=toy)) == (0, 0, 1, 0, 2)
    picture(2).save(photos / "2.png")
    assert counts(index(photos, shop, encoder=toy)) == (1, 0, 1, 0, 1)
    with open_catalog(shop) as catalog:
        assert [f.photo_id for f in catalog.failures()] == [1]


def test_a_photo_that_was_fine_and_fails_now_stays_as_it_was(
    photos: Path, shop: Path, toy: Encoder
) -> None:
    header = "seller_img_id,img_path,product_id,price"
    write_table(photos, ["0,0.png,a,5", "1,1.png,b,6"], header)
    index(photos, shop, encoder=toy)
    before = held(shop)
    data = (photos / "0.png").read_bytes()
    (photos / "0.png").unlink()
    (photos / "1.png").write_bytes(b"half an upload")
    write_table(photos, ["0,0.png,a,4", "1,1.png,b,6"], header)
    for _ in range(2):
        report = index(photos, shop, encoder=toy, sync=True)
        assert counts(report) == (0, 0, 0, 0, 2)
        assert report.n_kept == 2
        assert {f.photo_id: f.reason for f in report.failures} == {0: "missing", 1: "not_an_image"}
    after = held(shop)
    assert after[0].attributes["price"] == 4
    assert after[1] == before[1]
    np.testing.assert_array_equal(after[0].vector, before[0].vector)
    (photos / "0.png").write_bytes(data)
    picture(6).save(photos / "1.png")
    report = index(photos, shop, encoder=toy, cache=False)
    assert counts(report) == (0, 1, 1, 0, 0)
    assert report.n_embedded == 1


def test_too_many_failures_stop_the_run_and_what_was_done_stays(
    photos: Path, shop: Path, toy: Encoder
) -> None:
    index(photos, shop, encoder=toy)
    (photos / "0.png").unlink()
    picture(5).save(photos / "00.png")
    for number in (4, 5):
        (photos / f"{number}.png").write_bytes(b"no picture")
    with pytest.raises(FailureLimitError, match="2 not_an_image"):
        index(photos, shop, encoder=toy, sync=True, max_failures=1)
    assert "0.png" in held(shop)
    assert "00.png" in held(shop)
    with open_catalog(shop) as catalog:
        assert [f.photo_id for f in catalog.failures()] == ["4.png", "5.png"]
    assert index(photos, shop, encoder=toy, sync=True, max_failures=2).n_removed == 1


def test_another_model_is_refused_before_any_work(
    photos: Path, shop: Path, toy: Encoder, make_model: Callable[..., Path]
) -> None:
    other = shoplens.load_encoder(make_model("other", version="2", mean=[0.0, 0.0, 0.0]))
    index(photos, shop, encoder=toy)
    picture(5).save(photos / "5.png")
    for dry_run in (False, True):
        with pytest.raises(ModelError, match="catalog migrate"):
            index(photos, shop, encoder=other, dry_run=dry_run)
    with pytest.raises(ModelError, match="not built in"):
        index(photos, shop)
    assert len(held(shop)) == 4


def test_the_model_is_the_catalogues_or_the_default(photos: Path, shop: Path) -> None:
    assert index(photos, shop).model == index(photos, shop).model
    with open_catalog(shop) as catalog:
        assert catalog.model is not None
        assert catalog.model.name == DEFAULT_MODEL


def test_an_id_of_another_source_is_taken_over(
    photos: Path, shop: Path, toy: Encoder, tmp_path: Path
) -> None:
    index(photos, shop, encoder=toy)
    tomorrow = tmp_path / "tomorrow"
    tomorrow.mkdir()
    (tomorrow / "0.png").write_bytes((photos / "0.png").read_bytes())
    picture(7).save(tomorrow / "1.png")
    report = index(tomorrow, shop, encoder=toy, sync=True, cache=False)
    assert counts(report) == (0, 2, 0, 0, 0)
    assert (report.n_taken_over, report.n_embedded) == (2, 1)
    assert {e.source for e in held(shop).values()} == {str(photos), str(tomorrow)}
    assert len(held(shop)) == 4


def test_a_source_is_known_again_however_it_is_written(
    photos: Path, shop: Path, toy: Encoder, monkeypatch: pytest.MonkeyPatch
) -> None:
    index(photos, shop, encoder=toy)
    monkeypatch.chdir(photos.parent)
    (photos / "0.png").unlink()
    assert counts(index("./photos/", shop, encoder=toy, sync=True)) == (0, 0, 3, 1, 0)


@pytest.mark.parametrize("name", ["photo_id", "product_id"])
def test_reserved_columns_are_refused(photos: Path, shop: Path, toy: Encoder, name: str) -> None:
    photo = Photo(0, "0.png", photos / "0.png", "seller", attributes={name: 1})
    with pytest.raises(DataError, match=f"no attribute can have the name {name}"):
        index(PhotoSet([photo]), shop, encoder=toy)
    assert not shop.exists()


def test_photos_that_cannot_be_told_apart_are_refused(
    tmp_path: Path, shop: Path, toy: Encoder
) -> None:
    data = [(tmp_path / name).read_bytes() for name in ("a.png", "b.png")
            if picture(len(name)).save(tmp_path / name) is None]  # fmt: skip
    table = pa.table({"image": data, "path": ["x.png", "x.png"]})
    pq.write_table(table, tmp_path / "photos.parquet")
    with pytest.raises(DataError, match=r"photos 0 and 1 are both named x\.png"):
        index(tmp_path / "photos.parquet", shop, encoder=toy)


@pytest.mark.skipif(sys.platform != "linux", reason="other systems know no such names")
def test_a_name_that_is_no_text_is_refused(photos: Path, shop: Path, toy: Encoder) -> None:
    (photos / "0.png").rename(photos / os.fsdecode(b"\xff.png"))
    with pytest.raises(DataError, match="not valid Unicode"):
        index(photos, shop, encoder=toy)


@pytest.mark.parametrize("kind", ["zip", "parquet"])
def test_photos_in_an_archive_or_a_column_are_not_read_again(
    photos: Path, shop: Path, toy: Encoder, tmp_path: Path, kind: str
) -> None:
    source = tmp_path / f"photos.{kind}"

    def pack(numbers: Sequence[int]) -> None:
        files = {f"{number}.png": (photos / f"{number}.png").read_bytes() for number in numbers}
        if kind == "zip":
            with zipfile.ZipFile(source, "w") as archive:
                for name, data in files.items():
                    archive.writestr(name, data)
        else:
            pq.write_table(pa.table({"image": list(files.values()), "path": list(files)}), source)

    pack([0, 1])
    assert counts(index(source, shop, encoder=toy)) == (2, 0, 0, 0, 0)
    status = source.stat()
    assert counts(index(source, shop, encoder=Refusing(toy))) == (0, 0, 2, 0, 0)
    pack([1, 2])
    assert source.stat().st_mtime_ns != status.st_mtime_ns
    report = index(source, shop, encoder=toy, sync=True, cache=False)
    assert counts(report) == (1, 0, 1, 1, 0)
    assert report.n_embedded == 1
    assert set(held(shop)) == {"1.png", "2.png"}


def test_photos_that_were_read_already(photos: Path, shop: Path, toy: Encoder) -> None:
    def boxed(*box: float) -> PhotoSet:
        return PhotoSet([Photo(4, "0.png", photos / "0.png", "seller", Box.from_xywh(*box))])

    assert counts(index(boxed(0, 0, 30, 30), shop, encoder=toy)) == (1, 0, 0, 0, 0)
    assert counts(index(boxed(0, 0, 30, 30), shop, encoder=toy)) == (0, 0, 1, 0, 0)
    # Another box is another photo to the model.
    report = index(boxed(0, 0, 90, 20), shop, encoder=toy)
    assert (counts(report), report.n_clipped) == ((0, 1, 0, 0, 0), 1)
    assert held(shop)[4].box == Box(0, 0, 90, 20)
    with pytest.raises(CatalogError, match="sync needs the name"):
        index(boxed(0, 0, 9, 9), shop, encoder=toy, sync=True)
    stored = [Photo(4, "0.png", photos / "0.png", "user", Box(0, 0, 9, 9), "stored")]
    with pytest.raises(DataError, match="upright"):
        index(PhotoSet(stored), shop, encoder=toy)


def test_a_catalogue_that_is_open_stays_open(photos: Path, shop: Path, toy: Encoder) -> None:
    with open_catalog(shop, create=True) as catalog:
        index(photos, catalog, encoder=toy)
        assert catalog.count() == 4
        assert isinstance(catalog, Catalog)
    picture(5).save(photos / "5.png")
    with open_catalog(shop, read_only=True) as catalog, pytest.raises(CatalogError, match="read"):
        index(photos, catalog, encoder=toy)


def test_a_source_that_is_not_there_makes_no_catalogue(
    tmp_path: Path, shop: Path, toy: Encoder
) -> None:
    with pytest.raises(MissingError):
        index(tmp_path / "none", shop, encoder=toy)
    assert not shop.exists()


def test_progress_counts_every_photo(photos: Path, shop: Path, toy: Encoder) -> None:
    told: list[tuple[str, int, int]] = []
    for _ in range(2):
        told.clear()
        index(photos, shop, encoder=toy, progress=lambda *now: told.append(now))
        assert told == [("index", done, 4) for done in range(1, 5)]


def test_a_run_that_is_interrupted_is_resumed(photos: Path, shop: Path, toy: Encoder) -> None:
    def stop(_stage: str, done: int, _total: int) -> None:
        if done == 3:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        index(photos, shop, encoder=toy, progress=stop)
    assert len(held(shop)) == 2
    assert counts(index(photos, shop, encoder=toy)) == (2, 0, 2, 0, 0)


@pytest.mark.skipif(os.name == "nt", reason="there is no such signal")
def test_a_run_that_is_killed_is_resumed(tmp_path: Path, shop: Path) -> None:
    folder = tmp_path / "many"
    folder.mkdir()
    for number in range(200):
        picture(number, (160, 120)).save(folder / f"{number}.png")
    words = [sys.executable, "-m", "shoplens", "index", str(folder), "--catalog", str(shop)]
    with subprocess.Popen([*words, "--no-cache"], stderr=subprocess.DEVNULL) as process:
        n_held = 0
        while not n_held and process.poll() is None:
            time.sleep(0.05)
            with suppress(ShoplensError):  # It is just being made.
                n_held = len(held(shop))
        process.send_signal(signal.SIGKILL)
    n_held = len(held(shop))
    assert n_held
    report = index(folder, shop)
    assert counts(report) == (200 - n_held, 0, n_held, 0, 0)
    assert len(held(shop)) == 200


def test_another_writer_is_told_before_any_work(photos: Path, shop: Path, toy: Encoder) -> None:
    index(photos, shop, encoder=toy)
    picture(5).save(photos / "5.png")
    with open_catalog(shop) as catalog:
        catalog.delete(["0.png"])
        with pytest.raises(CatalogBusyError):
            index(photos, shop, encoder=Refusing(toy), cache=False)
        assert counts(index(photos, shop, dry_run=True)) == (2, 0, 3, 0, 0)
    assert counts(index(photos, shop, encoder=toy)) == (2, 0, 3, 0, 0)


def test_damaged_entries_are_embedded_again(photos: Path, shop: Path, toy: Encoder) -> None:
    index(photos, shop, encoder=toy)
    before = held(shop)
    with open_catalog(shop) as catalog:
        catalog.compact()
    with closing(sqlite3.connect(shop / "catalog.sqlite")) as database:
        database.execute("UPDATE photos SET vector = zeroblob(192) WHERE photo_id = '1.png'")
        database.commit()
    with pytest.raises(CatalogError):
        held(shop)
    assert index(photos, shop, encoder=toy, cache=False).n_embedded == 1
    assert held(shop) == before
    with open_catalog(shop) as catalog:
        assert catalog.verify().ok


def test_a_catalogue_that_grew_much_is_compacted(
    photos: Path, shop: Path, toy: Encoder, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(indexing, "_MUCH", 3)
    assert index(photos, shop, encoder=toy).n_added == 4
    assert list((shop / "segments").iterdir())
    with open_catalog(shop, read_only=True) as catalog:
        assert catalog.verify().ok
        assert catalog.count() == 4


EDITS = st.lists(
    st.tuples(st.sampled_from(["paint", "touch", "remove", "spoil", "price"]), st.integers(0, 5)),
    max_size=6,
)


@pytest.fixture(scope="module")
def lasting_toy(tmp_path_factory: pytest.TempPathFactory) -> Encoder:
    folder = tmp_path_factory.mktemp("toy")
    (folder / "model.onnx").write_bytes(toy_graph())
    (folder / "recipe.json").write_text(json.dumps(TOY_RECIPE), encoding="utf-8")
    return shoplens.load_encoder(folder)


@settings(max_examples=25)
@given(rounds=st.lists(EDITS, min_size=1, max_size=4))
def test_after_any_edits_the_catalogue_is_that_of_the_source(
    lasting_toy: Encoder,
    tmp_path_factory: pytest.TempPathFactory,
    rounds: list[list[tuple[str, int]]],
) -> None:
    encoder, root = lasting_toy, tmp_path_factory.mktemp("edits")
    prices = dict.fromkeys(range(6), 1)
    ever_fine: set[int] = set()
    listed: set[int] = set()
    for n_round, edits in enumerate(rounds):
        for n_edit, (edit, number) in enumerate(edits):
            file = root / f"{number}.png"
            if edit == "paint":
                picture(100 * n_round + n_edit, (24, 24)).save(file)
            elif edit == "spoil":
                file.write_bytes(b"spoilt %d %d" % (n_round, n_edit))
            elif edit == "price":
                prices[number] += 1
            elif file.exists():
                touch(file) if edit == "touch" else file.unlink()
        listed = {number for number in range(6) if (root / f"{number}.png").exists()}
        rows = [f"{number},{number}.png,{prices[number]}" for number in sorted(listed)]
        table = write_table(root, rows, "seller_img_id,img_path,price")
        foreseen = index(table, root / "shop", encoder=encoder, sync=True, dry_run=True)
        done = index(table, root / "shop", encoder=encoder, sync=True)
        assert foreseen.n_removed == done.n_removed
        assert foreseen.n_photos == done.n_photos == len(listed)
        again = index(table, root / "shop", encoder=encoder, sync=True, dry_run=True)
        # Those that were kept have no record of failure.
        n_fine = len(listed) - done.n_failed
        assert counts(again) == (0, done.n_kept, n_fine, 0, done.n_failed - done.n_kept)
        entries = held(root / "shop")
        failed = {f.photo_id for f in done.failures}
        ever_fine = (ever_fine | (listed - failed)) & listed
        assert set(entries) == ever_fine
        fine = [
            Photo(number, "", root / f"{number}.png", "seller")
            for number in sorted(listed - failed)
        ]
        vectors = embed(PhotoSet(fine), encoder).vectors
        for photo, vector in zip(fine, vectors, strict=True):
            np.testing.assert_array_equal(entries[photo.id].vector, vector)
        assert {n: e.attributes["price"] for n, e in entries.items()} == {
            number: prices[number] for number in ever_fine
        }
