"""Regions of photos in a catalogue: stored, searched, kept through everything."""

from __future__ import annotations

import shutil
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from catalog_engines import (
    DIMENSION,
    ENGINES,
    MODEL,
    Engine,
    assert_same_content,
    assert_same_results,
    make_engine,
    shop,
    units,
    with_regions,
)
from catalog_model import PlainCatalog
from conftest import Run, picture
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

import shoplens
from shoplens import Box, Encoder, Entry, embed_photo, load_encoder, open_catalog
from shoplens.catalog import Catalog, export_catalog, import_catalog, restore
from shoplens.catalog.embedded import scan
from shoplens.catalog.embedded.scan import Block, candidates_each
from shoplens.catalog.embedded.store import FILE
from shoplens.catalog.indexing import index
from shoplens.catalog.migration import migrate
from shoplens.catalog.recall import measure_recall
from shoplens.catalog.scoring import matched_region, score_entries
from shoplens.catalog.transfer import copy_catalog
from shoplens.errors import CatalogError, EntryError, ModelError, ShoplensError
from shoplens.vectors.regions import PhotoRegions

__all__ = ["make_engine"]

FILTERS = (None, "colour = 'red'", "price < 20", "price = 1000")


@pytest.fixture(params=[name for name in ENGINES if name != "plain"])
def engine(request: pytest.FixtureRequest, make_engine: Callable[[str], Engine]) -> Engine:
    return make_engine(request.param)


def plain(entries: list[Entry]) -> PlainCatalog:
    catalog = PlainCatalog()
    catalog.set_model(MODEL)
    catalog.upsert(entries)
    return catalog


def assert_same_searches(catalog: Catalog, expected: Catalog) -> None:
    for where in FILTERS:
        for query in units(3, seed=5):
            for group_by in (None, "product"):
                for k in (1, 10, 500):
                    asked = {"k": k, "where": where, "group_by": group_by}
                    found = catalog.search(vector=query, exact=True, **asked)  # type: ignore[arg-type]
                    assert_same_results(found, expected.search(vector=query, **asked))  # type: ignore[arg-type]


def test_searches_are_those_of_a_plain_catalogue(engine: Engine) -> None:
    entries = with_regions(shop(150))
    expected = plain(entries)
    with engine.make() as catalog:
        for start in range(0, 150, 30):
            catalog.upsert(entries[start : start + 30])
        assert_same_searches(catalog, expected)
        changed = with_regions(shop(40, seed=3), seed=9)
        for each in (catalog, expected):
            each.delete(range(60, 80))
            each.upsert(changed)
        assert_same_content(catalog, expected)
        assert_same_searches(catalog, expected)
        catalog.compact()
        assert_same_searches(catalog, expected)
        assert catalog.verify().ok
    with engine.open(read_only=True) as catalog:
        assert_same_content(catalog, expected)
        assert_same_searches(catalog, expected)


def test_an_index_finds_photos_by_their_regions(make_engine: Callable[[str], Engine]) -> None:
    pytest.importorskip("faiss")
    entries = with_regions(shop(400))
    with make_engine("segments").make(entries) as catalog:
        catalog.compact()
        found = catalog.search(vector=units(1, seed=8)[0], k=20)
        assert not found.exact
        assert measure_recall(catalog, k=20, n_queries=50).recall > 0.95
        assert measure_recall(catalog, k=20, n_queries=50, where="price < 30").recall > 0.95
        products = catalog.search(vector=units(1, seed=8)[0], k=5, group_by="product")
        exact = catalog.search(vector=units(1, seed=8)[0], k=5, group_by="product", exact=True)
        assert_same_results(products, exact)


def test_hits_in_another_order_have_their_regions(make_engine: Callable[[str], Engine]) -> None:
    query = units(1, seed=8)[0]
    with make_engine("embedded").make(with_regions(shop(80))) as catalog:
        found = catalog.search(vector=query, k=30, rerank="alpha-qe:k=4")
        entries = catalog.get_many([hit.photo_id for hit in found])
        for hit, entry in zip(found, entries, strict=True):
            assert entry is not None
            assert hit.region == matched_region(query, entry)
        assert any(hit.region is not None for hit in found)
        collapsed = catalog.search(vector=query, k=30, collapse=True)
        assert any(hit.region is not None for hit in collapsed)


@given(
    st.lists(st.lists(st.integers(0, 3), max_size=30), min_size=1, max_size=3),
    st.integers(1, 40),
    st.integers(0, 100),
    st.sampled_from([0.0, 0.05, 0.5, 1.0]),
    st.booleans(),
)
def test_a_scan_leaves_out_no_row_that_can_be_among_the_best(
    counts: list[list[int]], k: int, seed: int, share: float, simd: bool
) -> None:
    rng = np.random.default_rng(seed)
    query = units(1, seed=seed)[0]
    blocks, scored = [], []
    for number, own in enumerate(counts):
        starts = np.cumsum([0, *(1 + n for n in own)], dtype=np.int64)
        vectors = units(max(1, int(starts[-1])), seed + number)[: starts[-1]]
        matrix = vectors.astype(np.float16)
        error = float(np.linalg.norm(vectors - matrix, axis=1).max(initial=0))
        allowed = None if share == 1 else rng.random(len(own)) < share
        blocks.append(Block(matrix, allowed, error, starts))
        for row in range(len(own)):
            if allowed is not None and not allowed[row]:
                continue
            part = vectors[starts[row] : starts[row + 1]]
            regions = PhotoRegions(3, (Box(0, 0, 1, 1),) * (len(part) - 1), part[1:])
            score = score_entries(query, [Entry(row, part[0], regions=regions)])[0]
            scored.append((float(score), (number, row)))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(scan, "_SIMD", simd and scan._SIMD)
        patch.setattr(scan, "_CHUNK", 8)
        patch.setattr(scan, "_PICKED", 3)
        [found] = candidates_each(query[None], blocks, k)
    there = {(block, row) for block, positions, _ in found for row in positions.tolist()}
    scored.sort(reverse=True)
    worst = scored[min(k, len(scored)) - 1][0] if scored else 0.0
    assert {row for score, row in scored if score >= worst} <= there
    exact = {row: score for score, row in scored}
    for block, positions, scores in found:
        for row, score in zip(positions.tolist(), scores.tolist(), strict=True):
            assert score == pytest.approx(exact[block, row], abs=2e-3)


def test_they_go_through_backup_export_and_copy(
    make_engine: Callable[[str], Engine], tmp_path: Path
) -> None:
    entries = with_regions(shop(60))
    expected = plain(entries)
    with make_engine("segments").make(entries) as catalog:
        catalog.set_regions(3)
        catalog.backup(tmp_path / "backup")
        export_catalog(catalog, tmp_path / "all.parquet")
        with open_catalog(tmp_path / "copy", create=True) as copy:
            copy_catalog(catalog, copy)
    restore(tmp_path / "backup", tmp_path / "restored")
    restore(tmp_path / "all.parquet", tmp_path / "imported")
    for name in ("copy", "restored", "imported"):
        with open_catalog(tmp_path / name, read_only=True) as catalog:
            assert catalog.regions == 3
            assert_same_content(catalog, expected)
            assert_same_searches(catalog, expected)


def test_a_faulty_region_in_a_file_is_refused(tmp_path: Path) -> None:
    pyarrow = pytest.importorskip("pyarrow")
    parquet = pytest.importorskip("pyarrow.parquet")
    with open_catalog(tmp_path / "catalog", create=True) as catalog:
        catalog.set_model(MODEL)
        catalog.upsert(with_regions(shop(20)))
        export_catalog(catalog, tmp_path / "all.parquet")
    table = parquet.read_table(tmp_path / "all.parquet")
    numbers = table["region_vectors"].to_pylist()
    row = next(i for i, one in enumerate(numbers) if one)
    numbers[row] = [2 * number for number in numbers[row]]
    place = table.column_names.index("region_vectors")
    column = pyarrow.array(numbers, table.schema.field(place).type)
    parquet.write_table(
        table.set_column(place, "region_vectors", column), tmp_path / "faulty.parquet"
    )
    with open_catalog(tmp_path / "other", create=True) as other:
        with pytest.raises(shoplens.DataError, match="1 fault"):
            import_catalog(tmp_path / "faulty.parquet", other)
        assert other.count() == 0


def test_a_damaged_region_is_found_and_mended(tmp_path: Path) -> None:
    entries = with_regions(shop(60))
    folder = tmp_path / "catalog"
    with open_catalog(folder, create=True) as catalog:
        catalog.set_model(MODEL)
        catalog.set_regions(3)
        catalog.upsert(entries)
        catalog.backup(tmp_path / "backup")
        catalog.compact()
    last = next(entry for entry in reversed(entries) if entry.regions and entry.regions.boxes)
    assert last.regions is not None
    data = bytearray((folder / FILE).read_bytes())
    place = data.find(last.regions.vectors.tobytes())
    data[place + 5] ^= 0x20
    (folder / FILE).write_bytes(data)
    with open_catalog(folder) as catalog:
        faults = catalog.verify().faults
        assert any(str(last.photo_id) in str(fault) for fault in faults)
        with pytest.raises(CatalogError, match="damaged"):
            catalog.search(vector=last.vector, k=60)
        assert catalog.verify(repair=True, backup=tmp_path / "backup").ok
        assert catalog.regions == 3
        assert_same_content(catalog, plain(entries))


def test_a_segment_with_other_regions_is_made_again(tmp_path: Path) -> None:
    entries = with_regions(shop(60))
    folder = tmp_path / "catalog"
    with open_catalog(folder, create=True) as catalog:
        catalog.set_model(MODEL)
        catalog.upsert(entries)
        catalog.compact()
    [file] = folder.glob("segments/*/starts.npy")
    starts = np.load(file)
    file.unlink()
    np.save(file, starts[::-1])
    with open_catalog(folder) as catalog:
        found = catalog.verify(repair=True)
        assert found.faults
        assert found.ok
        assert_same_searches(catalog, plain(entries))


def test_a_store_without_regions_is_read_by_earlier_versions(tmp_path: Path) -> None:
    def version() -> int:
        with closing(sqlite3.connect(tmp_path / "catalog" / FILE)) as connection:
            return int(connection.execute("PRAGMA user_version").fetchone()[0])

    with open_catalog(tmp_path / "catalog", create=True) as catalog:
        catalog.set_model(MODEL)
        catalog.upsert(shop(5))
        assert version() == 1
        catalog.upsert(with_regions(shop(5)))
        assert version() == 2


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        (lambda r: replace(r, vectors=2 * r.vectors), "length is not 1"),
        (lambda r: replace(r, vectors=r.vectors[:, :3]), "shape"),
        (lambda r: replace(r, vectors=r.vectors.astype(np.float64)), "float64"),
        (lambda r: replace(r, boxes=r.boxes[:1]), "1 regions with vectors"),
        (lambda r: replace(r, limit=1), "regions of 1"),
        (lambda r: replace(r, limit=9), "regions of 9"),
    ],
)
def test_an_entry_with_faulty_regions_is_refused(
    change: Callable[[PhotoRegions], PhotoRegions], problem: str, tmp_path: Path
) -> None:
    regions = PhotoRegions(3, (Box(0, 0, 1, 1), Box(1, 1, 2, 2)), units(2))
    good = Entry(1, units(1)[0], regions=regions)
    with open_catalog(tmp_path / "catalog", create=True) as catalog:
        catalog.set_model(MODEL)
        catalog.upsert([good])
        with pytest.raises(EntryError, match=problem):
            catalog.upsert([replace(good, regions=change(regions))])
        assert list(catalog.entries()) == [good]


def test_a_number_of_regions_needs_a_model(tmp_path: Path) -> None:
    with open_catalog(tmp_path / "catalog", create=True) as catalog:
        assert catalog.regions == 0
        with pytest.raises(ModelError, match="no model"):
            catalog.set_regions(2)
        catalog.set_model(MODEL)
        with pytest.raises(ShoplensError, match="0 to 8"):
            catalog.set_regions(9)
        catalog.set_regions(2)
        assert catalog.regions == 2


# From photos.


@pytest.fixture
def toy(make_model: Callable[..., Path]) -> Encoder:
    return load_encoder(make_model())


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    """A folder of seller photos, each with a small thing at its left."""
    folder = tmp_path / "photos"
    folder.mkdir()
    for number in range(6):
        scene = Image.new("RGB", (200, 120), "white")
        scene.paste(picture(number), (10, 30))
        scene.save(folder / f"{number}.png")
    return folder


@pytest.fixture
def catalog(tmp_path: Path) -> Iterator[Catalog]:
    with open_catalog(tmp_path / "catalog", create=True) as catalog:
        yield catalog


def test_a_catalogue_and_a_folder_have_the_same_hits(
    photos: Path, catalog: Catalog, encoder: Encoder
) -> None:
    report = index(photos, catalog, regions=2, encoder=encoder)
    assert (report.n_added, report.regions, catalog.regions) == (6, 2, 2)
    for number in range(6):
        asked = picture(number)
        ours = catalog.search(asked, encoder=encoder)
        theirs = shoplens.search(asked, photos, regions=2, encoder=encoder)
        assert [hit.path for hit in ours] == [hit.path for hit in theirs]
        assert [hit.score for hit in ours] == [hit.score for hit in theirs]
        assert [hit.region for hit in ours] == [hit.region for hit in theirs]
        assert any(hit.region is not None for hit in ours)


def test_regions_are_kept_up_to_date(photos: Path, catalog: Catalog, toy: Encoder) -> None:
    assert index(photos, catalog, encoder=toy).n_added == 6
    assert all(entry.regions is None for entry in catalog.entries())
    report = index(photos, catalog, encoder=toy, regions=2, dry_run=True)
    assert (report.n_changed, catalog.regions) == (6, 0)
    assert index(photos, catalog, encoder=toy, regions=2).n_changed == 6
    # The catalogue knows.
    report = index(photos, catalog, encoder=toy)
    assert (report.n_unchanged, report.n_embedded, report.regions) == (6, 0, 2)
    picture(50, (200, 120)).save(photos / "2.png")
    picture(51, (200, 120)).save(photos / "new.png")
    report = index(photos, catalog, encoder=toy)
    assert (report.n_added, report.n_changed, report.n_unchanged) == (1, 1, 5)
    for entry in catalog.entries():
        assert entry.regions is not None
        assert len(entry.regions.boxes) == 2
        for box, vector in zip(entry.regions.boxes, entry.regions.vectors, strict=True):
            expected = embed_photo(photos / entry.path, toy, box=box, domain="seller")
            assert np.array_equal(vector, expected)
    assert index(photos, catalog, encoder=toy, regions=0).n_changed == 7
    assert all(entry.regions is None for entry in catalog.entries())


def test_photos_that_fail_or_have_a_box_have_none(
    photos: Path, catalog: Catalog, toy: Encoder
) -> None:
    (photos / "1.png").write_bytes(b"no photo")
    listed = list(shoplens.read_gallery(photos))
    given = shoplens.PhotoSet([replace(listed[0], box=Box(10, 30, 74, 78)), *listed[1:]])
    report = index(given, catalog, encoder=toy, regions=2)
    assert (report.n_added, report.n_failed) == (5, 1)
    assert [len(entry.vectors) for entry in catalog.entries()] == [1, 3, 3, 3, 3]
    again = index(given, catalog, encoder=toy)
    assert (again.n_unchanged, again.n_failed) == (5, 1)


def test_a_migration_keeps_the_regions(
    photos: Path, catalog: Catalog, toy: Encoder, make_model: Callable[..., Path]
) -> None:
    other = load_encoder(make_model("other", std=[32.0, 20.0, 90.0]))
    index(photos, catalog, encoder=toy, regions=2)
    before = {entry.photo_id: entry.regions for entry in catalog.entries()}
    assert migrate(catalog, other).switched
    assert catalog.regions == 2
    for entry in catalog.entries():
        old = before[entry.photo_id]
        assert old is not None
        assert entry.regions is not None
        assert entry.regions.boxes == old.boxes
        for box, vector in zip(old.boxes, entry.regions.vectors, strict=True):
            expected = embed_photo(photos / entry.path, other, box=box, domain="seller")
            assert np.array_equal(vector, expected)


def test_the_commands(photos: Path, tmp_path: Path, run: Run) -> None:
    uri = tmp_path / "shop"
    made = run("index", photos, "--catalog", uri, "--regions", 2, "--json", "-")
    assert (made.code, made.json["regions"], made.json["n_added"]) == (0, 2, 6)
    stats = run("catalog", "stats", uri, "--json", "-").json
    assert (stats["regions"], stats["n_photos"], stats["n_vectors"]) == (2, 6, 18)
    picture(3).save(tmp_path / "asked.png")
    page = tmp_path / "hits.html"
    found = run("search", tmp_path / "asked.png", "--catalog", uri, "--html", page, "--json", "-")
    regions = {hit["path"]: hit.get("region") for hit in found.json["hits"]}
    assert any(regions.values())
    assert 'class="region"' in page.read_text()
    grouped = run(
        "search", tmp_path / "asked.png", "--catalog", uri, "--group-by", "product", "--json", "-"
    )
    assert {hit["path"]: hit.get("region") for hit in grouped.json["hits"]} == regions
    again = run("index", photos, "--catalog", uri, "--json", "-")
    assert (again.json["n_unchanged"], again.json["regions"]) == (6, 2)
    shutil.rmtree(uri)
    assert run("index", photos, "--catalog", uri, "--regions", 9).code == 2


def test_scores_are_by_definition() -> None:
    query, vectors = units(1, seed=1)[0], units(3, seed=2)
    regions = PhotoRegions(3, (Box(0, 0, 1, 1), Box(1, 1, 2, 2)), vectors[1:])
    entries = [Entry(0, vectors[0], regions=regions), Entry(1, vectors[0])]
    scores = vectors.astype(np.float64) @ query.astype(np.float64)
    found = score_entries(query, entries)
    assert found.dtype == np.float32
    assert found[0] == pytest.approx(0.3 * scores[0] + 0.7 * scores.max(), abs=1e-6)
    assert found[1] == pytest.approx(scores[0], abs=1e-6)
    assert vectors.shape == (3, DIMENSION)
