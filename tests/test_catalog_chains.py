"""The chain of re-ranking methods that a catalogue keeps: for every search, through everything."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest
from catalog_engines import (
    MODEL,
    Engine,
    assert_same_content,
    engine,
    make_engine,
    shop,
    units,
    with_regions,
)
from conftest import Run, picture

import shoplens
from shoplens import Encoder, load_encoder, open_catalog
from shoplens.catalog import FailedPhoto, export_catalog, import_catalog, restore
from shoplens.catalog.embedded.store import FILE
from shoplens.catalog.indexing import index
from shoplens.catalog.migration import migrate
from shoplens.catalog.recall import measure_recall
from shoplens.catalog.transfer import copy_catalog
from shoplens.errors import (
    CatalogError,
    ChainError,
    DataError,
    ModelError,
    RankingError,
)
from shoplens.reranking import NO_STEPS, parse_chain

__all__ = ["engine", "make_engine"]

TEXT = "dba:k=3+alpha-qe:k=4"
CHAIN = parse_chain(TEXT)
QUERY = units(1, seed=8)[0]


def hits(result: shoplens.SearchResult) -> list[tuple[object, float]]:
    return [(hit.photo_id, hit.score) for hit in result]


def test_every_search_uses_it_unless_another_is_named(engine: Engine) -> None:
    with engine.make(shop(60)) as catalog:
        plain = catalog.search(vector=QUERY)
        expected = catalog.search(vector=QUERY, rerank=CHAIN)
        other = catalog.search(vector=QUERY, rerank="aqe")
        assert (catalog.chain, plain.chain) == (NO_STEPS, ())
        catalog.set_chain(TEXT)
        assert catalog.chain == CHAIN
        assert catalog.stats().chain == expected.chain == CHAIN.names
        assert hits(expected) not in (hits(plain), hits(other))
        assert hits(catalog.search(vector=QUERY)) == hits(expected)
        assert catalog.search(vector=QUERY).chain == CHAIN.names
        assert hits(catalog.search_vectors(QUERY)[0]) == hits(expected)
        assert catalog.search(photo_id=3, group_by="product").chain == CHAIN.names
        for rerank, result in (("none", plain), (NO_STEPS, plain), ("aqe", other)):
            found = catalog.search(vector=QUERY, rerank=rerank)
            assert (hits(found), found.chain) == (hits(result), result.chain)
            assert hits(catalog.search_vectors(QUERY, rerank=rerank)[0]) == hits(result)
        # What an index finds is compared with what there is to be found.
        assert measure_recall(catalog, k=5, n_queries=5).recall == pytest.approx(1, abs=0.2)
        with pytest.raises(RankingError, match="`none` is for no re-ranking"):
            catalog.search(vector=QUERY, group_by="product", product_score="mean2")
    with engine.open(read_only=True) as catalog:
        assert catalog.chain == CHAIN
        assert hits(catalog.search(vector=QUERY)) == hits(expected)
        with pytest.raises(CatalogError, match="reading only"):
            catalog.set_chain("none")
    with engine.open() as catalog:
        catalog.set_chain("none")
        assert catalog.chain == NO_STEPS
        assert hits(catalog.search(vector=QUERY)) == hits(plain)


def test_a_chain_that_some_searches_could_not_use_is_refused(engine: Engine) -> None:
    with engine.open(create=True) as catalog:
        assert catalog.chain == NO_STEPS
        with pytest.raises(ModelError, match="no model"):
            catalog.set_chain(TEXT)
        catalog.set_model(MODEL)
        catalog.set_chain(TEXT)
        for chain, told in (
            ("csls", r"csls is batch-side"),
            ("dba+patches", r"patches reads photos.*--rerank dba\+patches"),
            (parse_chain("verify"), r"verify reads photos"),
        ):
            with pytest.raises(RankingError, match=told):
                catalog.set_chain(chain)
        for chain, told in (("alpha-qu", "did you mean"), ("auto", "shoplens search PHOTO")):
            with pytest.raises(ChainError, match=told):
                catalog.set_chain(chain)
        assert catalog.chain == CHAIN


def test_it_stays_beside_all_else(engine: Engine) -> None:
    entries = with_regions(shop(30))
    failed = FailedPhoto(99, "99.jpg", "shop.csv", "not_an_image", "no picture")
    with engine.make(shop(30)) as catalog:
        catalog.record_failures([failed])
        catalog.set_chain(TEXT)
        catalog.upsert(entries)
        catalog.set_regions(3)
        assert (catalog.chain, catalog.regions) == (CHAIN, 3)
        catalog.set_chain("aqe")
        assert (catalog.chain, catalog.regions) == (parse_chain("aqe"), 3)
        assert sorted(catalog.entries(), key=lambda entry: entry.photo_id) == entries
        assert list(catalog.failures()) == [failed]
        catalog.compact()
        other = replace(MODEL, fingerprint="other")
        catalog.replace_vectors(other, entries[:20])
        assert (catalog.model, catalog.chain) == (other, parse_chain("aqe"))
        assert catalog.verify().ok
    with engine.open(read_only=True) as catalog:
        assert (catalog.chain, catalog.regions) == (parse_chain("aqe"), 3)


def test_it_goes_through_backup_export_and_copy(
    make_engine: Callable[[str], Engine], engine: Engine, tmp_path: Path
) -> None:
    if engine.name == "plain":
        pytest.skip("has no backup")
    with engine.make(shop(30)) as catalog:
        catalog.set_chain(TEXT)
        catalog.backup(tmp_path / "backup")
        export_catalog(catalog, tmp_path / "all.parquet")
        with open_catalog(tmp_path / "copy", create=True) as copy:
            copy_catalog(catalog, copy)
        with make_engine(engine.name).open(create=True) as again:
            copy_catalog(catalog, again)
            assert again.chain == CHAIN
            catalog.set_chain("none")
            copy_catalog(catalog, again)
            assert again.chain == NO_STEPS
        restore(tmp_path / "backup", tmp_path / "restored")
        restore(tmp_path / "all.parquet", tmp_path / "imported")
        for name in ("copy", "restored", "imported"):
            with open_catalog(tmp_path / name) as other:
                assert other.chain == CHAIN
                assert_same_content(other, catalog)
                # What is there already keeps what it has.
                other.set_chain("aqe")
                import_catalog(tmp_path / "all.parquet", other)
                assert other.chain == parse_chain("aqe")


def test_a_file_that_names_another_chain_is_refused(tmp_path: Path) -> None:
    parquet = pytest.importorskip("pyarrow.parquet")
    with open_catalog(tmp_path / "catalog", create=True) as catalog:
        catalog.set_model(MODEL)
        catalog.upsert(shop(5))
        catalog.set_chain("aqe:k=3")
        export_catalog(catalog, tmp_path / "all.parquet")
    table = parquet.read_table(tmp_path / "all.parquet")
    for chain in ("magic", "csls"):
        meta = {
            key: value.replace(b"aqe:k=3", chain.encode())
            for key, value in table.schema.metadata.items()
        }
        assert meta != table.schema.metadata
        named = table.replace_schema_metadata(meta)
        parquet.write_table(named, tmp_path / "other.parquet")
        with open_catalog(tmp_path / "other", create=True) as other:
            with pytest.raises(DataError, match=rf"re-ranked by {chain}"):
                import_catalog(tmp_path / "other.parquet", other)
            assert other.model is None


def damaged(folder: Path, value: str) -> None:
    """Change what a closed catalogue keeps of its chain, without its checksum."""
    with closing(sqlite3.connect(folder / FILE)) as store:
        assert (
            store.execute("UPDATE about SET value = ? WHERE key = 'chain'", (value,)).rowcount == 1
        )
        store.commit()


@pytest.mark.parametrize("with_backup", [False, True])
def test_a_damaged_chain_is_found_and_mended(with_backup: bool, tmp_path: Path) -> None:
    folder, backup = tmp_path / "catalog", tmp_path / "backup"
    with open_catalog(folder, create=True) as catalog:
        catalog.set_model(MODEL)
        catalog.set_regions(2)
        catalog.set_chain(TEXT)
        catalog.upsert(shop(30))
        catalog.backup(backup)
        entries = list(catalog.entries())
    damaged(folder, "dba:k=3,alpha=6")
    with open_catalog(folder) as catalog:
        with pytest.raises(CatalogError, match="the chain of re-ranking methods is damaged"):
            catalog.search(vector=QUERY)
        assert len(catalog.search(vector=QUERY, rerank="none")) == 20
        assert "the chain of re-ranking methods is damaged" in str(catalog.verify().faults)
        done = catalog.verify(repair=True, backup=backup if with_backup else None)
        assert done.ok
        told = f"it is that of the backup, {CHAIN}" if with_backup else "name it again"
        assert told in str(done.faults)
        assert catalog.chain == (CHAIN if with_backup else NO_STEPS)
        assert (catalog.regions, list(catalog.entries())) == (2, entries)
        assert catalog.verify().faults == ()


def test_a_repair_keeps_it(tmp_path: Path) -> None:
    folder = tmp_path / "catalog"
    with open_catalog(folder, create=True) as catalog:
        catalog.set_model(MODEL)
        catalog.set_chain(TEXT)
        catalog.upsert(shop(30))
        catalog.backup(tmp_path / "backup")
        vector = list(catalog.entries())[-1].vector
    data = bytearray((folder / FILE).read_bytes())
    data[data.find(vector.tobytes()) + 5] ^= 0x20
    (folder / FILE).write_bytes(data)
    with open_catalog(folder) as catalog:
        assert not catalog.verify().ok
        assert catalog.verify(repair=True, backup=tmp_path / "backup").ok
        assert catalog.chain == CHAIN


def test_a_chain_of_a_newer_version_is_told(tmp_path: Path) -> None:
    with open_catalog(tmp_path / "catalog", create=True) as catalog:
        catalog.set_model(MODEL)
        catalog.upsert(shop(5))
        with catalog._change() as writing:  # type: ignore[attr-defined]
            writing.set_chain("magic:n=3")
        with pytest.raises(CatalogError, match=r"keeps the chain magic:n=3.*newer version"):
            catalog.search(vector=QUERY)
        assert len(catalog.search(vector=QUERY, rerank="none")) == 5
        with pytest.raises(CatalogError, match="keeps the chain magic"):
            catalog.stats()
        assert catalog.verify().ok
        catalog.set_chain("none")
        assert len(catalog.search(vector=QUERY)) == 5


# From photos.


@pytest.fixture
def toy(make_model: Callable[..., Path]) -> Encoder:
    return load_encoder(make_model())


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    """A folder with a table of seller photos, three of each product."""
    folder = tmp_path / "photos"
    folder.mkdir()
    lines = ["seller_img_id,img_path,product_id"]
    for number in range(9):
        picture(number).save(folder / f"{number}.png")
        lines.append(f"{number},{number}.png,p{number // 3}")
    (folder / "gallery.csv").write_text("\n".join(lines) + "\n")
    return folder


def test_index_keeps_it(photos: Path, tmp_path: Path, toy: Encoder) -> None:
    asked = picture(4)
    with open_catalog(tmp_path / "catalog", create=True) as catalog:
        report = index(photos, catalog, encoder=toy, rerank="aqe:k=3", dry_run=True)
        assert (report.chain, catalog.chain) == (("aqe:k=3,gap=0.05",), NO_STEPS)
        report = index(photos, catalog, encoder=toy, rerank="aqe:k=3")
        assert (report.n_added, report.chain) == (9, ("aqe:k=3,gap=0.05",))
        expected = catalog.search(asked, encoder=toy, rerank="aqe:k=3")
        assert hits(catalog.search(asked, encoder=toy)) == hits(expected)
        assert hits(shoplens.search(asked, catalog, encoder=toy)) == hits(expected)
        for one in shoplens.search_each(shoplens.read_gallery(photos), catalog, encoder=toy):
            assert one.chain == expected.chain
        plain = shoplens.search(asked, catalog, encoder=toy, rerank="none")
        assert (plain.chain, hits(plain)) == ((), hits(shoplens.search(asked, photos, encoder=toy)))
        # The catalogue knows, and nothing is embedded anew for another chain.
        report = index(photos, catalog, encoder=toy)
        assert (report.n_unchanged, report.chain) == (9, expected.chain)
        report = index(photos, catalog, encoder=toy, rerank="none")
        assert (report.n_unchanged, report.chain, catalog.chain) == (9, (), NO_STEPS)


@pytest.mark.parametrize("rerank", ["csls", "verify", "aqe:k", "auto"])
def test_nothing_is_indexed_for_a_chain_that_cannot_be_kept(
    rerank: str, photos: Path, tmp_path: Path, toy: Encoder, run: Run
) -> None:
    with pytest.raises(RankingError):
        index(photos, tmp_path / "catalog", encoder=toy, rerank=rerank)
    assert not (tmp_path / "catalog").exists()
    if rerank != "auto":
        refused = run("index", photos, "--catalog", tmp_path / "catalog", "--rerank", rerank)
        assert refused.code == 2
        assert not (tmp_path / "catalog").exists()


def test_a_migration_keeps_it(
    photos: Path, tmp_path: Path, toy: Encoder, make_model: Callable[..., Path]
) -> None:
    other = load_encoder(make_model("other", std=[32.0, 20.0, 90.0]))
    with open_catalog(tmp_path / "catalog", create=True) as catalog:
        index(photos, catalog, encoder=toy, rerank=TEXT)
        assert migrate(catalog, other).switched
        assert catalog.chain == CHAIN


def test_the_commands_give_what_python_gives(photos: Path, tmp_path: Path, run: Run) -> None:
    uri, asked = tmp_path / "shop", tmp_path / "asked.png"
    picture(4).save(asked)
    made = run("index", photos, "--catalog", uri, "--rerank", "product-score", "--json", "-")
    step = "product-score:weight=0.9,temperature=0.05"
    assert (made.code, made.json["n_added"], made.json["chain"]) == (0, 9, [step])
    assert f"searches are re-ranked by {step} from now on" in made.err
    assert run("catalog", "stats", uri, "--json", "-").json["chain"] == [step]
    assert "re-ranked by" in run("catalog", "stats", uri).out
    words = ("search", asked, "--catalog", uri, "--json", "-")
    with open_catalog(uri, read_only=True) as catalog:
        expected, plain = catalog.search(asked), catalog.search(asked, rerank="none")
    own = run(*words)
    assert "re-ranking by product-score" in own.err
    assert own.json["hits"] == expected.to_json()["hits"]
    assert own.json["chain"] == [step]
    none = run(*words, "--rerank", "none").json
    assert none["hits"] == plain.to_json()["hits"]
    assert "chain" not in none
    assert run(*words, "--rerank", "aqe").json["chain"] == ["aqe:k=2,gap=0.05"]
    # The option of commands that have no catalogue is as it was.
    assert "chain" not in run("search", asked, "--gallery", photos, "--json", "-").json
    again = run("index", photos, "--catalog", uri, "--json", "-")
    assert (again.json["n_unchanged"], again.json["chain"]) == (9, [step])
    assert "from now on" not in again.err
    cleared = run("index", photos, "--catalog", uri, "--rerank", "none", "--json", "-")
    assert (cleared.json["chain"], cleared.json["n_unchanged"]) == ([], 9)
    assert "searches are re-ranked by nothing from now on" in cleared.err
    assert "chain" not in run(*words).json


def test_auto_chooses_when_the_photos_are_in(
    photos: Path, tmp_path: Path, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    from shoplens.cli import catalog_reranking

    uri = tmp_path / "shop"
    words = ("index", photos, "--catalog", uri, "--rerank", "auto")
    refused = run(*words, "--dry-run")
    assert refused.code == 2
    assert "--dry-run indexes none" in refused.err
    assert not uri.exists()
    done = run(*words, "--rerank-seconds", "5", "--json", "-")
    assert done.code == 0
    chosen = done.json["rerank"]["chain"]
    assert f"--rerank {chosen}: chosen on " in done.err
    assert "searches are re-ranked by " in done.err
    with open_catalog(uri, read_only=True) as catalog:
        assert str(catalog.chain) == chosen
        assert done.json["chain"] == list(catalog.chain.names)
    assert run("index", photos, "--catalog", uri, "--rerank-seconds", "5").code == 2
    monkeypatch.setattr(catalog_reranking, "MOST_PHOTOS", 8)
    many = run(*words)
    assert many.code == 2
    assert "8 are the most" in many.err
    with open_catalog(uri, read_only=True) as catalog:
        assert (catalog.count(), str(catalog.chain)) == (9, chosen)


def test_a_choice_that_fails_changes_nothing(photos: Path, tmp_path: Path, run: Run) -> None:
    uri = tmp_path / "shop"
    words = ("index", photos, "--catalog", uri)
    assert run(*words, "--rerank", "aqe").code == 0
    assert run(*words, "--rerank-data", tmp_path / "none").code == 2
    failed = run(*words, "--rerank", "auto", "--rerank-data", tmp_path / "none")
    assert failed.code == 3
    assert "9 unchanged" in failed.out
    with open_catalog(uri, read_only=True) as catalog:
        assert catalog.chain == parse_chain("aqe")
