"""The commands of `shoplens catalog`."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from catalog_engines import axis, shop
from conftest import Run, picture

from shoplens import Entry, load_encoder, open_catalog
from shoplens.catalog import FailedPhoto, ModelStamp
from shoplens.catalog.recall import measure_recall
from shoplens.errors import CatalogError

MODEL = ModelStamp("toy", "sha256:0123", 16)


@pytest.fixture
def uri(tmp_path: Path) -> Path:
    """Return a catalogue of 40 photos and a failure."""
    with open_catalog(tmp_path / "shop", create=True) as catalog:
        catalog.set_model(MODEL)
        catalog.upsert(shop(40))
        catalog.record_failures(
            [FailedPhoto("torn.jpg", "torn.jpg", "photos", "truncated", "it ends early", "p1")]
        )
    return tmp_path / "shop"


def test_stats_shows_what_is_there(uri: Path, run: Run) -> None:
    shown = run("catalog", "stats", uri, "--json", "-").json
    assert shown["engine"] == "embedded"
    assert (shown["n_photos"], shown["n_failed"]) == (40, 1)
    assert shown["model"] == {"name": "toy", "fingerprint": "sha256:0123", "dimension": 16}
    assert shown["attributes"]["price"] == "int"
    table = run("catalog", "stats", uri).out
    assert "photos\t40\n" in table
    assert "attribute price\tint\n" in table


def test_stats_of_an_empty_catalogue(tmp_path: Path, run: Run) -> None:
    open_catalog(tmp_path / "shop", create=True).close()
    result = run("catalog", "stats", tmp_path / "shop")
    assert result.code == 0
    assert "model\tnone yet\n" in result.out


@pytest.mark.parametrize(
    "words",
    [
        "stats URI",
        "get URI 1",
        "failures URI",
        "delete URI --photo-id 1",
        "verify URI",
        "recall URI",
        "compact URI",
        "backup URI file",
        "export URI file",
        "copy URI other",
        "migrate URI --model mini",
    ],
)
def test_a_catalogue_that_is_not_there(
    words: str, tmp_path: Path, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    if words.startswith("migrate"):
        words = words.replace("mini", load_encoder().name)
    result = run("catalog", *words.split())
    assert result.code == 3
    assert "there is no catalogue at URI" in result.err
    assert list(tmp_path.iterdir()) == []


def test_get_shows_photos(uri: Path, run: Run) -> None:
    with open_catalog(uri) as catalog:
        catalog.upsert([Entry("a.jpg", axis(0), "p7", "a.jpg", attributes={"sale": True})])
    [first, second] = run("catalog", "get", uri, 7, "a.jpg", "--json", "-").json["photos"]
    assert (first["photo_id"], first["path"]) == (7, "photos/7.jpg")
    assert second == {
        "photo_id": "a.jpg",
        "product_id": "p7",
        "path": "a.jpg",
        "source": "",
        "sha256": None,
        "box": None,
        "attributes": {"sale": True},
    }
    assert "a.jpg\tp7\ta.jpg\t\tsale=True\n" in run("catalog", "get", uri, "a.jpg").out
    missing = run("catalog", "get", uri, "b.jpg")
    assert (missing.code, "there is no photo b.jpg" in missing.err) == (3, True)


def test_failures_are_listed(uri: Path, run: Run) -> None:
    result = run("catalog", "failures", uri)
    assert "torn.jpg\ttruncated\ttorn.jpg\tit ends early\n" in result.out
    assert "1 truncated: the file ends before the image does" in result.err
    shown = run("catalog", "failures", uri, "--json", "-").json
    assert (shown["n_failed"], shown["failures"]) == (1, {"truncated": 1})
    [photo] = shown["failed_photos"]
    assert (photo["photo_id"], photo["product_id"], photo["reason"]) == (
        "torn.jpg",
        "p1",
        "truncated",
    )


def test_delete_by_photo_product_and_filter(uri: Path, run: Run) -> None:
    result = run("catalog", "delete", uri, "--photo-id", 3, "--photo-id", 4, "--photo-id", 99)
    assert result.out == "2 photos removed, 38 left\n"
    with open_catalog(uri, read_only=True) as catalog:
        n_cheap = catalog.count("price < 50")
        product = catalog.get(5).product_id  # type: ignore[union-attr]
        n_of_product = catalog.count(f"product_id = '{product}'")
    shown = run("catalog", "delete", uri, "--product-id", product, "--json", "-").json
    assert shown == {"n_removed": n_of_product, "n_photos": 38 - n_of_product}
    shown = run("catalog", "delete", uri, "--where", "price < 50", "--json", "-").json
    assert 0 < shown["n_removed"] <= n_cheap
    nothing = run("catalog", "delete", uri, "--where", "price < 50")
    assert nothing.out.startswith("0 photos removed")
    assert "nothing in the catalogue matched" in nothing.err


@pytest.mark.parametrize(
    "options",
    [(), ("--photo-id", "1", "--where", "price < 5"), ("--where", " ")],
)
def test_delete_needs_one_choice(uri: Path, run: Run, options: tuple[str, ...]) -> None:
    assert run("catalog", "delete", uri, *options).code == 2
    with open_catalog(uri, read_only=True) as catalog:
        assert catalog.count() == 40


def test_a_filter_that_is_none_is_shown_with_its_place(uri: Path, run: Run) -> None:
    result = run("catalog", "delete", uri, "--where", "price <")
    assert result.code == 2
    assert "price <" in result.err
    assert "^" in result.err


def test_verify_of_a_sound_catalogue(uri: Path, run: Run) -> None:
    result = run("catalog", "verify", uri, "--json", "-")
    assert result.code == 0
    assert result.json == {"ok": True, "n_photos": 40, "faults": []}
    assert "no faults" in run("catalog", "verify", uri).err


def test_verify_finds_and_repairs_a_flipped_byte(uri: Path, run: Run) -> None:
    assert run("catalog", "compact", uri).code == 0
    file = next(uri.rglob("vectors.npy"))
    data = bytearray(file.read_bytes())
    data[-5] ^= 1
    file.write_bytes(data)
    found = run("catalog", "verify", uri, "--json", "-")
    assert found.code == 1
    assert not found.json["ok"]
    assert found.json["faults"]
    assert run("catalog", "verify", uri).out.count("\tno\n") == len(found.json["faults"])
    repaired = run("catalog", "verify", uri, "--repair", "--json", "-")
    assert repaired.code == 0
    assert all(fault["repaired"] for fault in repaired.json["faults"])
    assert run("catalog", "verify", uri, "--json", "-").json["faults"] == []


def test_compact_tells_what_there_is(uri: Path, run: Run) -> None:
    assert run("catalog", "compact", uri).out == f"{uri}: 40 photos, compacted\n"
    assert run("catalog", "compact", uri, "--json", "-").json["n_photos"] == 40


def test_recall_of_an_exact_search_is_one(uri: Path, run: Run) -> None:
    words = ("catalog", "recall", uri, "-k", 5, "--queries", 10, "--where", "price < 50")
    every, cheap = run(*words, "--json", "-").json["results"]
    assert (every["where"], every["n_photos"], every["n_queries"]) == (None, 40, 10)
    assert (every["recall"], every["lowest"], every["n_exact"]) == (1.0, 1.0, 10)
    assert set(every["usual_ms"]) == set(every["exact_ms"]) == {"p50", "p99"}
    assert cheap["where"] == "price < 50"
    assert cheap["n_photos"] < 40
    assert run(*words).out.splitlines()[1].startswith("none\t40\t10\t10\t1.0000\t1.0000\t")


def test_recall_needs_photos(tmp_path: Path) -> None:
    with open_catalog(tmp_path / "shop", create=True) as catalog:
        catalog.set_model(MODEL)
        catalog.upsert([Entry(1, axis(0), attributes={"price": 1})])
        with pytest.raises(CatalogError, match="needs two photos, and there are 1"):
            measure_recall(catalog)
        with pytest.raises(CatalogError, match="needs two photos, and 0 pass the filter"):
            measure_recall(catalog, where="price = 2")


def test_recall_of_photos_that_are_all_the_same(tmp_path: Path) -> None:
    """Which of them are the first k does not matter."""
    with open_catalog(tmp_path / "shop", create=True) as catalog:
        catalog.set_model(MODEL)
        catalog.upsert(Entry(number, axis(0)) for number in range(20))
        report = measure_recall(catalog, k=3, n_queries=50)
    assert (report.recall, report.n_queries) == (1.0, 20)


def test_backup_and_restore(uri: Path, run: Run, tmp_path: Path) -> None:
    file = tmp_path / "shop.backup"
    shown = run("catalog", "backup", uri, file, "--json", "-").json
    assert shown == {"output": str(file), "n_bytes": file.stat().st_size}
    again = tmp_path / "again"
    assert run("catalog", "restore", file, again).out == f"{again}: 40 photos, 1 failed\n"
    with open_catalog(uri) as one, open_catalog(again) as two:
        assert list(one.entries()) == list(two.entries())
    refused = run("catalog", "restore", file, again)
    assert (refused.code, "is there already" in refused.err) == (1, True)


def test_export_import_and_copy(uri: Path, run: Run, tmp_path: Path) -> None:
    pytest.importorskip("pyarrow")
    file = tmp_path / "shop.parquet"
    shown = run("catalog", "export", uri, file, "--json", "-").json
    assert shown == {"output": str(file), "n_photos": 40, "n_failed": 1}
    shown = run("catalog", "import", tmp_path / "b", file, "--json", "-").json
    assert shown == {"n_added": 40, "n_changed": 0, "n_unchanged": 0, "n_failed": 1}
    told = run("catalog", "import", tmp_path / "b", file).out
    assert told == f"{tmp_path / 'b'}: 0 added, 0 changed, 40 unchanged, 1 failed\n"
    first = run("catalog", "copy", uri, tmp_path / "c", "--json", "-").json
    second = run("catalog", "copy", tmp_path / "b", tmp_path / "d", "--json", "-").json
    assert first == second
    assert (first["n_photos"], first["n_failed"], len(first["sha256"])) == (40, 1, 64)
    assert (
        "40 photos and 1 failed, all the same as in"
        in run("catalog", "copy", uri, tmp_path / "e").out
    )


def test_migrate(tmp_path: Path, run: Run, make_model: Callable[..., Path]) -> None:
    photos = tmp_path / "photos"
    photos.mkdir()
    for number in range(4):
        picture(number).save(photos / f"{number}.png")
    old, new = make_model("old"), make_model("new", mean=[90.0, 120.0, 150.0])
    uri = tmp_path / "shop"
    assert run("index", photos, "--catalog", uri, "--model", old).code == 0
    (photos / "2.png").rename(tmp_path / "2.png")
    stopped = run("catalog", "migrate", uri, "--model", new)
    assert stopped.code == 1
    assert "missing: 2.png" in stopped.err
    assert "is still of old" in stopped.err
    (tmp_path / "2.png").rename(photos / "2.png")
    report = run("catalog", "migrate", uri, "--model", new, "--json", "-").json
    assert (report["switched"], report["n_photos"], report["n_cached"]) == (True, 4, 3)
    assert run("catalog", "stats", uri, "--json", "-").json["model"]["name"] == "new"
    again = run("catalog", "migrate", uri, "--model", new)
    assert (again.code, "is of new" in again.err) == (1, True)
